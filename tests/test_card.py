from pathlib import Path

import pytest

import small
from encdec import results
from encdec.card import figure, model_card, score_rows
from encdec.recipe import load_recipe
from encdec.scoring import reports

RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*.yaml"))
MARIAN = next(path for path in RECIPES if path.stem == "marian-en-fr")


def score(name, value):
    return {"name": name, "value": value, "low": value - 1.5, "high": value + 1.5, "items": 900}


@pytest.fixture
def recipe():
    return load_recipe(MARIAN)


@pytest.fixture
def outcome():
    return results.load("marian-en-fr")


@pytest.fixture
def many():
    """An outcome of several skills, every figure another one."""
    rouge = [score(name, 31.25 + i) for i, name in enumerate(("ROUGE-1", "ROUGE-2", "ROUGE-L"))]
    return {
        "parameters": 3_170_304,
        "seed": 0,
        "training": {"epochs": 11, "steps": 9_876, "minutes": 83.4, "precision": "float32"},
        "summaries": {
            "test": {"docstrings": 1_392, "decoding": {}},
            "scores": {"greedy": rouge, "baseline: function name": [score("ROUGE-1", 15.75)]},
            "distinct": {"greedy": score("distinct", 94.25)},
            "stutters": {"greedy": score("stutters", 2.25)},
            "splits": {"train": {"docstrings": 26_874, "packages": 91, "sha256": "0"}},
        },
        "denoising": {
            "test": {"windows": {"prose": 700, "functions": 800}},
            "scores": {"prose": [score("restored", 61.5)]},
        },
        "prompts": {"summarize: x": "Sum it up."},
        "provenance": {"command": "python -m encdec train r.yaml", "hardware": "a computer"},
    }


def test_the_card_states_what_a_user_must_know(recipe, outcome):
    card = model_card(recipe, outcome)
    for word in ("CC BY", "Limits", recipe.name, outcome["provenance"]["command"]):
        assert word in card
    assert f"{outcome['splits']['train']['pairs']:,} training pairs" in card
    for system in outcome["scores"]:
        assert f"| {system} |" in card
    for english, french in outcome["prompts"].items():
        assert f"| {english} | {french} |" in card


def test_every_figure_of_the_card_is_the_recorded_one(recipe, outcome):
    score = outcome["scores"]["greedy"][0]
    changed = model_card(recipe, outcome)
    score["value"] = 12.3
    assert "12.3" not in changed
    assert "12.3" in model_card(recipe, outcome)


def test_every_skill_has_its_table(many):
    mixture = [{"summaries": {}}, {"denoising": {"objective": "span_corruption",
                                                 "texts": ("prose", "german")}}]  # fmt: skip
    card = model_card(small.recipe("t5", mixture), many)
    assert "language: [en, de]" in card
    assert "A T5 model of 3.2 million parameters" in card
    assert "26,874 training docstrings. Test: 1,392 docstrings" in card
    assert "Test: 1,500 windows" in card
    for name, report in reports(many).items():
        assert f"### {name.capitalize()}" in card
        for system, scores in score_rows(report):
            assert f"| {system} | {' | '.join(map(figure, scores))} |" in card
    assert "Distinct, greedy: 94.2 [92.8, 95.8]%." in card
    assert "Stutters, greedy: 2.2 [0.8, 3.8]%." in card
    for corpus in ("Tatoeba", "Docstrings of the Python packages"):
        assert corpus in card
    assert "Multi30k" not in card


def test_a_card_says_what_else_was_learnt_from(recipe, many):
    assert "Beside the functions" not in model_card(recipe, many)
    many["training"]["code"] = {"documented": 9_876, "functions": 1_234, "names": 2_345}
    card = " ".join(model_card(recipe, many).split())
    assert "learnt from 1,234 other functions, 2,345 names of undocumented functions." in card
    many["training"]["code"] = {"libraries": 3_456}
    assert "3,456 functions and classes of other libraries." in model_card(recipe, many)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_lines_of_every_card_are_short_enough_to_read_raw(path, many):
    lines = model_card(load_recipe(path), many).splitlines()
    assert max(len(line) for line in lines if not line.startswith("|")) < 140


def test_a_card_says_how_the_model_is_loaded(many):
    for architecture, words in {
        "gpt2": ("AutoModelForCausalLM", "encdec.DecoderOnly", "GPT-2"),
        "pegasus": ("AutoModelForSeq2SeqLM", "encdec.EncoderDecoder", "Pegasus"),
    }.items():
        card = model_card(small.recipe(architecture, [{"summaries": {}}]), many)
        assert all(word in card for word in words)
    assert "pipeline_tag: summarization" in card


def test_a_card_names_what_the_model_started_from(many):
    changes = {"init_from": "bart", "tokenizer": None, "model": None}
    recipe = small.recipe("bart", [{"instructions": {"examples": 5}}], **changes)
    card = model_card(recipe, many)
    assert "It starts from the weights of bart." in card
    assert "a program can check" in card
