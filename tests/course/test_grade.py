"""Assignments are marked as they should be; `make grade-demo` tries every wrong answer on file."""

import re
import sys
from pathlib import Path

import nbformat
import pytest
from typer.testing import CliRunner

import address
from course import grade

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="rests on the kernel of Linux")

ALL = grade.assignments()
TASKS = [(part, task) for part, asked in ALL.items() for task in asked.tasks]
SOLUTION = re.compile(r"(?ms)^( *)### BEGIN SOLUTION.*?### END SOLUTION")
HIDDEN = re.compile(r"(?ms)^ *### BEGIN HIDDEN TESTS.*?### END HIDDEN TESTS\n?")
STUB = r"\1# YOUR CODE HERE\n\1raise NotImplementedError()"  # nbgrader's
GENERAL = 15  # wrong answers that are wrong in every task


def bare(asked):
    """The student version; nbgrader makes the one that students get, see the test below."""
    return {name: SOLUTION.sub(STUB, task.solution) for name, task in asked.tasks.items()}


def marks(part, **answers):
    asked = ALL[part]
    return {m.task: m for m in grade.mark(asked, grade.answered(asked, answers), grade.SHORT)}


@pytest.mark.parametrize("part", ALL)
def test_the_solution_gets_full_marks(part):
    found = marks(part)
    assert {m.task: m.reason for m in found.values() if m.reason} == {}
    assert all(m.points == m.of > 0 for m in found.values())


@pytest.mark.parametrize("part", ALL)
def test_the_untouched_version_gets_none(part):
    for mark in marks(part, **bare(ALL[part])).values():
        assert mark.points == 0
        assert mark.reason == f"{mark.task} is not answered yet."


def sample(part, task):
    """Two of the wrong answers, others for each task."""
    wrong = grade.wrong_answers(ALL[part])[task]
    own, general = wrong[:-GENERAL], wrong[-GENERAL:]
    start = TASKS.index((part, task))
    return [own[(start + 5) % len(own)], general[start % GENERAL]]


@pytest.mark.parametrize(("part", "task"), TASKS)
def test_a_wrong_answer_loses_what_it_should(part, task):
    asked = ALL[part]
    for wrong in sample(part, task):
        notebook = grade.answered(asked, {task: wrong.code})
        mark = grade.mark_task(asked, asked.tasks[task], notebook, grade.SHORT)
        assert set(mark.lost) == set(wrong.loses), (wrong.what, mark)
        assert mark.points < mark.of
        assert mark.reason.endswith((".", "?"))


@pytest.mark.parametrize(("part", "task"), TASKS)
def test_there_are_ten_wrong_answers_of_its_own_and_the_general_ones(part, task):
    wrong = grade.wrong_answers(ALL[part])[task]
    names = [w.what for w in wrong]
    assert len(wrong) >= 10 + GENERAL
    assert len(set(names)) == len(names)
    assert all(w.loses for w in wrong)
    lost = {test for w in wrong[:-GENERAL] for test in w.loses}
    assert lost == {test.name for test in ALL[part].tasks[task].tests}


def test_a_mistake_costs_once():
    found = marks("concepts", causal_mask="def causal_mask(lengths):\n    return 0")
    assert [m.task for m in found.values() if m.points < m.of] == ["causal_mask"]


def added(part, code, at=4):
    notebook = grade.read(ALL[part].path)
    notebook.cells.insert(at, nbformat.v4.new_code_cell(code))
    return notebook


def one(notebook, task="count_scores", part="concepts"):
    asked = ALL[part]
    return grade.mark_task(asked, asked.tasks[task], notebook, grade.SHORT)


def test_helpers_in_a_cell_of_its_own_may_be_used():
    notebook = added("concepts", "%time\ndef triangle(n):\n    return n * (n + 1) // 2")
    for cell in notebook.cells:
        if grade.identity(cell) == "count_scores":
            cell.source = cell.source.replace("target * (target + 1) // 2", "triangle(target)")
    assert one(notebook).points == 4


def test_a_cell_that_fails_or_calls_another_answer_does_no_harm():
    assert one(added("concepts", "print(causal_mask([3]))\n1 / 0")).points == 4


def test_the_tests_of_a_submission_count_for_nothing():
    notebook = grade.answered(ALL["concepts"], bare(ALL["concepts"]))
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("grade"):
            cell.source = "pass"
    assert one(notebook).points == 0


