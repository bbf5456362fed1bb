import ast
import gzip
import importlib.metadata
import json
import shutil
import sys
import textwrap
import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.utils import canonicalize_name

import encdec
from encdec import environment
from encdec.data import docstrings
from encdec.data.docstrings import (
    ALWAYS_TRAIN,
    BODY_CHARACTERS,
    SUMMARY_WORDS,
    Docstring,
    Package,
    body_key,
    corpus_packages,
    first_sentence,
    load_docstrings,
    plain_text,
    prose,
    side,
    source_text,
    split_docstrings,
    split_sentences,
    summary_key,
)
from encdec.data.parallel import DataError
from packages import NAMES, fill, function, install


def is_pinned(package):
    installed = importlib.metadata.version(package).partition("+")[0]
    return installed == environment.tested_versions()[package]


SHAPES = '''
"""Shapes and what can be said about them. They are flat."""

import functools


class Circle:
    """A round shape. It has no corners."""

    @functools.cached_property
    def area(self):
        """Compute the area of :class:`~shapes.Circle`.

        The result is kept. It is in square metres.
        """
        radius = self.diameter / 2  # half as long
        # A comment that says why.
        return 3.14159 * radius * radius * self.scale * self.scale  # noqa: E501

    async def draw(self, pen):
        """Draw the circle with a pen
        """
        await pen.down(self.centre, self.diameter)
        for angle in range(360):
            await pen.turn(angle, self.diameter, self.centre)


if True:

    def outer(items):
        """Return what an inner function makes of the items."""

        def inner(item):
            """Double an item and add one to it, then halve it."""
            doubled = item * 2 + 1
            return doubled / 2 + doubled / 4 + doubled / 8

        return [inner(item) for item in items if item is not None]
'''


def load(site, **options):
    names = [path.name.partition("-")[0] for path in site.glob("*.dist-info")]
    options = {"packages": names, "path": [str(site)], "least": 1, **options}
    return load_docstrings(**options)


def everything(splits):
    return [*splits.train, *splits.validation, *splits.test]


# --- reading packages -----------------------------------------------------------------------------


def test_functions_are_found_wherever_they_stand(site):
    fill(site)
    install(site, "networkx", {"shapes/__init__.py": SHAPES})
    found = {d.name: d for d in load(site).train if d.package == "networkx"}
    assert {name: d.summary for name, d in found.items()} == {
        "Circle.area": "Compute the area of Circle.",
        "Circle.draw": "Draw the circle with a pen.",
        "outer": "Return what an inner function makes of the items.",
        "inner": "Double an item and add one to it, then halve it.",
    }
    assert found["Circle.area"].body == textwrap.dedent("""\
        def area(self):
            radius = self.diameter / 2  # half as long
            # A comment that says why.
            return 3.14159 * radius * radius * self.scale * self.scale""")
    assert found["Circle.area"].text == (
        "Compute the area of Circle. The result is kept. It is in square metres."
    )


def test_docstrings_without_a_summary_are_texts_if_they_have_two_sentences(site):
    fill(site)
    install(site, "networkx", {"shapes/__init__.py": SHAPES})
    assert set(load(site).texts) == {
        "Shapes and what can be said about them. They are flat.",
        "A round shape. It has no corners.",
    }


def test_bodies_are_the_functions_without_docstrings_and_decorators(site):
    """Parsing a body gives the same tree as taking both away from the tree of the file."""
    fill(site)
    sources = Path(encdec.__file__).parent
    shutil.copytree(sources, site / "networkx", ignore=shutil.ignore_patterns("*.pyc"))
    files = [path.relative_to(site).as_posix() for path in (site / "networkx").rglob("*.py")]
    install(site, "networkx", {name: (site / name).read_text(encoding="utf8") for name in files})
    expected = set()
    for name in files:
        for node in ast.walk(ast.parse((site / name).read_text(encoding="utf8"))):
            if isinstance(node, ast.FunctionDef) and ast.get_docstring(node):
                node.body, node.decorator_list = node.body[1:], []
                expected.add(ast.unparse(node))
    found = {ast.unparse(ast.parse(d.body)) for d in load(site).train if d.package == "networkx"}
    assert len(found) > 100
    assert found <= expected


def test_nothing_is_imported(site, tmp_path):
    fill(site)
    trap = f"open({str(tmp_path / 'ran')!r}, 'w').close()\nraise SystemExit\n"
    install(site, "networkx", {"trapped.py": trap + function("f", "Add numbers, then give up.")})
    splits = load(site)
    assert any(d.summary == "Add numbers, then give up." for d in splits.train)
    assert not (tmp_path / "ran").exists()
    assert "trapped" not in sys.modules


