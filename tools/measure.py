"""Time and memory of every chapter: ``python tools/measure.py`` (``make measure``).

Each chapter is executed from top to bottom in a kernel of its own, one after the other, and stays
as it is. Recorded are the time until all cells have run, the start of the kernel included, and the
most memory that a process of the chapter held. The website shows both. Run it on an idle machine.
"""

import multiprocessing
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import nbformat

from refresh import execute

ROOT = Path(__file__).resolve().parents[1]
COMMAND = "make measure"
SECONDS, MEBIBYTES = 60, 2048  # what a chapter may take
UNIT = 2**20 if sys.platform == "darwin" else 2**10  # of ru_maxrss, to mebibytes


def measure(path: Path) -> dict[str, float]:
    """Run one chapter; to be called in a process that has run nothing else.

    Args:
        path: a notebook.

    Returns:
        ``seconds`` until all cells had run, and ``peak_mib``: mebibytes of the largest process.

    Raises:
        CellExecutionError: a cell failed.
    """
    notebook = nbformat.read(path, as_version=4)
    start = time.perf_counter()
    execute(notebook, path.parent)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / UNIT
    return {"seconds": round(seconds, 1), "peak_mib": round(peak)}


def record(paths: list[Path], to: Path) -> list[str]:
    """Measure chapters, each in a fresh process, and write the recorded run.

    Args:
        paths: notebooks.
        to: the file; it is written when all have run.

    Returns:
        The names of those that took more than they may.
    """
    from encdec import results  # not above: a kernel's peak counts what its parent holds

    content: dict[str, Any] = {"chapters": {}, "provenance": results.provenance(COMMAND)}
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=1) as pool:
        for path, figures in zip(paths, pool.map(measure, paths), strict=True):
            content["chapters"][path.stem] = figures
            print(f"{path.stem}: {figures['seconds']} s, {figures['peak_mib']} MiB", flush=True)
    results.write_json(to, content)
    return [
        name
        for name, figures in content["chapters"].items()
        if figures["seconds"] > SECONDS or figures["peak_mib"] > MEBIBYTES
    ]


if __name__ == "__main__":
    CHAPTERS = sorted((ROOT / "chapters").glob("*.ipynb"))
    if over := record(CHAPTERS, ROOT / "results" / "chapters.json"):
        print(f"More than {SECONDS} s or {MEBIBYTES} MiB: {', '.join(over)}.")
