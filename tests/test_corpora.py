import json
from pathlib import Path

import pytest

import small
from encdec.corpora import Corpora
from encdec.data import libraries
from encdec.data.parallel import TATOEBA, sentence_key, split_by_source
from encdec.recipe import HeldOutRecipe, TranslationRecipe, load_recipe

ROOT = Path(__file__).parents[1]
HELD_OUT = HeldOutRecipe(validation=20, test=30)
LANGUAGES = ("english", "french", "german")


@pytest.fixture
def made(corpus, monkeypatch):
    small.use(monkeypatch, corpus)
    return Corpora(HELD_OUT)


def direction(target):
    return TranslationRecipe(source="en", target=target)


def keys(sentences):
    return {sentence_key(sentence) for sentence in sentences}


def held_out_keys(corpora):
    """Of both sides of every held-out pair, whatever its languages."""
    splits = [corpora.pairs(direction(target)) for target in TATOEBA]
    pairs = [pair for one in splits for pair in (*one.validation, *one.test)]
    return keys(side for pair in pairs for side in pair)


def assert_nothing_leaks(corpora):
    held_out = held_out_keys(corpora)
    assert len(held_out) > 50
    for target in TATOEBA:
        train = corpora.pairs(direction(target)).train
        assert train
        assert not held_out & keys(side for pair in train for side in pair)
    for language in LANGUAGES:
        train = corpora.documents(language, "train")
        assert train
        assert not held_out & keys(s for document in train for s in document)


def test_nothing_that_is_held_out_for_one_language_is_learnt_with_another(made, corpus):
    french, german = (made.pairs(direction(target)) for target in TATOEBA)
    assert keys(p.source for p in french.test) != keys(p.source for p in german.test)
    assert_nothing_leaks(made)


def test_without_the_rule_the_small_corpora_would_leak(corpus, monkeypatch):
    small.use(monkeypatch, corpus)
    loose = Corpora(HELD_OUT.model_copy(update={"both_sides": False}))
    held_out = held_out_keys(loose)
    train = loose.pairs(direction("fr")).train
    assert held_out & keys(side for pair in train for side in pair)
    assert train == split_by_source(corpus, validation=20, test=30).train


def test_the_test_split_is_the_same_with_and_without_the_rule(made, corpus, monkeypatch):
    loose = Corpora(HELD_OUT.model_copy(update={"both_sides": False}))
    for target in TATOEBA:
        assert loose.pairs(direction(target)).test == made.pairs(direction(target)).test


def test_no_sentence_of_the_real_corpora_leaks(corpora, monkeypatch):
    monkeypatch.setenv("ENCDEC_DATA", str(corpora.resolve()))
    assert_nothing_leaks(Corpora(load_recipe(ROOT / "recipes" / "t5.yaml").held_out))


def test_the_recorded_splits_are_the_ones_drawn_here(corpora, monkeypatch):
    """The scores in results/ are for these very sentences."""
    monkeypatch.setenv("ENCDEC_DATA", str(corpora.resolve()))
    for name in ("marian-en-fr", "multi30k-en-fr"):
        recorded = json.loads((ROOT / "results" / f"{name}.json").read_text(encoding="utf8"))
        recipe = load_recipe(ROOT / "recipes" / f"{name}.yaml")
        splits = Corpora(recipe.held_out).pairs(recipe.ingredients[0].translation)
        assert splits.summary() == recorded["splits"], name


def test_asking_for_a_held_out_translation_is_a_leak(made):
    pair = made.pairs(direction("fr")).test[0]
    shouted = pair.source.upper().rstrip(".")
    assert made.leaks(f"Say “{shouted}” in French", pair.target)
    assert made.leaks(f"What does “{pair.target}” mean?", pair.source)
    assert not made.leaks("Say “Good night” in French", pair.target)
    assert not made.leaks(f"Say “{shouted}” in French", "oui")


def test_a_limit_keeps_few_of_each(corpus, monkeypatch):
    small.use(monkeypatch, corpus)
    few = Corpora(HELD_OUT, limit=5)
    assert [len(side) for side in vars(few.pairs(direction("fr"))).values()] == [5, 5, 5]
    for text in (*LANGUAGES, "prose", "functions"):
        assert len(few.documents(text, "train")) == 5


def test_a_smoke_run_fetches_no_libraries(corpus, monkeypatch):
    fetched = []
    small.use(monkeypatch, corpus)
    monkeypatch.setattr(libraries, "fetch_libraries", lambda: fetched.append("all") or [])
    assert len(Corpora(HELD_OUT, limit=3).code("libraries")) == 3
    assert fetched == []
    assert len(Corpora(HELD_OUT).code("libraries")) == 6
    assert fetched == ["all"]


def test_plain_text_comes_as_documents_of_sentences(made):
    docstrings = made.docstrings.test
    assert len(made.documents("functions", "test")) == len(docstrings)
    for document, docstring in zip(made.documents("prose", "test"), docstrings, strict=True):
        assert len(document) == 3
        assert " ".join(document) == docstring.text
    sentences = [s for document in made.documents("english", "train") for s in document]
    assert len(sentences) == len(set(sentences))
