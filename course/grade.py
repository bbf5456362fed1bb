"""Mark assignments: ``python -m course.grade --help``.

An assignment is a notebook in ``course/assignments/source`` with nbgrader's metadata. A cell with
an answer is named after the function that it defines, ``causal_mask``; the cells that test it are
named ``causal_mask-example``, ``causal_mask-padding`` and so on, and each has its points. A cell
named ``given…`` belongs to all answers.

Of a submission only the answers and the cells that the student added are run, in a `Sandbox`, anew
for each test; tests and given cells come from the source. Tests run here and call the answers
through the sandbox, so that no code of a submission ever stands beside a hidden test. An answer is
marked without the other answers: a mistake costs once.
"""

from __future__ import annotations

import ast
import contextlib
import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import nbformat
import typer
import yaml
from nbformat import NotebookNode
from rich.console import Console
from rich.table import Table

from course.sandbox import Cell, LimitError, Limits, Sandbox, SubmissionError
from encdec.errors import EncdecError
from encdec.results import write_text

ROOT = Path(__file__).resolve().parents[1]
ASSIGNMENTS = ROOT / "course" / "assignments"
IPYTHON_LINE = re.compile(r"(?m)^[ \t]*[%!].*$")


@dataclass(frozen=True)
class Test:
    """One cell of tests: all of its points or none."""

    name: str
    code: str
    points: float


@dataclass
class Task:
    """One answer and what is asked of it."""

    name: str
    solution: str
    tests: list[Test] = field(default_factory=list)

    @property
    def functions(self) -> list[str]:
        """What the answer has to define."""
        return [n.name for n in ast.parse(self.solution).body if isinstance(n, ast.FunctionDef)]


@dataclass(frozen=True)
class Assignment:
    """A source notebook."""

    name: str
    path: Path
    given: dict[str, str]
    support: list[str]
    tasks: dict[str, Task]


@dataclass(frozen=True)
class Mark:
    """What a task earned, and in one sentence why not more.

    Attributes:
        lost: names of the tests that failed.
    """

    task: str
    points: float
    of: float
    reason: str = ""
    lost: tuple[str, ...] = ()


def read(path: Path) -> NotebookNode:
    """A notebook.

    Raises:
        EncdecError: it is not there, or no notebook.
    """
    if not path.is_file():
        raise EncdecError(f"{path} is not there: name a notebook that was handed in.")
    try:
        return nbformat.read(path, as_version=4)
    except Exception as error:
        raise EncdecError(f"{path} is not a Jupyter notebook.") from error


def identity(cell: NotebookNode) -> str:
    """The name that nbgrader knows a cell by, or nothing."""
    return str(cell.metadata.get("nbgrader", {}).get("grade_id", ""))


def assignment(path: Path) -> Assignment:
    """What a source notebook asks.

    Raises:
        EncdecError: it is no notebook, or a cell of it does not fit.
    """
    given: dict[str, str] = {}
    support: list[str] = []
    tasks: dict[str, Task] = {}
    for cell in read(path).cells:
        name, marks = identity(cell), cell.metadata.get("nbgrader", {})
        if cell.cell_type != "code" or not name or name == "set-up":
            continue
        task, _, test = name.partition("-")
        if marks["solution"]:
            tasks[name] = Task(name, cell.source)
        elif marks["grade"]:
            if task not in tasks or not test:
                raise EncdecError(f"{path.name}: the tests {name} follow no answer {task}.")
            tasks[task].tests.append(Test(test, cell.source, float(marks["points"])))
        elif name.startswith("given"):
            given[name] = cell.source
        else:
            support.append(cell.source)
    return Assignment(path.stem, path, given, support, tasks)


def assignments() -> dict[str, Assignment]:
    """All of the book's, by the names of their notebooks."""
    found = sorted((ASSIGNMENTS / "source").glob("*/*.ipynb"))
    return {path.stem: assignment(path) for path in found}


# Marking -----------------------------------------------------------------------------------------


def cells_for(asked: Assignment, task: Task, submission: NotebookNode) -> list[Cell]:
    """What of a submission is run for one task: given cells, the student's own, and the answer."""
    known = {task.name: "the answer"}
    chosen = [Cell(name, code) for name, code in asked.given.items()]
    seen = set()
    for place, cell in enumerate(submission.cells, 1):
        name = identity(cell)
        if cell.cell_type != "code" or name in seen or (name and name not in known):
            continue
        if name:
            seen.add(name)
        code = IPYTHON_LINE.sub("", cell.source)
        chosen.append(Cell(known.get(name, f"cell {place}"), code))
    return chosen


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Print nothing: checks would print a line each."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield


