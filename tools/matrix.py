"""Do the declared ranges hold? ``python tools/matrix.py`` (``make test-matrix``).

Two environments are made in ``.cache/matrix``, one with the oldest versions that ``pyproject.toml``
allows for each of its dependencies, one with the newest, and the unit tests run in both. Chapters
and the site are left out: their outputs belong to the pins of ``requirements.txt``.
"""

import argparse
import importlib.metadata
import os
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / ".cache" / "matrix"
RESOLUTIONS = {"oldest": "lowest-direct", "newest": "highest"}
WITHOUT = ("tests/book", "tests/course", "tests/reliability")
SHOWN = ("torch", "transformers", "tokenizers", "numpy", "pydantic")
COUNTS = re.compile(r"(?:\d+ [a-z]+(?:, )?)+ in [\d.]+s")


def install(name: str, torch: str) -> Path:
    """Make the environment; returns its Python.

    Args:
        name: "oldest" or "newest".
        torch: a version to take in any case; if empty, the CPU-only build of the version that the
            resolution asks for.
    """
    environment, uv = FOLDER / name, [sys.executable, "-m", "uv"]
    python = environment / "bin" / "python"
    quiet = {"cwd": ROOT, "check": True}
    venv = [*uv, "venv", "-q", "--clear", "--python", sys.executable, str(environment)]
    subprocess.run(venv, **quiet)
    wanted = [*uv, "pip", "install", "-q", "--python", str(python), "--resolution"]
    wanted += [RESOLUTIONS[name], "--editable", ".[book,test]"]
    if torch:
        override = environment / "override.txt"
        override.write_text(f"torch=={torch}\n", encoding="utf8")
        wanted += ["--override", str(override)]
    else:
        wanted += ["--torch-backend", "cpu"]
    subprocess.run(wanted, **quiet)
    return python


def versions(python: Path) -> str:
    """Those that matter most, in words."""
    code = "import importlib.metadata as m, sys; [print(n, m.version(n)) for n in sys.argv[1:]]"
    command = [python, "-c", code, *SHOWN]
    return ", ".join(subprocess.check_output(command, text=True).splitlines())


def test(python: Path, tests: list[str]) -> tuple[bool, str]:
    """Run tests; returns whether all passed, and pytest's count of them."""
    command = [str(python), "-m", "pytest", "-p", "no:cacheprovider", "--color=no", *tests]
    command += [part for folder in WITHOUT for part in ("--ignore", folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=os.environ)
    counts = COUNTS.findall(done.stdout)
    if done.returncode:
        print(done.stdout[-6000:], done.stderr[-2000:], file=sys.stderr)
    return done.returncode == 0, counts[-1] if counts else "no test ran"


def main(arguments: list[str]) -> int:
    """Print a line for each environment; 1 if a test failed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tests", nargs="*", default=["tests"], help="files or folders")
    parser.add_argument("--only", choices=RESOLUTIONS)
    parser.add_argument("--torch", default="", help="this version in both, whatever the build")
    options = parser.parse_args(arguments)
    try:
        importlib.metadata.version("uv")
    except importlib.metadata.PackageNotFoundError:
        parser.error("uv is not installed: `make test-matrix` installs it.")
    failed = 0
    for name in [options.only] if options.only else RESOLUTIONS:
        start = time.monotonic()
        python = install(name, options.torch)
        passed, counts = test(python, options.tests or ["tests"])
        minutes = (time.monotonic() - start) / 60
        print(f"{name}: {counts} ({versions(python)}; {minutes:.0f} minutes)", flush=True)
        failed |= not passed
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
