"""Functions to summarise: those of a file, and some of this package, kept as they were.

The kept ones are a test set that never changes. Code and documentation were written for the book,
under its licence, so they may be shown; and the corpus of docstrings leaves the book's own package
out, so no model has learnt from them.
"""

from __future__ import annotations

import ast
import copy
import json
import textwrap
from importlib.resources import files

from encdec.data.docstrings import Docstring, first_sentence


def load_functions() -> list[Docstring]:
    """150 functions and the first sentence of their documentation, in a random, fixed order.

    Any first part of the list is a fair sample.
    """
    text = files("encdec.data").joinpath("functions.jsonl").read_text(encoding="utf8")
    return [Docstring(**json.loads(line)) for line in text.splitlines()]


def functions_in(source: str, package: str = "") -> list[Docstring]:
    """All functions of a file that do something, in its order, documented or not.

    Args:
        source: of the file.
        package: what they are filed under.

    Returns:
        Functions of two statements or more beside the docstring, or of one that holds others; the
        summary is empty where the author wrote none.

    Raises:
        SyntaxError: it is no Python.
    """
    lines, found = source.split("\n"), []
    waiting: list[tuple[str, ast.AST]] = [("", ast.parse(source))]
    while waiting:
        owner, node = waiting.pop(0)
        inside = [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)]
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            documented = ast.get_docstring(node) or ""
            statements = node.body[bool(documented) :]
            if len(statements) > 1 or any(hasattr(s, "body") for s in statements):
                name = f"{owner}.{node.name}" if owner else node.name
                body = _without_docstring(node, lines, bool(documented))
                summary = first_sentence(documented) or ""
                found.append((node.lineno, Docstring(package, name, body, summary)))
            owner = ""
        elif isinstance(node, ast.ClassDef):
            owner = node.name
        waiting += [(owner, child) for child in inside]
    return [function for _, function in sorted(found, key=lambda item: item[0])]


def _without_docstring(
    node: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str], documented: bool
) -> str:
    """The lines of a function, from its ``def``; on one line, if its docstring is not alone."""
    kept = lines[node.lineno - 1 : node.end_lineno]
    if documented:
        first, last = node.body[0].lineno, node.body[0].end_lineno or 0
        if first == node.lineno or node.body[1].lineno <= last:
            bare = copy.copy(node)
            bare.body, bare.decorator_list = node.body[1:], []
            return ast.unparse(bare)
        kept = lines[node.lineno - 1 : first - 1] + lines[last : node.end_lineno]
    return textwrap.dedent("\n".join(line.rstrip() for line in kept if line.strip()))
