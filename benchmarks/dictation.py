"""How much of a dictated number survives the way through a fixed-size vector.

    python -m benchmarks.dictation

trains every architecture of chapter 2 four times as long as the chapter does, from several seeds,
counts which numbers come out right at each length, and writes ``results/dictation-length.json``.
It takes about ten minutes on one processor core.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import torch
import torch.nn.functional as F
import typer

from encdec import (
    EncoderDecoder,
    RecurrentConfig,
    RecurrentEncoderDecoder,
    TransformerConfig,
    generate,
)
from encdec.data.collate import IGNORE, Example, collate
from encdec.data.dictation import EOS, PAD, SYMBOLS, WORDS, decode, draw, encode
from encdec.results import provenance, write_json

LONGEST, BATCH, TESTS = 12, 64, 300  # words in training, examples a step, examples a length
RATES = {"lstm": 1e-2, "transformer": 3e-3}
Model = RecurrentEncoderDecoder | EncoderDecoder


def lstm(attention: str, d_model: int = 64) -> RecurrentEncoderDecoder:
    """A recurrent model of the chapter's size."""
    sizes: dict[str, Any] = {"vocab_size": len(WORDS), "decoder_vocab_size": len(SYMBOLS)}
    return RecurrentEncoderDecoder(
        RecurrentConfig(**sizes, d_model=d_model, attention=attention, dropout=0.0)  # type: ignore[arg-type]
    )


def transformer() -> EncoderDecoder:
    """The Transformer that the chapter takes apart."""
    return EncoderDecoder(
        TransformerConfig(
            vocab_size=len(WORDS),
            decoder_vocab_size=len(SYMBOLS),
            d_model=64,
            d_ff=256,
            num_heads=4,
            num_layers=2,
            positions="sinusoidal",
            norm_first=True,
            final_norm=True,
            activation="relu",
            dropout=0.0,
            pad_token_id=PAD,
            eos_token_id=EOS,
            decoder_start_token_id=PAD,
        )
    )


MODELS: dict[str, Callable[[], Model]] = {
    "no attention": lambda: lstm("none"),
    "no attention, twice as wide": lambda: lstm("none", 128),
    "additive attention": lambda: lstm("additive"),
    "dot-product attention": lambda: lstm("dot"),
    "Transformer": transformer,
}


def train(model: Model, steps: int, rate: float, seed: int) -> None:
    """Teach a model to write numbers down; sources have 1 to LONGEST words."""
    generator = random.Random(f"train {seed}")
    optimizer = torch.optim.AdamW(model.parameters(), rate, (0.9, 0.98), weight_decay=0, fused=True)
    for step in range(1, steps + 1):
        longest = generator.randint(1, LONGEST)  # similar lengths in a batch: little padding
        lengths = [generator.randint(max(1, longest - 1), longest) for _ in range(BATCH)]
        batch = collate([encode(draw(n, generator)) for n in lengths], PAD, PAD)
        labels = batch.pop("labels")
        for group in optimizer.param_groups:
            group["lr"] = rate * min(step / 50, 1 - (step - 1) / steps)
        logits = model(**batch)
        loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORE)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()


def right(model: Model, examples: list[Example]) -> float:
    """Share of numbers that are written down without a mistake."""
    batch = collate(examples, PAD, PAD)
    limit = batch["labels"].shape[1] + 5
    output = generate(model, batch["input_ids"], batch["attention_mask"], max_new_tokens=limit)
    pairs = zip(output.sequences.tolist(), examples, strict=True)
    return statistics.mean(decode(ids) == decode(example.labels) for ids, example in pairs)


def main(
    steps: Annotated[int, typer.Option(help="Training steps of a model.", min=1)] = 2000,
    seeds: Annotated[int, typer.Option(help="Models of each kind.", min=1)] = 3,
    output: Annotated[Path, typer.Option()] = Path("results/dictation-length.json"),
) -> None:
    """Train, test and write down."""
    torch.set_num_threads(1)
    generator = random.Random("test")
    lengths = range(1, LONGEST + 9)
    tests = {n: [encode(draw(n, generator)) for _ in range(TESTS)] for n in lengths}
    found: dict[str, Any] = {}
    for name, make in MODELS.items():
        rate = RATES["transformer" if name == "Transformer" else "lstm"]
        runs, parameters, started = [], 0, time.process_time()
        for seed in range(seeds):
            torch.manual_seed(seed)
            model = make()
            parameters = sum(p.numel() for p in model.parameters())
            train(model, steps, rate, seed)
            runs.append([round(right(model.eval(), examples), 4) for examples in tests.values()])
            print(name, seed, runs[-1], flush=True)
        seconds = (time.process_time() - started) / seeds
        found[name] = {"parameters": parameters, "seconds": round(seconds), "right": runs}
    write_json(
        output,
        {
            "name": "dictation-length",
            "description": "Share of dictated numbers written down without a mistake, by length.",
            "steps": steps,
            "batch": BATCH,
            "longest_in_training": LONGEST,
            "tests_of_each_length": TESTS,
            "lengths": list(lengths),
            "models": found,
            "provenance": provenance("python -m benchmarks.dictation"),
        },
    )


if __name__ == "__main__":
    typer.run(main)
