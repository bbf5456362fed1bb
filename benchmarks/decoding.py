"""Decoding speed, side by side: this book, transformers and CTranslate2, on the same weights.

    python -m benchmarks.decoding

takes some twenty minutes on two cores and writes ``results/benchmark-decoding.json``, size by size
(``--sizes t5-small`` measures that one anew and leaves the others as they are). Every system
is warmed up, then all take turns, one run each: a slow minute of the machine is slow for all.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.progress import Progress
from transformers import MarianMTModel, T5Config, T5ForConditionalGeneration

from benchmarks.bandwidth import read_bandwidth
from benchmarks.systems import Ids, Reply, Run, Worker, book, convert, ctranslate2, transformers
from encdec.results import provenance, write_json

SOURCE_LENGTH = 24
NEW_TOKENS = {1: 64, 8: 32, 32: 16}  # by batch size: a large batch needs fewer to be measured
SHORTER = {"t5-base": 4}  # what the number of new tokens is divided by
BEAMS = (1, 4)
MODES: dict[str, tuple[Callable[..., Run], dict[str, Any]]] = {
    "encdec": (book, {}),
    "encdec, one thread": (book, {"threads": 1}),
    "encdec, readable step": (book, {"packed": False}),
    "encdec, bfloat16 weights": (book, {"dtype": "bfloat16"}),
    "transformers": (transformers, {}),
    "transformers, one thread": (transformers, {"threads": 1}),
    "transformers, static cache": (transformers, {"static": True}),
    "transformers, static cache, compiled": (transformers, {"static": True, "compiled": True}),
    "CTranslate2 float32": (ctranslate2, {}),
    "CTranslate2 float32, one thread": (ctranslate2, {"threads": 1}),
    "CTranslate2 int8": (ctranslate2, {"compute_type": "int8"}),
    "CTranslate2 int8, one thread": (ctranslate2, {"compute_type": "int8", "threads": 1}),
}
SHORT = 1.0  # seconds
PAUSE = 0.3  # seconds; threads of a pool go on looking for work for a while after its last job
# Whose turn comes at batch 1 only: each shape is compiled anew, which takes longer than all other
# runs; one thread is worth trying where a step is short; and the readable step and bfloat16 weights
# are there to be looked at, not to win.
ALONE = ("compiled", "one thread", "readable", "bfloat16")


def t5(d_model: int, d_ff: int, num_layers: int, num_heads: int) -> Callable[[], Any]:
    """A T5 with random weights, which are as fast as any."""

    def build() -> Any:
        torch.manual_seed(0)
        config = T5Config(
            vocab_size=32128,
            d_model=d_model,
            d_kv=64,
            d_ff=d_ff,
            num_layers=num_layers,
            num_heads=num_heads,
            decoder_start_token_id=0,
        )
        return T5ForConditionalGeneration(config)

    return build


def translator() -> Any:
    """The book's own translator."""
    model = MarianMTModel.from_pretrained("models/marian-en-fr", dtype=torch.float32)
    model.generation_config.num_beams = 1
    return model


SIZES: dict[str, Callable[[], Any]] = {
    "book": translator,
    "t5-small": t5(512, 2048, 6, 8),
    "t5-base": t5(768, 3072, 12, 12),
}


def measure(
    workers: dict[str, Worker], sources: Ids, beams: int, tokens: int, repeats: int
) -> dict[str, Any]:
    """Let all systems take turns on one setting.

    Returns:
        For each system: tokens/s (median, lowest, highest), seconds of the first run (compilation
        included) and share of positions that hold the same token as transformers' plain run; or
        the error it ended with.
    """
    replies: dict[str, list[Reply]] = {}
    failed: dict[str, str] = {}
    for name, worker in workers.items():
        try:  # the first run pays for compilation, the second for what is compiled at its end
            replies[name] = [worker.run(sources, beams, tokens) for _ in range(2)]
        except RuntimeError as error:
            failed[name] = str(error)[:300]
    for _ in range(repeats):
        for name in replies:
            time.sleep(PAUSE)
            if replies[name][-1].seconds < SHORT:
                workers[name].run(sources, beams, tokens)  # not counted: caches are cold
            replies[name].append(workers[name].run(sources, beams, tokens))
    wanted = [token for row in replies["transformers"][0].ids for token in row]
    outcome: dict[str, Any] = {name: {"error": error} for name, error in failed.items()}
    for name, runs in replies.items():
        speeds = sorted(len(sources) * tokens / run.seconds for run in runs[2:])
        got = [token for row in runs[0].ids for token in row]
        same = sum(a == b for a, b in zip(got, wanted, strict=False)) / len(wanted)
        outcome[name] = {
            "tokens_per_second": round(statistics.median(speeds), 1),
            "lowest": round(speeds[0], 1),
            "highest": round(speeds[-1], 1),
            "first_run_seconds": round(runs[0].seconds, 2),
            "same_tokens": round(same, 4),
        }
    return outcome


