"""Your own data: pairs from a CSV, TSV or JSONL file.

A table has a header line; a JSONL file has one object a line. Two columns (or keys) are named: what
the model reads and what it should write.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from encdec.data.parallel import DataError, Pair

DELIMITERS = {".csv": ",", ".tsv": "\t"}
FEWEST = 10  # distinct sources; fewer can't be split into training and test


def read_pairs(path: str | Path, source: str, target: str) -> list[Pair]:
    """Read the pairs of a file.

    Args:
        path: a file whose name ends in .csv, .tsv, .jsonl or .ndjson, in UTF-8. The columns of a
            .csv are parted by commas, or by semicolons where its first line holds no comma.
        source: the column that the model reads.
        target: the column that it should write.

    Raises:
        DataError: the file is missing, of another kind, not UTF-8, not well formed, lacks a
            column, has an empty cell in one of them, or holds too little; the message names the
            line.
    """
    path = Path(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(_rows(path, file))
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text: byte {error.start} can't be read.") from error
    except (OSError, csv.Error) as error:
        raise DataError(f"{path} can't be read: {error}.") from error
    pairs = [_pair(path, number, row, source, target) for number, row in rows]
    if len({pair.source for pair in pairs}) < FEWEST:
        raise DataError(
            f"{path} holds {len({pair.source for pair in pairs})} different {source!r}: at least "
            f"{FEWEST} are needed, so that some can be held out."
        )
    return pairs


def _rows(path: Path, file: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line numbers and rows."""
    if delimiter := DELIMITERS.get(path.suffix.lower()):
        heads = file.readline()
        if delimiter == "," and ";" in heads and "," not in heads:  # as spreadsheets in Europe do
            delimiter = ";"
        file.seek(0)
        reader = csv.DictReader(file, delimiter=delimiter, strict=True)
        yield from ((reader.line_num, row) for row in reader)
    elif path.suffix.lower() in (".jsonl", ".ndjson"):
        yield from (
            (number, _object(path, number, line))
            for number, line in enumerate(file, 1)
            if line.strip()
        )
    else:
        raise DataError(
            f"{path} is of an unknown kind: its name should end in .csv, .tsv or .jsonl."
        )


def _object(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"{path}, line {number}, is not JSON: {line.strip()[:60]!r}.") from error
    if not isinstance(row, dict):
        raise DataError(
            f"{path}, line {number}, is not an object with keys and values: {line.strip()[:60]!r}."
        )
    return row


def _pair(path: Path, number: int, row: dict[str, Any], source: str, target: str) -> Pair:
    texts = []
    for column in (source, target):
        if column not in row:
            known = ", ".join(repr(name) for name in row if isinstance(name, str))
            raise DataError(
                f"{path}, line {number}, has no {column!r}; it has {known or 'nothing'}."
            )
        text = row[column]
        if not isinstance(text, str) or not text.strip():
            raise DataError(
                f"{path}, line {number}: {column!r} should be text and is {text!r:.40}."
            )
        texts.append(" ".join(text.split()))
    return Pair(*texts)
