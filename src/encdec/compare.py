"""Five designs side by side, at equal size and at equal cost: ``python -m encdec compare``.

A recipe names one encoder–decoder, the reference. Every other system is made as large as it is, or
as expensive to train, by the width of its feed-forward layers (of an LSTM: by its width). All learn
the same examples in the same order with the same tokenizer and the same small grid of learning
rates, tried with one seed on part of the training; the rate with the lowest loss on held-out text
is taken for all seeds. A comparison leaves behind::

    runs/<name>/<system>-<matching>/rate-<rate>.json    one try of the grid
    runs/<name>/<system>-<matching>/seed-<seed>.json    one trained and scored model
    runs/<name>/<system>-<matching>/costs.json          what it takes to write, by length
    results/<name>.json                                 all of it

A run that is finished is never repeated; one that was killed goes on from its last checkpoint.
The command may run twice at a time, on two cores or two cards: each process trains what the other
does not. Costs are measured at the end, one after the other.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from filelock import FileLock, Timeout
from pydantic import Field, model_validator
from torch import nn
from transformers import PreTrainedTokenizerFast

from encdec import costs, measuring
from encdec.answers import Answerer, Progress, silent
from encdec.architectures import ARCHITECTURES
from encdec.config import TransformerConfig
from encdec.corpora import Corpora
from encdec.data.collate import IGNORE, Example, collate
from encdec.data.parallel import Pair, group_references
from encdec.errors import EncdecError
from encdec.experiment import SMOKE_ITEMS
from encdec.hybrids import PromptedDecoder, SharedEncoderDecoder
from encdec.mixture import Encoder, ingredient, tokenizer_texts
from encdec.recipe import (
    InstructionsRecipe,
    Name,
    Positive,
    Recipe,
    Section,
    StageRecipe,
    SummariesRecipe,
    TranslationRecipe,
    read_section,
)
from encdec.recurrent import RecurrentConfig, RecurrentEncoderDecoder
from encdec.results import provenance, write_json
from encdec.tokenizer import train_tokenizer
from encdec.training import Position, Report, Trainer
from encdec.transformer import EncoderDecoder, PrefixLM

REFERENCE = "encoder-decoder"
MATCHINGS = ("parameters", "flops")
Config = TransformerConfig | RecurrentConfig
Lengths = Sequence[tuple[int, int]]

# What each system is, and whether source and target run through one stack.
SYSTEMS: dict[str, tuple[type[nn.Module], bool]] = {
    "lstm": (RecurrentEncoderDecoder, False),
    REFERENCE: (EncoderDecoder, False),
    "decoder-only": (PromptedDecoder, True),
    "prefix-lm": (PrefixLM, True),
    "shared": (SharedEncoderDecoder, False),
}


class CompareError(EncdecError):
    """A comparison can't be made; the message is one sentence that names the cause."""


# --- the recipe -----------------------------------------------------------------------------------


class SystemRecipe(Section):
    """One system beside the reference."""

    system: Literal["lstm", "decoder-only", "prefix-lm", "shared"]
    parameters: Positive  # layers where it has as many parameters as the reference
    flops: Positive  # layers where it needs as many operations for a training example


class MeasureRecipe(Section):
    """At which lengths decoding is measured."""

    sources: Annotated[tuple[Positive, ...], Field(min_length=1)] = (16, 64, 256, 1024)
    targets: Annotated[tuple[Positive, ...], Field(min_length=1)] = (8, 32, 128)
    batches: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1, 16)
    repeats: Positive = 3
    steps: Positive = 30  # of training, to be timed; the first third is not counted


