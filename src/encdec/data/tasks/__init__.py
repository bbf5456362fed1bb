"""Instructions made by a program, whose answers a program can check.

A task asks one kind of question in several ways, its *templates*; tasks of one kind form a
*cluster*. What a tuned model makes of instructions that it has never seen can be asked four times:
of new templates, of new items (numbers, words, lists), of new tasks, of whole new clusters. All
four are kept out of training here, in the manner of FLAN (Wei et al. 2022).

>>> item = draw_items(1, seed=0)[0]
>>> check(item, item.answer)
True
"""

from __future__ import annotations

import random
import re
import string
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Any, Literal, NamedTuple, get_args

import yaml

from encdec.data.tasks.questions import DRAWN, LISTED, Question

__all__ = ["CLUSTERS", "TASKS", "Item", "Question", "Split", "Task"]
__all__ += ["check", "describe", "draw_items", "read_tasks"]

Split = Literal["train", "unseen_templates", "unseen_tasks", "unseen_clusters"]

NEW_TEMPLATES = 2  # the last of each task: in no training
FEWEST_TEMPLATES = 6
LARGE = 200  # tasks with more questions than this keep some out of training
KEPT_OUT = 10  # one question in so many
ORDER = re.compile(  # how a template begins that is no question
    "(Add|Calculate|Change|Choose|Count|Double|Find|Give|Leave|Multiply|Name|Put|Remove|Reverse"
    "|Say|Sort|Spell|Subtract|Take|Tell|Translate|Turn|Write) "
)


class Item(NamedTuple):
    """An instruction and the right answer to it."""

    task: str
    cluster: str
    template: int
    instruction: str
    answer: str


@dataclass(frozen=True)
class Task:
    """One kind of question, asked in several ways.

    Args:
        name: also of the function in `encdec.data.tasks.questions` that makes its questions.
        cluster: the kind of task.
        templates: instructions with slots in braces; the last two are in no training.
        exact: whether the case of the letters counts.
        held_out: what of it is in no training: the task, its whole cluster, or nothing.

    Raises:
        ValueError: no function makes its questions, it has fewer than 6 templates or the same one
            twice, or a template lacks a slot or has one that nothing fills.
    """

    name: str
    cluster: str
    templates: tuple[str, ...]
    exact: bool = False
    held_out: Literal["task", "cluster"] | None = None

    def __post_init__(self) -> None:
        if self.name not in LISTED and self.name not in DRAWN:
            raise ValueError(
                f"no function in encdec.data.tasks.questions makes the questions of {self.name!r}."
            )
        if (
            len(set(self.templates)) != len(self.templates)
            or len(self.templates) < FEWEST_TEMPLATES
        ):
            raise ValueError(
                f"task {self.name!r} has {len(set(self.templates))} different templates of "
                f"{len(self.templates)}: it needs at least {FEWEST_TEMPLATES}, each once."
            )
        wanted = set(self._draw(random.Random(0)).slots)
        for template in self.templates:
            slots = {
                slot for _, slot, _, _ in string.Formatter().parse(template) if slot is not None
            }
            if slots != wanted:
                raise ValueError(
                    f"the template {template!r} of task {self.name!r} has {_slots(slots)} and "
                    f"needs {_slots(wanted)}."
                )

    def draw(self, generator: random.Random, *, unseen: bool = False) -> Question:
        """Draw a question of those that training sees, or of those that it does not.

        Raises:
            ValueError: the task has too few questions to keep any out of training.
        """
        if unseen and not self.is_large:
            raise ValueError(
                f"task {self.name!r} has only {len(self._questions)} questions, and training sees "
                f"all of them; tasks with more than {LARGE} keep some out."
            )
        if self.name in LISTED:
            return generator.choice(self._kept_out if unseen else self._seen)
        while is_kept_out(question := self._draw(generator)) != unseen:
            pass
        return question

    def politely(self, number: int) -> str:
        """A template with *Please* before it, where that makes one of its own of an order."""
        template = self.templates[number]
        polite = f"Please {template[0].lower()}{template[1:]}"
        return polite if ORDER.match(template) and polite not in self.templates else template

    @property
    def is_large(self) -> bool:
        """Whether some of its questions are in no training."""
        return self.name in DRAWN or len(self._questions) > LARGE

    def _draw(self, generator: random.Random) -> Question:
        if self.name in DRAWN:
            return DRAWN[self.name](generator)
        return generator.choice(self._questions)

    @cached_property
    def _questions(self) -> list[Question]:
        return [*LISTED[self.name]()]

    @cached_property
    def _seen(self) -> list[Question]:
        if not self.is_large:
            return self._questions
        return [question for question in self._questions if not is_kept_out(question)]

    @cached_property
    def _kept_out(self) -> list[Question]:
        return [question for question in self._questions if is_kept_out(question)]


def _slots(names: set[str]) -> str:
    """Slots in words, for a message."""
    return ", ".join(f"{{{name}}}" for name in sorted(names)) or "no slot"


def is_kept_out(question: Question) -> bool:
    """Whether a question of a large task is in no training; the same in every process."""
    key = "\t".join(question.slots[slot] for slot in sorted(question.slots))
    return zlib.crc32(key.encode()) % KEPT_OUT == 0


