"""Checks of exercises say what is wrong: typical wrong answers are tried on those that stand alone.

An exercise stands alone if its cell runs with nothing but the chapter's imports. What its checks
are called with is recorded; then wrong answers are put in.
"""

import ast
import contextlib
import io
from collections.abc import Mapping
from pathlib import Path

import nbformat
import pytest

from encdec import check

CHAPTERS = sorted((Path(__file__).parents[2] / "chapters").glob("[0-9]*.ipynb"))
KINDS = ("value", "tensor", "function")
NOTHING = "Not answered yet"
# Chapter 5: that the best split does not depend on the lengths is what the exercise shows.
SAME_FOR_ALL = {"best_split"}


def imports(cells):
    """A namespace with what the chapter imports, and nothing that it computes."""
    namespace = {}
    for cell in cells:
        source = "\n".join(x for x in cell.source.splitlines() if not x.lstrip().startswith("%"))
        with contextlib.suppress(SyntaxError):
            for node in ast.parse(source).body:
                if isinstance(node, ast.Import | ast.ImportFrom):
                    with contextlib.suppress(ImportError):
                        exec(compile(ast.Module([node], []), "imports", "exec"), namespace)
    return namespace


def recorded(cell, given, monkeypatch):
    """The calls of checks that a cell makes, or None if it needs more than imports."""
    calls = []
    for kind in KINDS:

        def record(*arguments, kind=kind, **named):
            calls.append((kind, arguments, named))
            return check.Verdict(False, NOTHING)

        monkeypatch.setattr(check, kind, record)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            exec(cell.source, dict(given))
    except Exception:
        return None
    finally:
        monkeypatch.undo()
    return calls


def found():
    """All exercises that stand alone: chapter, cell, and the calls of its checks."""
    monkeypatch = pytest.MonkeyPatch()
    rows = []
    for path in CHAPTERS:
        cells = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
        given = None
        for cell in cells:
            tags = cell.metadata.get("tags", [])
            if "solution" in tags or "check." not in cell.source or " ..." not in cell.source:
                continue
            given = given or imports(cells)
            for call in recorded(cell, given, monkeypatch) or []:
                rows.append(pytest.param(*call, id=f"{path.name[:2]}-{cell.id}-{len(rows)}"))
    return rows


CALLS = found()


def message(kind, arguments, named, answer):
    with contextlib.redirect_stdout(io.StringIO()):
        return getattr(check, kind)(answer, *arguments[1:], **named).message


def test_many_exercises_stand_alone():
    assert len(CALLS) >= 20


def wrongs(kind, arguments):
    """Answers that are wrong to every exercise, and what the line has to say about each."""
    if kind != "function":
        return [("None", None), ("", object()), ("", "?")]
    cases = arguments[1]
    rights = [] if arguments[0].__name__ in SAME_FOR_ALL else [right for _, right in cases]
    constants = [lambda *a, right=right, **k: right for right in rights]
    return [
        ("returns None", lambda *a, **k: None),
        ("raises ZeroDivisionError", lambda *a, **k: 1 / 0),
        ("raises TypeError", lambda: 0),
        ("", lambda *a, **k: object()),
        *[("", constant) for constant in constants],
    ]


@pytest.mark.parametrize(("kind", "arguments", "named"), CALLS)
def test_no_answer_is_right_by_accident(kind, arguments, named):
    """A forgotten return, an error, a constant: each gets a line. A stub is not answered yet."""
    if kind == "function":
        arguments = (arguments[0], list(arguments[1]))
        assert len(arguments[1]) >= 2, "one case is answered by a constant"
    for words, answer in wrongs(kind, arguments):
        line = message(kind, arguments, named, answer)
        assert line.startswith("Not yet: ")
        assert words in line
    stub = (lambda *a, **k: ...) if kind == "function" else ...
    assert message(kind, arguments, named, stub).startswith(NOTHING)


@pytest.mark.parametrize(("kind", "arguments", "named"), CALLS)
def test_every_known_wrong_answer_gets_its_sentence(kind, arguments, named):
    symptoms = named.get("symptoms", ())
    if not isinstance(symptoms, Mapping):
        assert all(callable(test) and len(text) > 15 for test, text in symptoms)
        return
    if kind == "function":
        arguments = (arguments[0], list(arguments[1]))
    rights = [case[1] for case in arguments[1]] if kind == "function" else [arguments[1]]
    for wrong, sentence in symptoms.items():
        assert wrong not in rights or kind == "function", f"{wrong} is right"
        answer = (lambda *a, wrong=wrong, **k: wrong) if kind == "function" else wrong
        line = message(kind, arguments, named, answer)
        assert sentence in line, f"{wrong!r}: {line}"
        assert line.count(". ") <= 2