class CompareRecipe(Section):
    """A comparison: the reference and all that is compared with it."""

    name: Name
    description: str
    reference: Recipe
    systems: Annotated[tuple[SystemRecipe, ...], Field(min_length=1)]
    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = (0, 1, 2)
    learning_rates: Annotated[tuple[float, ...], Field(min_length=1)]
    tuning_epochs: Positive = 1
    tolerance: Annotated[float, Field(gt=0, lt=1)] = 0.02
    validation: Positive = 300  # held-out examples of each skill, for the choice of the rate
    measure: MeasureRecipe = MeasureRecipe()

    @model_validator(mode="after")
    def _can_be_compared(self) -> CompareRecipe:
        if self.reference.architecture != "pegasus" or len(self.reference.stages) != 1:
            raise ValueError("reference must have architecture 'pegasus' and one stage")
        if not self.reference.model or not self.reference.tokenizer:
            raise ValueError("reference must have the keys 'model' and 'tokenizer'")
        for part in self.reference.ingredients:
            if part.denoising or part.pairs:
                raise ValueError("reference may mix translation, summaries and instructions only")
        once: dict[str, list[Any]] = {
            "systems": [each.system for each in self.systems],
            "seeds": list(self.seeds),
            "learning_rates": list(self.learning_rates),
        }
        for key, values in once.items():
            if len(set(values)) < len(values):
                raise ValueError(f"{key} holds {values}, but each may stand there only once")
        return self

    @property
    def stage(self) -> StageRecipe:
        """How every system learns."""
        return self.reference.stages[0]

    def smoke(self) -> CompareRecipe:
        """The same path in less than a minute: tiny models, two seeds, two rates."""
        reference, own = self.reference.smoke(), self.reference.model
        assert reference.model and own  # noqa: PT018
        layers = {"encoder_layers": own.encoder_layers, "decoder_layers": own.decoder_layers}
        model = reference.model.model_copy(update=layers)
        return self.model_copy(
            update={
                "name": f"{self.name}-smoke",
                "reference": reference.model_copy(update={"model": model}),
                "seeds": self.seeds[:2],
                "learning_rates": self.learning_rates[:2],
                "tuning_epochs": 1,
                "tolerance": 0.2,  # tiny layers come in coarse steps
                "validation": 10,
                "measure": MeasureRecipe(
                    sources=(4, 8), targets=(2, 4), batches=(1,), repeats=1, steps=2
                ),
            }
        )


def load_comparison(path: str | Path) -> CompareRecipe:
    """Read and check a comparison.

    Raises:
        RecipeError: as for :func:`encdec.recipe.load_recipe`.
    """
    return read_section(path, CompareRecipe)


# --- sizes ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Candidate:
    """One system of a certain size.

    Args:
        system: a key of `SYSTEMS`.
        matching: what it has in common with the reference, one of `MATCHINGS`.
        config: its sizes.
    """

    system: str
    matching: str
    config: Config

    @property
    def name(self) -> str:
        """The folder of its runs; the reference is one and the same in both matchings."""
        return self.system if self.system == REFERENCE else f"{self.system}-{self.matching}"

    def build(self, seed: int = 0) -> nn.Module:
        """The model with fresh weights."""
        torch.manual_seed(seed)
        return SYSTEMS[self.system][0](self.config)

    @property
    def parameters(self) -> int:
        """Number of weights, those that are shared counted once."""
        with torch.device("meta"):
            model = SYSTEMS[self.system][0](self.config)
        return sum(each.numel() for each in model.parameters())

    def flops(self, lengths: Lengths) -> float:
        """Operations for one example in training, forwards and backwards, on average.

        Args:
            lengths: of the sources and targets of some examples, in tokens.
        """
        s, t = (np.array(side, dtype=float) - 1 for side in zip(*lengths, strict=True))
        terms = (np.ones_like(s), s, t, s * s, s * t, t * t)
        factors = costs.coefficients(partial(forward_flops, self.system, self.config))
        return 3 * sum(c * float(term.mean()) for c, term in zip(factors, terms, strict=True))

    def as_dict(self, lengths: Lengths) -> dict[str, Any]:
        """For a results file."""
        config = self.config
        found: dict[str, Any] = {
            "system": self.system,
            "matching": self.matching,
            "d_model": config.d_model,
        }
        if isinstance(config, TransformerConfig):
            found |= {
                "encoder_layers": config.num_layers,
                "decoder_layers": config.num_decoder_layers,
                "num_heads": config.num_heads,
                "d_ff": config.d_ff,
            }
        else:
            found |= {"encoder_layers": config.num_layers, "decoder_layers": config.num_layers}
        return found | {"parameters": self.parameters, "flops": round(self.flops(lengths))}