def run_test(
    asked: Assignment, task: Task, test: Test, cells: Sequence[Cell], limits: Limits
) -> None:
    """Run the tests of one cell against a submission.

    Raises:
        AssertionError: a test failed.
        SubmissionError: the submission's code failed.
    """
    with Sandbox(cells, limits) as sandbox, silent():
        namespace: dict[str, Any] = {"__name__": "tests"}
        for code in [*asked.given.values(), *asked.support]:
            exec(code, namespace)
        if "the answer" in sandbox.failed:
            raise SubmissionError(f"the cell of {task.name} {sandbox.failed['the answer']}")

        def remote(name: str) -> Any:
            def call(*arguments: Any, **named: Any) -> Any:
                try:
                    return sandbox.call(name, *arguments, **named)
                except SubmissionError as error:
                    raise type(error)(f"{name} {error}") from error

            call.__name__ = name
            return call

        namespace |= {name: remote(name) for name in task.functions}
        exec(compile(test.code, f"{task.name}-{test.name}", "exec"), namespace)


def why(error: BaseException) -> str:
    """A failure as one sentence."""
    text = " ".join(str(error).split()).removeprefix("Not yet: ")
    if not isinstance(error, AssertionError | SubmissionError):
        text = f"the result is of a kind that the test can't use ({type(error).__name__}: {text})"
    return text if text.endswith((".", "?")) else f"{text or 'a test fails'}."


def mark_task(
    asked: Assignment, task: Task, submission: NotebookNode, limits: Limits | None = None
) -> Mark:
    """Mark one answer of a submission; after a time-out its other tests are not tried."""
    cells = cells_for(asked, task, submission)
    of = sum(test.points for test in task.tests)
    if not any(cell.label == "the answer" for cell in cells):
        missing = tuple(test.name for test in task.tests)
        return Mark(task.name, 0, of, f"the notebook has no cell {task.name}.", missing)
    points, reason, lost = 0.0, "", []
    stopped = False
    for test in task.tests:
        if not stopped:
            try:
                run_test(asked, task, test, cells, limits or Limits())
                points += test.points
                continue
            except Exception as error:
                reason = reason or why(error)
                stopped = isinstance(error, LimitError)
        lost.append(test.name)
    return Mark(task.name, points, of, reason, tuple(lost))


def mark(asked: Assignment, submission: NotebookNode, limits: Limits | None = None) -> list[Mark]:
    """Mark all answers of a submission."""
    return [mark_task(asked, task, submission, limits) for task in asked.tasks.values()]


# Answers that are known, for proving the marking --------------------------------------------------


@dataclass(frozen=True)
class Wrong:
    """A wrong answer and the tests that it must fail."""

    what: str
    code: str
    loses: tuple[str, ...]


def answered(asked: Assignment, answers: dict[str, str]) -> NotebookNode:
    """The source notebook with some answers in place of its own."""
    notebook = read(asked.path)
    for cell in notebook.cells:
        cell.source = answers.get(identity(cell), cell.source)
    return notebook


def untouched(asked: Assignment) -> NotebookNode:
    """The student version, made by nbgrader.

    Raises:
        EncdecError: nbgrader is not installed.
    """
    try:
        from nbgrader import preprocessors
    except ImportError as error:
        text = "nbgrader is not installed: pip install -r course/requirements.txt"
        raise EncdecError(text) from error
    notebook, resources = read(asked.path), {"nbgrader": {"notebook": asked.name}}
    for name in STUDENT_VERSION:
        notebook, resources = getattr(preprocessors, name)().preprocess(notebook, resources)
    return notebook


# As `nbgrader generate_assignment` does it, without its database.
STUDENT_VERSION = [
    *("LockCells", "ClearSolutions", "ClearOutput", "CheckCellMetadata"),
    *("ComputeChecksums", "ClearHiddenTests", "ClearMarkScheme", "ComputeChecksums"),
]


def wrong_answers(asked: Assignment) -> dict[str, list[Wrong]]:
    """Wrong answers to each task: those of its own, then those that are wrong everywhere.

    Raises:
        EncdecError: one of them changes what the solution does not have, or names an unknown test.
    """
    folder = ASSIGNMENTS / "wrong"
    own = yaml.safe_load((folder / f"{asked.name}.yaml").read_text(encoding="utf8"))
    everywhere = yaml.safe_load((folder / "any.yaml").read_text(encoding="utf8"))
    if set(own) != set(asked.tasks):
        raise EncdecError(f"{asked.name}.yaml and the notebook do not have the same tasks.")
    found: dict[str, list[Wrong]] = {}
    for name, task in asked.tasks.items():
        every = tuple(test.name for test in task.tests)
        found[name] = []
        for entry in own[name]:
            code = entry.get("code", task.solution)
            for old, new in entry.get("change", {}).items():
                if old not in code:
                    raise EncdecError(f"{name}: the solution does not hold {old!r}.")
                code = code.replace(old, new)
            if not set(entry["loses"]) <= set(every):
                raise EncdecError(f"{name}, {entry['wrong']}: it has no such tests.")
            found[name].append(Wrong(entry["wrong"], code, tuple(entry["loses"])))
        for entry in everywhere:
            code = entry["code"].replace("NAME", task.functions[-1])
            code = code.replace("SOURCE", str(asked.path))
            found[name].append(Wrong(entry["wrong"], code, every))
    return found


