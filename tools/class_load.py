"""A class that runs a chapter: ``python tools/class_load.py`` (``make class-load``).

Every student gets a kernel of their own and runs a chapter from top to bottom, as many at a time as
the machine has cores. Kernels that are through stay open, as they do in a class, while there is
memory: what they hold then is what a shared machine must have for them.
``results/class-load.json`` says what it took.
"""

import argparse
import statistics
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import nbformat
import psutil
from jupyter_core.utils import run_sync
from nbclient import NotebookClient

from encdec.results import provenance, write_json

ROOT = Path(__file__).parents[1]
STUDENTS = 30
CHAPTER = "chapters/01-understanding-encoder-decoder-llms.ipynb"
EVERY = 0.2  # seconds between two looks at a kernel's memory
RESERVE = 0.1  # of the machine's memory that stays free


@dataclass(frozen=True)
class Student:
    """What one student's kernel took."""

    seconds: float
    peak_bytes: int  # while it ran
    open_bytes: int  # when it was through, without what it shares with other kernels


class Kernel:
    """A student's kernel.

    Args:
        path: the chapter.
    """

    def __init__(self, path: Path) -> None:
        self.client = NotebookClient(
            nbformat.read(path, as_version=4),
            timeout=600,
            kernel_name="python3",
            skip_cells_with_tag="nbval-skip",
            resources={"metadata": {"path": str(path.parent)}},
        )
        self.peak = 0

    def run(self) -> Student:
        """Run the chapter and leave the kernel open."""
        started, done = time.monotonic(), threading.Event()
        watch = threading.Thread(target=self._watch, args=(done,))
        watch.start()
        try:
            self.client.execute(cleanup_kc=False)
        finally:
            done.set()
            watch.join()
        seconds = round(time.monotonic() - started, 1)
        return Student(seconds, self.peak, self.process.memory_full_info().uss)

    @property
    def process(self) -> psutil.Process:
        """The process that holds the student's model."""
        return psutil.Process(self.client.km.provisioner.pid)

    def _watch(self, done: threading.Event) -> None:
        while not done.wait(EVERY):
            if self.client.km is not None and self.client.km.provisioner is not None:
                try:
                    self.peak = max(self.peak, self.process.memory_info().rss)
                except psutil.NoSuchProcess:
                    return

    def close(self) -> None:
        """Shut the kernel down."""
        run_sync(self.client.km.shutdown_kernel)(now=True)


def mib(size: int) -> str:
    """A number of bytes, in words."""
    return f"{size / 2**20:4.0f} MiB"


def lesson(path: Path, students: int, at_once: int) -> list[Student]:
    """Let a class run a chapter.

    Args:
        path: the chapter.
        students: how many kernels.
        at_once: how many of them run at a time.
    """
    kernels: list[Kernel] = []
    free = psutil.virtual_memory().total * RESERVE

    def one(number: int) -> Student:
        kernel = Kernel(path)
        student = kernel.run()
        kernels.append(kernel)
        if psutil.virtual_memory().available < free:  # the first to be through has gone home
            kernels.pop(0).close()
        print(
            f"student {number:2d}: {student.seconds:5.1f} s, {mib(student.peak_bytes)} at most, "
            f"{mib(student.open_bytes)} when through",
            flush=True,
        )
        return student

    try:
        with ThreadPoolExecutor(at_once) as pool:
            return list(pool.map(one, range(1, students + 1)))
    finally:
        for kernel in kernels:
            kernel.close()


def summary(path: Path, found: list[Student], at_once: int, seconds: float) -> dict[str, object]:
    """What the results file says."""
    return {
        "name": "class-load",
        "description": "A class runs a chapter: time and memory for each student",
        "chapter": path.stem,
        "students": len(found),
        "at_once": at_once,
        "seconds": round(seconds, 1),
        "median_seconds": statistics.median(each.seconds for each in found),
        "peak_bytes": max(each.peak_bytes for each in found),
        "open_bytes": sum(each.open_bytes for each in found),
        "each": [asdict(each) for each in found],
        "provenance": provenance("make class-load"),
    }


def main(arguments: list[str]) -> int:
    """Hold the lesson and write what it took."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("chapter", nargs="?", type=Path, default=ROOT / CHAPTER)
    parser.add_argument("--students", type=int, default=STUDENTS)
    parser.add_argument("--at-once", type=int, default=psutil.cpu_count())
    parser.add_argument("--to", type=Path, default=ROOT / "results" / "class-load.json")
    options = parser.parse_args(arguments)
    if not options.chapter.is_file():
        parser.error(f"there is no chapter {options.chapter}: name a file of chapters/.")
    if min(options.students, options.at_once) < 1:
        parser.error("--students and --at-once must be at least 1.")
    started = time.monotonic()
    found = lesson(options.chapter, options.students, options.at_once)
    outcome = summary(options.chapter, found, options.at_once, time.monotonic() - started)
    write_json(options.to, outcome)
    print(
        f"{len(found)} students, {options.at_once} at a time: {outcome['seconds']:.0f} s, "
        f"{outcome['open_bytes'] / 2**30:.1f} GiB with all kernels open."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
