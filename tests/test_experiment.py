import pytest
import torch
import yaml
from safetensors.torch import load_file

import small
from encdec import experiment
from encdec.experiment import Experiment, publish
from encdec.recipe import RecipeError, load_recipe
from encdec.scoring import reports

TRANSLATION = {"translation": {"source": "en", "target": "fr"}}
JOINED = {"translation": {"source": "en", "target": "fr", "joined": 0.5}}
TWO_STAGES = {
    "stages": (
        {"name": "training", "mixture": (TRANSLATION,), **small.OPTIMIZATION},
        {"name": "refinement", "mixture": (JOINED,), **small.OPTIMIZATION},
    ),
    "tokenizer": {"vocab_size": 300, "dropout": 0.1},
    "publish": True,
}


@pytest.fixture(autouse=True)
def corpora(corpus, monkeypatch):
    small.use(monkeypatch, corpus)


def write(recipe, folder):
    path = folder / f"{recipe.name}.yaml"
    content = recipe.model_dump(mode="json", exclude_none=True)
    path.write_text(yaml.safe_dump(content), encoding="utf8")
    return path


@pytest.fixture
def recipe(tmp_path):
    return write(small.recipe(**TWO_STAGES), tmp_path)


def run(recipe, folder, **options):
    places = {name: folder / name for name in ("runs", "models", "results")}
    return experiment.run(recipe, **places, **options)


def test_a_run_trains_scores_and_publishes(recipe, tmp_path):
    outcome = run(recipe, tmp_path)
    assert outcome["training"]["epochs"] == 2
    assert set(outcome["scores"]) >= {"beam 2", "greedy", "baseline: source copied"}
    assert outcome["phrasebook"].keys() == {"first run", "last run"}
    published = {path.name for path in (tmp_path / "models" / "tiny").iterdir()}
    assert published >= {
        "config.json", "model.safetensors", "tokenizer.json", "README.md", "recipe.yaml",
        "training.jsonl", "refinement.jsonl", "scores.json",
    }  # fmt: skip


def test_the_model_after_every_stage_is_kept(recipe, tmp_path):
    run(recipe, tmp_path)
    folder = tmp_path / "runs" / "tiny"
    first, last, final = (
        load_file(path / "model.safetensors")["model.shared.weight"]
        for path in (folder / "training/model", folder / "refinement/model", folder / "model")
    )
    assert not torch.equal(first, last)
    assert torch.equal(last, final)


def test_a_second_run_of_the_same_recipe_gives_the_same_scores(recipe, tmp_path):
    first, second = run(recipe, tmp_path / "a"), run(recipe, tmp_path / "b")
    assert first["scores"] == second["scores"]
    assert first["prompts"] == second["prompts"]


def test_a_finished_run_is_scored_again_without_training(recipe, tmp_path):
    first = run(recipe, tmp_path)
    again = run(recipe, tmp_path)
    assert again["scores"] == first["scores"]
    assert again["training"] == first["training"]


def test_a_run_cut_between_its_stages_ends_as_if_it_had_not_been(recipe, tmp_path):
    run(recipe, tmp_path / "whole")
    tiny = Experiment.from_recipe(load_recipe(recipe))
    tiny.trainer(tiny.recipe.stages[0], tmp_path / "cut/runs/tiny/training").run()
    run(recipe, tmp_path / "cut")
    whole, cut = (
        load_file(tmp_path / name / "runs/tiny/model/model.safetensors")
        for name in ("whole", "cut")
    )
    assert all(torch.equal(whole[name], cut[name]) for name in whole)


def test_weights_are_not_continued_with_other_tokens(recipe, tmp_path):
    run(recipe, tmp_path)
    other = small.recipe(**TWO_STAGES | {"tokenizer": {"vocab_size": 300, "alphabet": 20}})
    weights = tmp_path / "runs" / "tiny" / "training" / "checkpoint.safetensors"
    before = weights.read_bytes()
    with pytest.raises(RecipeError, match="was trained with another tokenizer than tiny now makes"):
        run(write(other, tmp_path), tmp_path)
    assert weights.read_bytes() == before


