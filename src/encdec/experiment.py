"""From a recipe to a trained, scored and saved model: what ``python -m encdec train`` does."""

from __future__ import annotations

import copy
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from transformers import MarianConfig, MarianMTModel, PreTrainedTokenizerFast

from encdec.baselines import TranslationMemory, copy_source
from encdec.card import model_card
from encdec.data.collate import Example
from encdec.data.joining import Joiner
from encdec.data.parallel import (
    Pair,
    Splits,
    group_references,
    load_multi30k,
    load_phrasebook,
    load_tatoeba,
    split_by_source,
)
from encdec.metrics import Score, bleu, chrf, paired_bootstrap
from encdec.recipe import (
    DataRecipe,
    ModelRecipe,
    OptimizationRecipe,
    Recipe,
    RefinementRecipe,
    load_recipe,
)
from encdec.results import provenance, write_json
from encdec.text import generate_text
from encdec.tokenizer import BPEDropout, train_tokenizer
from encdec.training import LOG, Epoch, Report, Trainer
from encdec.zoo import load_folder

SMOKE_PAIRS = 200  # of each split
Progress = Callable[[int, int], None]  # sentences translated so far, of how many


@dataclass
class Experiment:
    """The parts of a run, made from its recipe and from nothing else."""

    recipe: Recipe
    splits: Splits
    tokenizer: PreTrainedTokenizerFast
    model: MarianMTModel

    @classmethod
    def from_recipe(cls, recipe: Recipe, *, limit: int | None = None) -> Experiment:
        """Read the corpus, learn the tokenizer and draw the first weights.

        Args:
            recipe: what to train.
            limit: keep only so many pairs of each split (a smoke run).
        """
        splits = load_splits(recipe.data)
        if limit:
            splits = Splits(*(pairs[:limit] for pairs in vars(splits).values()))
        texts = [text for pair in splits.train for text in pair]
        tokenizer = train_tokenizer(texts, recipe.tokenizer.vocab_size)
        tokenizer.model_max_length = recipe.model.max_length
        torch.manual_seed(recipe.seed)
        model = MarianMTModel(marian_config(recipe.model, tokenizer))
        return cls(recipe, splits, tokenizer, model)

    def trainer(self, folder: Path, report: Report = lambda line: None) -> Trainer:
        """A trainer that continues the run in ``folder``, or begins one there."""
        encoder = BPEDropout(self.tokenizer, self.recipe.tokenizer.dropout, seed=self.recipe.seed)
        pieces = [
            (encoder.pieces(source), encoder.pieces(target))
            for source, target in within(self.splits.train, self.recipe.model.max_length)
        ]

        def epoch(number: int) -> list[Example]:
            generator = random.Random(f"{self.recipe.seed} {number}")
            return [
                Example(encoder.encode(source, generator), encoder.encode(target, generator))
                for source, target in pieces
            ]

        return self._trainer(epoch, self.recipe.optimization, folder, report)

    def refiner(
        self, recipe: RefinementRecipe, folder: Path, report: Report = lambda line: None
    ) -> Trainer:
        """A trainer for the second run, on sentences of which some are joined."""
        data, seed = self.recipe.data, self.recipe.seed
        encoder = BPEDropout(self.tokenizer, self.recipe.tokenizer.dropout, seed=seed)
        pairs = within(self.splits.train, self.recipe.model.max_length // 2)
        joiner = Joiner(pairs, data.source, data.target, recipe.joined)

        def epoch(number: int) -> list[Example]:
            generator = random.Random(f"{seed} joined {number}")
            return [
                Example(*(encoder.encode(encoder.pieces(text), generator) for text in pair))
                for pair in joiner.draw(generator)
            ]

        optimization = self.recipe.optimization.model_copy(
            update=recipe.model_dump(exclude={"joined"})
        )
        return self._trainer(epoch, optimization, folder, report)

    def _trainer(
        self, epoch: Epoch, recipe: OptimizationRecipe, folder: Path, report: Report
    ) -> Trainer:
        return Trainer(
            model=self.model,
            epoch=epoch,
            recipe=recipe,
            folder=folder,
            seed=self.recipe.seed,
            pad_token_id=self.model.config.pad_token_id,
            decoder_start_token_id=self.model.config.decoder_start_token_id,
            report=report,
        )

    def save(self, folder: Path) -> None:
        """Write the model as transformers lays it out: half precision, tokenizer, recipe."""
        model, settings = copy.deepcopy(self.model).half(), self.recipe.evaluation
        model.generation_config.num_beams = settings.num_beams
        model.generation_config.max_new_tokens = settings.max_new_tokens
        model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        recipe = yaml.safe_dump(self.recipe.model_dump(mode="json"), sort_keys=False)
        (folder / "recipe.yaml").write_text(recipe, encoding="utf8")


def run(
    recipe_path: Path,
    *,
    smoke: bool = False,
    runs: Path = Path("runs"),
    models: Path = Path("models"),
    results: Path = Path("results"),
    report: Report = lambda line: None,
    on_batch: Progress = lambda done, total: None,
) -> dict[str, Any]:
    """Train as the recipe says, score the saved model, publish it if the recipe says so.

    A run that was killed goes on where its last checkpoint was written.

    Args:
        recipe_path: the recipe.
        smoke: take the whole path in less than a minute, with a tiny model; publishes nothing.
        runs: checkpoints and logs go to ``runs/<name>``.
        models: a published model goes to ``models/<name>``.
        results: scores go to ``results/<name>.json``.
        report: called with every line of the training log.
        on_batch: called while the test set is translated.

    Returns:
        What was written to the results file.
    """
    recipe = load_recipe(recipe_path)
    command = f"python -m encdec train {recipe_path.as_posix()}{' --smoke' * smoke}"
    if smoke:
        recipe = recipe.smoke()
        results = runs / recipe.name
    experiment = Experiment.from_recipe(recipe, limit=SMOKE_PAIRS if smoke else None)
    folder = runs / recipe.name
    trainer = experiment.trainer(folder, report)
    positions, logs = [trainer.run()], {"training.jsonl": folder / LOG}
    first_folder = folder / "first"
    if recipe.refinement:
        if trainer.accelerator.is_main_process:
            experiment.save(first_folder)
        refiner = experiment.refiner(recipe.refinement, folder / "refinement", report)
        positions.append(refiner.run())
        logs["refinement.jsonl"] = folder / "refinement" / LOG
    if not trainer.accelerator.is_main_process:
        return {}
    model_folder = folder / "model"
    experiment.save(model_folder)
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
        },
        **evaluate_splits(model_folder, recipe, experiment.splits, on_batch),
        "phrasebook": {
            run: phrasebook_scores(run_folder, recipe)
            for run, run_folder in (("first run", first_folder), ("last run", model_folder))
            if run_folder.exists()
        },
        "splits": experiment.splits.summary(),
        "provenance": provenance(command),
    }
    write_json(results / f"{recipe.name}.json", outcome)
    if recipe.publish:
        (model_folder / "README.md").write_text(model_card(recipe, outcome), encoding="utf8")
        for name, log in logs.items():
            shutil.copy(log, model_folder / name)
        write_json(model_folder / "scores.json", outcome)
        publish(model_folder, models / recipe.name)
    return outcome


