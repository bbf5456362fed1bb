from pathlib import Path

import pytest

from encdec import results
from encdec.card import model_card
from encdec.recipe import load_recipe

RECIPES = Path(__file__).parents[1] / "recipes"


@pytest.fixture
def recipe():
    return load_recipe(RECIPES / "marian-en-fr.yaml")


@pytest.fixture
def outcome():
    return results.load("marian-en-fr")


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


def test_lines_are_short_enough_to_read_raw(recipe, outcome):
    prose = [line for line in model_card(recipe, outcome).splitlines() if not line.startswith("|")]
    assert max(map(len, prose)) < 140
