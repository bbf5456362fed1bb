"""The comparison: what is matched really matches, and nothing is trained twice."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from filelock import FileLock

import small
from encdec import compare
from encdec.compare import Candidate, CompareError, CompareRecipe, Comparison, Runs
from encdec.config import TransformerConfig
from encdec.corpora import Corpora
from encdec.data.collate import Example
from encdec.recipe import RecipeError

RECIPE = Path(__file__).parents[1] / "recipes" / "compare" / "compare.yaml"
LENGTHS = [(20, 8), (12, 15), (40, 3)]
REFERENCE = Candidate(
    compare.REFERENCE,
    "both",
    TransformerConfig.family(
        "pegasus", vocab_size=200, d_model=64, d_ff=256, num_layers=2, num_heads=4
    ),
)
LAYERS = {"lstm": (2, 2), "decoder-only": (4, 2), "prefix-lm": (4, 2), "shared": (4, 2)}


@pytest.fixture(scope="module")
def recipe():
    """The book's own, as a smoke run with two systems."""
    asked = compare.load_comparison(RECIPE).smoke()
    part = asked.reference.stages[0].mixture[0]  # translation only: no packages are read
    small_part = part.translation.model_copy(update={"corpus": "tatoeba", "examples": 40})
    mixture = (part.model_copy(update={"translation": small_part}),)
    stage = asked.stage.model_copy(update={"mixture": mixture, "epochs": 1})
    evaluation = asked.reference.evaluation.model_copy(update={"max_new_tokens": 4})
    reference = asked.reference.model_copy(update={"stages": (stage,), "evaluation": evaluation})
    systems = tuple(each for each in asked.systems if each.system in ("lstm", "prefix-lm"))
    return asked.model_copy(
        update={
            "reference": reference,
            "systems": systems,
            "seeds": (0, 1),
            "learning_rates": (1e-3,),
        }
    )


@pytest.fixture
def comparison(recipe, corpus, monkeypatch):
    small.use(monkeypatch, corpus)
    held_out = recipe.reference.held_out.model_copy(update={"validation": 8, "test": 8})
    return Comparison(recipe, Corpora(held_out))


# --- sizes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("system", LAYERS)
@pytest.mark.parametrize("matching", compare.MATCHINGS)
def test_every_system_can_be_matched(system, matching):
    layers = LAYERS[system][matching == "flops"]
    found = compare.match(REFERENCE, system, matching, layers, LENGTHS, 0.05)
    if matching == "parameters":
        assert found.parameters == pytest.approx(REFERENCE.parameters, rel=0.05)
        assert found.parameters == sum(p.numel() for p in found.build().parameters())
    else:
        assert found.flops(LENGTHS) == pytest.approx(REFERENCE.flops(LENGTHS), rel=0.05)


def test_equal_parameters_cost_a_decoder_alone_about_twice_as_much():
    """Every token runs through all layers; in an encoder–decoder through half of them."""
    found = compare.match(REFERENCE, "decoder-only", "parameters", 4, LENGTHS, 0.05)
    assert 1.6 < found.flops(LENGTHS) / REFERENCE.flops(LENGTHS) < 2.2


def test_sharing_at_equal_cost_saves_the_encoder():
    found = compare.match(REFERENCE, "shared", "flops", 2, LENGTHS, 0.01)
    assert found.config == replace(REFERENCE.config)
    assert found.flops(LENGTHS) == REFERENCE.flops(LENGTHS)
    assert found.parameters < 0.7 * REFERENCE.parameters


def test_the_cost_is_the_mean_over_the_examples():
    each = [REFERENCE.flops([lengths]) for lengths in LENGTHS]
    assert REFERENCE.flops(LENGTHS) == pytest.approx(sum(each) / 3)
    forward = compare.forward_flops(REFERENCE.system, REFERENCE.config, *LENGTHS[0])
    assert each[0] == pytest.approx(3 * forward)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("transformer-xl", "flops", 2), "system='transformer-xl' is unknown; known are lstm"),
        (("lstm", "colour", 2), "matching='colour' is unknown; known are parameters, flops"),
        (("decoder-only", "parameters", 60), "60 layers can't have the parameters"),
        (("prefix-lm", "flops", 60), "60 layers can't have the flops"),
    ],
)
def test_what_can_not_be_matched_is_said(arguments, message):
    with pytest.raises(CompareError, match=message):
        compare.match(REFERENCE, *arguments, LENGTHS, 0.02)