def publish(folder: Path, target: Path) -> None:
    """Replace ``target`` by a copy of ``folder``; the old one stays until the new one is whole."""
    target.parent.mkdir(parents=True, exist_ok=True)
    new, old = target.with_name(target.name + ".new"), target.with_name(target.name + ".old")
    for leftover in (new, old):
        shutil.rmtree(leftover, ignore_errors=True)
    shutil.copytree(folder, new)
    if target.exists():
        target.rename(old)
    new.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def evaluate(folder: Path, on_batch: Progress = lambda done, total: None) -> dict[str, Any]:
    """Score a model folder on the held-out sentences that its own recipe names."""
    recipe = load_recipe(folder / "recipe.yaml")
    return evaluate_splits(folder, recipe, load_splits(recipe.data), on_batch)


def evaluate_splits(
    folder: Path, recipe: Recipe, splits: Splits, on_batch: Progress = lambda done, total: None
) -> dict[str, Any]:
    """Score the saved model, and its baselines, on the test split.

    Returns:
        ``scores``: for every system its BLEU and chrF with intervals;
        ``beam_against_greedy``: what beam search gains and how surely;
        ``unseen_targets``: the model's on sentences none of whose references is a target in
        training; ``by_length``: the model's by number of source words;
        ``prompts``: the recipe's sentences, translated.
    """
    model, tokenizer = load_folder(folder)
    settings = recipe.evaluation
    options: dict[str, Any] = {
        "num_beams": settings.num_beams,
        "length_penalty": settings.length_penalty,
        "max_new_tokens": settings.max_new_tokens,
    }
    groups = group_references(splits.test)
    sources, references = list(groups), list(groups.values())
    memory = TranslationMemory(splits.train)

    def translate(texts: list[str], **changes: Any) -> list[str]:
        return generate_text(
            model,
            tokenizer,
            texts,
            batch_size=settings.batch_size,
            on_batch=lambda done: on_batch(done, len(texts)),
            **options | changes,
        )

    systems = {
        f"beam {settings.num_beams}": translate(sources),
        "greedy": translate(sources, num_beams=1),
        "baseline: nearest training sentence": [memory(source) for source in sources],
        "baseline: source copied": copy_source(sources),
    }
    trained = {pair.target for pair in splits.train}
    unseen = [i for i, known in enumerate(references) if not trained & set(known)]
    best = next(iter(systems.values()))
    return {
        "test": {
            "sentences": len(sources),
            "references": len(splits.test),
            "decoding": options,
        },
        "scores": {name: _scores(answers, references) for name, answers in systems.items()},
        "beam_against_greedy": paired_bootstrap(systems["greedy"], best, references),
        "unseen_targets": _scores([best[i] for i in unseen], [references[i] for i in unseen]),
        "by_length": {
            words: _scores([best[i] for i in chosen], [references[i] for i in chosen])
            for words, chosen in _by_length(sources).items()
        },
        "prompts": dict(zip(settings.prompts, translate(list(settings.prompts)), strict=True)),
    }


