"""From a recipe to a trained, scored and saved model: what ``python -m encdec train`` does.

A run leaves behind::

    runs/<name>/<stage>/          checkpoint and log of a stage
    runs/<name>/<stage>/model/    the model after it, to be loaded or scored again
    results/<name>.json           what was measured
    models/<name>/                the last model, its card and its logs, if the recipe publishes it
"""

from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast

from encdec import zoo
from encdec.answers import Progress, silent
from encdec.architectures import ARCHITECTURES, Architecture, freeze_sinusoids
from encdec.card import model_card
from encdec.corpora import Corpora
from encdec.mixture import Encoder, Mixture, tokenizer_texts
from encdec.recipe import (
    Code,
    Recipe,
    RecipeError,
    StageRecipe,
    SummariesRecipe,
    dump_recipe,
    load_recipe,
)
from encdec.results import provenance, write_json, write_text
from encdec.scoring import evaluate
from encdec.tokenizer import train_tokenizer
from encdec.training import LOG, Report, Trainer

SMOKE_ITEMS = 200  # of each split of each corpus


@dataclass
class Experiment:
    """The parts of a run, made from its recipe and from nothing else."""

    recipe: Recipe
    corpora: Corpora
    tokenizer: PreTrainedTokenizerFast
    model: PreTrainedModel

    @classmethod
    def from_recipe(
        cls, recipe: Recipe, *, base: Path | None = None, limit: int | None = None
    ) -> Experiment:
        """Learn the tokenizer and draw the first weights, or take both from another model.

        Args:
            recipe: what to train.
            base: the folder of the model that the recipe's ``init_from`` names.
            limit: keep only so many items of each split (a smoke run).

        Raises:
            RecipeError: the recipe starts from a model that is not at hand or of another family.
        """
        corpora = Corpora(recipe.held_out, limit)
        if recipe.init_from:
            return cls(recipe, corpora, *load_base(recipe, base or Path("models")))
        if not (recipe.tokenizer and recipe.model):
            raise RecipeError(f"{recipe.name} has neither init_from nor tokenizer and model.")
        tokenizer = train_tokenizer(
            tokenizer_texts(recipe, corpora),
            recipe.tokenizer.vocab_size,
            cls._family(recipe).layout,
            split_digits=recipe.tokenizer.split_digits,
            split_names=recipe.tokenizer.split_names,
            alphabet=recipe.tokenizer.alphabet,
        )
        tokenizer.model_max_length = recipe.model.max_length
        torch.manual_seed(recipe.seed)
        model = cls._family(recipe).build(recipe.model, tokenizer)
        return cls(recipe, corpora, tokenizer, model)

    @staticmethod
    def _family(recipe: Recipe) -> Architecture:
        return ARCHITECTURES[recipe.architecture]

    def trainer(
        self, stage: StageRecipe, folder: Path, report: Report = lambda line: None
    ) -> Trainer:
        """A trainer that continues a stage in ``folder``, or begins it there."""
        family = self._family(self.recipe)
        freeze_sinusoids(self.model)
        encoder = Encoder(
            self.tokenizer,
            family.layout,
            self.tokenizer.model_max_length,
            dropout=self.recipe.tokenizer.dropout if self.recipe.tokenizer else 0.0,
            seed=self.recipe.seed,
        )
        return Trainer(
            model=self.model,
            epoch=Mixture(self.recipe, stage, self.corpora, encoder),
            recipe=stage,
            folder=folder,
            seed=self.recipe.seed,
            collate=family.collate(self.model),
            report=report,
        )

    def code_sizes(self) -> dict[Code, int]:
        """How much code there was to learn summaries from, by kind."""
        kinds = [part.kind for part in self.recipe.ingredients]
        found = [c for kind in kinds if isinstance(kind, SummariesRecipe) for c in kind.code]
        return {code: len(self.corpora.code(code)) for code in found}

    def check_tokenizer(self, folder: Path) -> None:
        """Refuse to continue a stage whose weights belong to other tokens.

        Raises:
            RecipeError: the recipe's texts, and so its tokenizer, are no longer those of the stage.
        """
        kept = folder / "model" / "tokenizer.json"
        if kept.exists() and kept.read_text("utf8") != self.tokenizer.backend_tokenizer.to_str():
            raise RecipeError(
                f"{folder} was trained with another tokenizer than {self.recipe.name} now makes "
                f"of its texts: undo the change, or remove {folder.parent} to begin again."
            )

    def save(self, folder: Path) -> None:
        """Write the model as transformers lays it out: half precision, tokenizer, recipe."""
        model, settings = copy.deepcopy(self.model).half(), self.recipe.evaluation
        model.generation_config.num_beams = settings.num_beams
        model.generation_config.max_new_tokens = settings.max_new_tokens
        with replacing(folder) as new:
            model.save_pretrained(new)
            self.tokenizer.save_pretrained(new)
            # The library indents this file, which doubles its size.
            self.tokenizer.backend_tokenizer.save(str(new / "tokenizer.json"), pretty=False)
            (new / "recipe.yaml").write_text(dump_recipe(self.recipe), encoding="utf8")