def test_a_saved_model_is_half_precision_and_names_its_recipe(recipe, tmp_path):
    made = Experiment.from_recipe(load_recipe(recipe))
    made.save(tmp_path / "model")
    weights = load_file(tmp_path / "model" / "model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float16}
    assert next(made.model.parameters()).dtype == torch.float32
    assert load_recipe(tmp_path / "model" / "recipe.yaml") == made.recipe


DENOISING = {
    "t5": ("span_corruption", "prose", {"restored"}),
    "bart": ("shuffle_and_infill", "prose", {"restored"}),
    "pegasus": ("gap_sentences", "prose", {"ROUGE-1", "ROUGE-2", "ROUGE-L"}),
    "gpt2": ("causal_lm", "german", {"perplexity per token", "perplexity per byte"}),
}


@pytest.mark.parametrize("family", DENOISING)
def test_every_family_takes_the_whole_path(family, tmp_path):
    objective, text, metrics = DENOISING[family]
    mixture = [
        {"translation": {"source": "en", "target": "de", "prefix": "de: ", "examples": 30}},
        {"summaries": {"prefixes": ("summarize: ",), "source_limit": 40, "examples": 20}},
        {"denoising": {"objective": objective, "texts": (text,), "examples": 20}},
    ]
    recipe = small.recipe(family, mixture, evaluation={
        "num_beams": 1, "max_new_tokens": 8, "examples": 6, "prompts": ("de: I see it.",),
    })  # fmt: skip
    outcome = run(write(recipe, tmp_path), tmp_path)
    found = reports(outcome)
    denoising = {"gpt2": "language model", "pegasus": "gap sentences"}.get(family, "denoising")
    assert list(found) == ["translation en-de", "summaries", denoising]
    for report in found.values():
        for scores in report["scores"].values():
            for score in scores:
                assert score["low"] <= score["value"] <= score["high"]
    first = next(iter(found[denoising]["scores"].values()))
    assert {score["name"] for score in first} == metrics
    assert outcome["prompts"].keys() == {"de: I see it."}


def base_and_tuned(tmp_path, **changes):
    mixture = [{"denoising": {"objective": "text_infilling", "texts": ("prose",)}}]
    base = write(small.recipe("bart", mixture, name="base", publish=True), tmp_path)
    again = {"stages": ({"name": "tuning", "mixture": ({"summaries": {}},), **small.OPTIMIZATION},)}
    tuned = small.recipe("bart", **again, init_from="base", tokenizer=None, model=None, **changes)
    return base, write(tuned, tmp_path)


def test_a_run_starts_from_another_model(tmp_path):
    base, tuned = base_and_tuned(tmp_path)
    run(base, tmp_path)
    made = Experiment.from_recipe(load_recipe(tuned), base=tmp_path / "models" / "base")
    theirs = load_file(tmp_path / "models" / "base" / "model.safetensors")
    assert torch.equal(made.model.model.shared.weight, theirs["model.shared.weight"].float())
    assert made.tokenizer.model_max_length == 128
    run(tuned, tmp_path)
    assert (tmp_path / "runs" / "tiny" / "model" / "tokenizer.json").read_bytes() == (
        tmp_path / "models" / "base" / "tokenizer.json"
    ).read_bytes()


def test_a_start_that_is_not_there_names_the_recipe_that_makes_it(tmp_path):
    _, tuned = base_and_tuned(tmp_path)
    with pytest.raises(RecipeError, match="base holds no model.*encdec train recipes/base.yaml"):
        run(tuned, tmp_path)


def test_a_start_of_another_family_is_refused(tmp_path):
    base, tuned = base_and_tuned(tmp_path)
    run(base, tmp_path)
    recipe = load_recipe(tuned).model_copy(update={"architecture": "t5"})
    with pytest.raises(RecipeError, match="architecture='t5', but base.* is 'bart'"):
        Experiment.from_recipe(recipe, base=tmp_path / "models" / "base")


def test_a_smoke_run_of_a_start_is_a_smoke_run_too(tmp_path):
    _, tuned = base_and_tuned(tmp_path)
    outcome = run(tuned, tmp_path, smoke=True)
    assert outcome["name"] == "tiny-smoke"
    assert (tmp_path / "runs" / "base-smoke" / "model" / "model.safetensors").exists()
    assert not (tmp_path / "models").exists()


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

    def full(source, destination, **options):
        raise OSError("No space left on device")

    monkeypatch.setattr(experiment.shutil, "copytree", full)
    with pytest.raises(OSError, match="No space left"):
        publish(tmp_path / "new", target)
    assert (target / "weights").read_text() == "old"
