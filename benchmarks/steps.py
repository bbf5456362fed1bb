"""What instructions of more steps cost a model that has been taught one and two.

    python -m benchmarks.steps

trains small encoder–decoders to carry out instructions on lists of three letters, from several
seeds: one that writes the answer alone, one that writes the list after each step, and one that has
been taught up to four steps. It writes ``results/instruction-steps.json`` after each seed, which
takes about two minutes on one processor core.
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
from encdec.data.lists import PAD, SYMBOLS, THEN, carry_out, decode, draw, draw_steps, encode
from encdec.results import provenance, write_json

SLOTS, LENGTH, ALPHABET = 4, 3, 6
AMONG = ("reverse", "rotate", "swap")
BATCH, TESTS, RATE, WARM_UP = 48, 200, 3e-3, 50
KINDS = {"answer only": 2, "steps shown": 2, "answer only, taught four": 4}  # most steps taught
Task = tuple[list[str], str]


def make() -> EncoderDecoder:
    """The model, the same for all."""
    config = TransformerConfig(
        vocab_size=len(SYMBOLS),
        d_model=48,
        d_ff=192,
        num_heads=4,
        num_layers=2,
        positions="sinusoidal",
        norm_first=True,
        final_norm=True,
        dropout=0.0,
    )
    return EncoderDecoder(config)


def task(real: int, generator: random.Random) -> Task:
    """An instruction with so many steps that are no copy, and a list."""
    return draw_steps(real, SLOTS, generator, AMONG), draw(LENGTH, generator, ALPHABET)


def train(model: EncoderDecoder, most: int, shown: bool, steps: int, seed: int) -> float:
    """Teach a model to carry out instructions; returns the last loss."""
    generator, loss = random.Random(f"train {seed}"), torch.tensor(0.0)
    optimizer = torch.optim.AdamW(model.parameters(), RATE, (0.9, 0.98), weight_decay=0, fused=True)
    for step in range(1, steps + 1):
        tasks = [task(generator.randint(1, most), generator) for _ in range(BATCH)]
        batch = collate([encode(*each, show_steps=shown) for each in tasks], PAD, PAD)
        labels = batch.pop("labels")
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(step / WARM_UP, 1 - (step - 1) / steps)
        loss = F.cross_entropy(model(**batch).flatten(0, 1), labels.flatten(), ignore_index=IGNORE)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return loss.item()


def write(model: EncoderDecoder, tasks: list[Task]) -> list[str]:
    """What a model writes, in letters."""
    examples: list[Example] = [encode(*each) for each in tasks]
    batch = collate(examples, PAD, PAD)
    limit = SLOTS * (LENGTH + 1) + 5
    output = generate(
        model, batch["input_ids"], attention_mask=batch["attention_mask"], max_new_tokens=limit
    )
    return [decode(ids) for ids in output.sequences.tolist()]


def one_by_one(model: EncoderDecoder, tasks: list[Task]) -> list[str]:
    """Carry out instructions by asking for one step at a time; the answer is the next list."""
    lists = [letters for _, letters in tasks]
    for slot in range(SLOTS):
        single = [["copy"] * slot + [s[slot]] + ["copy"] * (SLOTS - slot - 1) for s, _ in tasks]
        changed = [i for i, (steps, _) in enumerate(tasks) if steps[slot] != "copy"]
        usable = [i for i in changed if len(lists[i]) == LENGTH and lists[i].isalpha()]
        if usable:
            answers = write(model, [(single[i], lists[i]) for i in usable])
            for i, answer in zip(usable, answers, strict=True):
                lists[i] = answer
    return lists


def share(written: list[str], tasks: list[Task]) -> float:
    """Share of final lists that are right."""
    pairs = zip(written, tasks, strict=True)
    return round(sum(w.split(THEN)[-1] == carry_out(*t)[-1] for w, t in pairs) / len(tasks), 4)


def main(
    steps: Annotated[int, typer.Option(help="Training steps of a model.", min=1)] = 2000,
    seeds: Annotated[int, typer.Option(help="Models of each kind.", min=1)] = 2,
    output: Annotated[Path, typer.Option()] = Path("results/instruction-steps.json"),
) -> None:
    """Train, test and write down."""
    torch.set_num_threads(1)
    generator, reals = random.Random("test"), range(1, SLOTS + 1)
    tests = {real: [task(real, generator) for _ in range(TESTS)] for real in reals}
    lazy = {
        "list copied": [share([letters for _, letters in tests[n]], tests[n]) for n in reals],
        "first step only": [share([_only(t, 0) for t in tests[n]], tests[n]) for n in reals],
        "last step only": [share([_only(t, -1) for t in tests[n]], tests[n]) for n in reals],
    }
    names = [*KINDS, "answer only, one step at a time"]
    found: dict[str, Any] = {name: {"loss": [], "seconds": [], "right": []} for name in names}
    for seed in range(seeds):
        for kind, most in KINDS.items():
            started = time.process_time()
            torch.manual_seed(seed)
            model = make()
            loss = train(model, most, kind == "steps shown", steps, seed)
            model.eval()
            found[kind]["loss"].append(round(loss, 4))
            found[kind]["right"].append([share(write(model, t), t) for t in tests.values()])
            found[kind]["seconds"].append(round(time.process_time() - started))
            if kind == "answer only":
                repeated = [share(one_by_one(model, t), t) for t in tests.values()]
                found[names[-1]]["right"].append(repeated)
            print(seed, kind, found[kind]["loss"][-1], found[kind]["right"][-1], flush=True)
        write_json(
            output,
            {
                "name": "instruction-steps",
                "description": "Share of instructions carried out rightly, by number of steps.",
                "steps": steps,
                "batch": BATCH,
                "seeds": seed + 1,
                "tests_of_each_number": TESTS,
                "numbers": list(reals),
                "parameters": sum(p.numel() for p in model.parameters()),
                "systems": found,
                "without_a_model": lazy,
                "provenance": provenance("python -m benchmarks.steps"),
            },
        )


def _only(each: Task, which: int) -> str:
    """The answer of someone who carries out a single step of those that change something."""
    steps, letters = each
    real = [step for step in steps if step != "copy"]
    return carry_out([real[which]], letters)[-1]


if __name__ == "__main__":
    typer.run(main)
