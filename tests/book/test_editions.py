"""Student and instructor editions say the same as the chapters, but for the solutions."""

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import editions

ROOT = Path(__file__).parents[2]
CHAPTERS = sorted((ROOT / "chapters").glob("[0-9]*.ipynb"))
EXERCISED = [p for p in CHAPTERS if '"solution"' in p.read_text(encoding="utf8")]
RUN = EXERCISED[0]


def sources(notebook, keep=lambda cell: True):
    return [cell.source for cell in notebook.cells if keep(cell)]


def is_solution(cell):
    return "solution" in cell.metadata.get("tags", [])


def test_chapters_have_exercises():
    assert len(EXERCISED) >= 10


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_students_get_everything_but_the_solutions(path):
    chapter = nbformat.read(path, as_version=4)
    edition = editions.student(chapter)
    nbformat.validate(edition)
    assert sources(edition) == sources(chapter, lambda cell: not is_solution(cell))
    text = "\n".join(sources(edition))
    assert not [source for source in sources(chapter, is_solution) if source in text]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in edition.cells)


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_instructors_see_every_solution_with_its_output(path):
    chapter = nbformat.read(path, as_version=4)
    edition = editions.instructor(chapter)
    nbformat.validate(edition)
    shown = [cell for cell in edition.cells if is_solution(cell)]
    assert [cell.source for cell in shown] == sources(chapter, is_solution)
    assert not any(editions.HIDDEN & set(cell.metadata.tags) for cell in shown)
    headings = [cell for cell in edition.cells if cell.source == "**Solution**"]
    assert len(headings) == len(shown)
    assert sources(edition, lambda cell: cell not in headings) == sources(chapter)


def test_the_chapter_itself_stays_as_it_is():
    chapter = nbformat.read(RUN, as_version=4)
    before = nbformat.writes(chapter)
    editions.student(chapter)
    editions.instructor(chapter)
    assert nbformat.writes(chapter) == before


def test_an_untouched_student_edition_runs_and_answers_nothing():
    edition = editions.student(nbformat.read(RUN, as_version=4))
    resources = {"metadata": {"path": str(RUN.parent)}}
    NotebookClient(edition, timeout=300, kernel_name="python3", resources=resources).execute()
    printed = [
        output.text
        for cell in edition.cells
        for output in cell.get("outputs", [])
        if "text" in output
    ]
    assert sum("Not answered yet" in text for text in printed) >= 3
    assert not any("Right:" in text for text in printed)


def run(*arguments):
    command = [sys.executable, str(ROOT / "tools" / "editions.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def test_both_editions_are_written(tmp_path):
    done = run(RUN, "--to", tmp_path)
    assert done.returncode == 0, done.stderr
    assert {p.parent.name for p in tmp_path.rglob(RUN.name)} == {"student", "instructor"}
    assert done.stdout.startswith("2 notebooks are in ")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(None, "is not there: name a notebook"), ("no notebook", "is not a Jupyter notebook")],
)
def test_a_wrong_file_gives_one_sentence_and_writes_nothing(content, complaint, tmp_path):
    wrong = tmp_path / "wrong.ipynb"
    if content:
        wrong.write_text(content, encoding="utf8")
    done = run(RUN, wrong, "--to", tmp_path / "out")
    assert done.returncode == 1
    assert complaint in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()