def test_an_unknown_system_has_no_cost():
    with pytest.raises(CompareError, match="system='rnn' is unknown"):
        compare.forward_flops("rnn", REFERENCE.config, 3, 3)


# --- the recipe -----------------------------------------------------------------------------------


def test_the_books_own_recipe_is_valid_and_small_in_a_smoke_run():
    recipe = compare.load_comparison(RECIPE)
    assert {each.system for each in recipe.systems} | {compare.REFERENCE} == set(compare.SYSTEMS)
    assert len(recipe.seeds) >= 3
    assert recipe.smoke().reference.model.d_model < recipe.reference.model.d_model


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"systems": [{"system": "rnn", "parameters": 2, "flops": 2}]}, "'rnn' is wrong"),
        ({"seeds": [0, 0]}, r"seeds holds \[0, 0\], but each may stand there only once"),
        ({"learning_rates": []}, "learning_rates"),
        ({"sedes": [0]}, "unknown key 'sedes'; known are name, description, reference"),
        ({"tolerance": 2.0}, "tolerance = 2.0 is wrong"),
    ],
)
def test_a_wrong_recipe_is_one_sentence(tmp_path, change, message):
    content = yaml.safe_load(RECIPE.read_text(encoding="utf8")) | change
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf8")
    with pytest.raises(RecipeError, match=message):
        compare.load_comparison(path)


def test_the_reference_is_of_one_family_and_learns_from_pairs(recipe):
    content = recipe.model_dump()
    content["reference"]["architecture"] = "marian"
    with pytest.raises(ValueError, match="architecture 'pegasus'"):
        CompareRecipe.model_validate(content)


# --- runs -----------------------------------------------------------------------------------------


def test_all_systems_learn_the_same_examples(comparison):
    assert comparison.examples(0, 0) == comparison.examples(0, 0)
    first = list(comparison.examples(0, 0))
    assert comparison.examples(1, 0) != first  # another seed draws others
    assert comparison.examples(0, 0) == first
    tested = {source for test in comparison.tests for source in test.sources}
    trained = {pair.source for pair in comparison.corpora.pairs(_kind(comparison)).train}
    assert not tested & trained


def _kind(comparison):
    return comparison.recipe.reference.ingredients[0].translation


def run(recipe, comparison, folder, monkeypatch, **changes):
    path = folder / "recipe.yaml"
    monkeypatch.setattr(compare, "load_comparison", lambda _: recipe)
    monkeypatch.setattr(compare, "prepare", lambda *_, **__: comparison)
    return compare.run(path, runs=folder / "runs", results=folder / "results", **changes)


def test_a_comparison_is_made_once_and_goes_on_where_it_stopped(
    recipe, comparison, tmp_path, monkeypatch
):
    begun = []
    outcome = run(
        recipe, comparison, tmp_path, monkeypatch, on_run=lambda name, *_: begun.append(name)
    )
    assert json.loads((tmp_path / "results" / f"{recipe.name}.json").read_text()) == outcome
    assert len(begun) == 5 * 4 + 1
    assert [(each["system"], each["matching"]) for each in outcome["systems"]] == [
        ("encoder-decoder", "both"),
        ("lstm", "parameters"),
        ("lstm", "flops"),
        ("prefix-lm", "parameters"),
        ("prefix-lm", "flops"),
    ]
    for entry in outcome["systems"]:
        assert [each["seed"] for each in entry["runs"]] == [0, 1]
        assert entry["tuning"]["learning_rate"] == 1e-3
        assert len(entry["costs"]["decoding"]) == 4
        for one in entry["runs"]:
            [scores] = one["scores"].values()
            assert [score["name"] for score in scores] == ["chrF", "BLEU"]
            assert all(score["low"] <= score["value"] <= score["high"] for score in scores)
    [skill] = outcome["baselines"].values()
    assert set(skill) == {"nearest training sentence", "source copied"}

    folder = tmp_path / "runs" / recipe.name
    assert not list(folder.glob("*/*.safetensors"))  # checkpoints are gone
    (folder / "lstm-flops" / "seed-1.json").unlink()  # as if killed before
    trained = []
    original = Runs._train
    monkeypatch.setattr(
        Runs, "_train", lambda self, *a, **k: trained.append(a[0].name) or original(self, *a, **k)
    )
    again = run(recipe, comparison, tmp_path, monkeypatch)
    assert trained == ["lstm-flops"]
    steps = [each["steps"] for entry in again["systems"] for each in entry["runs"]]
    assert len(set(steps[::2])) == 1  # the same examples, the same batches

    (folder / "lstm-flops" / "seed-1.json").write_text('{"seed": 1, "sco')
    with pytest.raises(CompareError, match=r"seed-1.json is damaged .* remove it"):
        run(recipe, comparison, tmp_path, monkeypatch)
    shutil.rmtree(folder / "lstm-flops")
    other = recipe.model_copy(update={"learning_rates": (2e-3,)})
    comparison.recipe = other
    with pytest.raises(CompareError, match="other settings"):
        run(other, comparison, tmp_path, monkeypatch)