def forward_flops(system: str, config: Config, source: int, target: int) -> int:
    """Operations of one forward pass on a known target.

    Raises:
        CompareError: the system is unknown.
    """
    if system not in SYSTEMS:
        raise CompareError(f"system={system!r} is unknown; known are {', '.join(SYSTEMS)}.")
    if isinstance(config, RecurrentConfig):
        return costs.recurrent(config, source, target)
    return costs.teacher_forced(config, source, target, one_stack=SYSTEMS[system][1])


def reference_config(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> TransformerConfig:
    """The sizes of the reference."""
    model = recipe.model
    assert model
    return TransformerConfig.family(
        "pegasus",
        vocab_size=len(tokenizer),
        d_model=model.d_model,
        d_ff=model.d_ff,
        num_layers=model.encoder_layers,
        num_decoder_layers=model.decoder_layers,
        num_heads=model.num_heads,
        dropout=model.dropout,
        activation=model.activation,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        forced_eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.pad_token_id,
    )


def sized(reference: TransformerConfig, system: str, layers: int, size: int) -> Config:
    """A system of a certain width.

    Args:
        reference: whose width, heads and vocabulary it has.
        system: a key of `SYSTEMS`.
        layers: of each stack.
        size: width of the feed-forward layers; of an LSTM the width of the model.
    """
    if system == "lstm":
        return RecurrentConfig(
            vocab_size=reference.vocab_size,
            d_model=size,
            num_layers=layers,
            attention="dot",
            dropout=reference.dropout,
            pad_token_id=reference.pad_token_id,
            eos_token_id=reference.eos_token_id,
            forced_eos_token_id=reference.forced_eos_token_id,
            decoder_start_token_id=reference.decoder_start_token_id,
        )
    encoder = 0 if SYSTEMS[system][1] else layers
    return replace(
        reference, num_layers=encoder, num_decoder_layers=layers, d_ff=size, decoder_d_ff=size
    )


def match(
    reference: Candidate,
    system: str,
    matching: str,
    layers: int,
    lengths: Lengths,
    tolerance: float,
) -> Candidate:
    """Make a system as large, or as expensive in training, as the reference.

    Args:
        reference: the encoder–decoder.
        system: a key of `SYSTEMS`.
        matching: one of `MATCHINGS`.
        layers: of each stack.
        lengths: of the sources and targets of some examples.
        tolerance: by what share it may differ.

    Raises:
        CompareError: a name is unknown, or no width comes near enough.
    """
    if system not in SYSTEMS:
        raise CompareError(f"system={system!r} is unknown; known are {', '.join(SYSTEMS)}.")
    if matching not in MATCHINGS:
        raise CompareError(f"matching={matching!r} is unknown; known are {', '.join(MATCHINGS)}.")
    assert isinstance(reference.config, TransformerConfig)
    of = reference.config

    def measure(candidate: Candidate) -> float:
        return candidate.parameters if matching == "parameters" else candidate.flops(lengths)

    @cache
    def made(size: int) -> tuple[Candidate, float]:
        candidate = Candidate(system, matching, sized(of, system, layers, size * step))
        return candidate, measure(candidate)

    step = 2 if system == "lstm" else 8  # an LSTM's two directions share its width
    wanted, low, high = measure(reference), 1, 2048
    while high - low > 1:  # larger is always more
        middle = (low + high) // 2
        low, high = (middle, high) if made(middle)[1] <= wanted else (low, middle)
    candidate, found = min((made(low), made(high)), key=lambda each: abs(each[1] - wanted))
    if abs(found - wanted) > tolerance * wanted:
        raise CompareError(
            f"{system} with {layers} layers can't have the {matching} of the reference: the "
            f"nearest is {found:,.0f} instead of {wanted:,.0f}, so give it another number of "
            "layers."
        )
    return candidate


# --- parts of a comparison ------------------------------------------------------------------------


class Comparison:
    """What all runs of a comparison share: text, tokenizer and sizes.

    Args:
        recipe: the comparison.
        corpora: where text comes from.
    """

    def __init__(self, recipe: CompareRecipe, corpora: Corpora) -> None:
        self.recipe, self.corpora = recipe, corpora
        reference = recipe.reference
        assert reference.tokenizer and reference.model  # noqa: PT018
        self.layout = ARCHITECTURES[reference.architecture].layout
        self.tokenizer = train_tokenizer(
            tokenizer_texts(reference, corpora),
            reference.tokenizer.vocab_size,
            self.layout,
            split_digits=reference.tokenizer.split_digits,
            split_names=reference.tokenizer.split_names,
            alphabet=reference.tokenizer.alphabet,
        )
        self.tokenizer.model_max_length = reference.model.max_length
        self.encoder = Encoder(self.tokenizer, self.layout, reference.model.max_length)
        self.draws = [ingredient(part, corpora, self.encoder) for part in reference.ingredients]
        self._last: tuple[tuple[int, int], list[Example]] = (-1, -1), []

    def examples(self, seed: int, epoch: int) -> list[Example]:
        """What every system learns in an epoch of a run with a seed."""
        if self._last[0] != (seed, epoch):
            found = [
                example
                for number, draw in enumerate(self.draws)
                for example in draw(random.Random(f"{seed} {number} {epoch}"))
            ]
            self._last = (seed, epoch), found
        return self._last[1]

    @cached_property
    def lengths(self) -> Lengths:
        """Lengths of the sources and targets of one epoch, in tokens."""
        return [(len(e.input_ids), len(e.labels)) for e in self.examples(self.recipe.seeds[0], 0)]

    @cached_property
    def candidates(self) -> list[Candidate]:
        """The reference and the others in both matchings.

        Raises:
            CompareError: one can't be matched.
        """
        recipe = self.recipe
        config = reference_config(recipe.reference, self.tokenizer)
        first = Candidate(REFERENCE, "both", config)
        return [
            first,
            *(
                match(first, each.system, how, layers, self.lengths, recipe.tolerance)
                for each in recipe.systems
                for how, layers in (("parameters", each.parameters), ("flops", each.flops))
            ),
        ]

    @cached_property
    def validation(self) -> dict[str, list[Example]]:
        """Held-out examples of each skill, from which the learning rate is chosen."""
        number = self.recipe.validation
        return {
            name: self.encoder.examples(pairs[:number], source_limit=limit)
            for name, pairs, limit in self._held_out("validation", number)
        }

    @cached_property
    def tests(self) -> list[Test]:
        """What every finished model is scored on."""
        number = self.recipe.reference.evaluation.examples
        found = []
        for name, pairs, limit in self._held_out("test", number):
            found.append(Test.of(name, pairs[:number], limit))
        return found

    def _held_out(
        self, split: Literal["validation", "test"], number: int
    ) -> Iterator[tuple[str, list[Pair], int | None]]:
        for part in self.recipe.reference.ingredients:
            kind = part.kind
            if isinstance(kind, TranslationRecipe):
                found = getattr(self.corpora.pairs(kind), split)
                pairs = [Pair(kind.prefix + pair.source, pair.target) for pair in found]
                yield f"translation {kind.direction}", pairs, None
            elif isinstance(kind, SummariesRecipe):
                from encdec.data.docstrings import source_text

                docs = getattr(self.corpora.docstrings, split)
                texts = [Pair(kind.prefixes[0] + source_text(d), d.summary) for d in docs]
                yield "summaries", texts, kind.source_limit
            elif isinstance(kind, InstructionsRecipe):
                from encdec.data.tasks import draw_items

                seed = {"validation": 1, "test": 2}[split]
                items = draw_items(number, seed, split="unseen_templates", tasks=kind.tasks)
                yield "instructions", [Pair(i.instruction, i.answer) for i in items], None


@dataclass(frozen=True)
class Test:
    """Held-out texts of one skill.

    Args:
        name: of the skill.
        sources: what is read.
        references: for each source the right answers.
        limit: tokens of a source at most.
    """

    __test__ = False  # no test of pytest's

    name: str
    sources: list[str]
    references: list[list[str]]
    limit: int | None

    @classmethod
    def of(cls, name: str, pairs: Sequence[Pair], limit: int | None) -> Test:
        """Group the right answers of a source."""
        groups = group_references(pairs)
        return cls(name, list(groups), list(groups.values()), limit)

    def score(self, answers: Sequence[str]) -> list[dict[str, Any]]:
        """The skill's scores, the most telling first."""
        from encdec.metrics import bleu, chrf, exact_match, rouge

        if self.name == "summaries":
            found = rouge(answers, [each[0] for each in self.references])
        elif self.name == "instructions":
            found = [exact_match(answers, self.references)]
        else:
            found = [chrf(answers, self.references), bleu(answers, self.references)]
        return [each.as_dict() for each in found]


def loss(model: nn.Module, examples: Sequence[Example], *, batch_size: int = 50) -> float:
    """Mean negative log-likelihood of a token of the targets, in nats.

    Args:
        model: called like an encoder–decoder.
        examples: not those that it learns from.
        batch_size: how many at a time.
    """
    config: Any = model.config
    device = next(model.parameters()).device
    total, tokens, was = 0.0, 0, model.training
    model.eval()
    ordered = sorted(examples, key=lambda e: (len(e.labels), len(e.input_ids)))
    with torch.inference_mode():
        for start in range(0, len(ordered), batch_size):
            batch = collate(
                ordered[start : start + batch_size],
                config.pad_token_id,
                config.decoder_start_token_id,
            )
            batch = {name: tensor.to(device) for name, tensor in batch.items()}
            labels = batch.pop("labels")
            logits = model(**batch)
            nats = F.cross_entropy(
                logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORE, reduction="sum"
            )
            total, tokens = total + nats.item(), tokens + int((labels != IGNORE).sum())
    model.train(was)
    return total / tokens


# --- runs -----------------------------------------------------------------------------------------


class Runs:
    """Trains and measures what is not yet in a folder.

    Args:
        comparison: the comparison.
        folder: where finished runs are kept.
        report: called with lines of the training log.
        on_batch: called while a model writes.

    Raises:
        CompareError: the folder holds runs with other settings.
    """

    def __init__(
        self,
        comparison: Comparison,
        folder: Path,
        report: Report = lambda line: None,
        on_batch: Progress = silent,
    ) -> None:
        self.comparison, self.folder = comparison, folder
        self.recipe = comparison.recipe
        self.report, self.on_batch = report, on_batch
        tokens = comparison.tokenizer.backend_tokenizer.to_str()
        self.digest = digest([self.recipe.model_dump_json(exclude_none=True), tokens])
        settings = folder / "settings.json"
        if settings.exists() and read_json(settings) != {"digest": self.digest}:
            raise CompareError(
                f"{folder} holds runs with other settings or other text: remove it to begin again."
            )
        write_json(settings, {"digest": self.digest})

    def alone(self, name: str, *, wait: bool) -> FileLock:
        """A lock, so that two processes in one folder share the work.

        Args:
            name: of the work.
            wait: whether entering waits for the other process, or raises `filelock.Timeout`.
        """
        return FileLock(self.folder / f"{name}.lock", timeout=-1 if wait else 0)

    def tune(self, candidate: Candidate) -> dict[str, Any]:
        """Try every learning rate on part of the training, and choose one.

        Returns:
            ``tried``: loss on held-out text by rate; ``learning_rate``: the best.
        """
        recipe, tried = self.recipe, []
        for rate in recipe.learning_rates:
            path = self.folder / candidate.name / f"rate-{rate:g}.json"
            stage = recipe.stage.model_copy(
                update={"epochs": recipe.tuning_epochs, "learning_rate": rate}
            )
            work = partial(self._train, candidate, recipe.seeds[0], stage, path)
            tried.append(finished(path, work))
        best = min(tried, key=lambda each: each["loss"])
        return {"tried": tried, "learning_rate": best["learning_rate"]}

    def train(self, candidate: Candidate, seed: int, learning_rate: float) -> dict[str, Any]:
        """Train with a seed, score on the tests."""
        path = self.folder / candidate.name / f"seed-{seed}.json"
        stage = self.recipe.stage.model_copy(update={"learning_rate": learning_rate})
        return finished(path, partial(self._train, candidate, seed, stage, path, score=True))

    def costs(self, candidate: Candidate) -> dict[str, Any]:
        """Measure decoding at growing lengths, and time and memory of a training step."""
        path = self.folder / candidate.name / "costs.json"
        return finished(path, partial(self._measure, candidate))

    def _train(
        self,
        candidate: Candidate,
        seed: int,
        stage: StageRecipe,
        path: Path,
        *,
        score: bool = False,
    ) -> dict[str, Any]:
        comparison, folder = self.comparison, path.with_suffix("")
        trainer = trainer_of(
            comparison,
            candidate,
            seed,
            stage,
            folder,
            lambda line: self.report(line | {"run": f"{candidate.name} {path.stem}"}),
        )
        position, model = trainer.run(), trainer.model
        losses = {name: loss(model, part) for name, part in comparison.validation.items()}
        found = {
            "seed": seed,
            "learning_rate": stage.learning_rate,
            "steps": position.step,
            "tokens": position.tokens,
            "losses": {name: round(value, 4) for name, value in losses.items()},
            "loss": round(statistics.fmean(losses.values()), 4),
        }
        if score:
            model.eval()
            found["scores"] = self.score(model)
        shutil.rmtree(folder)
        return found

    def score(self, model: nn.Module) -> dict[str, list[dict[str, Any]]]:
        """Scores of each skill, decoded greedily."""
        comparison = self.comparison
        settings = self.recipe.reference.evaluation.model_copy(update={"num_beams": 1})
        answerer = Answerer(
            model, comparison.tokenizer, comparison.encoder, settings, self.on_batch
        )
        found = {}
        for test in comparison.tests:
            answerer.what = test.name
            found[test.name] = test.score(answerer.answer(test.sources, test.limit))
        return found

    def _measure(self, candidate: Candidate) -> dict[str, Any]:
        settings = self.recipe.measure
        model: Any = candidate.build().eval().to(device())
        grid = [
            measuring.decoding(model, source, target, batch=batch, repeats=settings.repeats)
            for batch in settings.batches
            for source in settings.sources
            for target in settings.targets
        ]
        rows = 8
        training = [
            {
                "source": source,
                "target": target,
                "batch": rows,
                "peak_bytes": measuring.training_memory(model, source, target, batch=rows),
            }
            for source in settings.sources
            for target in settings.targets[:1]
        ]
        seconds, _ = step_seconds(
            self.comparison, candidate, self.folder / "timing", settings.steps
        )
        return {
            "decoding": grid,
            "training": training,
            "step_seconds": round(seconds, 4),
            "threads": torch.get_num_threads(),
        }


def trainer_of(
    comparison: Comparison,
    candidate: Candidate,
    seed: int,
    stage: StageRecipe,
    folder: Path,
    report: Report = lambda line: None,
) -> Trainer:
    """What trains a candidate on the comparison's examples."""
    config = candidate.config
    return Trainer(
        model=candidate.build(seed),
        epoch=partial(comparison.examples, seed),
        recipe=stage,
        folder=folder,
        seed=seed,
        collate=partial(
            collate,
            pad_token_id=config.pad_token_id,
            decoder_start_token_id=config.decoder_start_token_id or 0,
        ),
        report=report,
    )


def step_seconds(
    comparison: Comparison, candidate: Candidate, folder: Path, steps: int
) -> tuple[float, Trainer]:
    """What a step of training takes.

    Args:
        comparison: the comparison.
        candidate: one of its systems.
        folder: for what is thrown away afterwards.
        steps: to train; the first third is not counted.

    Returns:
        Seconds, and the trainer.
    """
    shutil.rmtree(folder, ignore_errors=True)
    recipe = comparison.recipe
    trainer = trainer_of(comparison, candidate, recipe.seeds[0], recipe.stage, folder)
    trainer.run(stop_after=max(1, steps // 3))
    warm = replace(trainer.position)
    end = trainer.run(stop_after=steps)
    if end.step == warm.step:  # that was all of it
        warm = Position()
    shutil.rmtree(folder, ignore_errors=True)
    return (end.seconds - warm.seconds) / (end.step - warm.step), trainer


def device() -> torch.device:
    """A GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def digest(parts: Sequence[str]) -> str:
    """A short name for texts that changes when they do."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def read_json(path: Path) -> dict[str, Any]:
    """What a finished run left behind.

    Raises:
        CompareError: the file is damaged.
    """
    try:
        content = json.loads(path.read_text(encoding="utf8"))
    except (OSError, ValueError) as error:
        raise CompareError(
            f"{path} is damaged ({' '.join(str(error).split())}): remove it, and the same command "
            "makes it again."
        ) from error
    if not isinstance(content, dict):
        raise CompareError(f"{path} is damaged (no table): remove it to make it again.")
    return content


def finished(path: Path, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What an earlier run left behind, or what ``work`` finds out now."""
    if path.exists():
        return read_json(path)
    found = work()
    write_json(path, found)
    return found


def baselines(comparison: Comparison) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Scores of what needs no network, on the same tests."""
    from encdec.baselines import TranslationMemory, copy_source, function_name, lead_sentence
    from encdec.data.tasks import draw_items

    parts = [part.kind for part in comparison.recipe.reference.ingredients]
    found = {}
    for kind, test in zip(parts, comparison.tests, strict=True):
        if isinstance(kind, TranslationRecipe):
            plain = [source.removeprefix(kind.prefix) for source in test.sources]
            memory = TranslationMemory(comparison.corpora.pairs(kind).train)
            answers = {
                "nearest training sentence": [memory(source) for source in plain],
                "source copied": copy_source(plain),
            }
        elif isinstance(kind, SummariesRecipe):
            docs = comparison.corpora.docstrings.test[: len(test.sources)]
            answers = {
                "lead sentence": [lead_sentence(doc) for doc in docs],
                "function name": [function_name(doc) for doc in docs],
            }
        elif isinstance(kind, InstructionsRecipe):
            seen = draw_items(5000, 3, tasks=kind.tasks)
            usual = statistics.mode(item.answer for item in seen)
            answers = {"commonest answer": [usual] * len(test.sources)}
        found[test.name] = {name: test.score(given) for name, given in answers.items()}
    return found


# --- the whole comparison -------------------------------------------------------------------------


def run(
    path: Path,
    *,
    smoke: bool = False,
    runs: Path = Path("runs"),
    results: Path = Path("results"),
    report: Report = lambda line: None,
    on_batch: Progress = silent,
    on_run: Callable[[str, int, int], None] = lambda name, done, total: None,
) -> dict[str, Any]:
    """Make a comparison, or what is missing of it.

    Args:
        path: the recipe.
        smoke: take the whole path in less than a minute; the result stays beside the runs.
        runs: finished runs go to ``runs/<name>``.
        results: everything goes to ``results/<name>.json``.
        report: called with lines of the training log.
        on_batch: called while a model writes.
        on_run: called before every run with its name, its number and how many there are.

    Returns:
        What was written to the results file.

    Raises:
        EncdecError: the recipe, a corpus or an earlier run can't be used.
    """
    recipe = load_comparison(path)
    recipe = recipe.smoke() if smoke else recipe
    folder = runs / recipe.name
    comparison = prepare(recipe, smoke=smoke)
    work = Runs(comparison, folder, report, on_batch)
    total = len(comparison.candidates) * (2 + len(recipe.seeds)) + 1
    names = iter(range(1, total + 1))
    on_run("baselines", next(names), total)
    basis = finished(folder / "baselines.json", partial(baselines, comparison))
    trained: dict[str, dict[str, Any]] = {}
    for wait in (False, True):  # first what no other process is training, then what is left
        for candidate in comparison.candidates:
            if candidate.name in trained:
                continue
            with suppress(Timeout), work.alone(candidate.name, wait=wait):
                on_run(f"{candidate.name}: learning rate", next(names), total)
                tuning = work.tune(candidate)
                seeds = []
                for seed in recipe.seeds:
                    on_run(f"{candidate.name}: seed {seed}", next(names), total)
                    seeds.append(work.train(candidate, seed, tuning["learning_rate"]))
                trained[candidate.name] = {"tuning": tuning, "runs": seeds}
    systems = []
    with work.alone("costs", wait=True):  # all in one go, when nothing trains any more
        for candidate in comparison.candidates:
            on_run(f"{candidate.name}: costs", next(names), total)
            entry = candidate.as_dict(comparison.lengths) | trained[candidate.name]
            systems.append(entry | {"costs": work.costs(candidate)})
    outcome = {
        "name": recipe.name,
        "description": recipe.description,
        "seeds": list(recipe.seeds),
        "learning_rates": list(recipe.learning_rates),
        "vocab_size": len(comparison.tokenizer),
        "examples": len(comparison.lengths) * recipe.stage.epochs,
        "mean_source": round(statistics.fmean(s for s, _ in comparison.lengths), 1),
        "mean_target": round(statistics.fmean(t for _, t in comparison.lengths), 1),
        "tests": {test.name: len(test.sources) for test in comparison.tests},
        "baselines": basis,
        "systems": systems,
        "provenance": provenance(f"python -m encdec compare{' --smoke' * smoke}"),
    }
    write_json((folder if smoke else results) / f"{recipe.name}.json", outcome)
    return outcome


def prepare(recipe: CompareRecipe, *, smoke: bool = False) -> Comparison:
    """Read the corpora and train the tokenizer."""
    corpora = Corpora(recipe.reference.held_out, SMOKE_ITEMS if smoke else None)
    return Comparison(recipe, corpora)


@dataclass(frozen=True)
class Forecast:
    """What a system will take.

    Args:
        candidate: the system.
        flops: of one training example.
        steps: of one epoch.
        step_seconds: of one step of training.
        minutes: of all its runs together.
    """

    candidate: Candidate
    flops: float
    steps: int
    step_seconds: float
    minutes: float


def forecast(comparison: Comparison, folder: Path, *, steps: int = 12) -> Iterator[Forecast]:
    """Train every system for some steps, and say how long the comparison will take.

    Args:
        comparison: the comparison.
        folder: for what is thrown away afterwards.
        steps: to train; the first third is not counted.
    """
    recipe = comparison.recipe
    epochs = len(recipe.learning_rates) * recipe.tuning_epochs + len(recipe.seeds) * (
        recipe.stage.epochs
    )
    settings = recipe.reference.evaluation
    for candidate in comparison.candidates:
        seconds, trainer = step_seconds(comparison, candidate, folder, steps)
        model: Any = trainer.model.eval()
        ids = measuring.random_ids(model, settings.batch_size, 32)
        started = time.perf_counter()
        measuring.write(model, ids, settings.max_new_tokens // 2)
        batch_seconds = time.perf_counter() - started
        scoring = batch_seconds * sum(len(t.sources) for t in comparison.tests) / len(ids)
        in_epoch = trainer.total_steps // recipe.stage.epochs
        whole = epochs * in_epoch * seconds + len(recipe.seeds) * scoring
        yield Forecast(
            candidate,
            candidate.flops(comparison.lengths),
            in_epoch,
            seconds,
            whole / 60,
        )


# --- reading the result ---------------------------------------------------------------------------


def across_seeds(entry: dict[str, Any], skill: str, number: int = 0) -> dict[str, float]:
    """A system's score over all its seeds.

    Args:
        entry: one of the ``systems`` of a result.
        skill: one of its ``tests``.
        number: which of the skill's scores.

    Returns:
        ``mean``; ``lowest`` and ``highest`` of the seeds; ``low`` and ``high``: the mean of the
        ends of the runs' 95% intervals over test items, moved apart by what the seeds differ
        (half their range), so that both kinds of doubt are in it.
    """
    scores = [run["scores"][skill][number] for run in entry["runs"]]
    values = [score["value"] for score in scores]
    mean, spread = statistics.fmean(values), (max(values) - min(values)) / 2
    below = mean - statistics.fmean(score["low"] for score in scores)
    above = statistics.fmean(score["high"] for score in scores) - mean
    return {
        "mean": mean,
        "lowest": min(values),
        "highest": max(values),
        "low": mean - (below**2 + spread**2) ** 0.5,
        "high": mean + (above**2 + spread**2) ** 0.5,
    }


def decoding_cost(
    entry: dict[str, Any], source: int, target: int, batch: int, key: str = "seconds"
) -> float:
    """What was measured at certain lengths.

    Raises:
        CompareError: it was not measured there.
    """
    grid = entry["costs"]["decoding"]
    for row in grid:
        if (row["source"], row["target"], row["batch"]) == (source, target, batch):
            return float(row[key])
    known = sorted({(row["source"], row["target"], row["batch"]) for row in grid})
    raise CompareError(
        f"source={source}, target={target}, batch={batch} was not measured; measured were "
        f"{', '.join(map(str, known))}."
    )
