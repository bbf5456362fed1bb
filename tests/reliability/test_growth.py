"""The same work over and over: memory does not grow, and what is done is kept."""

from __future__ import annotations

import ctypes
import gc
import platform
import signal
import time
from collections.abc import Callable
from typing import Any

import psutil
import pytest
import torch

from encdec import (
    DecoderOnly,
    EncoderDecoder,
    RecurrentConfig,
    RecurrentEncoderDecoder,
    TransformerConfig,
    generate,
)

CALLS, WARMUP = 100, 20
# A call scores 24 steps of 16 rows over 2,000 words: 3 MB, of which nothing may stay.
ROWS, NEW, VOCAB = 16, 24, 2000
MOST_BYTES = 20_000_000  # the allocator's own moods; a call that left its scores would leave 300 MB
SIZES: dict[str, Any] = {"vocab_size": VOCAB, "d_model": 16}
LAYERS = {"d_ff": 32, "num_heads": 2, "num_layers": 1}
WAYS = {
    "greedy": {},
    "beams": {"num_beams": 4},
    "sampling": {"do_sample": True},
    "attention": {"output_attentions": True, "output_step_scores": True},
}


def tensors() -> int:
    """How many tensors are alive."""
    gc.collect()
    return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())


def resident() -> int:
    """Bytes of the process, without those that are free and only not yet given back."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    return psutil.Process().memory_info().rss


def left_behind(call: Callable[[], object]) -> tuple[int, int]:
    """How many tensors and how many bytes are there after a hundred calls that were not before."""
    for _ in range(WARMUP):
        call()
    alive, memory = tensors(), resident()
    for _ in range(CALLS):
        call()
    return tensors() - alive, resident() - memory


def model(kind: str) -> Any:
    """A small model with random weights."""
    torch.manual_seed(0)
    if kind == "recurrent":
        return RecurrentEncoderDecoder(RecurrentConfig(**SIZES, attention="additive")).eval()
    family, of = ("gpt2", DecoderOnly) if kind == "decoder" else ("t5", EncoderDecoder)
    ends = {"eos_token_id": 1, "pad_token_id": 0} | (
        {"bos_token_id": 1} if kind == "decoder" else {}
    )
    layers = {"num_decoder_layers": 1} | LAYERS | ({"num_layers": 0} if kind == "decoder" else {})
    return of(TransformerConfig.family(family, **SIZES, **layers, **ends)).eval()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["encoder-decoder", "decoder", "recurrent"])
def test_a_hundred_calls_of_generate_leave_nothing(kind, way):
    writer, ids = model(kind), torch.randint(2, VOCAB, (ROWS, 12))
    options = {"min_new_tokens": NEW, "max_new_tokens": NEW} | WAYS[way]
    found, memory = left_behind(lambda: generate(writer, ids, **options))
    assert found == 0
    assert memory < MOST_BYTES


def test_what_a_call_leaves_would_be_found():
    kept: list[torch.Tensor] = []
    found, memory = left_behind(lambda: kept.append(torch.ones(ROWS * NEW, VOCAB)))
    assert found == CALLS
    assert memory > 10 * MOST_BYTES


def test_ctrl_c_keeps_the_lines_that_are_written(reader):
    total = 4000
    lines = "".join(f"Room {number} is free.\n" for number in range(total))
    (reader.home / "lines.txt").write_text(lines, encoding="utf8")
    running = reader.start("translate", "--file", "lines.txt", "--num-beams", 1)
    said = running.folder / "stdout"
    running.wait_for(lambda: said.exists() and said.stat().st_size > 0)
    time.sleep(0.2)  # into the next lines
    running.send(signal.SIGINT)
    done = running.end()
    assert done.status == 130
    written = done.stdout.splitlines()
    assert done.stdout.endswith("\n")
    assert 0 < len(written) < total
    assert all(written)
    assert f"interrupted; {len(written):,} lines are written" in done.stderr
    assert f"go on with line {len(written) + 1:,}" in done.stderr
