"""Repeated use: ``python tools/load.py`` (``make load``), on an idle machine.

Measured are time and memory of every command, of `translate` with more and more lines, of a hundred
calls of `generate` in one process, and of a browser that walks through the built site again and
again. ``results/load.json`` says what it took; chapters have `make measure`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

import browser  # nothing here may be heavy: a process's peak counts what its parent holds

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "results" / "load.json"
COMMAND = "make load"
UNIT = 2**20 if sys.platform == "darwin" else 2**10  # of ru_maxrss, to mebibytes
LINES = (100, 1_000, 10_000)
CALLS, EVERY = 100, 20
WAYS: dict[str, dict[str, Any]] = {
    "greedy": {"num_beams": 1},
    "beams": {"num_beams": 5},
    "sampling": {"num_beams": 1, "do_sample": True},
}
SMOKE = "runs/marian-en-fr-smoke/model"  # which `train --smoke` leaves
COMMANDS: dict[str, tuple[str, ...]] = {
    "help": ("--help",),
    "doctor": ("doctor",),
    "translate": ("translate", "Where is the sea?"),
    "summarize": ("summarize", "--module", "json.decoder"),
    "answer": ("answer", f"{ROOT}/models/bart-instruct", "What is the capital of Italy?"),
    "export": ("export", f"{ROOT}/models/marian-en-fr", "--to", "exported"),
    "train": ("train", f"{ROOT}/recipes/marian-en-fr.yaml", "--smoke"),
    "evaluate": ("evaluate", SMOKE),
    "compare": ("compare", f"{ROOT}/recipes/compare/compare.yaml", "--smoke"),
}
WITH_CORPORA = ("train", "evaluate", "compare")


class FailedError(Exception):
    """A command did not do its work; the message is how its output ended."""


def took(command: list[str], folder: Path) -> dict[str, float]:
    """Run a command in a folder.

    Returns:
        ``seconds``, and ``peak_mib``: the most memory that it held, in mebibytes.

    Raises:
        FailedError: its exit status is not 0.
    """
    start = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, cwd=folder, stdout=said, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - start
        if process.returncode:
            said.seek(0)
            raise FailedError(f"{command} failed: {said.read().decode()[-800:]}")
    return {"seconds": round(seconds, 2), "peak_mib": round(usage.ru_maxrss / UNIT)}


def encdec(*arguments: str) -> list[str]:
    """A command line of the package."""
    return [sys.executable, "-m", "encdec", *arguments]


def of_commands(names: list[str], repeats: int) -> dict[str, Any]:
    """Time and memory of commands, each several times."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            runs = [took(encdec(*COMMANDS[name]), fresh(folder, name)) for _ in range(repeats)]
            found[name] = {
                "seconds": median(run["seconds"] for run in runs),
                "peak_mib": max(run["peak_mib"] for run in runs),
            }
            print(f"{name}: {found[name]}", flush=True)
    return found


def fresh(folder: str, name: str) -> Path:
    """A folder in which a command has not run; `evaluate` wants that of `train`."""
    if name == "evaluate":
        return next(Path(folder).glob(f"train-*/{SMOKE}")).parents[2]
    return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=folder))


def of_lines(counts: tuple[int, ...]) -> list[dict[str, float]]:
    """Time and memory of `translate` for files of so many lines."""
    from encdec.data.parallel import load_phrasebook

    found = []
    with tempfile.TemporaryDirectory() as folder:
        for count in counts:
            lines = islice(cycle(load_phrasebook()), count)
            (Path(folder) / "lines.txt").write_text("\n".join(lines) + "\n", encoding="utf8")
            arguments = ("translate", "--file", "lines.txt", "--num-beams", "1")
            row = {"lines": count} | took(encdec(*arguments), Path(folder))
            found.append(row | {"lines_per_second": round(count / row["seconds"])})
            print(found[-1], flush=True)
    return found


