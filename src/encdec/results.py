"""Recorded runs: what was measured, and where the figure comes from.

A chapter that shows a run too long for the page reads ``results/<name>.json``, which the command in
it writes anew.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from encdec.errors import EncdecError

PACKAGES = ("encdec", "torch", "transformers", "tokenizers", "accelerate", "sacrebleu")


class ResultError(EncdecError):
    """A recorded run is not at hand; the message is one sentence."""


def book_folder(name: str) -> Path:
    """The folder ``models`` or ``results``: inside the installed package, or in the checkout."""
    here = Path(__file__).parent
    installed = here / name
    return installed if installed.is_dir() else here.parents[1] / name


def load(name: str) -> dict[str, Any]:
    """What the recorded run ``name`` measured.

    Raises:
        ResultError: there is no such run.
    """
    path = book_folder("results") / f"{name}.json"
    if not path.exists():
        known = ", ".join(sorted(p.stem for p in path.parent.glob("*.json"))) or "none"
        raise ResultError(f"there is no recorded run {name!r}; recorded are: {known}.")
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf8"))
    return content


def provenance(command: str) -> dict[str, Any]:
    """What someone needs to judge or repeat a measurement.

    Args:
        command: the command that reruns it.
    """
    return {
        "command": command,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": git_commit(),
        "hardware": hardware(),
        "versions": {"python": platform.python_version()} | {p: version(p) for p in PACKAGES},
    }


def hardware() -> str:
    """The processor that did the work, in words."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf8").splitlines()
        name = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    threads = torch.get_num_threads()
    return f"{name}, {os.cpu_count()} cores, {threads} thread{'s' * (threads > 1)} used"


def git_commit(folder: Path = Path(__file__).parent) -> str:
    """The short commit of the checkout of a folder, with ``+`` if files differ; or ``unknown``.

    Recorded runs don't count: one that is written while a run goes on says nothing about its code.
    """
    try:
        commit = _git(folder, "describe", "--always", "--exclude=*")
        changed = _git(folder, "status", "--porcelain", "-uno", "--", ":/", ":(top,exclude)results")
        return commit + "+" * bool(changed)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file, as :func:`write_text` does."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write beside ``path``, then rename: a reader never sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    try:
        temporary.write_text(text, encoding="utf8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