def bytes_per_step(model: Any) -> int:
    """What one decoding step has to read at least: the decoder's weights and the output layer."""
    decoder = model.get_decoder()
    table = model.get_output_embeddings().weight
    weights = [p for p in decoder.parameters() if p.data_ptr() != table.data_ptr()]
    crossed = [  # keys and values of the source are made once, not at every step
        p
        for name, p in decoder.named_parameters()
        if ("EncDecAttention" in name or "encoder_attn" in name)
        and (".k." in name or ".v." in name or "k_proj" in name or "v_proj" in name)
    ]
    return 4 * (sum(p.numel() for p in [*weights, table]) - sum(p.numel() for p in crossed))


def main(
    sizes: Annotated[list[str] | None, typer.Option(help="Only these sizes.")] = None,
    batches: Annotated[list[int] | None, typer.Option(help="Only these batch sizes.")] = None,
    repeats: Annotated[int, typer.Option(help="Counted runs of each system.", min=5)] = 5,
    threads: Annotated[int, typer.Option(help="Threads that each system may use.")] = 0,
    output: Annotated[Path, typer.Option()] = Path("results/benchmark-decoding.json"),
) -> None:
    """Measure decoding speed and write it down."""
    threads = threads or len(os.sched_getaffinity(0))
    torch.set_num_threads(threads)
    console = Console(stderr=True)
    chosen = sizes or list(SIZES)
    settings = [(b, n) for b in (batches or NEW_TOKENS) for n in BEAMS]
    with Progress(console=console, refresh_per_second=1) as progress:
        task = progress.add_task("decoding", total=len(chosen) * len(settings))
        for size in chosen:
            bandwidth = [read_bandwidth()]
            rows = []
            for row in measure_size(size, settings, repeats, threads):
                rows.append(row)
                progress.advance(task)
                console.print(summary(row))
            bandwidth.append(read_bandwidth())
            save(
                output,
                size,
                {
                    "threads": threads,
                    "repeats": repeats,
                    "bandwidth": bandwidth,
                    "rows": rows,
                    "provenance": provenance(f"python -m benchmarks.decoding --sizes {size}"),
                },
            )


def measure_size(
    size: str, settings: list[tuple[int, int]], repeats: int, threads: int
) -> Iterator[dict[str, Any]]:
    """Measure all systems on the weights of one size.

    Yields:
        One row for each setting, a pair of batch size and number of beams.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        model = SIZES[size]()
        model.save_pretrained(folder)
        convert(folder)
        workers = {
            name: Worker(build, folder, **{"threads": threads, **options})
            for name, (build, options) in MODES.items()
        }
        generator = random.Random(0)
        for batch, beams in settings:
            sources = [
                [generator.randrange(5, 4900) for _ in range(SOURCE_LENGTH)] for _ in range(batch)
            ]
            here = {
                name: worker
                for name, worker in workers.items()
                if batch == 1 or not any(word in name for word in ALONE)
            }
            tokens = NEW_TOKENS[batch] // SHORTER.get(size, 1)
            yield {
                "size": size,
                "parameters": model.num_parameters(),
                "bytes_per_step": bytes_per_step(model),
                "batch": batch,
                "num_beams": beams,
                "new_tokens": tokens,
                "systems": measure(here, sources, beams, tokens, repeats),
            }
        for worker in workers.values():
            worker.close()


def summary(row: dict[str, Any]) -> str:
    """One line on a row."""
    figures = ", ".join(
        f"{name} {found.get('tokens_per_second', 'failed')}"
        for name, found in row["systems"].items()
    )
    return f"{row['size']}, batch {row['batch']}, beams {row['num_beams']}: {figures}"


def save(output: Path, size: str, found: dict[str, Any]) -> None:
    """Write one size down; what was measured of other sizes stays."""
    record: dict[str, Any] = {
        "name": "benchmark-decoding",
        "description": "Decoding speed on the same weights and inputs, tokens per second.",
        "source_length": SOURCE_LENGTH,
        "sizes": {},
    }
    if output.exists():
        record["sizes"] = json.loads(output.read_text(encoding="utf8"))["sizes"]
    record["sizes"][size] = found
    record["provenance"] = provenance("python -m benchmarks.decoding")
    write_json(output, record)


if __name__ == "__main__":
    typer.run(main)