@pytest.mark.parametrize(
    "name",
    [
        "pkg/tests/a.py",
        "pkg/test_a.py",
        "pkg/a_test.py",
        "pkg/conftest.py",
        "pkg/_vendor/other/a.py",
        "pkg/externals/a.py",
        "pkg/a.pyi",
        "../../bin/a.py",
    ],
)
def test_tests_and_copies_are_left_out(site, name):
    fill(site)
    install(site, "networkx", {name: function("f", "Add numbers, then give up.")})
    assert not [d for d in everything(load(site)) if d.package == "networkx"]


@pytest.mark.parametrize(
    ("head", "kept"),
    [
        ("# This file was automatically generated from a.proto.", False),
        (
            "# -*- coding: utf-8 -*-\n# Generated by the protocol buffer compiler.  DO NOT EDIT!",
            False,
        ),
        ('"""Tables. Do not edit: run make_tables.py."""', False),
        ("# Keys are generated by a counter.", True),
    ],
)
def test_generated_files_are_left_out(site, head, kept):
    fill(site)
    install(site, "networkx", {"a.py": head + "\n" + function("f", "Add numbers, then give up.")})
    assert any(d.package == "networkx" for d in load(site).train) == kept


@pytest.mark.parametrize(
    "source",
    [
        'def f(values):\n    """Add numbers, then give up."""\n    return '
        + "values + " * 20
        + "1\n",
        'def f(values):\n    """Add numbers, then give up."""\n    x = 1\n    return x\n',
        "@typing.overload\n" + function("f", "Add numbers, then give up."),
        function("f", "Add numbers, then give up.", body="total = 0\n" * 300),
        'def f(values): """Add numbers, then give up."""; x = 1; return [x], [values]' + "# " * 40,
    ],
    ids=["one statement", "short", "overload", "long", "one line"],
)
def test_functions_that_say_too_little_or_too_much_are_left_out(site, source):
    fill(site)
    install(site, "networkx", {"a.py": source})
    assert not [d for d in load(site).train if d.package == "networkx"]


def test_files_that_cannot_be_parsed_are_counted_and_the_rest_is_read(site):
    fill(site)
    good = function("f", "Add numbers, then give up.")
    install(
        site,
        "networkx",
        {"a.py": good, "b.py": '"""Old."""\nprint "x"\n', "c.py": '"""x\0y"""', "gone.py": good},
    )
    (site / "gone.py").unlink()
    (site / "latin.py").write_bytes(b'"""caf\xe9"""')
    with (site / "networkx-1.0.dist-info" / "RECORD").open("a") as record:
        record.write("latin.py,,\n")
    splits = load(site)
    assert splits.unparsed == {"networkx": 3}
    assert [d.summary for d in splits.train if d.package == "networkx"] == [
        "Add numbers, then give up."
    ]


def test_the_books_own_package_and_others_than_the_wanted_are_left_out(site):
    fill(site)
    install(site, "encdec", {"own.py": function("own", "Add numbers of the book.")})
    install(site, "sympy", {"s.py": function("s", "Add numbers, then give up.")})
    wanted = [*NAMES.values(), "encdec", "Not_Installed"]
    found = everything(load(site, packages=wanted))
    assert {d.package for d in found} == set(NAMES.values())


def test_progress_is_told_for_every_package(site):
    fill(site)
    told = []
    load(site, on_package=lambda *call: told.append(call))
    assert [call[0] for call in told] == sorted(NAMES.values())
    assert [call[1:] for call in told] == [(1, 3), (2, 3), (3, 3)]


