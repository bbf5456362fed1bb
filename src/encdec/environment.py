"""Where the book runs: the set-up that every chapter begins with, and a report on this machine."""

from __future__ import annotations

import importlib.metadata
import logging
import os
import platform
import random
import re
import sys
import threading
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from encdec.errors import EncdecError

PACKAGE = "encdec"
HUB = "https://huggingface.co"
GIBIBYTE = 2**30
DRIVE = Path("/content/drive/MyDrive")  # where Colab mounts it
MEMORY_OF_A_CHAPTER = 2  # GiB, at most
COLAB_GPU = (
    "No GPU is selected: in the menu choose Runtime > Change runtime type > T4 GPU and run all "
    "cells again, or go on with the CPU, which takes longer."
)

# The look of all figures: readable at the width of a page, and on a dark page as well.
STYLE: dict[str, object] = {
    "figure.figsize": (7.0, 3.6),
    "figure.dpi": 110,
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
    "savefig.facecolor": "white",
    "font.size": 10.5,
    "axes.titlesize": 11.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "axes.axisbelow": True,
    "grid.color": "#d9dee5",
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "lines.linewidth": 2.0,
}

_device: torch.device | None = None


class SetupError(EncdecError):
    """The environment asks for something that is not there; the message is one sentence."""


def setup(seed: int = 0) -> torch.device:
    """Prepare a chapter: seeds, quiet libraries, the device, the look of figures.

    Prints one line with the versions and the device, and on Colab without a GPU a second one that
    says how to select it.

    Args:
        seed: for Python, numpy and torch.

    Returns:
        The device, which :func:`device` remembers: a CUDA GPU if there is one, else the CPU;
        ``ENCDEC_DEVICE`` overrides.

    Raises:
        SetupError: ``ENCDEC_DEVICE`` names a device that is not there.
    """
    global _device
    _device = _pick_device()
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - libraries that a chapter calls draw from the global state
    torch.manual_seed(seed)
    quieten()
    _style_figures()
    print(_versions_line(_device))
    if _device.type == "cpu" and "google.colab" in sys.modules:
        print(COLAB_GPU)
    return _device


def device() -> torch.device:
    """The device that :func:`setup` picked; picked now if it was not called."""
    return _device or _pick_device()


def runs_folder() -> Path:
    """Where checkpoints go: ``runs`` here, or on Colab the reader's Drive, if it is mounted.

    Drive outlives a session: ``from google.colab import drive; drive.mount("/content/drive")``.
    """
    return DRIVE / "encdec" / "runs" if DRIVE.is_dir() else Path("runs")


def _pick_device() -> torch.device:
    wanted = os.environ.get("ENCDEC_DEVICE")
    if not wanted:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(wanted)
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise SetupError(
            f"ENCDEC_DEVICE={wanted!r} is not a device of this machine; unset it, or choose 'cpu'."
        ) from error
    return chosen


