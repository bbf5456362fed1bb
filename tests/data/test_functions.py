import ast

import pytest

from encdec.data.docstrings import BODY_CHARACTERS, body_key, corpus_packages, summary_key
from encdec.data.functions import functions_in, load_functions

FUNCTIONS = load_functions()


def test_all_are_functions_of_this_package_which_no_model_has_learnt_from():
    assert len(FUNCTIONS) == 150
    assert {function.package for function in FUNCTIONS} == {"encdec"}
    assert "encdec" not in corpus_packages()


def test_bodies_are_code_without_its_docstring():
    for function in FUNCTIONS:
        node = ast.parse(function.body).body[0]
        assert node.name == function.name.rpartition(".")[2]
        assert ast.get_docstring(node) is None
        assert function.summary not in function.body
        low, high = BODY_CHARACTERS
        assert low <= len(" ".join(function.body.split())) <= high


def test_none_says_the_same_as_another():
    assert len({summary_key(function.summary) for function in FUNCTIONS}) == len(FUNCTIONS)
    assert len({body_key(function.body) for function in FUNCTIONS}) == len(FUNCTIONS)


SOURCE = '''
def documented(a):
    """Add one to it. More."""

    b = a + 1
    return b


class Box:
    @property
    def size(self): "Measure."; n = 1; return n

    async def bare(self):
        if self:
            return 1

    def short(self):
        return 2

if True:
    def inner():
        def innermost():
            x = 1
            return x
        return innermost
'''


def test_the_functions_of_a_file_come_in_order_documented_or_not():
    found = functions_in(SOURCE, "p")
    names = ["documented", "Box.size", "Box.bare", "inner", "innermost"]
    assert [function.name for function in found] == names
    assert found[0].body == "def documented(a):\n    b = a + 1\n    return b"
    assert found[0].summary == "Add one to it."
    assert found[1].body == "def size(self):\n    n = 1\n    return n"
    assert found[2].body.startswith("async def bare(self):")
    assert found[2].summary == ""
    with pytest.raises(SyntaxError):
        functions_in("def f(:")