# --- cleaning -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("documentation", "expected"),
    [
        ("Return the sum of all numbers.", "Return the sum of all numbers."),
        ("return the sum of all numbers", "Return the sum of all numbers."),
        ("Add two numbers. See also `sub`.", "Add two numbers."),
        ("Add two numbers,\nthen stop.\n\nMore.", "Add two numbers, then stop."),
        (
            "Add all numbers here, e.g. Two of them. Stop.",
            "Add all numbers here, e.g. Two of them.",
        ),
        ("Add `a` to ``b`` in *place*.", "Add a to b in place."),
        ("Build a :class:`~torch.nn.Linear` layer.", "Build a Linear layer."),
        ("Call :py:meth:`.Figure.draw` and wait.", "Call Figure.draw and wait."),
        ("See nothing of :ref:`the target <label>`.", None),
        ("Show :ref:`the target <label>` again.", "Show the target again."),
        ("Load a [`~models.Bert`] model again.", "Load a Bert model again."),
        ("Follow [the paper](https://a.b/c) closely.", "Follow the paper closely."),
        ("Follow `the paper <https://a.b/c>`_ closely.", "Follow the paper closely."),
        ("Write “typographic” quotes — and dashes.", 'Write "typographic" quotes - and dashes.'),
        ("Écrire une phrase française.", "Écrire une phrase française."),
        ("Sum.", None),
        ("Too many " + "words " * 30 + "here.", None),
        ("Add numbers as follows:", None),
        ("dot(a, b, out=None)", None),
        (">>> add(1, 2)\n3", None),
        ("Args:\n    a: the first number.", None),
        ("Parameters\n----------\na : int", None),
        (".. deprecated:: 1.0", None),
        ("Compute $x^2$ of a number.", None),
        ("Return a {kind} of thing.", None),
        ("Read https://example.org for details.", None),
        ("把数字加起来 and stop here.", None),
        ("Deprecated in favour of something else.", None),
        ("f(x) = 1/2*(3 + 4) - 5/6 + 7.", None),
        ("A heading\nwith another line and no end", None),
        ("", None),
    ],
)
def test_summaries_are_sentences_without_markup(documentation, expected):
    assert first_sentence(documentation) == expected


def test_plain_text_keeps_prose_and_nothing_else():
    documentation = textwrap.dedent("""\
        Add the numbers of a list.

        This is done with care, cf. `sum`. It takes
        time.

        where x is a number.

        >>> add([1, 2])
        3

        .. note:: Numbers are added twice.

        - An item of a list.

        Parameters
        ----------
        values : list
            The values that are added.

        Notes
        -----
        Numbers are kept. They are never lost.""")
    assert plain_text(documentation) == (
        "Add the numbers of a list. This is done with care, cf. sum. It takes time. "
        "Numbers are kept. They are never lost."
    )


@given(st.text(max_size=300) | st.text("aB .!?\n`:*_<>~[]()", max_size=300))
def test_whatever_stands_in_a_docstring_a_summary_is_a_clean_sentence(documentation):
    summary = first_sentence(documentation)
    if summary is not None:
        fewest, most = SUMMARY_WORDS
        assert fewest <= len(summary.split()) <= most
        assert summary == " ".join(summary.split())
        assert summary.rstrip("\"')")[-1] in ".!?"
        assert not set("`<>{}|\\$*") & set(summary)
    text = plain_text(documentation)
    assert " ".join(split_sentences(text)) == text


def test_a_text_falls_into_its_sentences():
    text = 'Use it, e.g. Here. Ask A. Turing! "Why?" Nobody knows. See Fig. 3 for more.'
    assert split_sentences(text) == [
        "Use it, e.g. Here.",
        "Ask A. Turing!",
        '"Why?"',
        "Nobody knows.",
        "See Fig. 3 for more.",
    ]
    assert split_sentences("") == []


# --- splitting ------------------------------------------------------------------------------------

WORDS = st.sampled_from(["add", "adds", "the", "a", "number", "Numbers", "list"])
SENTENCES = st.lists(WORDS, min_size=1, max_size=4).map(" ".join)
DOCSTRINGS = st.builds(
    Docstring,
    st.sampled_from([*NAMES.values(), "torch", "jupyter-core", "jupyter_client", "numpy", "rich"]),
    st.just("f"),
    SENTENCES.map(lambda words: f"def f():\n    return {words.replace(' ', '_ + ')}"),
    SENTENCES.map(lambda words: f"{words.capitalize()}."),
    st.lists(SENTENCES.map(lambda w: f"{w.capitalize()}."), max_size=3).map(" ".join),
)


@given(st.lists(DOCSTRINGS, max_size=60), st.integers(0, 5))
def test_no_package_summary_or_body_is_on_two_sides_or_twice(found, seed):
    packages = [
        Package(name, [d for d in found if d.package == name], [], 0)
        for name in dict.fromkeys(d.package for d in found)
    ]
    splits = split_docstrings(packages, seed)
    kept = everything(splits)
    for key in (lambda d: summary_key(d.summary), lambda d: body_key(d.body)):
        assert len({key(d) for d in kept}) == len(kept)
    for docstring in found:  # what is missing says what something that was kept says
        assert any(
            summary_key(d.summary) == summary_key(docstring.summary)
            or body_key(d.body) == body_key(docstring.body)
            for d in kept
        )
    for name in ("train", "validation", "test"):
        assert {side(d.package, seed) for d in getattr(splits, name)} <= {name}
    held_out = {
        summary_key(sentence)
        for d in (*splits.validation, *splits.test)
        for sentence in (d.summary, *split_sentences(d.text))
    }
    seen = [sentence for d in splits.train for sentence in split_sentences(d.text)]
    assert not held_out & set(map(summary_key, seen))


