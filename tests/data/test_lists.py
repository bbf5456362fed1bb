"""What an instruction asks for can be carried out, and lists and programs of any length drawn."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encdec.data import lists
from encdec.data.lists import (
    EOS,
    LETTERS,
    STEPS,
    SYMBOLS,
    carry_out,
    decode,
    draw,
    draw_steps,
    encode,
)

some_letters = st.text(alphabet=LETTERS, min_size=1, max_size=12)
some_steps = st.lists(st.sampled_from(sorted(STEPS)), min_size=1, max_size=5)


def test_each_step_does_what_its_name_says():
    answers = {step: carry_out([step], "dacb") for step in STEPS}
    assert answers == {
        "copy": ["dacb"],
        "reverse": ["bcad"],
        "sort": ["abcd"],
        "rotate": ["acbd"],
        "swap": ["adcb"],
    }
    assert [carry_out([step], "d") for step in STEPS] == [["d"]] * len(STEPS)


def test_steps_are_carried_out_in_order():
    assert carry_out(["reverse", "swap"], "dac") == ["cad", "acd"]
    assert carry_out(["swap", "reverse"], "dac") == ["adc", "cda"]
    assert carry_out([], "dac") == []


@given(some_steps, some_letters)
def test_no_step_loses_or_invents_a_letter(steps, letters):
    for after in carry_out(steps, letters):
        assert sorted(after) == sorted(letters)


@given(some_letters)
def test_undoing(letters):
    for step, times in (("reverse", 2), ("swap", 2), ("rotate", len(letters))):
        assert carry_out([step] * times, letters)[-1] == letters


@given(st.integers(1, 26), st.integers(0, 10**6))
def test_a_drawn_list_repeats_nothing(length, seed):
    letters = draw(length, random.Random(seed))
    assert len(letters) == len(set(letters)) == length
    assert letters == draw(length, random.Random(seed))


@given(some_steps, some_letters)
def test_ids_can_be_read_back(steps, letters):
    answer = carry_out(steps, letters)
    source, labels = encode(steps, letters)
    assert [SYMBOLS[i] for i in source] == [*steps, *letters, "</s>"]
    assert decode(labels) == answer[-1]
    assert decode([lists.PAD, *labels, 9, 9]) == answer[-1]  # start in front, more after the end
    shown = encode(steps, letters, show_steps=True)
    assert shown.input_ids == source
    assert decode(shown.labels).split(lists.THEN) == answer
    assert shown.labels[-1] == EOS


@given(st.integers(0, 5), st.integers(0, 10**6))
def test_a_drawn_instruction_has_as_many_real_steps_as_asked_for(real, seed):
    steps = draw_steps(real, 5, random.Random(seed))
    assert len(steps) == 5
    assert sum(step != "copy" for step in steps) == real
    some = draw_steps(5, 5, random.Random(seed), ["copy", "reverse"])
    assert some == ["reverse"] * 5
    assert set(draw(4, random.Random(seed), alphabet=4)) == set("abcd")


def test_a_step_among_the_letters_is_seen():
    assert decode([SYMBOLS.index(s) for s in ("a", "sort", "b")]) == "a?b"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: carry_out(["sort", "shuffle"], "ab"), "'shuffle'"),
        (lambda: encode(["shuffle"], "ab"), "'shuffle'"),
        (lambda: draw(0, random.Random(0)), "length=0 must be from 1 to"),
        (lambda: draw(27, random.Random(0)), "length=27"),
        (lambda: draw(5, random.Random(0), alphabet=4), "alphabet=4"),
        (lambda: draw_steps(6, 5, random.Random(0)), "real=6 must be from 0 to slots=5"),
    ],
)
def test_what_is_wrong_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
