"""The recorded runs of chapter 6, taken once around with a few sentences."""

import pytest
import torch

from benchmarks import domains, reranking
from encdec import results, zoo
from encdec.answers import Answerer
from encdec.data.parallel import Pair, Splits
from encdec.recipe import load_recipe

EVERYDAY = [Pair("The cat is black.", "Le chat est noir."), Pair("I am tired.", "Je suis fatigué.")]
CAPTIONS = [Pair("A man is sitting on a bench.", "Un homme est assis sur un banc.")]


@pytest.fixture(scope="module")
def model():
    folder = zoo.models_folder() / "marian-en-fr"
    return Answerer.load(folder, load_recipe(folder / "recipe.yaml"))


def test_a_distance_counts_words_that_training_lacks():
    splits = Splits(EVERYDAY, [], [])
    found = domains.distance(splits, ["The cat is tired!", "A dog barks."])
    assert found["unknown_words"] == pytest.approx(100 * 3 / 7)
    assert found["words_per_sentence"] == 3.5


def test_sentences_are_drawn_at_random_and_always_the_same():
    splits = Splits([], [], [Pair(f"sentence {n}", f"phrase {n % 7}") for n in range(100)])
    some = domains.some(splits, 20)
    assert some == domains.some(splits, 20)
    assert len(some) == 20
    assert list(some) != sorted(some)
    assert len(domains.some(splits, 1000)) == 100


def test_every_model_is_scored_on_every_domain(model):
    corpora = {
        "everyday sentences": Splits(EVERYDAY * 5, [], EVERYDAY),
        "captions": Splits(CAPTIONS * 5, [], CAPTIONS),
    }
    rows = domains.compare({"everyday sentences": model, "captions": model}, corpora, 5)
    assert {(row["trained"], row["tested"]) for row in rows} == {
        (one, other) for one in corpora for other in corpora
    }
    for row in rows:
        nearest = row["scores"]["nearest training sentence"][1]["value"]
        assert (nearest == 100) == (row["trained"] == row["tested"])  # it has seen the answer


def test_every_way_of_choosing_chooses_something_that_the_model_wrote(model):
    chosen = reranking.choose(model, "The cat is black.", 4, torch.Generator().manual_seed(0))
    assert chosen["beam 5"] == model.answer(["The cat is black."])[0]
    assert len(chosen) == 5
    assert all(chosen.values())


def test_the_recorded_runs_say_what_the_chapter_needs():
    rows = results.load("domain-shift")["rows"]
    assert len(rows) == 4
    ways = results.load("reranking")["systems"]
    assert {"greedy", "beam 5", "minimum risk among samples"} <= set(ways)
    assert all(len(row["scores"]) == 2 for row in ways.values())
