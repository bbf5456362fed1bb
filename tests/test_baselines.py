import pytest

from encdec.baselines import (
    TranslationMemory,
    copy_source,
    function_name,
    identifier_words,
    lead_sentence,
    signature,
)
from encdec.data.docstrings import Docstring
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


FUNCTION = Docstring(
    "sample",
    "KVCache.reorder_rows",
    "def reorder_rows(\n    self, beam_index: Tensor, *, sep: str = ':'\n) -> None:\n    pass",
    "Move rows to where the beams went.",
)


def test_a_function_is_summarised_by_its_name_or_its_signature():
    assert function_name(FUNCTION) == "reorder rows"
    assert lead_sentence(FUNCTION) == "reorder rows self beam index tensor sep str none"


def test_the_lead_of_a_coroutine_begins_with_its_name_too():
    function = FUNCTION._replace(body="async def read(self):\n    await self.x\n    return 1")
    assert lead_sentence(function) == "read self"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("snake_case", "snake case"),
        ("camelCase", "camel case"),
        ("BPEDropout", "bpe dropout"),
        ("HTTPServer_v2", "http server v 2"),
        ("__init__", "init"),
        ("_", ""),
    ],
)
def test_identifiers_fall_into_words(code, words):
    assert identifier_words(code) == words


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            "def f(a: dict[str, int] = {1: 2}) -> int:\n    return a",
            "dict[str, int] = {1: 2}) -> int",
        ),
        ("def f(a='('):\n    return a", "def f(a='('):"),
    ],
)
def test_a_signature_ends_at_its_own_colon(body, expected):
    assert signature(body).endswith(expected)