def phrasebook_scores(folder: Path, recipe: Recipe) -> dict[str, dict[str, Any]]:
    """The saved model's chrF on the phrasebook, long sentences apart from the others."""
    model, tokenizer = load_folder(folder)
    settings = recipe.evaluation
    phrasebook = load_phrasebook()
    answers = generate_text(
        model,
        tokenizer,
        list(phrasebook),
        num_beams=settings.num_beams,
        max_new_tokens=settings.max_new_tokens,
    )
    groups: dict[str, list[tuple[str, list[str]]]] = {}
    for answer, (english, references) in zip(answers, phrasebook.items(), strict=True):
        name = "10 words and more" if len(english.split()) > 9 else "at most 9 words"
        groups.setdefault(name, []).append((answer, references))
    return {
        name: chrf([a for a, _ in group], [r for _, r in group]).as_dict()
        for name, group in groups.items()
    }


def _by_length(sources: list[str], fewest: int = 50) -> dict[str, list[int]]:
    """Indices of the sources by number of words; lengths with few sentences join the longest."""
    lengths = [len(source.split()) for source in sources]
    groups: dict[str, list[int]] = {}
    for words in sorted(set(lengths)):
        rest = [i for i, length in enumerate(lengths) if length >= words]
        chosen = [i for i in rest if lengths[i] == words]
        if len(rest) - len(chosen) < fewest:
            groups[f"{words}+"] = rest
            break
        if len(chosen) >= fewest:
            groups[str(words)] = chosen
    return groups


def _scores(answers: list[str], references: list[list[str]]) -> list[dict[str, Any]]:
    scores: list[Score] = [bleu(answers, references), chrf(answers, references)]
    return [score.as_dict() for score in scores]


def load_splits(recipe: DataRecipe) -> Splits:
    """The three splits that a recipe asks for."""
    if recipe.corpus == "multi30k":
        return load_multi30k(recipe.source, recipe.target)
    return split_by_source(
        load_tatoeba(recipe.target, recipe.source),
        validation=recipe.validation,
        test=recipe.test,
        seed=recipe.split_seed,
    )


def marian_config(recipe: ModelRecipe, tokenizer: PreTrainedTokenizerFast) -> MarianConfig:
    """A recipe's sizes as transformers writes them."""
    pad = tokenizer.pad_token_id
    return MarianConfig(
        vocab_size=len(tokenizer),
        d_model=recipe.d_model,
        encoder_layers=recipe.encoder_layers,
        decoder_layers=recipe.decoder_layers,
        encoder_attention_heads=recipe.num_heads,
        decoder_attention_heads=recipe.num_heads,
        encoder_ffn_dim=recipe.d_ff,
        decoder_ffn_dim=recipe.d_ff,
        dropout=recipe.dropout,
        activation_function=recipe.activation,
        max_position_embeddings=recipe.max_length,
        scale_embedding=True,
        pad_token_id=pad,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=pad,
        forced_eos_token_id=tokenizer.eos_token_id,
    )


def within(pairs: list[Pair], max_length: int) -> list[Pair]:
    """Pairs that fit the positions even when every character is a token of its own."""
    return [pair for pair in pairs if max(map(len, pair)) + 2 <= max_length]