# The command line --------------------------------------------------------------------------------

app = typer.Typer(
    help="Make and mark the assignments of the course.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console()
SHORT = Limits(seconds=2)


@contextlib.contextmanager
def one_sentence() -> Iterator[None]:
    """Turn an error that the teacher can mend into one line and a non-zero exit status."""
    try:
        yield
    except (EncdecError, OSError) as error:
        Console(stderr=True).print(f"[red]error:[/red] {error}", soft_wrap=True, highlight=False)
        raise typer.Exit(1) from error


def number(points: float) -> str:
    """Points without a needless decimal."""
    return f"{points:g}"


@app.command()
def release(
    to: Annotated[Path, typer.Option(help="A folder for them.")] = ROOT / "_build" / "assignments",
) -> None:
    """Write the student version of every assignment (needs course/requirements.txt)."""
    with one_sentence():
        for asked in assignments().values():
            path = to / asked.path.parent.name / asked.path.name
            write_text(path, nbformat.writes(untouched(asked)))
            console.print(str(path), soft_wrap=True, highlight=False)


@app.command("mark")
def mark_files(
    submissions: Annotated[list[Path], typer.Argument(help="Notebooks as they were handed in.")],
    part: Annotated[
        str | None, typer.Option(help="The assignment, if the file is not named after it.")
    ] = None,
    table: Annotated[
        Path | None, typer.Option(help="Write all marks to this .csv as well.")
    ] = None,
    seconds: Annotated[int, typer.Option(help="Processor time for each test.")] = 5,
) -> None:
    """Mark submissions: points for each task, and a reason for each that is lost."""
    with one_sentence():
        known, rows = assignments(), []
        for path in submissions:
            name = part or path.stem
            if name not in known:
                raise EncdecError(f"{name} is no assignment; --part takes {', '.join(known)}.")
            marks = mark(known[name], read(path), Limits(seconds=seconds))
            total, of = sum(m.points for m in marks), sum(m.of for m in marks)
            shown = Table(title=f"{path}: {number(total)} of {number(of)}", title_justify="left")
            for heading in ("task", "points", "reason"):
                shown.add_column(heading, overflow="fold")
            for m in marks:
                shown.add_row(m.task, f"{number(m.points)} of {number(m.of)}", m.reason)
                rows.append([str(path), m.task, number(m.points), number(m.of), m.reason])
            console.print(shown)
        if table:
            content = io.StringIO()
            csv.writer(content).writerows([["file", "task", "points", "of", "reason"], *rows])
            write_text(table, content.getvalue())


@app.command()
def demo(
    part: Annotated[str | None, typer.Option(help="One assignment; all if none is named.")] = None,
) -> None:
    """Prove the marking: solutions, untouched notebooks and every wrong answer on file."""
    with one_sentence():
        known = assignments()
        if part is not None and part not in known:
            raise EncdecError(f"{part} is no assignment; --part takes {', '.join(known)}.")
        surprises = 0
        for asked in [known[part]] if part else list(known.values()):
            surprises += show(asked)
    if surprises:
        console.print(f"[red]{surprises} answers are not marked as they should be.[/red]")
        raise typer.Exit(1)


def show(asked: Assignment) -> int:
    """Mark all that is known about an assignment and print it; how many marks are not right."""
    shown = Table(title=asked.name, title_justify="left")
    for heading in ("task", "answer", "points", "reason"):
        shown.add_column(heading, overflow="fold")
    wrong = wrong_answers(asked)
    bare, surprises = untouched(asked), 0
    for name, task in asked.tasks.items():
        every = tuple(test.name for test in task.tests)
        cases = [("the solution", read(asked.path), ()), ("untouched", bare, every)]
        cases += [(w.what, answered(asked, {name: w.code}), w.loses) for w in wrong[name]]
        for what, notebook, loses in cases:
            m = mark_task(asked, task, notebook, SHORT)
            right = set(m.lost) == set(loses)
            surprises += not right
            reason = m.reason if right else f"[red]failed {m.lost}, not {loses}.[/red] {m.reason}"
            shown.add_row(name, what, f"{number(m.points)} of {number(m.of)}", reason)
    console.print(shown)
    return surprises


if __name__ == "__main__":
    app()
