import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

import small
from encdec import scoring
from encdec.answers import Answerer
from encdec.corpora import Corpora
from encdec.experiment import Experiment
from encdec.objectives import restore_spans, span_corruption, text_infilling
from encdec.recipe import DenoisingRecipe
from encdec.scoring import (
    aligned,
    denoising,
    first_of_their_kind,
    held_out_windows,
    language_model,
    log_probabilities,
    reports,
    restored,
    skills,
    stutters,
    summaries,
    translation,
)

tokens = st.lists(st.integers(0, 4), max_size=7)


def edits(text, answer):
    """Edit distance by its definition."""
    if not text or not answer:
        return len(text) + len(answer)
    return min(
        edits(text[1:], answer[1:]) + (text[0] != answer[0]),
        edits(text[1:], answer) + 1,
        edits(text, answer[1:]) + 1,
    )


@given(tokens, tokens)
def test_an_alignment_is_of_equal_tokens_in_order_and_among_the_cheapest(text, answer):
    found = aligned(text, answer)
    assert all(text[i] == answer[j] for i, j in found)
    for (i, j), (k, m) in pairwise(found):
        assert i < k
        assert j < m
    # between two equal pairs, all else is replaced as far as it goes, or inserted or deleted
    cost, before = 0, (-1, -1)
    for pair in [*found, (len(text), len(answer))]:
        gaps = [b - a - 1 for a, b in zip(before, pair, strict=True)]
        cost, before = cost + max(gaps), pair
    assert cost == edits(text, answer)


ORIGINAL = [*range(10, 40)]


@pytest.fixture
def infilled():
    return text_infilling(
        ORIGINAL, np.random.default_rng(0), noise_density=0.3, mask_token_id=1, eos_token_id=2
    )


def test_the_text_itself_restores_everything(infilled):
    assert restored(infilled, ORIGINAL) == len(infilled.hidden) == 9


def test_leaving_the_masks_out_restores_nothing(infilled):
    visible = [token for token in infilled.input_ids if token > 2]
    assert restored(infilled, visible) == 0
    assert restored(infilled, []) == 0


def test_a_wrong_token_costs_itself_alone(infilled):
    wrong = infilled.hidden[3]
    answer = [99 if place == wrong else token for place, token in enumerate(ORIGINAL)]
    assert restored(infilled, answer) == 8


def test_a_missing_token_does_not_shift_the_others(infilled):
    shorter = [token for place, token in enumerate(ORIGINAL) if place != infilled.hidden[0]]
    assert restored(infilled, shorter) == 8


def test_a_wrong_visible_token_does_not_count(infilled):
    visible = next(place for place in range(30) if place not in infilled.hidden)
    answer = [99 if place == visible else token for place, token in enumerate(ORIGINAL)]
    assert restored(infilled, answer) == 9


def test_what_sentinels_stand_for_is_put_back_first():
    sentinels = [100, 101, 102, 103, 104]
    example = span_corruption(
        ORIGINAL, np.random.default_rng(1), sentinels=sentinels, eos_token_id=2
    )
    whole = restore_spans(
        example.input_ids, example.labels, sentinels=sentinels, eos_token_id=2, strict=False
    )
    assert restored(example, whole) == len(example.hidden)


def test_as_many_are_first_of_their_kind_as_there_are_kinds():
    assert first_of_their_kind(["a", "b", "a", "a", "c"]) == [True, True, False, False, True]


@pytest.mark.parametrize(
    ("row", "stuttering"),
    [([], False), ([1, 1], False), ([1, 1, 1], True), ([1, 1, 2, 1], False), ([2, 1, 1, 1], True)],
)
def test_a_stutter_is_three_times_running(row, stuttering):
    assert stutters(row) is stuttering


def test_skills_are_those_of_the_last_stage_in_order():
    denoising = {"denoising": {"objective": "span_corruption", "texts": ("prose",)}}
    french, german = (
        {"translation": {"source": "en", "target": target}} for target in ("fr", "de")
    )
    mixture = [french, denoising, {"instructions": {"examples": 5}}, german, denoising]
    found = skills(small.recipe("t5", mixture))
    assert list(found) == ["translation en-fr", "denoising", "instructions", "translation en-de"]
    assert len(found["denoising"]) == 2


def test_reports_are_found_at_the_top_and_below():
    report = {"scores": {}, "test": {}}
    assert reports({"name": "x", **report}) == {"": {"name": "x", **report}}
    nested = {"name": "x", "training": {"steps": 1}, "summaries": report, "denoising": report}
    assert list(reports(nested)) == ["summaries", "denoising"]


@pytest.fixture
def model(corpus, monkeypatch, tmp_path):
    """An untrained model of a family, and the corpora it would learn from."""
    small.use(monkeypatch, corpus)

    def make(family, kind, **evaluation):
        recipe = small.recipe(family, [kind])
        settings = recipe.evaluation.model_copy(update=evaluation)
        recipe = recipe.model_copy(update={"evaluation": settings})
        Experiment.from_recipe(recipe).save(tmp_path)
        return recipe.ingredients[0].kind, Corpora(recipe.held_out), Answerer.load(tmp_path, recipe)

    return make


TRANSLATION = {"translation": {"source": "en", "target": "fr", "prefix": "say: "}}
SUMMARIES = {"summaries": {"source_limit": 40}}


