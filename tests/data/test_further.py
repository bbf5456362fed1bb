import pytest

from encdec.data.docstrings import load_docstrings, source_text
from encdec.data.further import CHARACTERS, load_further, name_as_sentence
from packages import NAMES, fill, function, install

MORE = '''
class Shape(Base):
    """A shape of any kind."""

    corners = 4

    def corner_count(self):
        return self.corners + self.hidden_corners

    def area(self):
        """Return the area of the shape."""
        return self.width * self.height
'''


def load(site):
    where = {"packages": [p.name.partition("-")[0] for p in site.glob("*.dist-info")]}
    where["path"] = [str(site)]
    splits = load_docstrings(least=1, **where)
    return splits, load_further(splits, **where)


def summaries(docstrings):
    return [docstring.summary for docstring in docstrings]


def test_short_functions_classes_and_names_are_found(site):
    fill(site)
    install(site, "networkx", {"a.py": MORE})
    _, further = load(site)
    assert summaries(further.functions) == ["Return the area of the shape."]
    assert summaries(further.classes) == ["A shape of any kind."]
    assert summaries(further.names) == ["Corner count."]
    assert further.functions[0].name == "Shape.area"
    assert further.classes[0].body.startswith("class Shape(Base):\n    corners = 4")


def test_a_name_that_is_to_be_found_is_not_told(site):
    fill(site)
    install(site, "networkx", {"a.py": MORE})
    (item,) = load(site)[1].names
    assert item.name == ""
    assert source_text(item) == "(self): return self.corners + self.hidden_corners"


def test_long_functions_are_cut_and_equal_descriptions_are_kept(site):
    fill(site)
    long = function("f", "Add numbers for a long time.", body="total = 0\n" * 300)
    same = [function(name, "Add numbers, then give up.") for name in ("g_h", "i_j_k")]
    install(site, "networkx", {"a.py": "\n".join([long, *same])})
    splits, further = load(site)
    assert summaries(splits.train).count("Add numbers, then give up.") == 1
    assert sorted(summaries(further.functions)) == [
        "Add numbers for a long time.",
        "Add numbers, then give up.",
    ]
    assert max(len(d.body) for d in further.functions) == CHARACTERS


@pytest.mark.parametrize("held_out", ["validation", "test"])
def test_nothing_that_a_held_out_function_says_or_does_is_among_them(site, held_out):
    fill(site)
    said = f"Add up the values of {held_out}."
    name = f"total_{held_out}"
    copy = function(name, "Sum up.").replace('    """Sum up."""\n', "")
    other = function("f", "An unlike thing is done.", body="total = 0\n" * 300)
    install(site, "networkx", {"a.py": function("f", said, body="total = 0\n" * 300)})
    install(site, "sympy", {"a.py": copy + "\n" + other})
    _, further = load(site)
    assert summaries(further.functions) == ["An unlike thing is done."]
    assert further.names == []


def test_held_out_packages_are_not_read(site):
    for side, name in NAMES.items():
        more = "" if side == "train" else MORE
        install(site, name, {f"{name}.py": function(f"f_{side}", f"Add values of {side}.") + more})
    assert not any(vars(load(site)[1]).values())


def test_what_was_found_is_kept(site):
    fill(site)
    install(site, "networkx", {"a.py": MORE})
    first = load(site)[1]
    (site / "a.py").unlink()
    assert load(site)[1] == first
    for path in (site.parent / "cache" / "docstrings").iterdir():
        path.write_bytes(b"broken")
    assert load(site)[1] != first


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("get_token_ids", "Get token ids."),
        ("_loadModel2", "Load model 2."),
        ("parse_HTML", "Parse HTML."),
        ("run", None),
        ("__", None),
        ("a_b_c_d_e_f_g_h_i", None),
    ],
)
def test_names_as_sentences(name, expected):
    assert name_as_sentence(name) == expected