def quieten() -> None:
    """No progress bars and no advice from libraries: they differ from run to run."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import huggingface_hub.utils
    import transformers

    huggingface_hub.utils.disable_progress_bars()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=r"(?s).*HF_TOKEN.*")  # public models need no token


def _style_figures() -> None:
    import matplotlib as mpl
    from cycler import cycler

    from encdec import plots

    palette = (plots.BLUE, plots.ORANGE, plots.GREEN, plots.PURPLE, plots.SKY, plots.VERMILION)
    mpl.rcParams.update(STYLE | {"axes.prop_cycle": cycler(color=palette)})


def _versions_line(chosen: torch.device) -> str:
    names = (PACKAGE, "torch", "transformers")
    versions = [f"{name} {importlib.metadata.version(name)}" for name in names]
    python = f"Python {platform.python_version()}"
    return " · ".join([versions[0], python, *versions[1:], _describe(chosen)])


def _describe(chosen: torch.device) -> str:
    if chosen.type == "cuda":
        memory = torch.cuda.get_device_properties(chosen).total_memory / GIBIBYTE
        return f"{torch.cuda.get_device_name(chosen)} ({memory:.0f} GiB)"
    threads = torch.get_num_threads()
    return f"{chosen.type} ({threads} thread{'s' if threads > 1 else ''})"


@dataclass
class Report:
    """What :func:`doctor` found.

    Attributes:
        rows: pairs of what was looked at and what was found.
        problems: one sentence for each thing that keeps the book from running; empty if none does.
    """

    rows: list[tuple[str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def add(self, what: str, found: str, problem: str = "") -> None:
        """Note a finding, and what is wrong with it if anything is."""
        self.rows.append((what, found))
        if problem:
            self.problems.append(problem)


def doctor() -> Report:
    """Examine this machine: versions, device, memory, network, models and data at hand.

    The network is reported and never a problem: chapters run without it.
    """
    report = Report()
    _examine_versions(report)
    _examine_device(report)
    _examine_memory(report)
    report.add("network", _network())
    _examine_models(report)
    _examine_data(report)
    return report


def _examine_versions(report: Report) -> None:
    metadata = importlib.metadata.metadata(PACKAGE)
    supported = SpecifierSet(metadata["Requires-Python"])
    python = platform.python_version()
    outside = not supported.contains(python, prereleases=True)
    problem = f"Python {python} is outside the supported range {supported}." if outside else ""
    report.add("Python", python, problem)
    pins = tested_versions()
    for requirement in requirements():
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            missing = f"{requirement.name} is missing: pip install '{requirement}'."
            report.add(requirement.name, "missing", missing)
            continue
        tested = pins.get(canonicalize_name(requirement.name), "")
        found = f"{version}{_beside(version, tested)}"
        wrong = (
            f"{requirement.name} {version} is outside the supported range {requirement.specifier}: "
            f"pip install '{requirement}'."
        )
        inside = requirement.specifier.contains(version, prereleases=True)
        report.add(requirement.name, found, "" if inside else wrong)


def requirements() -> Iterator[Requirement]:
    """What the package needs to run, as its metadata states it, without the extras."""
    for line in importlib.metadata.requires(PACKAGE) or []:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield requirement


def tested_versions() -> dict[str, str]:
    """The exact versions that the stored outputs were made with; empty if not at hand."""
    here = Path(__file__).parent
    for path in (here / "requirements.txt", here.parents[1] / "requirements.txt"):
        if path.exists():
            pins = re.findall(r"(?m)^([\w.-]+)==([^\s;]+)", path.read_text(encoding="utf8"))
            return {canonicalize_name(name): version for name, version in pins}
    return {}


def _beside(version: str, tested: str) -> str:
    if not tested:
        return ""
    same = Version(version).public == Version(tested).public
    return ", as tested" if same else f" (tested with {tested})"


def _examine_device(report: Report) -> None:
    try:
        report.add("device", _describe(_pick_device()))
    except SetupError as error:
        report.add("device", "not there", str(error))


def _examine_memory(report: Report) -> None:
    gibibytes = _memory() / GIBIBYTE
    if not gibibytes:
        report.add("memory", "unknown")
        return
    scarce = (
        f"This machine has {gibibytes:.1f} GiB of memory; a chapter needs up to "
        f"{MEMORY_OF_A_CHAPTER} GiB."
    )
    report.add("memory", f"{gibibytes:.1f} GiB", scarce if gibibytes < MEMORY_OF_A_CHAPTER else "")


def _memory() -> int:
    """Bytes of memory of this machine, 0 where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 0


def _network(address: str = HUB, seconds: float = 3.0) -> str:
    """Whether the Hub answers, in words; asked in a thread, since a name look-up may hang."""
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "on", "true", "yes"):
        return "not asked (HF_HUB_OFFLINE is set)"
    answered = threading.Event()

    def ask() -> None:
        try:
            urllib.request.urlopen(
                urllib.request.Request(address, method="HEAD"), timeout=seconds
            ).close()
        except urllib.error.HTTPError:  # an answer all the same
            pass
        except (OSError, ValueError):
            return
        answered.set()

    threading.Thread(target=ask, daemon=True).start()
    return "online" if answered.wait(seconds) else "offline: the book's own models are used"


def _examine_models(report: Report) -> None:
    from encdec import zoo

    names = zoo.available()
    missing = "None of the book's models is at hand: clone the repository again, with models/."
    report.add("models", ", ".join(names) or "none", "" if names else missing)


def _examine_data(report: Report) -> None:
    folder = os.environ.get("ENCDEC_DATA")
    if not folder:
        report.add("data", "fetched when needed (ENCDEC_DATA is not set)")
    elif Path(folder).is_dir():
        corpora = sorted(path.name for path in Path(folder).iterdir() if path.is_dir())
        report.add("data", ", ".join(corpora) or "an empty folder")
    else:
        wrong = f"ENCDEC_DATA={folder} is not a folder: correct it, or unset it."
        report.add("data", "not there", wrong)