def echo(monkeypatch, answers):
    """Let a model answer what it is told, in the order in which it is asked."""
    monkeypatch.setattr(
        Answerer, "systems", lambda self, texts, limit=None: {"greedy": answers(texts)}
    )
    monkeypatch.setattr(Answerer, "texts", lambda self, rows: rows)


def test_a_perfect_translator_scores_a_hundred(model, monkeypatch):
    kind, corpora, answerer = model("t5", TRANSLATION)
    known = {kind.prefix + pair.source: pair.target for pair in corpora.pairs(kind).test}
    echo(monkeypatch, lambda texts: [known[text] for text in texts])
    monkeypatch.setattr(scoring, "_phrasebook", lambda kind, model: {})
    report = translation(kind, corpora, answerer)
    assert [score["value"] for score in report["scores"]["greedy"]] == [100, 100]
    assert report["scores"]["baseline: source copied"][0]["value"] < 50
    assert report["test"]["references"] == len(corpora.pairs(kind).test)
    assert report["splits"] == corpora.pairs(kind).summary()


def test_a_perfect_summary_scores_a_hundred_and_the_baselines_do_not(model, monkeypatch):
    kind, corpora, answerer = model("pegasus", SUMMARIES)
    answers = [docstring.summary for docstring in corpora.docstrings.test[:12]]
    echo(monkeypatch, lambda texts: answers)
    report = summaries(kind, corpora, answerer)
    assert [score["value"] for score in report["scores"]["greedy"]] == [100, 100, 100]
    assert 0 < report["scores"]["baseline: function name"][0]["value"] < 100
    assert report["distinct"]["greedy"]["value"] == 100
    assert report["stutters"]["greedy"]["value"] == 0


def test_one_summary_for_all_is_seen_by_its_share_of_distinct_ones(model, monkeypatch):
    kind, corpora, answerer = model("pegasus", SUMMARIES)
    echo(monkeypatch, lambda texts: ["The the the thing."] * len(texts))
    report = summaries(kind, corpora, answerer)
    assert report["distinct"]["greedy"]["value"] == pytest.approx(100 / 12, abs=0.01)


def test_summaries_of_lowest_risk_stand_beside_the_others_if_they_are_asked_for(model):
    report = summaries(*model("pegasus", SUMMARIES, samples=3))
    systems = ["beam 2", "greedy", "lowest risk of 3"]
    baselines = ["baseline: lead sentence", "baseline: function name"]
    assert list(report["scores"]) == systems + baselines
    assert list(report["distinct"]) == list(report["stutters"]) == systems


SPANS = {"denoising": {"objective": "span_corruption", "texts": ("prose",), "window": 40}}


def test_a_model_that_knows_the_answer_restores_everything(model, monkeypatch):
    kind, corpora, answerer = model("t5", SPANS)
    windows = {tuple(e.input_ids): e for e in held_out_windows(kind, "prose", corpora, answerer)}
    monkeypatch.setattr(
        Answerer, "write", lambda self, rows, **o: [windows[tuple(row)].labels for row in rows]
    )
    report = denoising([(kind, "prose")], corpora, answerer)
    (scores, baseline) = report["scores"].values()
    assert scores[0]["value"] == 100
    assert baseline[0]["value"] < 50
    assert report["test"]["windows"] == {"span corruption, prose": 12}


def test_held_out_windows_are_held_out(model):
    kind, corpora, answerer = model("t5", SPANS)
    known = {" ".join(document) for document in corpora.documents("prose", "test")}
    for example in held_out_windows(kind, "prose", corpora, answerer):
        text = answerer.tokenizer.decode(example.tokens)
        assert any(text[1:-1] in one or one in text for one in known)


LANGUAGE = {"denoising": {"objective": "causal_lm", "texts": ("english",), "window": 30}}


def test_log_probabilities_are_the_librarys(model, tmp_path):
    kind, corpora, answerer = model("gpt2", LANGUAGE)
    examples = held_out_windows(kind, "english", corpora, answerer)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
    for example, nats in zip(examples, log_probabilities(examples, answerer), strict=True):
        ids = torch.tensor([example.input_ids + example.labels])
        with torch.inference_mode():
            loss = theirs(ids, labels=ids).loss  # mean over all but the first token
        assert nats == pytest.approx(-loss.item() * len(example.labels), rel=1e-4)


def test_perplexity_is_between_one_and_the_vocabulary_and_beside_unigrams(model):
    kind, corpora, answerer = model("gpt2", LANGUAGE)
    report = language_model([(kind, "english")], corpora, answerer)
    by_token, by_byte = report["scores"]["english"]
    assert by_token["value"] == pytest.approx(len(answerer.tokenizer), rel=0.3)  # untrained
    tokens_in_a_byte = math.log(by_byte["value"]) / math.log(by_token["value"])
    assert 0 < tokens_in_a_byte < 1
    unigrams = report["scores"]["baseline: unigrams, english"][0]
    assert 1 < unigrams["value"] < by_token["value"]


def test_a_text_without_a_window_is_named(model):
    _, corpora, answerer = model("gpt2", LANGUAGE)
    few = Corpora(corpora.held_out)
    few.documents = lambda text, split: [["a"]]
    with pytest.raises(ValueError, match="no window of held-out english for causal_lm"):
        held_out_windows(DenoisingRecipe(**LANGUAGE["denoising"]), "english", few, answerer)
