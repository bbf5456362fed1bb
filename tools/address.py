"""The repository's public address, which stands in ``_config.yml``, and what is derived from it.

``python tools/address.py`` prints the set-up cell of a chapter. After the address was changed,
``python tools/address.py OLD`` puts the new one wherever the tracked files name ``OLD``.
"""

import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import yaml

ROOT = Path(__file__).resolve().parents[1]

# The first code cell of every chapter. On Colab it leaves torch, transformers and numpy alone: what
# it installs beside them is what a Colab runtime does not have.
SETUP = """\
import sys

if "google.colab" in sys.modules:  # add the helpers, leave torch as it is
    %pip install -q --no-deps "git+{address}"
    %pip install -q num2words pooch rouge-score sacrebleu

import encdec

device = encdec.setup(seed=0)"""


def address() -> str:
    """The one that ``_config.yml`` states."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf8"))
    return str(config["repository"]["url"])


def setup_cell() -> str:
    """The source of the set-up cell."""
    return SETUP.format(address=address())


def colab(path: str) -> str:
    """Where Colab opens a notebook of the repository."""
    return f"https://colab.research.google.com/github{urlsplit(address()).path}/blob/main/{path}"


def tracked_files() -> list[Path]:
    """The files of the repository, without what git ignores."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listing = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [path for name in listing.split("\0") if name and (path := ROOT / name).is_file()]


def move(old: str) -> list[Path]:
    """Put the present address in place of an old one; returns the files that changed."""
    changed = []
    for path in tracked_files():
        try:
            text = path.read_text(encoding="utf8")
        except UnicodeDecodeError:  # a picture, a model
            continue
        if old in text:
            path.write_text(text.replace(old, address()), encoding="utf8")
            changed.append(path)
    return changed


if __name__ == "__main__":
    if len(sys.argv) > 1:
        for changed_file in move(sys.argv[1].rstrip("/")):
            print(changed_file.relative_to(ROOT))
    else:
        print(setup_cell())
