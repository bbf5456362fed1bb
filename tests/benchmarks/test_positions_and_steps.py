"""The runs of chapter 10: models that differ in one thing, and scores that a rule would reach."""

import random

import pytest

from benchmarks import positions, steps
from encdec.data.lists import THEN, carry_out, encode
from encdec.positions import ShiftedPositions


def test_models_differ_in_their_positions_only():
    made = {kind: positions.make(kind) for kind in positions.KINDS}
    for kind, model in made.items():
        assert model.config.positions == positions.KINDS[kind]
        assert isinstance(model.encoder.positions, ShiftedPositions) == ("start" in kind)
    sizes = {
        kind: sum(p.numel() for name, p in model.named_parameters() if "positions" not in name)
        for kind, model in made.items()
    }
    assert len(set(sizes.values())) == 1


@pytest.mark.parametrize("kind", ["sinusoidal, random start", "sinusoidal, one batch in ten long"])
def test_a_model_is_trained_and_scored(kind):
    model = positions.make(kind)
    assert positions.train(model, kind, steps=10, seed=0) > 0
    assert getattr(model.encoder.positions, "start", 0) == 0
    examples = positions.lists(12, 3, random.Random(0))
    score = positions.test(model.eval(), examples)
    assert 0 <= score["right"] <= score["next"] <= 1
    assert len(score["source"]) == 12


def test_instructions_have_the_steps_that_are_asked_for():
    generator = random.Random(0)
    for real in range(1, steps.SLOTS + 1):
        instruction, letters = steps.task(real, generator)
        assert sum(step != "copy" for step in instruction) == real
        assert len(letters) == steps.LENGTH


def by_rule(model, tasks):
    return [carry_out(*each)[-1] for each in tasks]


def test_one_step_at_a_time_a_faultless_model_carries_out_everything(monkeypatch):
    monkeypatch.setattr(steps, "write", by_rule)
    tasks = [steps.task(real, random.Random(real)) for real in (1, 2, 3, 4)]
    assert steps.share(steps.one_by_one(None, tasks), tasks) == 1


def test_the_last_list_counts_and_broken_answers_do_not_stop_the_run(monkeypatch):
    tasks = [(["reverse", "swap", "copy", "copy"], "abc")]
    assert steps.share([THEN.join(carry_out(*tasks[0]))], tasks) == 1
    assert steps.share(["cba"], tasks) == 0
    monkeypatch.setattr(steps, "write", lambda model, tasks: ["a?"] * len(tasks))
    assert steps.one_by_one(None, tasks) == ["a?"]
    assert steps.one_by_one(None, [(["copy"] * 4, "abc")]) == ["abc"]


def test_a_model_learns_from_both_kinds_of_target():
    for shown in (False, True):
        assert steps.train(steps.make(), 2, shown, steps=2, seed=0) > 0
    assert len(encode(["copy"] * 4, "abc", show_steps=True).labels) == 4 * 4
