from pathlib import Path

import pytest
import yaml

from encdec.recipe import RecipeError, load_recipe

RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*.yaml"))


@pytest.fixture
def content():
    return yaml.safe_load(RECIPES[0].read_text(encoding="utf8"))


@pytest.fixture
def written(tmp_path):
    def write(content):
        path = tmp_path / "recipe.yaml"
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return path

    return write


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_is_valid_and_named_like_its_file(path):
    recipe = load_recipe(path)
    assert recipe.name == path.stem
    assert recipe.smoke().model.d_model < recipe.model.d_model


def test_a_recipe_survives_being_stored_beside_its_model(written):
    recipe = load_recipe(RECIPES[0])
    assert load_recipe(written(recipe.model_dump(mode="json"))) == recipe


def test_an_unknown_key_is_named_with_the_known_ones(written, content):
    content["optimization"]["learning_rat"] = 1.0
    with pytest.raises(
        RecipeError, match=r"'optimization.learning_rat'; known are .*learning_rate"
    ):
        load_recipe(written(content))


def test_an_unknown_key_at_the_top_is_named(written, content):
    with pytest.raises(RecipeError, match=r"unknown key 'colour'; known are name, description"):
        load_recipe(written(content | {"colour": "red"}))


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        ("optimization", "epochs", "ten", "optimization.epochs = 'ten' is wrong"),
        ("optimization", "epochs", 0, "greater than 0"),
        ("optimization", "learning_rate", "2e-3", "valid number"),
        ("model", "dropout", 1.5, "less than 1"),
        ("data", "corpus", "wmt", "tatoeba"),
    ],
)
def test_a_wrong_value_is_named(written, content, section, key, value, message):
    content[section][key] = value
    with pytest.raises(RecipeError, match=message):
        load_recipe(written(content))


def test_a_missing_key_is_named(written, content):
    del content["model"]["d_model"]
    with pytest.raises(RecipeError, match=r"'model.d_model' is missing"):
        load_recipe(written(content))


@pytest.mark.parametrize("text", ["- a\n- b\n", "", "a: [1", "!!python/object:os.system {}"])
def test_what_is_not_a_mapping_is_refused(written, text):
    with pytest.raises(RecipeError, match="recipe.yaml"):
        load_recipe(written(text))


def test_a_missing_recipe_is_one_sentence():
    with pytest.raises(RecipeError, match="nowhere.yaml does not exist"):
        load_recipe("nowhere.yaml")
