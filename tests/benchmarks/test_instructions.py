"""The runs of chapter 9: what each model learns from, what it is asked, and that a run goes on."""

import json

import pytest

from benchmarks import instructions
from encdec.data.tasks import TASKS


def test_the_models_of_a_seed_share_their_first_tasks_and_seeds_differ():
    first, second = instructions.order(0), instructions.order(1)
    assert sorted(first) == sorted(second)
    assert first != second
    assert len(first) == max(instructions.TASKS)
    assert not any(TASKS[name].held_out for name in first)


def test_every_number_of_tasks_and_of_templates_is_tried_once_a_seed():
    runs = list(instructions.plan(2))
    assert len({tuple(run.values()) for run in runs}) == len(runs)
    of_one = [(run["tasks"], run["templates"]) for run in runs if run["seed"] == 1]
    assert {tasks for tasks, templates in of_one if templates == 6} == set(instructions.TASKS)
    assert {templates for tasks, templates in of_one if tasks == 45} == {1, 2, 4, 6}


def test_only_the_instructions_differ():
    few, many = (instructions.recipe({"seed": 0, "tasks": n, "templates": 6}, 100) for n in (2, 45))
    kinds = [made.stages[0].mixture[0].instructions for made in (few, many)]
    assert [len(kind.tasks) for kind in kinds] == [2, 45]
    assert {kind.examples for kind in kinds} == {100}
    assert few.stages[0].model_copy(update={"mixture": ()}) == many.stages[0].model_copy(
        update={"mixture": ()}
    )


def test_questions_are_new_in_the_way_that_they_say():
    run = {"seed": 0, "tasks": 6, "templates": 2}
    asked = instructions.tests(run, 40)
    learnt = instructions.order(0)[:6]
    assert {item.task for item in asked["its tasks, new wordings"]} <= set(learnt)
    assert {item.task for item in asked["two shared tasks, new wordings"]} == set(learnt[:2])
    assert {item.template for item in asked["its tasks, known wordings"]} <= {0, 1}
    assert {item.template for item in asked["its tasks, new wordings"]} <= {6, 7}
    assert {TASKS[item.task].held_out for item in asked["unseen tasks"]} == {"task"}
    assert {TASKS[item.task].held_out for item in asked["unseen clusters"]} == {"cluster"}


def test_the_right_answers_score_and_copies_do_not():
    items = instructions.tests({"seed": 0, "tasks": 45, "templates": 6}, 50)["unseen tasks"]
    assert instructions.score(items, [item.answer for item in items])["value"] == 100
    assert instructions.score(items, [item.instruction for item in items])["value"] < 10


def test_a_run_goes_on_where_it_ended(tmp_path, monkeypatch):
    tuned = []

    def tune(run, examples, number):
        if len(tuned) == 3:
            raise KeyboardInterrupt
        tuned.append(run)
        return {**run, "seconds": 1, "scores": {}}

    monkeypatch.setattr(instructions, "tune", tune)
    monkeypatch.setattr(instructions, "without_training", lambda number: {"untuned": {}})
    monkeypatch.setattr(instructions, "provenance", lambda command: {"command": command})
    output = tmp_path / "found.json"
    with pytest.raises(KeyboardInterrupt):
        instructions.main(1, 10, 5, output)
    assert len(json.loads(output.read_text("utf8"))["runs"]) == 3
    monkeypatch.setattr(instructions, "tune", lambda run, *_: {**run, "seconds": 1, "scores": {}})
    instructions.main(1, 10, 5, output)
    runs = json.loads(output.read_text("utf8"))["runs"]
    assert [{k: run[k] for k in ("seed", "tasks", "templates")} for run in runs] == list(
        instructions.plan(1)
    )
    assert instructions.finished(output, {"examples": 11}) == {"runs": []}
