import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encdec.data.files import read_pairs
from encdec.data.parallel import DataError, Pair

ROWS = [(f"question {n}", f"answer, {n}") for n in range(12)]


@pytest.fixture
def write(tmp_path):
    def write(name, text, encoding="utf8"):
        path = tmp_path / name
        path.write_bytes(text.encode(encoding))
        return path

    return write


def table(rows, delimiter=","):
    quoted = [(str(n), f'"{a}"', f'"{b}"') for n, (a, b) in enumerate(rows)]
    return "\n".join(delimiter.join(row) for row in [("id", "q", "a"), *quoted])


def lines(rows):
    return "\n".join(json.dumps({"q": a, "a": b, "more": [1]}) for a, b in rows)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", table(ROWS)),
        ("a.tsv", table(ROWS, "\t")),
        ("A.CSV", "\ufeff" + table(ROWS)),
        ("a.csv", table(ROWS, ";")),
        ("a.csv", "\ufeff" + table(ROWS, ";")),
        ("a.jsonl", lines(ROWS)),
        ("a.ndjson", lines(ROWS) + "\n\n"),
    ],
)
def test_every_kind_of_file_gives_the_same_pairs(write, name, text):
    assert read_pairs(write(name, text), "q", "a") == [Pair(*row) for row in ROWS]


def test_lines_within_a_cell_become_one_line(write):
    rows = [("two\nlines", "a"), *ROWS]
    assert read_pairs(write("a.csv", table(rows)), "q", "a")[0] == ("two lines", "a")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.xlsx", "x", "unknown kind: its name should end in .csv, .tsv or .jsonl"),
        ("a.csv", table(ROWS).replace("id,q,a", "id,Q,a"), "line 2, has no 'q'; it has 'id', 'Q'"),
        ("a.csv", table([*ROWS, ("x", " ")]), "line 14: 'a' should be text and is ' '"),
        ("a.csv", "id,q,a\n1,only", "line 2: 'a' should be text and is None"),
        ("a.csv", 'id,q,a\n1,"never closed', "can't be read: unexpected end of data"),
        ("a.csv", "id,q,a", "holds 0 different 'q': at least 10 are needed"),
        ("a.csv", table(ROWS[:3] * 9), "holds 3 different 'q'"),
        ("a.jsonl", lines(ROWS) + "\n{oops", "line 13, is not JSON: '{oops'"),
        ("a.jsonl", "[1, 2]", r"line 1, is not an object with keys and values: '\[1, 2\]'"),
        ("a.jsonl", "[" * 100_000, "line 1, is not JSON"),
        ("a.jsonl", '{"q": 3, "a": "x"}', "line 1: 'q' should be text and is 3"),
    ],
)
def test_a_faulty_file_is_explained(write, name, text, message):
    with pytest.raises(DataError, match=message):
        read_pairs(write(name, text), "q", "a")


def test_a_missing_file_and_another_encoding_are_explained(write, tmp_path):
    with pytest.raises(DataError, match="none.csv does not exist"):
        read_pairs(tmp_path / "none.csv", "q", "a")
    with pytest.raises(DataError, match="is not UTF-8 text: byte"):
        read_pairs(write("a.csv", table([*ROWS, ("é", "x")]), "latin-1"), "q", "a")


@given(st.binary(max_size=200))
def test_no_file_whatever_it_holds_ends_in_anything_but_a_sentence(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("fuzz") / "a.csv"
    for suffix in (".csv", ".jsonl"):
        path = path.with_suffix(suffix)
        path.write_bytes(content)
        with pytest.raises(DataError):
            read_pairs(path, "q", "a")
