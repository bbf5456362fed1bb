"""Functions of this package and their summaries, kept as they were: a test set that never changes.

Code and documentation were written for the book, under its licence, so they may be shown; and the
corpus of docstrings leaves the book's own package out, so no model has learnt from them.
"""

from __future__ import annotations

import json
from importlib.resources import files

from encdec.data.docstrings import Docstring


def load_functions() -> list[Docstring]:
    """150 functions and the first sentence of their documentation, in a random, fixed order.

    Any first part of the list is a fair sample.
    """
    text = files("encdec.data").joinpath("functions.jsonl").read_text(encoding="utf8")
    return [Docstring(**json.loads(line)) for line in text.splitlines()]