def of_generate(way: str) -> Iterator[float]:
    """Mebibytes that this process holds after every 20 of a hundred calls."""
    import psutil
    import torch

    import encdec
    from encdec.data.parallel import load_phrasebook

    torch.manual_seed(0)
    model, tokenizer = encdec.zoo.load("translation", device="cpu", announce=False)
    batch = tokenizer(list(load_phrasebook())[:32], return_tensors="pt", padding=True)
    for call in range(1, CALLS + 1):
        mask = batch["attention_mask"]
        encdec.generate(
            model, batch["input_ids"], attention_mask=mask, max_new_tokens=32, **WAYS[way]
        )
        if call % EVERY == 0:
            yield round(psutil.Process().memory_info().rss / 2**20, 1)


def in_a_process(way: str) -> list[float]:
    """What `of_generate` yields in a process of its own."""
    command = [sys.executable, __file__, "--generate", way]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    print(f"generate, {way}: {done.stdout.strip()} MiB", flush=True)
    found: list[float] = json.loads(done.stdout)
    return found


def of_site(chromium: Any, folder: Path, rounds: int) -> dict[str, Any]:
    """A browser opens every page in one tab, several times over.

    Args:
        chromium: playwright's browser.
        folder: of the site.
        rounds: how often.

    Returns:
        Median milliseconds until each page has loaded, and after every round the mebibytes that
        scripts hold and the number of nodes, rubbish removed.
    """
    pages = [
        path.relative_to(folder).as_posix()
        for path in sorted(folder.rglob("*.html"))
        if not {"_static", "slides"} & set(path.relative_to(folder).parts)
        and 'http-equiv="refresh"' not in path.read_text(encoding="utf8").lower()
    ]
    loads: dict[str, list[float]] = {page: [] for page in pages}
    heap, nodes = [], []
    with browser.served(folder, browser.Packing) as address:
        context = chromium.new_context()
        tab = context.new_page()
        look = context.new_cdp_session(tab)
        look.send("Performance.enable")
        for _ in range(rounds):
            for page in pages:
                tab.goto(address + page, wait_until="load")
                timing = "performance.getEntriesByType('navigation')[0].duration"
                loads[page].append(tab.evaluate(timing))
            tab.goto("about:blank")
            look.send("HeapProfiler.collectGarbage")
            figures = {
                f["name"]: f["value"] for f in look.send("Performance.getMetrics")["metrics"]
            }
            heap.append(round(figures["JSHeapUsedSize"] / 2**20, 2))
            nodes.append(round(figures["Nodes"]))
        context.close()
    milliseconds = {page: round(median(times)) for page, times in loads.items()}
    return {"milliseconds": milliseconds, "heap_mib": heap, "nodes": nodes}


def main(arguments: list[str]) -> int:
    """Measure and write down."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=3, help="runs of each command")
    parser.add_argument("--rounds", type=int, default=5, help="walks through the site")
    parser.add_argument("--lines", type=int, default=max(LINES), help="of the largest file")
    parser.add_argument("--only", choices=sorted(COMMANDS), action="append", help="these commands")
    parser.add_argument("--site", type=Path, default=ROOT / "_build" / "html")
    parser.add_argument("--to", type=Path, default=RECORD)
    parser.add_argument("--generate", choices=sorted(WAYS), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.generate:
        print(json.dumps(list(of_generate(options.generate))))
        return 0
    if not (options.site / "index.html").is_file():
        parser.error(f"there is no site in {options.site}: build it with `make book`.")
    if browser.CHROMIUM is None:
        parser.error(browser.MISSING)
    names = options.only or list(COMMANDS)
    if not os.environ.get("ENCDEC_DATA") and set(names) & set(WITH_CORPORA):
        parser.error("training wants corpora: name their folder in ENCDEC_DATA.")
    load = round(os.getloadavg()[0], 1)
    content: dict[str, Any] = {
        "name": "load",
        "description": "Repeated use: time and memory of commands, lines, calls and pages",
        "load_before": load,
        "repeats": options.repeats,
        "commands": of_commands(names, options.repeats),
        "lines": of_lines(tuple(count for count in LINES if count <= options.lines)),
        "generate_mib": {way: in_a_process(way) for way in WAYS},
    }
    with browser.running() as chromium:
        content["site"] = of_site(chromium, options.site, options.rounds)
    from encdec.results import provenance, write_json

    write_json(options.to, content | {"provenance": provenance(COMMAND)})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
