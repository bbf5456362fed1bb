import pytest

from encdec import experiment
from encdec.data.parallel import Pair, Splits
from encdec.experiment import Experiment, marian_config, publish, within
from encdec.recipe import Recipe

SMALL = {
    "name": "tiny",
    "description": "a tiny run",
    "data": {"corpus": "tatoeba", "source": "en", "target": "fr"},
    "tokenizer": {"vocab_size": 200, "dropout": 0.1},
    "model": {
        "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "num_heads": 2, "d_ff": 32,
    },
    "optimization": {
        "epochs": 1, "max_tokens": 400, "learning_rate": 1e-3, "warmup_steps": 2,
        "precision": "float32",
    },
    "refinement": {"epochs": 1, "learning_rate": 1e-3, "warmup_steps": 2, "joined": 0.5},
    "evaluation": {"num_beams": 2, "max_new_tokens": 12, "prompts": ("I see it.",)},
    "publish": True,
}  # fmt: skip


@pytest.fixture
def splits(corpus, monkeypatch):
    """Splits of the small corpus, in the place of the real one."""
    made = Splits(corpus[:240], corpus[240:270], corpus[270:310])
    monkeypatch.setattr(experiment, "load_splits", lambda recipe: made)
    return made


@pytest.fixture
def recipe(tmp_path):
    import yaml

    recipe = Recipe.model_validate(SMALL)
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(recipe.model_dump(mode="json")), encoding="utf8")
    return path


def run(recipe, folder):
    places = {name: folder / name for name in ("runs", "models", "results")}
    return experiment.run(recipe, **places)


def test_a_run_trains_scores_and_publishes(recipe, splits, tmp_path):
    outcome = run(recipe, tmp_path)
    assert outcome["training"]["epochs"] == 2
    assert set(outcome["scores"]) >= {"beam 2", "greedy", "baseline: source copied"}
    assert outcome["test"]["references"] == len(splits.test)
    assert outcome["phrasebook"].keys() == {"first run", "last run"}
    published = {path.name for path in (tmp_path / "models" / "tiny").iterdir()}
    assert published >= {
        "config.json", "model.safetensors", "tokenizer.json", "README.md", "recipe.yaml",
        "training.jsonl", "refinement.jsonl", "scores.json",
    }  # fmt: skip


def test_a_second_run_of_the_same_recipe_gives_the_same_scores(recipe, splits, tmp_path):
    first, second = run(recipe, tmp_path / "a"), run(recipe, tmp_path / "b")
    assert first["scores"] == second["scores"]
    assert first["prompts"] == second["prompts"]


def test_a_finished_run_is_scored_again_without_training(recipe, splits, tmp_path):
    first = run(recipe, tmp_path)
    again = run(recipe, tmp_path)
    assert again["scores"] == first["scores"]
    assert again["training"] == first["training"]


def test_a_saved_model_is_half_precision_and_names_its_recipe(recipe, splits, tmp_path):
    import torch
    from safetensors.torch import load_file

    from encdec.recipe import load_recipe

    experiment_ = Experiment.from_recipe(load_recipe(recipe))
    experiment_.save(tmp_path / "model")
    weights = load_file(tmp_path / "model" / "model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float16}
    assert next(experiment_.model.parameters()).dtype == torch.float32
    assert load_recipe(tmp_path / "model" / "recipe.yaml") == experiment_.recipe


def test_publishing_replaces_the_old_model_as_a_whole(tmp_path):
    new, target = tmp_path / "new", tmp_path / "models" / "m"
    new.mkdir()
    target.mkdir(parents=True)
    (new / "weights").write_text("new")
    (target / "weights").write_text("old")
    (target / "leftover").write_text("old")
    publish(new, target)
    assert [path.name for path in target.iterdir()] == ["weights"]
    assert (target / "weights").read_text() == "new"
    assert [path.name for path in target.parent.iterdir()] == ["m"]


def test_a_failed_publication_leaves_the_old_model(tmp_path, monkeypatch):
    target = tmp_path / "models" / "m"
    target.mkdir(parents=True)
    (target / "weights").write_text("old")

    def full(source, destination):
        raise OSError("No space left on device")

    monkeypatch.setattr(experiment.shutil, "copytree", full)
    with pytest.raises(OSError, match="No space left"):
        publish(tmp_path / "new", target)
    assert (target / "weights").read_text() == "old"


def test_pairs_that_might_not_fit_are_left_out():
    pairs = [Pair("a" * 10, "b"), Pair("a", "b" * 20)]
    assert within(pairs, 15) == pairs[:1]


def test_the_configuration_is_the_recipes(splits):
    made = Experiment.from_recipe(Recipe.model_validate(SMALL))
    config = marian_config(made.recipe.model, made.tokenizer)
    assert config.d_model == 16
    assert config.vocab_size == len(made.tokenizer)
    assert config.decoder_start_token_id == config.pad_token_id == made.tokenizer.pad_token_id
