"""Training throughput beside transformers' `Seq2SeqTrainer`, in useful tokens: without padding.

    python -m benchmarks.training

takes some eight minutes on two cores and writes ``results/benchmark-training.json``. All learners
begin with the same weights and learn the same sentence pairs once, in as many batches, with the
same optimizer; they take turns, a few steps each, so that a slow minute is slow for all.
``--part 2`` measures that number of threads anew and leaves the rest as it is.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from transformers import AutoTokenizer, MarianConfig, MarianMTModel

from benchmarks.learners import STRETCH, Course, Learn, Learner, Stretch, book, library
from encdec.corpora import Corpora
from encdec.data.parallel import Splits
from encdec.environment import quieten
from encdec.mixture import Encoder, sample
from encdec.recipe import OptimizationRecipe, Recipe, load_recipe
from encdec.results import book_folder, provenance, write_json
from encdec.tokenizer import LAYOUTS

RECIPE = Path("recipes/marian-en-fr.yaml")
PAIRS, HELD_OUT = 14_000, 500
WARMUP = 40  # steps; the recipe's own would not be over at the end
OURS = "encdec"
LIBRARY = "Seq2SeqTrainer"
GROUPED = "Seq2SeqTrainer, length groups"
LEARNERS: dict[str, tuple[Learn, dict[str, Any]]] = {
    OURS: (book, {}),
    "encdec, transformers' model": (book, {"own_model": False}),
    LIBRARY: (library, {}),
    GROUPED: (library, {"strategy": "group_by_length"}),
    "Seq2SeqTrainer, length groups, memory kept": (
        library,
        {"strategy": "group_by_length", "keep": True},
    ),
}
MIXED = "mixed"  # the part in which the book's loop gets the library's kind of batches
PAUSE = 0.3  # seconds; threads of a pool go on looking for work for a while after its last job


def make_course(folder: Path, pairs: int = PAIRS) -> Course:
    """The book's translator before its training, and a sample of what it learnt from.

    Args:
        folder: where the first weights are written.
        pairs: sentence pairs, a random choice among those of the recipe.
    """
    recipe = load_recipe(RECIPE)
    released = book_folder("models") / recipe.name
    tokenizer = AutoTokenizer.from_pretrained(released)
    config = MarianConfig.from_pretrained(released)
    config.dtype = torch.float32
    torch.manual_seed(recipe.seed)
    MarianMTModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    encoder = Encoder(tokenizer, LAYOUTS["marian"], tokenizer.model_max_length)
    splits, generator = translations(recipe), random.Random(recipe.seed)
    return Course(
        folder,
        encoder.examples(sample(splits.train, pairs, generator)),
        encoder.examples(sample(splits.validation, HELD_OUT, generator)),
        optimization(recipe),
    )


def translations(recipe: Recipe) -> Splits:
    """What the first stage of a translator's recipe learns from, and what it does not."""
    [part] = recipe.stages[0].mixture
    if part.translation is None:
        raise ValueError(f"the recipe {recipe.name!r} does not learn from sentence pairs")
    return Corpora(recipe.held_out).pairs(part.translation)


def optimization(recipe: Recipe) -> OptimizationRecipe:
    """The first stage's, for one short epoch in float32."""
    stage = recipe.stages[0].model_dump(include=set(OptimizationRecipe.model_fields))
    short = {"epochs": 1, "warmup_steps": WARMUP, "precision": "float32", "save_every": 10**9}
    return OptimizationRecipe(**stage | short)


def measure(
    course: Course, threads: int, learners: dict[str, tuple[Learn, dict[str, Any]]]
) -> dict[str, Any]:
    """Let all learners take turns to the end of the course.

    Returns:
        For each learner what :func:`summarise` says.
    """
    workers = {
        name: Learner(learn, course, threads, **options)
        for name, (learn, options) in learners.items()
    }
    stretches: dict[str, list[Stretch]] = {name: [] for name in workers}
    try:
        for _ in range(course.stretches):
            for name, worker in workers.items():
                time.sleep(PAUSE)
                stretches[name].append(worker.stretch())
    finally:
        for worker in workers.values():
            worker.close()
    return {name: summarise(done) for name, done in stretches.items()}


