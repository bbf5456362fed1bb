import ast

from encdec.data.docstrings import BODY_CHARACTERS, body_key, corpus_packages, summary_key
from encdec.data.functions import load_functions

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
