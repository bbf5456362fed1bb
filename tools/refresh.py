"""Execute chapters in place: ``python tools/refresh.py chapters/*.ipynb`` (``make refresh``).

A chapter is written back only if every cell ran. What differs from run to run or from machine to
machine without meaning anything (time stamps, addresses, names of widgets, the interpreter's patch
level) is left out or numbered, so that a refresh which changes no output changes no file.
"""

import hashlib
import re
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
SECONDS_PER_CELL = 600
WIDGETS = "application/vnd.jupyter.widget-state+json"
ADDRESS = re.compile(r"0x[0-9a-f]{6,16}")
NOT_HERE = "nbval-skip"  # tag of a cell that needs a GPU or a download; it keeps its outputs


def normalize(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Drop what says when and where a notebook ran, in place."""
    notebook.metadata["kernelspec"] = dict(KERNEL)
    notebook.metadata["language_info"] = {"name": "python"}
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = merge_streams(cell.outputs)
            for output in cell.outputs:
                shown = output.get("data", {})
                if "text/plain" in shown:
                    shown["text/plain"] = ADDRESS.sub("0x000000000000", shown["text/plain"])
    return notebook


def number_widgets(notebook: nbformat.NotebookNode, name: str) -> nbformat.NotebookNode:
    """Name widgets by the order in which they were made, instead of by chance."""
    text = nbformat.writes(notebook)
    widgets = notebook.metadata.get("widgets", {}).get(WIDGETS, {}).get("state", {})
    for number, model in enumerate(widgets):
        text = text.replace(model, hashlib.md5(f"{name} {number}".encode()).hexdigest())
    return nbformat.reads(text, as_version=4)


def merge_streams(outputs: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """Join neighbouring outputs of one stream, whose division depends on timing."""
    merged: list[nbformat.NotebookNode] = []
    for output in outputs:
        last = merged[-1] if merged else None
        if (
            last is not None
            and output.output_type == last.output_type == "stream"
            and output.name == last.name
        ):
            last.text += output.text
        else:
            merged.append(output)
    return merged


def execute(notebook: nbformat.NotebookNode, folder: Path) -> None:
    """Run a notebook from top to bottom in a kernel of its own; its outputs are replaced.

    Args:
        notebook: changed in place.
        folder: where it runs.

    Raises:
        CellExecutionError: a cell failed that is not tagged ``raises-exception``.
    """
    NotebookClient(
        notebook,
        timeout=SECONDS_PER_CELL,
        kernel_name="python3",
        record_timing=False,
        skip_cells_with_tag=NOT_HERE,
        resources={"metadata": {"path": str(folder)}},
    ).execute()


def refresh(path: Path) -> None:
    """Execute one notebook from top to bottom and write it back.

    Raises:
        CellExecutionError: a cell failed that is not tagged ``raises-exception``.
    """
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.execution_count = None
            if NOT_HERE not in cell.metadata.get("tags", []):
                cell.outputs = []
    notebook.metadata.pop("widgets", None)
    execute(notebook, path.parent)
    notebook = number_widgets(normalize(notebook), path.stem)
    nbformat.validate(notebook)
    nbformat.write(notebook, path)


def main(paths: list[str]) -> int:
    """Refresh every notebook; the exit status says whether all of them ran."""
    failed = 0
    for path in map(Path, paths):
        start = time.monotonic()
        try:
            refresh(path)
        except CellExecutionError as error:
            failed = 1
            print(f"{path}: failed and left as it was\n{error}", flush=True)
        else:
            print(f"{path}: executed in {time.monotonic() - start:.0f} s", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
