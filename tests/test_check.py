"""Checks accept what is right and say what is wrong with the rest."""

import math

import numpy as np
import pytest
import torch

from encdec import check


def test_an_answer_within_the_tolerance_is_right(capsys):
    assert check.value(0.4201, 0.42, name="BLEU")
    assert capsys.readouterr().out == "Right: BLEU is 0.4201.\n"


@pytest.mark.parametrize(
    ("answer", "expected", "words"),
    [
        (0.3, 0.42, "too small"),
        (0.5, 0.42, "too large"),
        (-0.42, 0.42, "sign"),
        (42.0, 0.42, "hundred times too large"),
        (0.42, 42.0, "hundred times too small"),
        (math.nan, 0.42, "not a number"),
        ("0.42", 0.42, "is a str, and should be a number"),
        (True, 1, "should be a number"),
        ([1, 2], [1, 2, 3], "2 entries, and should have 3"),
        ([1, 5, 3], [1, 2, 3], "entry 1 is 5"),
        ({"a": 1}, {"a": 1, "b": 2}, "the key 'b' is missing"),
        ({"a": 1, "b": 2}, {"a": 1}, "the key 'b' does not belong"),
        ({"a": 1}, {"a": 2}, "the entry 'a' is 1"),
        ("Chat ", "Chat", "white space"),
        ("chat", "Chat", "capital letters"),
        ("la maison", "la maisons", "character 9"),
        ({1}, [1], "is a set, and should be a list"),
        ({1}, {2}, "not right"),
    ],
)
def test_a_wrong_value_shows_its_symptom(answer, expected, words):
    verdict = check.value(answer, expected)
    assert not verdict
    assert words in verdict.message


def test_a_known_symptom_comes_before_the_general_one():
    table = {0.84: "the brevity penalty is missing."}
    assert "brevity penalty" in check.value(0.84, 0.42, symptoms=table).message
    tests = [(lambda x: x > 1, "a probability can't exceed one.")]
    assert "exceed one" in check.value(1.5, 0.42, symptoms=tests).message
    assert "is a str" in check.value("much", 0.42, symptoms=tests).message


@pytest.mark.parametrize("kind", [check.value, check.tensor])
def test_a_stub_is_not_answered_yet(kind):
    verdict = kind(..., torch.ones(2))
    assert not verdict
    assert verdict.message.startswith("Not answered yet")


ATTENTION = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4]])


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ([[0.7]], "is a list, and should be a tensor"),
        (ATTENTION[:2], "shape (2, 3): it should be (3, 3)"),
        (ATTENTION[None], "a dimension of size one is too many"),
        (ATTENTION.T, "transposed"),
        (ATTENTION * 0, "zero"),
        (ATTENTION[:1].expand(3, 3), "all its rows are equal"),
        (ATTENTION * math.nan, "NaN"),
        (ATTENTION.softmax(0), "its columns do"),
        (ATTENTION + 1, "rows do not sum to one"),
        (ATTENTION > 0.2, "holds torch.bool, and should hold torch.float32"),
        (
            torch.tensor([[0.7, 0.2, 0.1], [0.8, 0.1, 0.1], [0.3, 0.3, 0.4]]),
            "2 of 9 entries are wrong; the first, at (1, 0), is 0.8, and should be 0.1",
        ),
    ],
)
def test_a_wrong_tensor_shows_its_symptom(answer, words):
    verdict = check.tensor(answer, ATTENTION)
    assert not verdict
    assert words in verdict.message


def test_swapped_dimensions_and_a_constant_factor_are_recognized():
    expected = torch.arange(6.0).reshape(2, 3)
    assert "swapped" in check.tensor(expected.T, expected).message
    assert "8 times" in check.tensor(8 * expected, expected).message


def test_an_inverted_mask_is_recognized():
    mask = torch.ones(3, 3, dtype=torch.bool).tril()
    assert check.tensor(mask, mask)
    assert "exchanged" in check.tensor(~mask, mask).message
    assert "transposed" in check.tensor(mask.T, mask).message


def test_arrays_and_tensors_are_alike():
    assert check.tensor(np.eye(2), torch.eye(2))
    assert check.value(torch.tensor(0.42), 0.42)
    assert check.value(np.float32(0.42), 0.42)


def double(x):
    return 2 * x


def test_a_function_is_tried_on_every_case(capsys):
    assert check.function(double, [((1,), 2), ((2,), 4)])
    assert capsys.readouterr().out == "Right: double is right in 2 cases.\n"


@pytest.mark.parametrize(
    ("candidate", "words"),
    [
        (..., "Not answered yet"),
        (lambda x: ..., "Not answered yet"),
        (7, "should be a function"),
        (lambda x: None, "returns None"),
        (lambda x: x + 2, "f(3) is 5"),
        (lambda x: x / 0, "f(1) raises ZeroDivisionError"),
        (lambda: 0, "raises TypeError"),
    ],
)
def test_a_wrong_function_shows_the_case(candidate, words, capsys):
    verdict = check.function(candidate, [((1,), 3), ((3,), 9)], name="f")
    assert not verdict
    assert words in verdict.message
    assert capsys.readouterr().out.count("\n") == 1


def test_a_property_is_checked_with_its_sentence():
    assert check.that(True, "never shown")
    assert "longer than" in check.that(False, "it is longer than the reference.").message
    assert not check.that(..., "never shown")


def test_a_verdict_displays_nothing_by_itself(capsys):
    verdict = check.value(1, 1)
    capsys.readouterr()
    assert verdict._ipython_display_() is None
    assert capsys.readouterr().out == ""
