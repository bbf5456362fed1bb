from pathlib import Path

import pytest
import yaml

from encdec.recipe import RecipeError, load_recipe

RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*.yaml"))


@pytest.fixture
def content():
    path = next(path for path in RECIPES if path.stem == "marian-en-fr")
    return yaml.safe_load(path.read_text(encoding="utf8"))


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
    smoke = recipe.smoke()
    assert not smoke.publish
    assert [stage.name for stage in smoke.stages] == [stage.name for stage in recipe.stages]
    if recipe.model:
        assert smoke.model.d_model < recipe.model.d_model
    else:
        assert smoke.init_from == f"{recipe.init_from}-smoke"


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_survives_being_stored_beside_its_model(path, written):
    recipe = load_recipe(path)
    assert load_recipe(written(recipe.model_dump(mode="json", exclude_none=True))) == recipe


def test_what_a_recipe_starts_from_has_a_recipe_too():
    names = {path.stem for path in RECIPES}
    assert {recipe.init_from for recipe in map(load_recipe, RECIPES)} - {None} <= names


def test_an_unknown_key_is_named_with_the_known_ones(written, content):
    content["stages"][0]["learning_rat"] = 1.0
    with pytest.raises(
        RecipeError, match=r"'stages.0.learning_rat'; known are name, mixture, .*learning_rate"
    ):
        load_recipe(written(content))


def test_an_unknown_key_of_an_ingredient_is_named(written, content):
    content["stages"][0]["mixture"][0]["translation"]["sauce"] = "en"
    with pytest.raises(RecipeError, match=r"mixture.0.translation.sauce'; known are .*source"):
        load_recipe(written(content))


def test_an_unknown_ingredient_is_named(written, content):
    content["stages"][0]["mixture"][0] = {"poetry": {}}
    with pytest.raises(RecipeError, match=r"mixture.0.poetry'; known are translation, denoising"):
        load_recipe(written(content))


@pytest.mark.parametrize("ingredient", [{}, {"instructions": {"examples": 1}, "summaries": {}}])
def test_an_ingredient_is_one_thing(written, content, ingredient):
    content["stages"][0]["mixture"][0] = ingredient
    with pytest.raises(RecipeError, match="stages.0.mixture.0: an ingredient names exactly one of"):
        load_recipe(written(content))


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"tasks": ["plural", "cooking"]}, "unknown task 'cooking': the tasks are number_in_"),
        ({"tasks": ["opposite"]}, "no task of the split 'train' is among opposite"),
        ({"templates": 7}, "templates=7: training has 1 to 6 templates"),
    ],
)
def test_instructions_are_of_tasks_and_templates_that_there_are(written, content, chosen, message):
    ingredient = {"instructions": {"examples": 5}}
    content["stages"][0]["mixture"][0] = ingredient
    assert load_recipe(written(content)).ingredients[0].kind.examples == 5
    ingredient["instructions"] |= chosen
    with pytest.raises(RecipeError, match=message):
        load_recipe(written(content))


def test_an_objective_fits_the_architecture(written, content):
    denoising = {"denoising": {"objective": "span_corruption", "texts": ["prose"]}}
    content["stages"][0]["mixture"] = [denoising]
    with pytest.raises(RecipeError, match="'marian' can't learn objective='span_corruption'"):
        load_recipe(written(content))
    content["architecture"] = "bart"
    with pytest.raises(RecipeError, match="only text_infilling or shuffle_and_infill"):
        load_recipe(written(content))
    content["architecture"] = "t5"
    assert load_recipe(written(content)).ingredients[0].kind.window == 64


def test_stages_have_names_of_their_own(written, content):
    content["stages"][1]["name"] = content["stages"][0]["name"]
    with pytest.raises(RecipeError, match="each needs a name of its own"):
        load_recipe(written(content))


def test_a_start_brings_tokenizer_and_sizes(written, content):
    with pytest.raises(RecipeError, match="tokenizer comes from init_from='bart': leave it out"):
        load_recipe(written(content | {"init_from": "bart"}))
    del content["tokenizer"]
    with pytest.raises(RecipeError, match="the key 'tokenizer' is missing, or init_from"):
        load_recipe(written(content))


def test_a_decoder_alone_has_no_encoder(written, content):
    with pytest.raises(RecipeError, match="'gpt2' has no model.encoder_layers"):
        load_recipe(written(content | {"architecture": "gpt2"}))
    del content["model"]["encoder_layers"]
    with pytest.raises(RecipeError, match="'marian' needs model.encoder_layers"):
        load_recipe(written(content))


def test_heads_divide_the_width(written, content):
    content["model"]["num_heads"] = 5
    with pytest.raises(RecipeError, match="model: num_heads=5 must divide d_model=192"):
        load_recipe(written(content))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: 1\nname: a\nseed: 2\n", "the key 'seed' stands twice, in line 1 and in line 3"),
        ("model: {d_ff: 8, d_ff: 9}\n", "the key 'd_ff' stands twice, in line 1 and in line 1"),
        ("stages:\n  - epochs: 1\n    'epochs': 2\n", "the key 'epochs' stands twice, in line 2"),
    ],
)
def test_a_key_that_stands_twice_is_refused(written, text, message):
    with pytest.raises(RecipeError, match=f"recipe.yaml is not readable YAML: {message}") as caught:
        load_recipe(written(text))
    assert str(caught.value).endswith(": keep one of them")


def test_the_same_key_may_stand_in_two_stages(written):
    text = "stages:\n  - epochs: 1\n  - epochs: 1\n"
    with pytest.raises(RecipeError) as caught:
        load_recipe(written(text))
    assert "twice" not in str(caught.value)


def test_an_unknown_key_at_the_top_is_named(written, content):
    with pytest.raises(RecipeError, match=r"unknown key 'colour'; known are name, description"):
        load_recipe(written(content | {"colour": "red"}))


@pytest.mark.parametrize(
    ("place", "key", "value", "message"),
    [
        (("stages", 0), "epochs", "ten", "stages.0.epochs = 'ten' is wrong"),
        (("stages", 0), "epochs", 0, "greater than 0"),
        (("stages", 0), "learning_rate", "2e-3", "valid number"),
        (("stages", 0), "warmup_steps", 2.5, "2.5 is neither a number of steps nor a part"),
        (("stages", 0), "warmup_steps", -1, "greater than or equal to 0"),
        (("stages", 0), "mixture", [], "at least 1"),
        (("stages", 0, "mixture", 0, "translation"), "corpus", "wmt", "tatoeba"),
        (("model",), "dropout", 1.5, "less than 1"),
        ((), "architecture", "rnn", "marian"),
    ],
)
def test_a_wrong_value_is_named(written, content, place, key, value, message):
    section = content
    for part in place:
        section = section[part]
    section[key] = value
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
