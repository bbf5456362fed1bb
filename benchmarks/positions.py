"""How far beyond its lengths a model copies, for every kind of position.

    python -m benchmarks.positions

trains small encoder–decoders that differ in their positions only to copy lists of at most six
letters, from several seeds, lets them copy longer ones, and writes
``results/length-generalisation.json``. It takes about a minute on one processor core for each
seed, and writes after each model.
"""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Annotated, Any

import torch
import torch.nn.functional as F
import typer

from encdec import EncoderDecoder, TransformerConfig, generate
from encdec.data.collate import IGNORE, Example, collate
from encdec.data.lists import PAD, SYMBOLS, decode, draw, encode
from encdec.positions import ShiftedPositions
from encdec.results import provenance, write_json

LONGEST, BATCH, TESTS, TWICE = 6, 32, 100, 12  # letters in training, examples, tested letters
RATE, WARM_UP = 4e-3, 50
KINDS = {
    "learned": "learned",
    "sinusoidal": "sinusoidal",
    "relative": "relative",
    "rotary": "rotary",
    "none": "none",
    "sinusoidal, random start": "sinusoidal",
    "sinusoidal, one batch in ten long": "sinusoidal",
}


def make(kind: str) -> EncoderDecoder:
    """A model with one kind of position, and otherwise like all others."""
    model = EncoderDecoder(
        TransformerConfig(
            vocab_size=len(SYMBOLS),
            d_model=48,
            d_ff=192,
            num_heads=4,
            num_layers=1,
            positions=KINDS[kind],  # type: ignore[arg-type]
            max_positions=64,
            norm_first=True,
            final_norm=True,
            dropout=0.0,
        )
    )
    if "random start" in kind:
        model.encoder.positions = ShiftedPositions(48)
        model.decoder.positions = ShiftedPositions(48)
    return model


def lists(length: int, number: int, generator: random.Random) -> list[Example]:
    """Lists to be copied."""
    return [encode(["copy"], draw(length, generator, TWICE)) for _ in range(number)]


def train(model: EncoderDecoder, kind: str, steps: int, seed: int) -> float:
    """Teach a model to copy; returns the last loss."""
    generator, loss = random.Random(f"train {seed}"), torch.tensor(0.0)
    optimizer = torch.optim.AdamW(model.parameters(), RATE, (0.9, 0.98), weight_decay=0, fused=True)
    for step in range(1, steps + 1):
        length = generator.randint(1, LONGEST)
        if "long" in kind and step % 10 == 0:
            length = generator.randint(LONGEST + 1, TWICE)
        start = generator.randint(0, TWICE)
        for stack in (model.encoder, model.decoder):
            if isinstance(stack.positions, ShiftedPositions):
                stack.positions.start = start
        batch = collate(lists(length, BATCH, generator), PAD, PAD)
        labels = batch.pop("labels")
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(step / WARM_UP, 1 - (step - 1) / steps)
        loss = F.cross_entropy(model(**batch).flatten(0, 1), labels.flatten(), ignore_index=IGNORE)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    for stack in (model.encoder, model.decoder):
        if isinstance(stack.positions, ShiftedPositions):
            stack.positions.start = 0
    return loss.item()


def test(model: EncoderDecoder, examples: list[Example]) -> dict[str, Any]:
    """Let a model write, and score its next tokens after the right beginning."""
    batch = collate(examples, PAD, PAD)
    labels = batch.pop("labels")
    with torch.inference_mode():
        forced = (model(**batch).argmax(-1) == labels).float().mean().item()
    batch.pop("decoder_input_ids")
    output = generate(model, **batch, max_new_tokens=labels.shape[1] + 5)
    written = [decode(ids) for ids in output.sequences.tolist()]
    wanted = [decode(example.labels) for example in examples]
    right = sum(a == b for a, b in zip(written, wanted, strict=True)) / len(wanted)
    return {
        "right": round(right, 4),
        "next": round(forced, 4),
        "source": wanted[0],
        "written": written[0],
    }


def main(
    steps: Annotated[int, typer.Option(help="Training steps of a model.", min=1)] = 1500,
    seeds: Annotated[int, typer.Option(help="Models of each kind.", min=1)] = 3,
    output: Annotated[Path, typer.Option()] = Path("results/length-generalisation.json"),
) -> None:
    """Train, test and write down."""
    torch.set_num_threads(1)
    generator = random.Random("test")
    lengths = range(1, TWICE + 1)
    tests = {n: lists(n, TESTS, generator) for n in lengths}
    found: dict[str, Any] = {
        kind: {"parameters": 0, "seconds": [], "loss": [], "right": [], "next": []}
        for kind in KINDS
    }
    for seed in range(seeds):
        for kind, entry in found.items():
            started = time.process_time()
            torch.manual_seed(seed)
            model = make(kind)
            entry["parameters"] = sum(p.numel() for p in model.parameters())
            entry["loss"].append(round(train(model, kind, steps, seed), 4))
            scores = [test(model.eval(), examples) for examples in tests.values()]
            for name in ("right", "next"):
                entry[name].append([score[name] for score in scores])
            if seed == 0:
                entry["written"] = [score["written"] for score in scores]
                copied = [score["source"] for score in scores]
            entry["seconds"].append(round(time.process_time() - started))
            print(seed, kind, entry["loss"][-1], entry["right"][-1], flush=True)
            write_json(
                output,
                {
                    "name": "length-generalisation",
                    "description": "Share of lists copied without a mistake, by length.",
                    "steps": steps,
                    "batch": BATCH,
                    "longest_in_training": LONGEST,
                    "tests_of_each_length": TESTS,
                    "seeds": seed + 1,
                    "lengths": list(lengths),
                    "copied": copied,
                    "positions": found,
                    "provenance": provenance("python -m benchmarks.positions"),
                },
            )


if __name__ == "__main__":
    typer.run(main)