def summarise(stretches: list[Stretch]) -> dict[str, Any]:
    """Speed (median, lowest, highest; the first stretch is left out), padding and loss curve."""
    speeds = [stretch.tokens / stretch.seconds for stretch in stretches[1:]]
    learnt, curve = 0, []
    for stretch in stretches:
        learnt += stretch.tokens
        losses = {"loss": round(stretch.loss, 4), "held_out": round(stretch.held_out, 4)}
        curve.append({"tokens": learnt, **losses})
    padded = sum(stretch.padded for stretch in stretches)
    return {
        "tokens_per_second": round(statistics.median(speeds)),
        "lowest": round(min(speeds)),
        "highest": round(max(speeds)),
        "useful_share": round(learnt / padded, 4),
        "padded_tokens_per_second": round(
            statistics.median(stretch.padded / stretch.seconds for stretch in stretches[1:])
        ),
        "curve": curve,
    }


def main(
    pairs: Annotated[int, typer.Option(help="Sentence pairs to learn from.", min=1)] = PAIRS,
    part: Annotated[
        list[str] | None, typer.Option(help="Measure only this: a number of threads, or 'mixed'.")
    ] = None,
    output: Annotated[Path, typer.Option()] = Path("results/benchmark-training.json"),
) -> None:
    """Train side by side and write down."""
    quieten()
    parts = part or [*map(str, sorted({1, os.cpu_count() or 1})), MIXED]
    if unknown := [name for name in parts if name != MIXED and not name.isdecimal()]:
        raise typer.BadParameter(f"{unknown[0]!r} is neither a number of threads nor {MIXED!r}")
    with tempfile.TemporaryDirectory() as temporary:
        course = make_course(Path(temporary), pairs)
        if course.stretches < 2:
            raise typer.BadParameter(
                f"{pairs} pairs make {course.steps} batches, but {2 * STRETCH} are the fewest "
                "that can be timed",
                param_hint="--pairs",
            )
        print(f"{course.steps} steps, {course.sentences} sentences a batch", flush=True)
        for name in parts:
            load, threads = os.getloadavg()[0], 1 if name == MIXED else int(name)
            learners = {OURS: (book, {"mixed": True})} if name == MIXED else LEARNERS
            found = measure(course, threads, learners)
            for learner, row in found.items():
                loss, speed = row["curve"][-1]["held_out"], row["tokens_per_second"]
                print(f"{name}, {learner}: {speed} tokens/s, held-out loss {loss}", flush=True)
            save(output, course, name, {"load_before": round(load, 1), "learners": found})


def save(output: Path, course: Course, part: str, found: dict[str, Any]) -> None:
    """Write one part down; the others stay, if they come from the same course."""
    lengths = [len(e.input_ids) + len(e.labels) for e in course.examples]
    record: dict[str, Any] = {
        "name": "benchmark-training",
        "description": "Training speed on the same weights and text, useful tokens/s.",
        "text": "Tatoeba English–French, training split of marian-en-fr",
        "pairs": len(course.examples),
        "held_out_pairs": len(course.held_out),
        "tokens": sum(lengths),
        "tokens_of_a_pair": {
            "mean": round(statistics.mean(lengths), 2),
            "longest": max(lengths),
        },
        "parameters": parameters(course.folder),
        "steps": course.steps,
        "sentences_per_batch": course.sentences,
        "stretch": STRETCH,
        "optimization": course.recipe.model_dump(mode="json"),
    }
    parts: dict[str, Any] = {}
    if output.exists():
        earlier = json.loads(output.read_text(encoding="utf8"))
        if all(earlier.get(key) == value for key, value in record.items()):
            parts = earlier["parts"]
    parts = dict(sorted({**parts, part: found}.items()))
    write_json(
        output,
        {**record, "parts": parts, "provenance": provenance("python -m benchmarks.training")},
    )


def parameters(folder: Path) -> int:
    """Trainable numbers of the model in a folder."""
    model = MarianMTModel.from_pretrained(folder)
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


if __name__ == "__main__":
    typer.run(main)