def test_the_plan_is_made_without_leaving_anything(comparison, tmp_path):
    found = list(compare.forecast(comparison, tmp_path / "plan", steps=2))
    assert found[0].candidate.name == compare.REFERENCE
    assert all(each.step_seconds > 0 and each.minutes > 0 for each in found)
    assert not (tmp_path / "plan").exists()


def test_the_loss_is_that_of_the_targets_tokens(comparison):
    model = REFERENCE.build().eval()
    examples = [Example([5, 6, 1], [7, 8, 1]), Example([5, 1], [9, 1])]
    whole = compare.loss(model, examples)
    each = [compare.loss(model, [example]) for example in examples]
    assert whole == pytest.approx((3 * each[0] + 2 * each[1]) / 5, rel=1e-4)


def test_what_another_process_trains_is_left_to_it_as_long_as_there_is_other_work(
    recipe, comparison, tmp_path, monkeypatch
):
    folder = tmp_path / "runs" / recipe.name
    folder.mkdir(parents=True)
    theirs, begun = FileLock(folder / "lstm-parameters.lock"), []

    def on_run(name, *_):
        begun.append(name)
        if name == "prefix-lm-flops: seed 1":  # the last one of all others
            theirs.release()

    with theirs:
        outcome = run(recipe, comparison, tmp_path, monkeypatch, on_run=on_run)
    place = begun.index("lstm-parameters: learning rate")
    assert begun.index("prefix-lm-flops: seed 1") < place < begun.index("lstm-flops: costs")
    assert [entry["system"] for entry in outcome["systems"]][1:3] == ["lstm", "lstm"]
    assert all(entry["costs"]["step_seconds"] > 0 for entry in outcome["systems"])


# --- reading --------------------------------------------------------------------------------------


def entry(*values):
    return {
        "runs": [
            {"scores": {"skill": [{"value": v, "low": v - 1.0, "high": v + 2.0}]}} for v in values
        ],
        "costs": {"decoding": [{"source": 8, "target": 4, "batch": 1, "seconds": 0.5}]},
    }


def test_both_kinds_of_doubt_are_in_the_interval():
    sure = compare.across_seeds(entry(10.0, 10.0), "skill")
    assert (sure["mean"], sure["low"], sure["high"]) == (10, 9, 12)
    unsure = compare.across_seeds(entry(8.0, 12.0), "skill")
    assert unsure["mean"] == 10
    assert unsure["low"] < sure["low"] < sure["high"] < unsure["high"]


def test_a_cost_that_was_not_measured_is_said():
    assert compare.decoding_cost(entry(1.0), 8, 4, 1) == 0.5
    with pytest.raises(CompareError, match=r"source=9, .* measured were \(8, 4, 1\)"):
        compare.decoding_cost(entry(1.0), 9, 4, 1)


@pytest.mark.parametrize("system", compare.SYSTEMS)
def test_every_system_takes_the_same_batch(system):
    layers = LAYERS.get(system, (2, 2))[0]
    config = compare.sized(REFERENCE.config, system, layers, 64)
    model = Candidate(system, "parameters", config).build().eval()
    ids = torch.randint(3, 200, (2, 6))
    assert model(ids, decoder_input_ids=ids[:, :4]).shape == (2, 4, 200)
