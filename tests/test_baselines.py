import pytest

from encdec.baselines import TranslationMemory, copy_source
from encdec.data.parallel import Pair

PAIRS = [
    Pair("The dog sleeps.", "Le chien dort."),
    Pair("The sea is cold.", "La mer est froide."),
    Pair("The sea is cold.", "L'eau est froide."),
]


def test_the_translation_memory_finds_the_nearest_sentence():
    memory = TranslationMemory(PAIRS)
    assert memory("Is the sea warm?") == "La mer est froide."
    assert memory("the DOG sleeps") == "Le chien dort."


@pytest.mark.parametrize("source", ["Zebra", "", "?!"])
def test_without_a_known_word_it_says_nothing(source):
    assert TranslationMemory(PAIRS)(source) == ""


def test_every_training_sentence_finds_itself(corpus):
    memory = TranslationMemory(corpus)
    assert all(memory(pair.source) == pair.target for pair in corpus)


def test_rare_words_weigh_more_than_frequent_ones():
    pairs = [Pair(f"the {word}", word) for word in ("cat", "dog", "sea")]
    assert TranslationMemory(pairs)("the the the sea") == "sea"


def test_copying_changes_nothing():
    assert copy_source(["Zebra"]) == ["Zebra"]
