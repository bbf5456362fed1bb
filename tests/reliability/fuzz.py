"""Coverage-guided fuzzing of every parser: ``make fuzz`` gives ten minutes to all of them together.

Each target (`targets.py`) has a process of its own, which libFuzzer ends at the first error that is
not a refusal, after five seconds on one input, or when it takes more than 2 GiB. What was done is
written to ``results/fuzzing.json``.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SECONDS = int(os.environ.get("FUZZ_SECONDS", "600"))
LIMITS = ("-timeout=5", "-rss_limit_mb=2048", "-max_len=4096", "-print_final_stats=1")
SEEDS = {
    "recipe": ["name: a\nstages:\n  - {name: b, mixture: [{denoising: {window: 8}}]}\n", "&a [*a]"],
    "csv": ['a,b\n"x, y",z\n' * 12],
    "jsonl": ['{"a": "x", "b": "y"}\n' * 12],
    "model-folder": ['{"model_type": "t5", "d_model": 8}', '{"weight_map": {"a": "b.safetensors"}}',
                     '\x02\0\0\0\0\0\0\0{}'],
    "docstrings": ["Return the `x`.\n\nArgs:\n    x: :class:`int`, see http://a.b.\n\n>>> f(1)\n"],
    "source": ['def f(a):\n    """Do it."""\n    b = a\n    return b\n'],
}  # fmt: skip


def child(name: str, corpus: str) -> None:
    """Fuzz one target; does not return."""
    import atheris

    with atheris.instrument_imports(include=["encdec", "yaml", "csv", "json"]):
        from targets import TARGETS
    atheris.Setup(
        [name, corpus, f"-max_total_time={SECONDS // len(SEEDS)}", *LIMITS], TARGETS[name]
    )
    atheris.Fuzz()


def fuzz(name: str) -> dict[str, object]:
    """Fuzz one target in a process of its own; says what was done."""
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(SEEDS[name]):
            (Path(corpus) / str(number)).write_text(seed, encoding="utf8")
        done = subprocess.run(
            [sys.executable, __file__, name, corpus], cwd=corpus, capture_output=True, text=True,
            errors="replace", check=False,
        )  # fmt: skip
    said = done.stderr + done.stdout
    stats = dict(re.findall(r"stat::(\w+):\s+(\d+)", said))
    covered = re.findall(r"cov: (\d+)", said)
    if done.returncode:
        print(said[-3000:], file=sys.stderr)
    return {
        "target": name,
        "seconds": SECONDS // len(SEEDS),
        "inputs": int(stats.get("number_of_executed_units", 0)),
        "branches_reached": int(covered[-1]) if covered else 0,
        "slowest_input_seconds": int(stats.get("slowest_unit_time_sec", 0)),
        "peak_memory_mb": int(stats.get("peak_rss_mb", 0)),
        "failed": bool(done.returncode),
    }


def main() -> int:
    """Fuzz all targets and write the result; 1 if one failed."""
    from encdec.results import book_folder, provenance, write_json

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # each waits for a process of its own
        found = list(pool.map(fuzz, SEEDS))
    for row in found:
        print(row)
    if SECONDS >= 600:
        write_json(
            book_folder("results") / "fuzzing.json",
            {"targets": found, "provenance": provenance("make fuzz")},
        )
    return int(any(row["failed"] for row in found))


if __name__ == "__main__":
    if len(sys.argv) == 3:
        child(*sys.argv[1:])
    sys.exit(main())