def test_the_test_keeps_what_training_has_too():
    same = [
        Package(name, [Docstring(name, "f", f"def f():\n    {name}", "Adds a number.")], [], 0)
        for name in (NAMES["train"], NAMES["validation"], NAMES["test"])
    ]
    splits = split_docstrings(same)
    assert (splits.train, splits.validation, len(splits.test)) == ([], [], 1)


def test_texts_hold_no_sentence_of_the_test():
    secret = Docstring(NAMES["test"], "f", "def f():\n    1", "Adds a number.", "It is secret.")
    texts = ["One is left. Add the numbers.", "Two are left. It is secret. So it is."]
    packages = [Package(NAMES["train"], [], texts, 0), Package(NAMES["test"], [secret], [], 0)]
    assert split_docstrings(packages).texts == ["Two are left. So it is."]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Returns the number of tokens.", "Return a number of tokens"),
        ("Adds `numbers`!", "add Number"),
    ],
)
def test_summaries_that_say_the_same_have_one_key(one, other):
    assert summary_key(one) == summary_key(other)
    assert summary_key(one) != summary_key(one + " Twice.")


def test_bodies_that_do_the_same_have_one_key():
    one = "def f(a):  # why\n    return a + 1"
    assert body_key(one) == body_key("async def g(a):\n\n    return (a+1)  # because")
    assert body_key(one) != body_key(one.replace("a", "b"))


def test_a_side_depends_on_the_name_alone():
    assert all(side(name, seed) == "train" for name in ALWAYS_TRAIN for seed in range(20))
    assert side("Jupyter_Core", 7) == side("jupyter-core", 7) == side("jupyter.client", 7)
    sides = [side(f"package{i}", 3) for i in range(2000)]
    assert 0.17 < sides.count("test") / 2000 < 0.23
    assert 0.08 < sides.count("validation") / 2000 < 0.12


def test_the_order_is_shuffled_and_does_not_depend_on_the_order_of_packages(site):
    fill(site)
    files = {f"m{i}.py": function(f"f{'x' * i}", f"Add {i} numbers and stop.") for i in range(30)}
    install(site, "networkx", files)
    train = load(site).train
    shutil.rmtree(site.parent / "cache")
    assert load(site, packages=["networkx", *reversed(NAMES.values())]).train == train
    places = [len(d.name) for d in train if d.package == "networkx"]
    assert places != sorted(places)


# --- the cache and the whole ----------------------------------------------------------------------


def test_the_packages_of_the_recipes_are_pinned():
    names = corpus_packages()
    assert len(names) > 100
    assert names == sorted(set(names), key=str.lower)
    assert {canonicalize_name(name) for name in names} <= environment.tested_versions().keys()


def test_the_second_call_reads_no_package(site, monkeypatch):
    fill(site)
    first = load(site)
    monkeypatch.setattr(docstrings, "read_package", lambda *_: pytest.fail("read again"))
    assert load(site) == first


@pytest.mark.parametrize("change", ["version", "seed", "packages"])
def test_what_decides_the_result_decides_the_cache_file(site, monkeypatch, change):
    fill(site)
    load(site)
    name, options = NAMES["train"], {}
    if change == "version":
        shutil.rmtree(site / f"{name}-1.0.dist-info")
        install(site, name, {f"{name}/a.py": function("new", "Add it all up.")}, "1.1")
    elif change == "seed":
        options = {"seed": 99, "least": 0}
    else:
        install(site, "networkx", {"n.py": function("f", "Add numbers, then give up.")})
    read = []
    real = docstrings.read_package
    monkeypatch.setattr(docstrings, "read_package", lambda *call: read.append(call) or real(*call))
    try:
        load(site, **options)
    except DataError:
        assert change == "seed"  # another seed may leave a side empty
    assert read


