import re

import pytest

from encdec.data.captions import PEOPLE, draw_captions
from encdec.data.parallel import Pair


def test_captions_are_french_that_agrees():
    drawn = draw_captions(90_000, seed=0) + draw_captions(30_000, seed=0, split="test")
    known = dict(drawn)
    for caption in (
        Pair(
            "A woman in a white dress is sitting on a bench.",
            "Une femme vêtue d'une robe blanche est assise sur un banc.",
        ),
        Pair(
            "Two men in black hats are sitting near a river.",
            "Deux hommes vêtus d'un chapeau noir sont assis près d'une rivière.",
        ),
        Pair("Two girls are sitting on the beach.", "Deux filles sont assises sur la plage."),
        Pair("A boy is reading a book under a tree.", "Un garçon lit un livre sous un arbre."),
    ):
        assert known[caption.source] == caption.target


def test_no_caption_is_in_both_splits():
    train = {pair.source for pair in draw_captions(10_000, seed=0)}
    test = {pair.source for pair in draw_captions(2_000, seed=1, split="test")}
    assert len(test) > 1_000
    assert not train & test


def test_the_same_seed_draws_the_same_captions():
    assert draw_captions(50, seed=3) == draw_captions(50, seed=3)
    assert draw_captions(50, seed=3) != draw_captions(50, seed=4)
    assert draw_captions(0, seed=0) == []


def test_participles_and_verbs_follow_the_person():
    endings = {person.french.capitalize(): person.ending for person in PEOPLE}
    for english, french in draw_captions(3_000, seed=5):
        person = next(name for name in endings if french.startswith(name + " "))
        ending = endings[person]
        if found := re.search(r"vêtu(\w*) ", french):
            assert found[1] == ending
        if found := re.search(r"assis(\w*) ", french):
            assert found[1] == ("" if ending == "s" else ending)
        assert (
            (" are " in english)
            == ending.endswith("s")
            == bool(re.search(r"\b(sont|font|\w+ent)\b", french))
        )


def test_bad_wishes_are_explained():
    with pytest.raises(ValueError, match="number=-1: a number of captions is 0 or more"):
        draw_captions(-1, 0)
    with pytest.raises(ValueError, match="unknown split 'validation': it is train or test"):
        draw_captions(1, 0, split="validation")
