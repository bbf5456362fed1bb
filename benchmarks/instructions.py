"""What more tasks and more templates are worth, for a small model tuned on instructions.

    python -m benchmarks.instructions

tunes the book's denoiser `bart`, which has never seen an instruction, on the same number of
instructions each time: drawn from two tasks or from many, worded by one template or by several.
Which tasks come first is drawn anew for each seed. Every model is asked what is new in other ways:
new wordings of its tasks, tasks that were in no training, clusters that were in none. Writes
``results/instruction-tuning.json`` after each model and goes on from there if it is started again;
takes about an hour and a half on one processor core. Needs the corpora (``ENCDEC_DATA``), whose
test sentences are kept out of the instructions.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import torch
import typer

from encdec.answers import Answerer
from encdec.data.tasks import Item, check, draw_items, tasks_of
from encdec.experiment import Experiment
from encdec.metrics import accuracy
from encdec.recipe import IngredientRecipe, Recipe, load_recipe
from encdec.results import provenance, write_json

RECIPE, BASE = Path("recipes/bart-instruct.yaml"), Path("models/bart")
TASKS = (2, 6, 15, 30, 45)
TEMPLATES = (1, 2, 4, 6)
SHARED = 2  # tasks that the models of a seed have all learnt
EXAMPLES, TESTS = 60_000, 300


def order(seed: int) -> list[str]:
    """The tasks of the training, in the order in which a seed takes them."""
    names = [task.name for task in tasks_of("train")]
    random.Random(f"tasks {seed}").shuffle(names)
    return names


def plan(seeds: int) -> Iterator[dict[str, int]]:
    """The models to be tuned: all templates for each number of tasks, and the other way round."""
    most, every = max(TASKS), max(TEMPLATES)
    for seed in range(seeds):
        for tasks in TASKS:
            yield {"seed": seed, "tasks": tasks, "templates": every}
        for templates in TEMPLATES[:-1]:
            yield {"seed": seed, "tasks": most, "templates": templates}


def recipe(run: dict[str, int], examples: int) -> Recipe:
    """The recipe of `bart-instruct`, with other instructions and nothing else."""
    given = load_recipe(RECIPE)
    instructions = {
        "examples": examples,
        "tasks": tuple(order(run["seed"])[: run["tasks"]]),
        "templates": run["templates"],
    }
    [stage] = given.stages
    mixture = (IngredientRecipe.model_validate({"instructions": instructions}),)
    changed = {"mixture": mixture, "epochs": 1, "max_tokens": 2000, "warmup_steps": 0.1}
    stages = (stage.model_copy(update=changed),)
    return given.model_copy(update={"seed": run["seed"], "stages": stages, "publish": False})


def tests(run: dict[str, int], number: int) -> dict[str, list[Item]]:
    """What a model is asked; what does not depend on its tasks is the same for all."""
    names = order(run["seed"])
    learnt, shared = names[: run["tasks"]], names[:SHARED]
    return {
        "its tasks, new wordings": draw_items(number, 11, split="unseen_templates", tasks=learnt),
        "its tasks, known wordings": draw_items(
            number, 12, tasks=learnt, templates=run["templates"]
        ),
        "two shared tasks, new wordings": draw_items(
            number, 13, split="unseen_templates", tasks=shared
        ),
        "unseen tasks": draw_items(number, 14, split="unseen_tasks"),
        "unseen clusters": draw_items(number, 15, split="unseen_clusters"),
    }


def score(items: Sequence[Item], answers: Sequence[str]) -> dict[str, Any]:
    """Share of right answers, with its interval."""
    right = [check(item, answer) for item, answer in zip(items, answers, strict=True)]
    return accuracy(right).as_dict()


def commonest(items: Sequence[Item]) -> list[str]:
    """Every task's commonest answer in training; that of all where a task was in none."""
    training = draw_items(4000, 1)
    by_task = {name: Counter[str]() for name in ("", *(item.task for item in training))}
    for item in training:
        by_task[item.task][item.answer] += 1
        by_task[""][item.answer] += 1
    usual = {name: counts.most_common(1)[0][0] for name, counts in by_task.items()}
    return [usual.get(item.task, usual[""]) for item in items]


def ask(answerer: Answerer, run: dict[str, int], number: int) -> dict[str, Any]:
    """Scores of a model on all tests."""
    found = {}
    for name, items in tests(run, number).items():
        answers = answerer.answer([item.instruction for item in items], num_beams=1)
        found[name] = score(items, answers)
    return found


def tune(run: dict[str, int], examples: int, number: int) -> dict[str, Any]:
    """One model: tuned, then asked."""
    made = recipe(run, examples)
    with TemporaryDirectory() as folder:
        experiment = Experiment.from_recipe(made, base=BASE)
        trainer = experiment.trainer(made.stages[0], Path(folder) / "run")
        started = time.process_time()
        position = trainer.run()
        seconds = time.process_time() - started
        experiment.save(Path(folder) / "model")
        answerer = Answerer.load(Path(folder) / "model", made)
        scores = ask(answerer, run, number)
    return {**run, "steps": position.step, "seconds": round(seconds), "scores": scores}


def without_training(number: int) -> dict[str, Any]:
    """What the untuned model gets, what a copy of the instruction, what the commonest answer."""
    run = {"seed": 0, "tasks": max(TASKS), "templates": max(TEMPLATES)}
    asked = tests(run, number)
    untuned = Answerer.load(BASE, load_recipe(RECIPE))
    return {
        "untuned": ask(untuned, run, number),
        "instruction copied": {
            name: score(items, [item.instruction for item in items])
            for name, items in asked.items()
        },
        "commonest answer": {name: score(items, commonest(items)) for name, items in asked.items()},
    }


def finished(output: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """What an earlier start has written, if it had the same settings."""
    if not output.exists():
        return {"runs": []}
    found: dict[str, Any] = json.loads(output.read_text(encoding="utf8"))
    return found if all(found.get(k) == v for k, v in settings.items()) else {"runs": []}


def main(
    seeds: Annotated[int, typer.Option(help="Models of each kind.", min=1)] = 3,
    examples: Annotated[int, typer.Option(help="Instructions for each model.", min=1)] = EXAMPLES,
    number: Annotated[int, typer.Option(help="Questions of each test.", min=1)] = TESTS,
    output: Annotated[Path, typer.Option()] = Path("results/instruction-tuning.json"),
) -> None:
    """Tune, ask and write down, model by model."""
    torch.set_num_threads(1)
    settings = {"examples": examples, "tests": number}
    earlier = finished(output, settings)
    runs: list[dict[str, Any]] = earlier["runs"]
    lazy = earlier.get("without_training") or without_training(number)
    done = [{key: each[key] for key in ("seed", "tasks", "templates")} for each in runs]
    for run in plan(seeds):
        if run in done:
            continue
        runs.append(tune(run, examples, number))
        values = {name: found["value"] for name, found in runs[-1]["scores"].items()}
        typer.echo(f"{run} {runs[-1]['seconds']} s {values}")
        write_json(
            output,
            {
                "name": "instruction-tuning",
                "description": "Right answers by number of tasks and of templates learnt from.",
                **settings,
                "parts": {"tasks": list(TASKS), "templates": list(TEMPLATES)},
                "without_training": lazy,
                "runs": runs,
                "provenance": provenance("python -m benchmarks.instructions"),
            },
        )


if __name__ == "__main__":
    typer.run(main)
