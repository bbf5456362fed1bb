"""How long it takes to learn to answer from several passages: read apart, or as one source.

    python -m benchmarks.passages

trains the two readers of chapter 12 ten times as long as the chapter does, from several seeds, asks
them over more passages than they were trained on, and writes ``results/passages.json``. It takes
about four minutes on one processor core.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import torch
import torch.nn.functional as F
import typer
from torch import Tensor

from encdec import EncoderDecoder, TransformerConfig
from encdec.hybrids import FusionInDecoder
from encdec.results import provenance, write_json

PEOPLE, FOODS = 8, 8
TRAINED_ON, BATCH, TESTS = 4, 32, 300  # passages in training, examples a step, questions a test
ASKED = (2, 4, 6, 8)  # passages in the tests
READERS: dict[str, type[EncoderDecoder]] = {
    "fusion-in-decoder": FusionInDecoder,
    "one long source": EncoderDecoder,
}


def config() -> TransformerConfig:
    """The chapter's reader."""
    sizes: dict[str, Any] = {"d_model": 32, "d_ff": 64, "num_heads": 4, "num_layers": 2}
    t5 = TransformerConfig.family("t5", vocab_size=2 + PEOPLE + FOODS, dropout=0.0, **sizes)
    return replace(t5, model_type="")


def facts(size: int, passages: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw questions: rows of question, separator, person, food; and the food that is asked for."""
    people = torch.rand(size, PEOPLE, generator=generator).argsort(1)[:, :passages] + 2
    foods = torch.randint(FOODS, (size, passages), generator=generator) + 2 + PEOPLE
    asked = torch.randint(passages, (size, 1), generator=generator)
    question = people.gather(1, asked).expand(-1, passages)
    rows = torch.stack([question, torch.ones_like(people), people, foods], dim=2)
    return rows, foods.gather(1, asked)[:, 0]


def answer(model: EncoderDecoder, rows: Tensor) -> Tensor:
    """Score every token as the answer, (size, vocab)."""
    start = torch.zeros(len(rows), 1, dtype=torch.long)
    given = rows if isinstance(model, FusionInDecoder) else rows.flatten(1)
    logits = model(given, decoder_input_ids=start)
    assert isinstance(logits, Tensor)
    return logits[:, 0]


@torch.no_grad()
def right(model: EncoderDecoder) -> list[float]:
    """Share of right answers over 2 to 8 passages."""
    generator, found = torch.Generator().manual_seed(9), []
    for passages in ASKED:
        rows, food = facts(TESTS, passages, generator)
        found.append(round((answer(model, rows).argmax(-1) == food).float().mean().item(), 4))
    return found


def train(model: EncoderDecoder, steps: int, every: int, seed: int) -> list[list[float]]:
    """Teach a model to answer, and ask it before the first step and after every so many."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, betas=(0.9, 0.98))
    curve = [right(model)]
    for step in range(1, steps + 1):
        optimizer.param_groups[0]["lr"] = 4e-3 * min(1, step / 20)
        rows, food = facts(BATCH, TRAINED_ON, generator)
        loss = F.cross_entropy(answer(model, rows), food)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % every == 0:
            curve.append(right(model))
    return curve


def main(
    steps: Annotated[int, typer.Option(help="Training steps of a model.", min=1)] = 1600,
    every: Annotated[int, typer.Option(help="Steps between tests.", min=1)] = 160,
    seeds: Annotated[int, typer.Option(help="Models of each kind.", min=1)] = 3,
    output: Annotated[Path, typer.Option()] = Path("results/passages.json"),
) -> None:
    """Train, test and write down."""
    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    for name, reader in READERS.items():
        runs, started = [], time.process_time()
        for seed in range(seeds):
            torch.manual_seed(seed)
            runs.append(train(reader(config()), steps, every, seed))
            print(name, seed, runs[-1][-1], flush=True)
        seconds = (time.process_time() - started) / seeds
        last = statistics.mean(run[-1][-1] for run in runs)
        found[name] = {"right": runs, "seconds": round(seconds), "last": round(last, 4)}
    write_json(
        output,
        {
            "name": "passages",
            "description": "Share of right answers over several passages, as training goes on.",
            "steps": list(range(0, steps + 1, every)),
            "batch": BATCH,
            "passages_in_training": TRAINED_ON,
            "passages": list(ASKED),
            "questions_of_each_test": TESTS,
            "readers": found,
            "provenance": provenance("python -m benchmarks.passages"),
        },
    )


if __name__ == "__main__":
    typer.run(main)
