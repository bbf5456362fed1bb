"""Who is compared in training: each learns the same text in a process of its own.

A learner trains one model from beginning to end. After every stretch of steps it says how long they
took and waits for its next turn, so that all of them meet the same minutes of the machine.
"""

from __future__ import annotations

import multiprocessing
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from encdec.data.collate import IGNORE, Example, bucket_batches, collate
from encdec.environment import quieten
from encdec.recipe import OptimizationRecipe
from encdec.training import Trainer, keep_freed_memory

SEED = 0
STRETCH = 10  # steps


@dataclass(frozen=True)
class Course:
    """What every learner gets: first weights, text and the way to learn it, one epoch long.

    Args:
        folder: the first weights and the tokenizer, in Hugging Face's layout.
        examples: what is learnt.
        held_out: what nobody learns, but everyone is asked about after each stretch.
        recipe: how it is learnt; one epoch.
    """

    folder: Path
    examples: list[Example]
    held_out: list[Example]
    recipe: OptimizationRecipe

    @property
    def steps(self) -> int:
        """Batches that the book makes of the text."""
        lengths = [(len(example.input_ids), len(example.labels)) for example in self.examples]
        batches = bucket_batches(lengths, self.recipe.max_tokens, random.Random(f"{SEED} 0"))
        return len(batches)

    @property
    def sentences(self) -> int:
        """Sentences a batch with which the same text makes as many batches."""
        return -(-len(self.examples) // self.steps)

    @property
    def stretches(self) -> int:
        """How often every learner has its turn."""
        return self.steps // STRETCH


@dataclass(frozen=True)
class Stretch:
    """A few steps of one learner.

    Args:
        seconds: how long they took.
        tokens: of real text, source and target together.
        padded: the same with padding.
        loss: mean over the steps of a batch's mean loss, label smoothing included.
        held_out: mean loss of a token of the held-out text afterwards, without smoothing.
    """

    seconds: float
    tokens: int
    padded: int
    loss: float
    held_out: float


@dataclass
class Clock:
    """Tells the parent how long a stretch took, and waits until it is called again.

    Args:
        pipe: to the parent.
        course: what is learnt.
    """

    pipe: Connection
    course: Course
    sizes: list[tuple[int, int]] = field(default_factory=list)  # of each batch: real and padded
    counted: int = 0  # batches that belong to earlier stretches
    started: float = 0.0

    def wait(self) -> None:
        """Sleep until it is this learner's turn."""
        self.pipe.recv()
        self.started = time.perf_counter()

    def counting(self, collator: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """The same collator, but the clock knows how large each batch was."""

        def counted(examples: Sequence[Any]) -> Any:
            batch = collator(examples)
            inputs, labels = batch["input_ids"], batch["labels"]
            real = int(batch["attention_mask"].sum()) + int((labels != IGNORE).sum())
            self.sizes.append((real, inputs.numel() + labels.numel()))
            return batch

        return counted

    def stretch(self, step: int, loss: float, model: Any) -> None:
        """Report the steps up to this one; a loader may be some batches ahead."""
        seconds = time.perf_counter() - self.started
        real, padded = zip(*self.sizes[self.counted : step], strict=True)
        self.counted = step
        held_out = held_out_loss(model, self.course)  # on nobody's time
        self.pipe.send(Stretch(seconds, sum(real), sum(padded), loss, held_out))
        self.wait()


Learn = Callable[..., None]  # course, clock, options


def mixed_batches(
    lengths: Sequence[tuple[int, int]], max_tokens: int, generator: random.Random, *, size: int
) -> list[list[int]]:
    """Batches of so many sentences, whatever their lengths."""
    order = list(range(len(lengths)))
    generator.shuffle(order)
    return [order[start : start + size] for start in range(0, len(order), size)]


def held_out_loss(model: Any, course: Course) -> float:
    """Mean loss of a token that nobody learns, in nats."""
    collator = collating(model)
    model.eval()
    total, tokens = 0.0, 0
    with torch.no_grad():
        for start in range(0, len(course.held_out), course.sentences):
            batch = collator(course.held_out[start : start + course.sentences])
            labels = batch.pop("labels")
            output = model(**batch)
            logits = output if isinstance(output, Tensor) else output.logits
            total += float(
                F.cross_entropy(
                    logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORE, reduction="sum"
                )
            )
            tokens += int((labels != IGNORE).sum())
    model.train()
    return total / tokens


def collating(model: Any) -> Callable[[Sequence[Example]], dict[str, Tensor]]:
    """How the book makes a batch for a model."""
    return partial(
        collate,
        pad_token_id=model.config.pad_token_id,
        decoder_start_token_id=model.config.decoder_start_token_id,
    )


def book(course: Course, clock: Clock, *, own_model: bool = True, mixed: bool = False) -> None:
    """This book's loop.

    Args:
        course: what to learn.
        clock: whom to report to.
        own_model: whether the model is the book's, or the library's class, which recipes train.
        mixed: whether a batch is as many sentences of whatever length, as the library makes them.
    """
    from transformers import AutoModelForSeq2SeqLM

    import encdec.training
    from encdec import EncoderDecoder

    vars(encdec.training)["LOG_EVERY"] = STRETCH
    if mixed:
        vars(encdec.training)["bucket_batches"] = partial(mixed_batches, size=course.sentences)
    keep_freed_memory()  # as `python -m encdec train` does
    model: Any = (
        EncoderDecoder.from_pretrained(course.folder)
        if own_model
        else AutoModelForSeq2SeqLM.from_pretrained(course.folder)
    )
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=model,
            epoch=lambda number: course.examples,
            recipe=course.recipe,
            folder=Path(folder),
            seed=SEED,
            collate=clock.counting(collating(model)),
            report=lambda line: clock.stretch(line["step"], line["loss"], model),
        )
        clock.wait()
        trainer.run(stop_after=course.stretches * STRETCH)


def library(course: Course, clock: Clock, *, strategy: str = "random", keep: bool = False) -> None:
    """The library's `Seq2SeqTrainer` with the same optimizer, schedule, loss and mean batch.

    Args:
        course: what to learn.
        clock: whom to report to.
        strategy: its argument `train_sampling_strategy`.
        keep: whether freed memory is kept, as the book's command line asks glibc to do.
    """
    from transformers import (
        AutoModelForSeq2SeqLM,
        AutoTokenizer,
        DataCollatorForSeq2Seq,
        PrinterCallback,
        Seq2SeqTrainer,
        Seq2SeqTrainingArguments,
        TrainerCallback,
    )

    class Turns(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, *args: Any, **options: Any) -> None:
            clock.wait()

        def on_log(self, args: Any, state: Any, control: Any, **options: Any) -> None:
            if "loss" in options["logs"]:
                clock.stretch(state.global_step, float(options["logs"]["loss"]), model)

    if keep:
        keep_freed_memory()
    recipe = course.recipe
    model = AutoModelForSeq2SeqLM.from_pretrained(course.folder)
    tokenizer = AutoTokenizer.from_pretrained(course.folder)
    with tempfile.TemporaryDirectory() as folder:
        arguments = Seq2SeqTrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=course.sentences,
            num_train_epochs=recipe.epochs,
            train_sampling_strategy=strategy,
            learning_rate=recipe.learning_rate,
            lr_scheduler_type="cosine",
            warmup_steps=recipe.warmup_steps,
            optim="adamw_torch_fused",
            adam_beta1=recipe.betas[0],
            adam_beta2=recipe.betas[1],
            adam_epsilon=recipe.eps,
            weight_decay=recipe.weight_decay,
            max_grad_norm=recipe.max_grad_norm,
            label_smoothing_factor=recipe.label_smoothing,
            logging_steps=STRETCH,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            log_level="error",
            use_cpu=True,
            seed=SEED,
        )
        trainer = Seq2SeqTrainer(
            model=model,
            args=arguments,
            train_dataset=[
                {
                    "input_ids": example.input_ids,
                    "attention_mask": [1] * len(example.input_ids),
                    "labels": example.labels,
                }
                for example in course.examples
            ],
            data_collator=clock.counting(DataCollatorForSeq2Seq(tokenizer, model=model)),
            processing_class=tokenizer,
            callbacks=[Turns()],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()


class Learner:
    """Someone who learns in another process.

    Args:
        learn: one of the functions above.
        course: what to learn.
        threads: how many it may use.
        options: for `learn`.
    """

    def __init__(self, learn: Learn, course: Course, threads: int, **options: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(
            target=serve, args=(theirs, learn, course, threads, options), daemon=True
        )
        self.process.start()
        theirs.close()

    def stretch(self) -> Stretch:
        """Let it learn until the end of the next stretch.

        Raises:
            RuntimeError: it failed; the message is its own.
        """
        try:
            self.pipe.send("go on")
            reply: Stretch | str = self.pipe.recv()
        except (EOFError, OSError):
            reply = "the process has ended before the last stretch"
        if isinstance(reply, str):
            raise RuntimeError(reply)
        return reply

    def close(self) -> None:
        """End the process, which waits for a turn that does not come."""
        self.pipe.close()
        self.process.join(10)


def serve(
    pipe: Connection, learn: Learn, course: Course, threads: int, options: dict[str, Any]
) -> None:
    """What a learner's process does."""
    quieten()
    torch.set_num_threads(threads)
    torch.manual_seed(SEED)
    try:
        learn(course, Clock(pipe, course), **options)
    except (EOFError, BrokenPipeError):  # nobody waits for it any more
        return
    except Exception as error:  # whatever a library raises belongs into the message
        pipe.send(f"{type(error).__name__}: {error}")
