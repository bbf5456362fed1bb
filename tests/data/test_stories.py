"""The source of stories knows its own probabilities, and what it writes is possible."""

import math
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encdec.data import stories
from encdec.data.stories import (
    END,
    WORDS,
    answers,
    chances,
    decode,
    draw,
    encode,
    is_possible,
    next_words,
)

SEEDS, PEOPLE = st.integers(0, 10**6), st.integers(1, 3)


@given(SEEDS, PEOPLE)
def test_a_story_is_possible_and_its_words_are_known(seed, people):
    story = draw(random.Random(seed), people)
    assert is_possible(story, people)
    assert all(0 < chance <= 1 for chance in chances(story, people))
    assert decode(encode(story)) == story
    assert sum(word in stories.NAMES for word in story) >= people


@given(SEEDS, PEOPLE)
def test_the_chances_of_the_next_word_add_up_to_one(seed, people):
    story = draw(random.Random(seed), people)
    for place in range(len(story)):
        assert math.isclose(sum(next_words(story[:place], people).values()), 1)
    assert next_words(story, people) == {}


def test_words_come_as_often_as_the_source_says():
    generator = random.Random(0)
    firsts = Counter(draw(generator)[0] for _ in range(4000))
    assert set(firsts) == set(stories.NAMES)
    assert all(abs(count / 4000 - 1 / 8) < 0.03 for count in firsts.values())


def test_a_wrong_answer_makes_a_story_impossible():
    right = "Ada has a red kite . who has the kite ? Ada . what colour is the kite ? red .".split()
    assert is_possible([*right, END])
    assert answers(right) == [11, 19]
    assert not is_possible(right)  # it has no end
    assert not is_possible([])
    wrong = [*right[:11], "Ben", *right[12:], END]
    assert chances(wrong)[:11] == chances(right)[:11]
    assert set(chances(wrong)[11:]) == {0.0}


def test_with_two_people_the_answer_is_the_one_who_has_the_thing():
    story = "Ada has a red kite . Ben has a blue drum . who has the drum ?".split()
    assert next_words(story, 2) == {"Ben": 1.0}
    assert next_words(story[:-1], 2) == {"?": 1.0}


def test_decoding_stops_at_the_end():
    assert decode([0, *encode(["Ada", "has", END])[1:], 5, 6]) == ["Ada", "has", END]
    assert decode(encode(["Ada", "has"])) == ["Ada", "has"]
    assert len(set(WORDS)) == len(WORDS)


def test_an_unknown_word_is_named():
    with pytest.raises(ValueError, match="'Zoe' is not among the"):
        encode(["Zoe"])
