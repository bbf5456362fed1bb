"""A Colab runtime to rehearse in: its versions, `google.colab`, and the repository without GitHub.

An *image* is an environment with the versions of ``requirements.txt``, made once. A *runtime* is
what a reader gets: a fresh environment on top of the image, as if nobody had used it before. What
a chapter installs goes into the runtime, so that one sees whether it touches what the image has.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
from filelock import FileLock
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

import address
import install

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
LEFT_ALONE = ("torch", "transformers", "numpy", "matplotlib", "ipywidgets")
GOOGLE = "import google.colab  # as Colab has done when the first cell runs\n"


def image(folder: Path) -> Path:
    """The environment that Colab starts with; its folder, made if it is not there."""
    torch = next(pin for pin in install.pins() if pin.startswith("torch=="))
    wanted = hashlib.sha256((torch + sys.version + REQUIREMENTS.read_text()).encode()).hexdigest()
    place = folder / f"image-{wanted[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{place}.lock"):
        if not (place / "complete").exists():
            shutil.rmtree(place, ignore_errors=True)
            environment = install.Environment(place)
            install.install_torch(environment, torch)
            environment.pip("install", "-r", str(REQUIREMENTS), torch)
            (place / "complete").touch()
    return place


def repository(folder: Path) -> Path:
    """What GitHub would serve: the tracked files as they are now, in one commit."""
    for path in address.tracked_files():
        copy = folder / path.relative_to(address.ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, copy)
    author = ["-c", "user.name=rehearsal", "-c", "user.email=rehearsal@example.org"]
    for command in (["init", "-q"], ["add", "-A"], [*author, "commit", "-q", "-m", "now"]):
        subprocess.run(["git", *command], cwd=folder, check=True, capture_output=True)
    return folder


class Runtime:
    """A fresh runtime.

    Args:
        image: from :func:`image`.
        repository: from :func:`repository`; pip finds it under the book's public address.
        folder: where the runtime is made.
    """

    def __init__(self, image: Path, repository: Path, folder: Path) -> None:
        self.folder = folder
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "env"], check=True)
        [self.packages] = (folder / "env" / "lib").glob("python*/site-packages")
        [below] = (image / "lib").glob("python*/site-packages")
        (self.packages / "image.pth").write_text(f"{below}\n")
        (self.packages / "sitecustomize.py").write_text(GOOGLE)
        colab = self.packages / "google" / "colab"
        colab.mkdir(parents=True)
        (colab / "__init__.py").touch()
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith("ENCDEC_")
        } | {
            "HOME": str(folder),
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",  # threads that wait for a busy core cost time
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"url.file://{repository}.insteadOf",
            "GIT_CONFIG_VALUE_0": address.address(),
        }
        python = str(folder / "env" / "bin" / "python")
        kernel = folder / "kernels" / "colab"
        kernel.mkdir(parents=True)
        argv = [python, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        spec = {"argv": argv, "display_name": "Colab", "language": "python"}
        (kernel / "kernel.json").write_text(json.dumps(spec))

    def run(self, chapter: Path) -> nbformat.NotebookNode:
        """Execute a chapter from its first cell to its last, with nothing else at hand."""
        notebook = nbformat.read(chapter, as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        content = self.folder / "content"
        content.mkdir(exist_ok=True)
        specs = KernelSpecManager(kernel_dirs=[str(self.folder / "kernels")])
        manager = AsyncKernelManager(kernel_name="colab", kernel_spec_manager=specs)
        client = NotebookClient(
            notebook,
            km=manager,
            timeout=600,
            skip_cells_with_tag="nbval-skip",
            resources={"metadata": {"path": str(content)}},
        )
        client.execute(env=self.environment)
        return notebook

    def installed(self) -> set[str]:
        """What the chapter has put beside the image, by the names of the distributions."""
        return {path.name.split("-")[0].lower() for path in self.packages.glob("*.dist-info")}