def read_tasks(clusters: Mapping[str, Any]) -> dict[str, Task]:
    """Make tasks of what templates.yaml says.

    Args:
        clusters: for each its ``tasks``, and perhaps ``held_out``.

    Raises:
        ValueError: a task is not well formed; see :class:`Task`.
    """
    tasks = {}
    for cluster, described in clusters.items():
        for name, task in described["tasks"].items():
            held_out: Literal["task", "cluster"] | None = "task" if task.get("held_out") else None
            if described.get("held_out"):
                held_out = "cluster"
            templates = tuple(task["templates"])
            tasks[name] = Task(name, cluster, templates, bool(task.get("exact")), held_out)
    return tasks


TASKS: dict[str, Task] = read_tasks(
    yaml.safe_load(files(__package__).joinpath("templates.yaml").read_text(encoding="utf8"))
)
CLUSTERS: dict[str, tuple[str, ...]] = {
    cluster: tuple(name for name, task in TASKS.items() if task.cluster == cluster)
    for cluster in dict.fromkeys(task.cluster for task in TASKS.values())
}


def draw_items(
    number: int,
    seed: int,
    *,
    split: Split = "train",
    unseen_items: bool = False,
    tasks: Sequence[str] | None = None,
    templates: int | None = None,
    polite: float = 0.0,
) -> list[Item]:
    """Draw instructions, each task of the split as often as any other.

    Args:
        number: of items.
        seed: the same seed gives the same items.
        split: ``"train"``; or, of what is in no training, new templates of the training's tasks,
            new tasks of its clusters, or tasks of new clusters (with all their templates).
        unseen_items: draw questions that are in no training, of the tasks that have such.
        tasks: names; only these tasks of the split.
        templates: only the first so many of a task's training templates.
        polite: the probability of *Please* before a template that is an order; never so that it
            becomes one of those that are in no training.

    Raises:
        ValueError: the number is negative, a name is unknown, or nothing is left to be drawn.
    """
    if number < 0:
        raise ValueError(f"number={number}: a number of items is 0 or more.")
    chosen = tasks_of(split, tasks)
    if unseen_items:
        chosen = [task for task in chosen if task.is_large]
    if not chosen:
        raise ValueError(f"no task of the split {split!r} is among {', '.join(tasks or ())}.")
    numbers = {task.name: template_numbers(task, split, templates) for task in chosen}
    generator = random.Random(seed)
    items = []
    for _ in range(number):
        task = generator.choice(chosen)
        template = generator.choice(numbers[task.name])
        slots, answer = task.draw(generator, unseen=unseen_items)
        is_polite = polite > 0 and generator.random() < polite
        wording = task.politely(template) if is_polite else task.templates[template]
        instruction = wording.format_map(slots)
        items.append(Item(task.name, task.cluster, template, instruction, answer))
    return items


def tasks_of(split: Split, names: Sequence[str] | None = None) -> list[Task]:
    """The tasks of a split, or those of them that are named."""
    if split not in get_args(Split):
        raise ValueError(f"unknown split {split!r}: it is one of {', '.join(get_args(Split))}.")
    if unknown := sorted(set(names or ()) - set(TASKS)):
        raise ValueError(f"unknown task {unknown[0]!r}: the tasks are {', '.join(TASKS)}.")
    kept = {"unseen_tasks": "task", "unseen_clusters": "cluster"}.get(split)
    found = (task for task in TASKS.values() if task.held_out == kept)
    return [task for task in found if names is None or task.name in names]


def template_numbers(task: Task, split: Split, limit: int | None = None) -> range:
    """Which templates of a task a split uses."""
    known = len(task.templates) - NEW_TEMPLATES
    if limit is not None and not 1 <= limit <= known:
        raise ValueError(
            f"templates={limit}: training has 1 to {known} templates of {task.name!r}."
        )
    if split == "train":
        return range(limit or known)
    return range(known if split == "unseen_templates" else 0, len(task.templates))


def check(item: Item, answer: str) -> bool:
    """Whether an answer is right, space and full stops at its end aside.

    The case of the letters counts only where the task is about it.

    Raises:
        ValueError: the item's task is unknown.
    """
    if item.task not in TASKS:
        raise ValueError(f"unknown task {item.task!r}: the tasks are {', '.join(TASKS)}.")
    exact = TASKS[item.task].exact
    return _plain(answer, exact) == _plain(item.answer, exact)


def _plain(text: str, exact: bool) -> str:
    text = " ".join(text.split()).rstrip(". ")
    return text if exact else text.casefold()


def describe() -> list[dict[str, Any]]:
    """One row for each task: its cluster, what training sees of it, and an example."""
    rows = []
    for task in TASKS.values():
        question = task.draw(random.Random(0))
        rows.append(
            {
                "cluster": task.cluster,
                "task": task.name,
                "in training": {None: "yes", "task": "no", "cluster": "no (whole cluster)"}[
                    task.held_out
                ],
                "templates": len(task.templates),
                "example": task.templates[0].format_map(question.slots),
                "answer": question.answer,
            }
        )
    return rows