def load_base(recipe: Recipe, folder: Path) -> tuple[PreTrainedTokenizerFast, PreTrainedModel]:
    """Tokenizer and weights of the model that a recipe starts from.

    Raises:
        RecipeError: it is not at hand, or of another family.
    """
    if not (folder / "model.safetensors").exists():
        raise RecipeError(
            f"{recipe.name} starts from {recipe.init_from}, but {folder} holds no model: make it "
            f"first with `python -m encdec train recipes/{recipe.init_from}.yaml`."
        )
    theirs = load_recipe(folder / "recipe.yaml").architecture
    if theirs != recipe.architecture:
        raise RecipeError(
            f"{recipe.name} has architecture={recipe.architecture!r}, but {recipe.init_from}, "
            f"which it starts from, is {theirs!r}: both must be the same."
        )
    family = ARCHITECTURES[theirs].model
    return (
        AutoTokenizer.from_pretrained(folder),
        family.from_pretrained(folder, dtype=torch.float32, use_safetensors=True),
    )


def run(
    recipe_path: Path,
    *,
    smoke: bool = False,
    runs: Path = Path("runs"),
    models: Path = Path("models"),
    results: Path = Path("results"),
    report: Report = lambda line: None,
    on_batch: Progress = silent,
) -> dict[str, Any]:
    """Train as the recipe says, score the saved model, publish it if the recipe says so.

    A run that was killed goes on where its last checkpoint was written; of a finished one only the
    scores are computed again.

    Args:
        recipe_path: the recipe.
        smoke: take the whole path in less than a minute, with a tiny model; publishes nothing. A
            recipe that starts from another model takes that one's path first.
        runs: checkpoints and logs go to ``runs/<name>``.
        models: a published model goes to ``models/<name>``.
        results: scores go to ``results/<name>.json``.
        report: called with every line of the training log.
        on_batch: called while the model is scored.

    Returns:
        What was written to the results file.
    """
    recipe = load_recipe(recipe_path)
    command = f"python -m encdec train {recipe_path.as_posix()}{' --smoke' * smoke}"
    base = models / (recipe.init_from or "")
    if recipe.init_from and not base.exists():  # not in the book's folder: those installed with it
        base = zoo.models_folder() / recipe.init_from
    if smoke:
        if recipe.init_from:
            first = recipe_path.with_name(f"{recipe.init_from}.yaml")
            run(first, smoke=True, runs=runs, report=report, on_batch=on_batch)
        recipe = recipe.smoke()
        base, results = runs / (recipe.init_from or "") / "model", runs / recipe.name
    with alone(runs / recipe.name):
        experiment = Experiment.from_recipe(recipe, base=base, limit=SMOKE_ITEMS if smoke else None)
        folder, positions = runs / recipe.name, []
        for stage in recipe.stages:
            experiment.check_tokenizer(folder / stage.name)
            trainer = experiment.trainer(stage, folder / stage.name, report)
            positions.append(trainer.run())
            if trainer.accelerator.is_main_process:
                experiment.save(folder / stage.name / "model")
            trainer.accelerator.wait_for_everyone()
        if not trainer.accelerator.is_main_process:
            return {}
        *earlier, last = (folder / stage.name / "model" for stage in recipe.stages)
        outcome = {
            "name": recipe.name,
            "description": recipe.description,
            "seed": recipe.seed,
            "parameters": sum(p.numel() for p in experiment.model.parameters()),
            "training": {
                "steps": sum(position.step for position in positions),
                "epochs": sum(position.epoch for position in positions),
                "minutes": round(sum(position.seconds for position in positions) / 60, 1),
                "tokens": sum(position.tokens for position in positions),
                "precision": trainer.precision,
                "processes": trainer.accelerator.num_processes,
                "code": experiment.code_sizes(),
            },
            **evaluate(last, earlier=earlier, corpora=experiment.corpora, on_batch=on_batch),
            "provenance": provenance(command),
        }
        write_json(results / f"{recipe.name}.json", outcome)
        model_folder = folder / "model"
        publish(last, model_folder)
        (model_folder / "README.md").write_text(model_card(recipe, outcome), encoding="utf8")
        for stage in recipe.stages:
            shutil.copy(folder / stage.name / LOG, model_folder / f"{stage.name}.jsonl")
        write_json(model_folder / "scores.json", outcome)
        if recipe.publish:
            publish(model_folder, models / recipe.name)
        return outcome


def prepare(recipe: Recipe, *, runs: Path = Path("runs")) -> Path:
    """Write a recipe beside the run that it is for.

    Returns:
        The recipe's file, ``runs/<name>/recipe.yaml``.

    Raises:
        RecipeError: the folder holds a run of another recipe.
    """
    path, text = runs / recipe.name / "recipe.yaml", dump_recipe(recipe)
    if path.exists() and path.read_text(encoding="utf8") != text:
        raise RecipeError(
            f"{path.parent} holds a run with other settings: choose another --name, or remove it."
        )
    write_text(path, text)
    return path


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A new folder that takes the place of ``target`` once it is whole; until then that stays."""
    target.parent.mkdir(parents=True, exist_ok=True)
    new, old = target.with_name(target.name + ".new"), target.with_name(target.name + ".old")
    if old.exists() and not target.exists():  # killed between the two renames
        old.rename(target)
    for leftover in (new, old):
        shutil.rmtree(leftover, ignore_errors=True)
    new.mkdir()
    try:
        yield new
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    if target.exists():
        target.rename(old)
    new.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def publish(folder: Path, target: Path) -> None:
    """Replace ``target`` by a copy of ``folder``; the old one stays until the new one is whole."""
    with replacing(target) as new:
        shutil.copytree(folder, new, dirs_exist_ok=True)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep a second training out of a folder; several processes of one training are one.

    Raises:
        RecipeError: another training goes on there.
    """
    if int(os.environ.get("RANK", "0")) > 0:  # the first process holds the lock for all
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / "training.lock", timeout=0):
            yield
    except Timeout as error:
        raise RecipeError(
            f"another training goes on in {folder}: wait for its end, or give yours another name."
        ) from error
