"""Two editions of each chapter from one source: ``python tools/editions.py`` (``make student``).

Students get the exercises without their solutions and nothing that was run; instructors get every
solution open, with its output. A cell tagged ``solution`` is all that tells the two apart.
"""

import argparse
import copy
import sys
from pathlib import Path

import nbformat
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[1]
SOLUTION = "solution"
HIDDEN = {"hide-cell", "hide-input", "hide-output"}


def tags(cell: NotebookNode) -> list[str]:
    """The tags of a cell."""
    return list(cell.metadata.get("tags", []))


def student(notebook: NotebookNode) -> NotebookNode:
    """The chapter without solutions, as if it had never been run."""
    edition = copy.deepcopy(notebook)
    edition.cells = [cell for cell in edition.cells if SOLUTION not in tags(cell)]
    for cell in edition.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    edition.metadata.pop("widgets", None)
    return edition


def instructor(notebook: NotebookNode) -> NotebookNode:
    """The chapter with every solution open under a heading of its own."""
    edition = copy.deepcopy(notebook)
    cells = []
    for cell in edition.cells:
        if SOLUTION in tags(cell):
            cell.metadata.tags = [tag for tag in tags(cell) if tag not in HIDDEN]
            heading = nbformat.v4.new_markdown_cell("**Solution**")
            heading.id = f"{cell.id}-solution"
            cells.append(heading)
        cells.append(cell)
    edition.cells = cells
    return edition


EDITIONS = {"student": student, "instructor": instructor}


def write(chapters: list[Path], to: Path) -> list[Path]:
    """Write both editions of some chapters.

    Args:
        chapters: notebooks.
        to: a folder; each edition gets one in it.

    Returns:
        The files.

    Raises:
        FileNotFoundError: a chapter is not there; nothing has been written then.
        ValueError: a file is no notebook; nothing has been written then.
    """
    notebooks = {}
    for path in chapters:
        if not path.is_file():
            raise FileNotFoundError(f"{path} is not there: name a notebook in chapters/.")
        try:
            notebooks[path] = nbformat.read(path, as_version=4)
        except Exception as error:
            raise ValueError(f"{path} is not a Jupyter notebook.") from error
    written = []
    for name, edit in EDITIONS.items():
        (to / name).mkdir(parents=True, exist_ok=True)
        for path, notebook in notebooks.items():
            edition = edit(notebook)
            nbformat.validate(edition)
            target = to / name / path.name
            nbformat.write(edition, target)
            written.append(target)
    return written


def main() -> None:
    """Write the editions and say where."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("chapters", type=Path, nargs="*", help="all chapters, if none is named")
    parser.add_argument("--to", type=Path, default=ROOT / "_build" / "editions")
    arguments = parser.parse_args()
    chapters = arguments.chapters or sorted((ROOT / "chapters").glob("[0-9]*.ipynb"))
    try:
        written = write(chapters, arguments.to)
    except (FileNotFoundError, ValueError) as error:
        sys.exit(str(error))
    print(f"{len(written)} notebooks are in {arguments.to}: {', '.join(EDITIONS)}.")


if __name__ == "__main__":
    main()
