"""The licences of all that the book rests on: ``python tools/licences.py`` (``make licences``).

Writes ``LICENSES.md``: data, models, what the website fetches from npm, and every pinned package.
A package states its licence in its metadata, an npm package in the lock file, a model in its card;
the rest is declared below.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import sys
from pathlib import Path

import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "LICENSES.md"
BESIDE = ("benchmarks", "course", "tests/reliability", "tools")  # folders with requirements.txt

# Pins for another system than the one that writes the page, and packages installed for one task
# only: what their metadata states.
ELSEWHERE = {
    "appnope": "BSD-2-Clause",
    "atheris": "Apache-2.0",
    "cffi": "MIT-0",
    "ctranslate2": "MIT",
    "cyclonedx-bom": "Apache-2.0",
    "httpx2-jsfetch": "BSD-3-Clause",
    "nbgrader": "BSD",
    "pycparser": "BSD-3-Clause",
    "soupsieve": "MIT",
}
# Packages that say the same in other words.
SAME = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache 2.0 License": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD 3-Clause License": "BSD-3-Clause",
    "BSD License": "BSD",
    "GNU General Public License (GPL)": "GPL",
    "GNU Library or Lesser General Public License (LGPL)": "LGPL",
    "ISC License": "ISC",
    "ISC License (ISCL)": "ISC",
    "ISC license": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "PSFL": "PSF",
    "Public Domain": "public domain",
    "Python Software Foundation License": "PSF",
}
IDENTIFIER = re.compile(r"[A-Z][\w.-]{1,30}( (AND|OR) [\w.-]+)*")
DATA = [
    (
        "Tatoeba English–French and English–German",
        "CC BY 2.0 FR",
        "sentence pairs by the contributors of tatoeba.org, by way of manythings.org/anki; models "
        "learn from them; fetched, not in the repository",
    ),
    (
        "Multi30k",
        "for research",
        "captions of pictures; scores only, no model in the repository learns from them; fetched, "
        "not in the repository",
    ),
    (
        "Docstrings of installed packages",
        "that of each package, below",
        "models learn from them; read where they are installed, not in the repository",
    ),
    (
        "Docstrings of the libraries in `src/encdec/data/libraries.txt`",
        "MIT, BSD, Apache-2.0 and the like, that of each library",
        "`pegasus-docstrings` learns from them; fetched, neither installed nor in the repository",
    ),
    (
        "Phrasebook, functions and templates of `encdec.data`",
        "MIT",
        "written for the book",
    ),
    ("Font of the formulas, `assets/fonts`", "OFL-1.1", "its licence stands beside it"),
]


class UnknownLicenceError(Exception):
    """A package does not say what its licence is; the message says what to do."""


def pins(path: Path) -> list[Requirement]:
    """What a requirements file pins."""
    lines = path.read_text(encoding="utf8").splitlines()
    return [Requirement(line) for line in lines if line.strip() and line.lstrip()[0] != "#"]


def all_pins() -> list[Requirement]:
    """Those of the environment, then those that are installed beside it."""
    beside = [ROOT / folder / "requirements.txt" for folder in BESIDE]
    found = [pin for path in [ROOT / "requirements.txt", *beside] for pin in pins(path)]
    return sorted(found, key=lambda pin: (pin.name.lower(), str(pin.specifier)))


def version(pin: Requirement) -> str:
    """The one that is pinned."""
    [specifier] = pin.specifier
    return specifier.version


def installed(pin: Requirement) -> importlib.metadata.Distribution | None:
    """The pinned package if it is here, in the pinned version whatever the build."""
    try:
        found = importlib.metadata.distribution(pin.name)
    except importlib.metadata.PackageNotFoundError:
        return None
    return found if found.version.partition("+")[0] == version(pin) else None


def stated(distribution: importlib.metadata.Distribution) -> str:
    """The licence that a package's metadata states, in short; empty if there is none."""
    metadata = distribution.metadata
    if expression := metadata.get("License-Expression"):
        return expression
    short = (metadata.get("License") or "").strip()
    if short in SAME or (IDENTIFIER.fullmatch(short) and short != "UNKNOWN"):
        return SAME.get(short, short)
    kinds = [
        line.rpartition(" :: ")[2]
        for line in metadata.get_all("Classifier") or []
        if line.startswith("License ::") and not line.endswith(":: OSI Approved")
    ]
    return ", ".join(SAME.get(kind, kind) for kind in kinds)


def licence(pin: Requirement) -> str:
    """The licence of a pinned package.

    Raises:
        UnknownLicenceError: it is not here and not declared, or does not say.
    """
    here = installed(pin)
    found = (stated(here) if here else "") or ELSEWHERE.get(pin.name.lower(), "")
    if not found:
        what = "states no licence" if here else "is not installed here"
        raise UnknownLicenceError(
            f"{pin.name} {version(pin)} {what}: read it up and add it to ELSEWHERE in "
            "tools/licences.py."
        )
    return found


def models() -> list[tuple[str, str]]:
    """Each of the book's models and what its card states."""
    found = []
    for card in sorted((ROOT / "models").glob("*/README.md")):
        head = card.read_text(encoding="utf8").split("---")[1]
        found.append((card.parent.name, yaml.safe_load(head)["license"]))
    return found


def from_npm() -> list[tuple[str, str, str]]:
    """Name, version and licence of what the website and its tests fetch from npm."""
    lock = json.loads((ROOT / "tools" / "web" / "package-lock.json").read_text(encoding="utf8"))
    return [
        (place.rpartition("node_modules/")[2], entry["version"], entry["license"])
        for place, entry in lock["packages"].items()
        if place
    ]


def table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A table in Markdown."""
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def page() -> str:
    """The content of LICENSES.md."""
    packages = [(pin.name, version(pin), licence(pin)) for pin in all_pins()]
    return f"""# Licences of what the book rests on

Written by `make licences`; change `tools/licences.py`, not this page. The book's own licences
stand in [LICENSE](LICENSE). Nothing below is part of the repository unless it says so.
`make sbom` writes bills of materials that programs read (CycloneDX).

## Data and fonts

{table(("what", "licence", "used for"), DATA)}

## Models

In the repository. Each card in `models/` names the data that the model has learnt from.

{table(("model", "licence"), models())}

## From npm

Fetched by `tools/live.py`. The live page runs on onnxruntime-web, slides on reveal.js; axe-core
looks for barriers in the tests. The others are what these need.

{table(("package", "version", "licence"), from_npm())}

## From the Python Package Index

What `requirements.txt` pins, and what is installed beside it for one task only: benchmarks,
assignments, fuzzing, the bill of materials. Some are for one system or one version of Python.

{table(("package", "version", "licence"), packages)}
"""


if __name__ == "__main__":
    try:
        PAGE.write_text(page(), encoding="utf8")
    except UnknownLicenceError as error:
        sys.exit(str(error))
