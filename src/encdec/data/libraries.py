"""Source code of libraries that the book does not use, for a model to learn from.

What is installed with the book holds some fifty thousand documented functions and classes; a model
that saw no others knows these, not functions. So a recipe may ask for more: the libraries that
``libraries.txt`` pins, all under permissive licences. Their wheels are fetched by pip, checked by
SHA-256, and of each nothing but the Python source is kept. Nothing is installed, nothing is run. To
fetch them is some 700 MB and takes a minute or two; to read them, three.

None of them is a held-out package, and those known to build on one, or to share its text, are not
among them (``s3fs`` and ``dask`` for ``fsspec``, ``trio`` for ``anyio``, and others). Authors may
have written on both sides; what says or does the same as a held-out function is left out in any
case, see `encdec.data.further`.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import NamedTuple

from packaging.utils import canonicalize_name, parse_wheel_filename
from rich.console import Console
from rich.progress import track

from encdec.data.download import DownloadError, cache_folder

LIST = Path(__file__).with_name("libraries.txt")
# The same wheels on every machine: it is the source that matters, and it is the same in all.
PLATFORMS = tuple(
    f"manylinux{release}_x86_64"
    for release in ("_2_35", "_2_34", "_2_28", "_2_27", "_2_24", "2014", "1")
)
PYTHON = "3.11"
AT_ONCE = 10  # wheels that pip is asked for


class Library(NamedTuple):
    """A line of ``libraries.txt``.

    Attributes:
        name: of the distribution.
        version: that is pinned.
        line: the whole, with the digest of its wheel, as pip reads it.
    """

    name: str
    version: str
    line: str


def libraries(pins: Path = LIST) -> list[Library]:
    """The libraries that may be learnt from, in the order of their names."""
    lines = pins.read_text(encoding="utf8").splitlines()
    found = []
    for line in lines:
        if line and not line.startswith("#"):
            name, version = line.partition(" ")[0].split("==")
            found.append(Library(name, version, line))
    return found


def fetch_libraries(pins: Path = LIST, folder: Path | None = None) -> list[Path]:
    """Fetch the source of libraries, as far as it is not here yet.

    Args:
        pins: which, in which versions.
        folder: where they are kept; a folder of the cache if not given.

    Returns:
        One folder for each, with its Python source and its metadata, as `importlib.metadata` finds
        them.

    Raises:
        DownloadError: pip could not fetch one; those that came are kept.
    """
    folder = folder or cache_folder() / "libraries"
    wanted = {library: folder / f"{library.name}-{library.version}" for library in libraries(pins)}
    missing = [library for library, place in wanted.items() if not place.exists()]
    groups = [missing[start : start + AT_ONCE] for start in range(0, len(missing), AT_ONCE)]
    watched = sys.stderr.isatty()
    bar = track(
        groups, f"{len(missing)} libraries", console=Console(stderr=True), disable=not watched
    )
    for group in bar:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".") as temporary:
            wheels = _download(group, Path(temporary))
            for library, wheel in zip(group, wheels, strict=True):
                _keep_source(wheel, wanted[library])
    return list(wanted.values())


def _download(group: list[Library], folder: Path) -> list[Path]:
    """The wheels of libraries, in their order."""
    pins = folder / "pins.txt"
    pins.write_text("".join(f"{library.line}\n" for library in group), encoding="utf8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary=:all:", "--require-hashes", "--requirement", str(pins)]
    command += ["--python-version", PYTHON, "--implementation", "cp", "--dest", str(folder)]
    command += [word for platform in PLATFORMS for word in ("--platform", platform)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
        reason = (said or done.stderr.splitlines() or ["no word of why"])[-1]
        first, last = group[0].name, group[-1].name
        raise DownloadError(
            f"pip could not fetch the libraries {first} to {last} to learn from "
            f"({reason.removeprefix('ERROR: ')}); those before them are kept. They come from "
            "PyPI: try again where it can be reached."
        )
    found = {parse_wheel_filename(wheel.name)[0]: wheel for wheel in folder.glob("*.whl")}
    return [found[canonicalize_name(library.name)] for library in group]


def _keep_source(wheel: Path, place: Path) -> None:
    """Unpack what is Python source or metadata; whole, or not at all."""
    unpacked = wheel.with_suffix(".source")
    with zipfile.ZipFile(wheel) as archive:
        names = [
            name for name in archive.namelist() if name.endswith(".py") or ".dist-info/" in name
        ]
        archive.extractall(unpacked, names)
    unpacked.rename(place)
