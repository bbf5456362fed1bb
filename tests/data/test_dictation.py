"""What is dictated can be written down, and every length can be asked for."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encdec.data import dictation
from encdec.data.dictation import EOS, SYMBOLS, WORDS, decode, dictate, draw, encode, write_down


def test_a_number_is_said_as_people_say_it():
    assert dictate("770222") == "double seven oh triple two".split()
    assert dictate("99999") == "triple nine double nine".split()
    assert dictate("") == []


@given(st.text(alphabet="0123456789", max_size=30))
def test_writing_down_undoes_dictating(digits):
    assert write_down(dictate(digits)) == digits


@given(st.integers(1, 20), st.integers(0, 10**6))
def test_a_drawn_number_takes_as_many_words_as_asked_for(words, seed):
    assert len(dictate(draw(words, random.Random(seed)))) == words


def test_the_same_generator_draws_the_same_and_all_forms_occur():
    first, second = (
        [draw(8, generator) for _ in range(50)]
        for generator in (random.Random(3), random.Random(3))
    )
    assert first == second
    assert len(set(first)) == 50
    assert {word for digits in first for word in dictate(digits)} == set(WORDS[2:])


@given(st.text(alphabet="0123456789", max_size=12))
def test_ids_can_be_read_back(digits):
    source, labels = encode(digits)
    assert [WORDS[i] for i in source] == [*dictate(digits), "</s>"]
    assert labels[-1] == source[-1] == EOS
    assert decode(labels) == digits
    assert decode([dictation.PAD, *labels, 5, 5]) == digits  # start in front, more after the end
    assert decode(labels[:-1]) == digits  # no end
    assert max(labels) < len(SYMBOLS)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dictate("12a"), "'a'"),
        (lambda: write_down(["hello"]), "'hello'"),
        (lambda: write_down(["double", "double", "one"]), "'double' where a digit's name"),
        (lambda: write_down(["triple"]), "ends with 'triple'"),
        (lambda: draw(0, random.Random(0)), "words=0 must be at least 1"),
    ],
)
def test_what_is_wrong_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