def test_an_answer_that_was_deleted_or_copied():
    notebook = grade.read(ALL["concepts"].path)
    [place] = [i for i, c in enumerate(notebook.cells) if grade.identity(c) == "count_scores"]
    copied = nbformat.v4.new_code_cell("def count_scores(*a): pass")
    copied.metadata = notebook.cells[place].metadata
    notebook.cells.insert(place + 1, copied)
    assert one(notebook).points == 4
    del notebook.cells[place : place + 2]
    assert one(notebook).reason == "the notebook has no cell count_scores."


# The sources -------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ALL)
def test_a_source_has_the_set_up_cell_and_tests_to_read(part):
    asked = ALL[part]
    notebook = grade.read(asked.path)
    cells = {grade.identity(cell): cell for cell in notebook.cells if grade.identity(cell)}
    assert cells["set-up"].source == address.setup_cell()
    assert all(not c.get("outputs") and not c.get("execution_count") for c in notebook.cells)
    assert 3 <= len(asked.tasks) <= 5
    for task in asked.tasks.values():
        assert task.functions[-1] == task.name
        assert SOLUTION.search(task.solution)
        assert "HIDDEN" not in task.tests[0].code
        assert any("HIDDEN" in test.code for test in task.tests)
        prose = [c.source for c in notebook.cells if c.cell_type == "markdown"]
        points = sum(test.points for test in task.tests)
        assert any(f"`{task.name}(" in text and f"({points:g} points)" in text for text in prose)


@pytest.mark.parametrize("part", ALL)
def test_students_get_neither_solutions_nor_hidden_tests(part):
    pytest.importorskip("nbgrader", reason="`make grade-demo` installs nbgrader and runs this")
    asked = ALL[part]
    student = grade.untouched(asked)
    nbformat.validate(student)
    expected = grade.answered(asked, bare(asked))
    for cell, source in zip(student.cells, expected.cells, strict=True):
        assert cell.source.strip() == HIDDEN.sub("", source.source).strip()
        if "grade" in cell.metadata.get("nbgrader", {}):
            assert cell.metadata.nbgrader.get("checksum") or not cell.metadata.nbgrader.grade


# The command line --------------------------------------------------------------------------------


def run(*arguments):
    return CliRunner().invoke(grade.app, [str(a) for a in arguments])


def test_marks_are_printed_and_written(tmp_path):
    path = tmp_path / "ada.ipynb"
    answers = bare(ALL["concepts"]) | {"greedy": ALL["concepts"].tasks["greedy"].solution}
    nbformat.write(grade.answered(ALL["concepts"], answers), path)
    done = run("mark", path, "--part", "concepts", "--table", tmp_path / "marks.csv")
    assert done.exit_code == 0, done.output
    assert "5 of 22" in done.output
    rows = (tmp_path / "marks.csv").read_text(encoding="utf8").splitlines()
    assert rows[0] == "file,task,points,of,reason"
    assert f"{path},greedy,5,5," in rows
    assert f"{path},attention,0,5,attention is not answered yet." in rows
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["mark", "nowhere.ipynb", "--part", "concepts"], "is not there"),
        (["mark", __file__, "--part", "concepts"], "is not a Jupyter notebook"),
        (["mark", __file__], "test_grade is no assignment"),
        (["demo", "--part", "x"], "x is no assignment"),
    ],
)
def test_a_wrong_argument_gives_one_sentence(arguments, words, capfd):
    done = run(*arguments)
    assert done.exit_code == 1
    text = done.output + capfd.readouterr().err
    assert words in text
    assert len(text.strip().splitlines()) == 1


def test_a_wrong_answer_that_changes_nothing_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "wrong").mkdir()
    for name in ("any.yaml", "concepts.yaml"):
        text = (grade.ASSIGNMENTS / "wrong" / name).read_text(encoding="utf8")
        text = text.replace("<= place[:, None]", "no such code", 1)
        Path(tmp_path / "wrong" / name).write_text(text, encoding="utf8")
    monkeypatch.setattr(grade, "ASSIGNMENTS", tmp_path)
    with pytest.raises(grade.EncdecError, match="does not hold 'no such code'"):
        grade.wrong_answers(ALL["concepts"])
