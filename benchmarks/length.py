"""Time per token as the output grows, with and without a cache.

    python -m benchmarks.length

takes about a minute and writes ``results/benchmark-length.json``.
"""

from __future__ import annotations

import os
import statistics
import time
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from encdec import EncoderDecoder, TransformerConfig, generate
from encdec.results import provenance, write_json

LONGEST = 512
WINDOW = 32


def model() -> EncoderDecoder:
    """A T5 of the book models' size, which knows no longest output."""
    torch.manual_seed(0)
    config = TransformerConfig.family(
        "t5",
        vocab_size=5000,
        d_model=192,
        d_ff=768,
        num_heads=6,
        num_layers=3,
        num_decoder_layers=2,
    )
    return EncoderDecoder(config).eval()


def with_cache(network: EncoderDecoder, source: torch.Tensor, num_beams: int) -> list[float]:
    """Seconds of every step of one long output."""
    stamps: list[float] = []

    def stamp(*_: Any) -> None:
        stamps.append(time.perf_counter())

    step = network.step

    def timed(*args: Any, **options: Any) -> torch.Tensor:
        stamp()
        return step(*args, **options)

    network.step = timed  # type: ignore[method-assign]
    try:
        generate(
            network,
            source,
            num_beams=num_beams,
            min_new_tokens=LONGEST,
            max_new_tokens=LONGEST,
        )
    finally:
        del network.step
    stamp()
    return [after - before for before, after in pairwise(stamps)]


@torch.no_grad()
def without_cache(network: EncoderDecoder, source: torch.Tensor, lengths: range) -> list[float]:
    """Seconds of the step at each length, when the whole output is read again."""
    states = network.encode(source)
    seconds = []
    for length in lengths:
        ids = torch.randint(5, 4900, (1, length))
        started = time.perf_counter()
        network.logits(network.decode(ids, states)[:, -1:])
        seconds.append(time.perf_counter() - started)
    return seconds


def main(
    repeats: Annotated[int, typer.Option(help="Outputs written with the cache.", min=5)] = 7,
    output: Annotated[Path, typer.Option()] = Path("results/benchmark-length.json"),
) -> None:
    """Measure time per token against length and write it down."""
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    network = model()
    source = torch.randint(5, 4900, (1, 24), generator=torch.Generator().manual_seed(0))
    starts = range(0, LONGEST, WINDOW)

    def windows(runs: list[list[float]]) -> list[float]:
        """Median milliseconds per token in each window."""
        return [
            round(1000 * statistics.median(s for run in runs for s in run[i : i + WINDOW]), 4)
            for i in starts
        ]

    curves = {}
    for label, beams in (("greedy", 1), ("4 beams", 4)):
        with_cache(network, source, beams)
        curves[label] = windows([with_cache(network, source, beams) for _ in range(repeats)])
    lengths = range(1, LONGEST + 1)
    without_cache(network, source, lengths)
    curves["greedy, no cache"] = windows(
        [without_cache(network, source, lengths) for _ in range(2)]
    )
    write_json(
        output,
        {
            "name": "benchmark-length",
            "description": "Milliseconds per token in windows of an output of 512 tokens.",
            "window": WINDOW,
            "starts": list(starts),
            "milliseconds": curves,
            "last_to_first": {
                label: round(curve[-1] / curve[0], 3) for label, curve in curves.items()
            },
            "repeats": repeats,
            "provenance": provenance("python -m benchmarks.length"),
        },
    )


if __name__ == "__main__":
    typer.run(main)
