"""Make the book's environment: ``python3 tools/install.py .venv`` (called by the Makefile).

PyTorch comes first and in its CPU-only build where there is one: the build on PyPI pulls several
gigabytes of CUDA libraries that the book does not need. Then come the pins, each exactly as listed
in requirements-hashes.txt: a file whose SHA-256 is not there is not installed. (The CPU-only build
stands on an index of its own, which vouches for it; its hash is not on the list.) Last comes the
book's own package, editable.
"""

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HASHES = ROOT / "requirements-hashes.txt"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"


class Environment:
    """A virtual environment that is made where it is missing."""

    def __init__(self, folder: Path) -> None:
        self.python = folder / "bin" / "python"
        if self.python.exists() and self.call("-m", "pip", "--version"):
            return
        venv = [sys.executable, "-m", "venv", "--clear", str(folder)]
        made = subprocess.run(venv, capture_output=True, text=True)
        if made.returncode:
            sys.exit(
                f"The virtual environment could not be made.\n{made.stdout}{made.stderr}"
                "On Debian and Ubuntu, `sudo apt install python3-venv` usually mends it."
            )

    def call(self, *arguments: str) -> str:
        """What Python prints with these arguments; empty if it fails."""
        done = subprocess.run([self.python, *arguments], capture_output=True, text=True, cwd=ROOT)
        return "" if done.returncode else done.stdout.strip()

    def version(self, package: str) -> str:
        """The installed version of a package, or an empty string."""
        return self.call("-c", f"import importlib.metadata as m; print(m.version({package!r}))")

    def pip(self, *arguments: str) -> None:
        """Run pip quietly; if it fails, show its reason and stop."""
        options = ["--disable-pip-version-check", "--no-input", "-q"]
        command = [str(self.python), "-m", "pip", *arguments, *options]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            print(done.stdout + done.stderr, file=sys.stderr)
            sys.exit("The installation failed (pip's reason is above); run the command again.")


def pins() -> list[str]:
    """The lines of requirements-hashes.txt that name a package."""
    lines = HASHES.read_text(encoding="utf8").splitlines()
    return [line.split()[0] for line in lines if line and line[0] not in " #"]


def install_torch(environment: Environment, pin: str) -> None:
    """Install the pinned PyTorch, without CUDA if possible."""
    if sys.platform != "linux":  # elsewhere there is one build, without CUDA and with a hash
        return
    wanted = pin.partition("==")[2] + "+cpu"
    if environment.version("torch") != wanted:
        # Unreachable or not: what follows decides on what it left, so its complaints are not shown.
        environment.call(
            *("-m", "pip", "install", "--no-deps", "--retries", "1", "--timeout", "15"),
            *("--extra-index-url", CPU_INDEX, pin),
        )
    if environment.version("torch") != wanted:
        say(f"  (no CPU-only build from {CPU_INDEX}: taking PyPI's, several gigabytes)")
        environment.pip("install", pin)


def say(line: str) -> None:
    """Print at once, also into a pipe."""
    print(line, flush=True)


def main(folder: Path) -> None:
    """Make or update the environment."""
    start = time.monotonic()
    say(f"Making the environment {folder}: up to a gigabyte to download, once.")
    environment = Environment(folder)
    say("  PyTorch")
    install_torch(environment, next(pin for pin in pins() if pin.startswith("torch==")))
    say("  the pins of requirements.txt")
    environment.pip("install", "--no-deps", "--require-hashes", "-r", str(HASHES))
    say("  the book's own package")
    environment.pip("install", "--no-deps", "--editable", str(ROOT))
    environment.pip("check")
    say(f"The environment is ready ({time.monotonic() - start:.0f} s).")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
