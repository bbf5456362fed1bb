"""What is hidden can be found from what is left, and from one side only where the page says so."""

import random

import pytest

from encdec.data.agreement import (
    IDS,
    LENGTH,
    PAIRS,
    SENTENCES,
    WORDS,
    blanks,
    decode,
    encode,
    fits,
    hide,
    noun_of,
    sentence,
)


def fitting(shown):
    """Sentences that agree with all words shown."""
    return [each for each in SENTENCES if fits(shown, each)]


def test_words_are_distinct_and_sentences_are_made_of_them():
    assert len(set(WORDS)) == len(WORDS) == len(IDS)
    assert len(set(SENTENCES)) == len(SENTENCES) == 12 * 6 * 2
    assert all(len(each) == LENGTH for each in SENTENCES)
    for each in SENTENCES:
        assert decode(encode(each)).split() == list(each)


def test_a_sentence_agrees_in_number():
    assert sentence("wolf", "old", plural=True) == "these old wolves howl slowly".split()
    assert sentence("bee", "shy", plural=False) == "this shy bee hums quietly".split()


def test_what_is_hidden_can_be_found_if_it_should():
    generator = random.Random(0)
    for each in SENTENCES:
        hidden = blanks(generator)
        assert 1 <= len(hidden) <= 3
        assert fitting(hide(each, hidden)) == [each]
    open_ones = [fitting(hide(SENTENCES[0], blanks(generator, solvable=False))) for _ in range(60)]
    assert any(len(found) > 1 for found in open_ones)


def test_a_noun_and_its_verb_say_the_same_but_for_their_place():
    each = sentence("dog", "old", plural=True)
    assert len(fitting(hide(each, {0, 2}))) == 1
    assert len(fitting(hide(each, {2, 3}))) == len(PAIRS)


def test_an_unknown_word_is_named():
    with pytest.raises(ValueError, match="unknown word 'unicorn'"):
        encode("this old unicorn")


def test_what_is_shown_fits_or_not():
    each = sentence("wolf", "shy", plural=True)
    assert fits("these ___ wolves ___ ___".split(), each)
    assert not fits("this ___ wolves ___ ___".split(), each)
    assert not fits(each[:4], each)
    assert [noun_of(words) for words in SENTENCES[::12]] == list(PAIRS)
