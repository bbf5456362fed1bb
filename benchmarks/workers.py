"""What a second worker brings: the same training in one process and in two, joined by gloo.

    python -m benchmarks.workers

takes some two minutes on two cores and writes ``results/benchmark-workers.json``. Every process
has one thread. Runs take turns; each is short and is repeated.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import torch
import torch.distributed as dist
import typer

from benchmarks.learners import SEED, collating
from benchmarks.training import make_course
from encdec.environment import quieten
from encdec.results import provenance, write_json
from encdec.training import LOG_EVERY, Trainer, keep_freed_memory

PAIRS = 7_000  # make a few more steps than are timed
STEPS = 2 * LOG_EVERY  # of which the first half is warm-up
ROUNDS = 10  # of adding up gradients
# Processes, and by what the recipe's batch is multiplied: the loop of this book shares one batch
# out; with a doubled one every process has as much to do as the single one had.
SETTINGS = {"one": (1, 1), "two, same batch": (2, 1), "two, doubled batch": (2, 2)}


def work(times: int) -> dict[str, Any]:
    """What every process does.

    Args:
        times: by what the batch is multiplied.

    Returns:
        Tokens a second of all processes together, and seconds to add up the gradients once.
    """
    quieten()
    keep_freed_memory()
    torch.set_num_threads(1)
    from encdec import EncoderDecoder

    with tempfile.TemporaryDirectory() as temporary:
        course = make_course(Path(temporary), PAIRS * times)
        model = EncoderDecoder.from_pretrained(temporary)
        larger = {"max_tokens": course.recipe.max_tokens * times}
        marks: list[tuple[float, int]] = []  # when the log got a line, and tokens by then
        trainer = Trainer(
            model=model,
            epoch=lambda number: course.examples,
            recipe=course.recipe.model_copy(update=larger),
            folder=Path(temporary) / "run",
            seed=SEED,
            collate=collating(model),
            report=lambda line: marks.append((time.perf_counter(), line["tokens"])),
        )
        trainer.run(stop_after=STEPS)
        first, *_, last = marks or [(0.0, 0), (0.0, 0)]  # only the first process writes the log
        gradients = torch.zeros(sum(p.numel() for p in model.parameters() if p.requires_grad))
        return {
            "tokens": last[1] - first[1],
            "seconds": last[0] - first[0],
            "gradient_bytes": gradients.numel() * gradients.element_size(),
            "add_up_seconds": add_up(gradients),
        }


def add_up(gradients: torch.Tensor) -> float:
    """Median seconds of one all-reduce; nothing where there is one process."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return 0.0
    taken = []
    for _ in range(ROUNDS):
        dist.barrier()
        started = time.perf_counter()
        dist.all_reduce(gradients)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def launch(processes: int, times: int) -> dict[str, Any]:
    """Start a setting as a reader would, and read what its first process prints.

    Raises:
        RuntimeError: it failed; the message ends as its output did.
    """
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += [f"--nproc-per-node={processes}", "-m", "benchmarks.workers", "--child", str(times)]
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, capture_output=True, text=True, env=one_thread)
    if result.returncode:
        raise RuntimeError(f"{processes} processes failed: {result.stderr[-800:]}")
    found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return found


def main(
    repeats: Annotated[int, typer.Option(help="Runs of each setting.", min=1)] = 3,
    output: Annotated[Path, typer.Option()] = Path("results/benchmark-workers.json"),
    child: Annotated[int, typer.Option(hidden=True)] = 0,
) -> None:
    """Measure one and two workers, and write down."""
    if child:
        found = work(child)
        if int(os.environ.get("RANK", "0")) == 0:
            print(json.dumps(found), flush=True)
        return
    load = round(os.getloadavg()[0], 1)
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in SETTINGS}
    for _ in range(repeats):
        for name, (processes, times) in SETTINGS.items():
            runs[name].append(launch(processes, times))
            print(name, runs[name][-1], flush=True)
    write_json(
        output,
        {
            "name": "benchmark-workers",
            "description": "Training speed of one process and of two, one thread each.",
            "text": "Tatoeba English–French, training split of marian-en-fr",
            "load_before": load,
            "repeats": repeats,
            "steps": STEPS - LOG_EVERY,
            "gradient_bytes": runs["one"][0]["gradient_bytes"],
            "settings": {name: summarise(name, done) for name, done in runs.items()},
            "provenance": provenance("python -m benchmarks.workers"),
        },
    )


def summarise(name: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Median, lowest and highest speed of a setting, and the time to add gradients up."""
    processes, times = SETTINGS[name]
    speeds = [run["tokens"] / run["seconds"] for run in runs]
    return {
        "processes": processes,
        "batch": times,
        "tokens_per_step": round(runs[0]["tokens"] / (STEPS - LOG_EVERY)),
        "tokens_per_second": round(statistics.median(speeds)),
        "lowest": round(min(speeds)),
        "highest": round(max(speeds)),
        "add_up_seconds": round(statistics.median(run["add_up_seconds"] for run in runs), 5),
    }


if __name__ == "__main__":
    typer.run(main)