@pytest.mark.parametrize(
    "content", [b"", b"\x1f\x8b broken", gzip.compress(b"{}", mtime=0), b"whole but cut"]
)
def test_a_damaged_cache_file_is_made_anew(site, content):
    fill(site)
    first = load(site)
    [file] = (site.parent / "cache" / "docstrings").iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:-30] if content == b"whole but cut" else content)
    assert load(site) == first
    assert file.read_bytes() == whole


def test_a_cache_that_cannot_be_written_is_a_warning(site):
    fill(site)
    (site.parent / "cache").write_text("a file where a folder should be")
    with pytest.warns(UserWarning, match="could not be kept in .* set ENCDEC_CACHE"):
        splits = load(site)
    assert len(splits.train) == 1


def test_a_write_that_fails_leaves_nothing_behind(site, monkeypatch):
    fill(site)

    def full(self, data):
        with self.open("wb") as file:
            file.write(data[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.warns(UserWarning, match="No space left on device"):
        assert load(site).train
    assert list((site.parent / "cache" / "docstrings").iterdir()) == []


def test_too_few_packages_are_one_sentence(site):
    install(site, NAMES["train"], {"a.py": function("f", "Add numbers, then give up.")})
    with pytest.raises(
        DataError, match=r"in 1 of .*: 1 to train on \(at least 1 .*, 0 to choose.*pip install -r"
    ):
        load(site)


def test_an_empty_environment_is_one_sentence(site):
    with pytest.raises(DataError, match="0 to train on"):
        load(site, packages=[])


def test_the_summary_tells_splits_apart(site):
    fill(site)
    splits = load(site)
    summary = splits.summary()
    assert {name: part["docstrings"] for name, part in summary.items()} == {
        "train": 1,
        "validation": 1,
        "test": 1,
    }
    assert summary["test"]["packages"] == 1
    assert len({part["sha256"] for part in summary.values()}) == 3
    assert json.loads(json.dumps(summary)) == summary


def test_prose_repeats_nothing():
    texts = ["One is here.", "", "Two are here.", "One is here."]
    found = prose(Docstring("p", "f", "", "", text) for text in texts)
    assert found == ["One is here.", "Two are here."]


@given(st.integers(1, 400))
def test_a_source_is_one_line_of_limited_length_that_begins_with_the_name(characters):
    body = (
        "async def draw(\n    self, pen\n):\n    # why\n    await pen.down()\n    return self"
        + "x" * 90
    )
    source = source_text(Docstring("p", "Circle.draw", body, "Draws."), characters)
    whole = source_text(Docstring("p", "Circle.draw", body, "Draws."), 1000)
    assert whole.startswith("Circle.draw( self, pen ): # why await pen.down() return selfxxx")
    assert whole.startswith(source)
    assert 0 < len(source) <= characters
    assert source == whole or whole[len(source)] == " " or " " not in source


def test_a_source_of_no_length_is_refused():
    with pytest.raises(ValueError, match="characters=0 must be at least 1"):
        source_text(Docstring("p", "f", "def f():", "Draws."), 0)


@pytest.mark.slow
@pytest.mark.skipif(
    not all(map(is_pinned, ("torch", "transformers", "sphinx"))),
    reason="not in the environment of requirements.txt",
)
def test_the_books_environment_has_twenty_thousand_docstrings_that_do_not_leak():
    for package in corpus_packages():  # none that only some have
        assert importlib.metadata.version(package)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        splits = load_docstrings()
    assert len(splits.train) >= 20_000
    assert 1000 <= len(splits.test) <= 2000
    assert len(splits.validation) >= 500
    assert splits.unparsed == {}
    packages = [{d.package for d in getattr(splits, name)} for name in splits.summary()]
    assert sum(map(len, packages)) == len(set.union(*packages))
    assert packages[0] > ALWAYS_TRAIN
    found = everything(splits)
    assert len({summary_key(d.summary) for d in found}) == len(found)
    assert len({body_key(d.body) for d in found}) == len(found)
    shortest, longest = BODY_CHARACTERS
    assert all(shortest <= len(" ".join(d.body.split())) <= longest for d in found)
    for docstring in found[::50]:
        [tree] = ast.parse(docstring.body).body
        assert tree.name == docstring.name.rpartition(".")[2]
    held_out = {summary_key(d.summary) for d in (*splits.validation, *splits.test)}
    seen = [s for text in (*prose(splits.train), *splits.texts) for s in split_sentences(text)]
    assert not held_out & set(map(summary_key, seen))
    assert sum(len(split_sentences(text)) > 1 for text in prose(splits.train)) > 5000
