"""What cheaper models cost in quality, and what they save in size and time.

    python -m benchmarks.efficiency quality
    python -m benchmarks.efficiency times

The first scores variants of ``marian-en-fr`` on held-out Tatoeba sentences, among them students
with a decoder of one layer, from several seeds, and writes ``results/efficiency.json`` after each
seed (it takes some minutes on one processor core, and needs the corpus). The second measures
seconds and writes ``results/efficiency-times.json``; its figures hold only for a machine that does
nothing else.
"""

from __future__ import annotations

import copy
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import torch
import typer
from torch import Tensor

from encdec import EncoderDecoder, generate, zoo
from encdec.corpora import Corpora
from encdec.data.collate import Example
from encdec.data.parallel import group_references, load_phrasebook
from encdec.distillation import shallow, teach
from encdec.export import export
from encdec.exported import ExportedModel
from encdec.measuring import weight_bytes
from encdec.metrics import chrf
from encdec.quantization import rounded
from encdec.recipe import TranslationRecipe, load_recipe
from encdec.results import provenance, write_json
from encdec.speculative import speculative_search
from encdec.text import generate_text

app = typer.Typer(add_completion=False)
FOLDER = Path("models/marian-en-fr")
TESTS, TRAINED, LONGEST, BATCH = 500, 6000, 60, 32  # characters of a source
AHEAD, SPECULATED = (1, 2, 4, 6), 100
ROUNDINGS = {
    "8 bits, a scale for each row": (8, True),
    "8 bits, one scale": (8, False),
    "4 bits, a scale for each row": (4, True),
    "4 bits, one scale": (4, False),
    "3 bits, a scale for each row": (3, True),
}


def dynamic(model: EncoderDecoder) -> Any:
    """Torch's own: linear maps in integers, their inputs rounded as they come."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.ao.quantization import quantize_dynamic

        return quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)


def corpus() -> tuple[list[str], list[list[str]], list[tuple[str, str]]]:
    """Test sources and their references; pairs to learn from."""
    recipe = load_recipe(FOLDER / "recipe.yaml")
    kinds = [part.kind for part in recipe.stages[-1].mixture]
    kind = next(kind for kind in kinds if isinstance(kind, TranslationRecipe))
    splits = Corpora(recipe.held_out).pairs(kind)
    groups = group_references(splits.test)
    short = [pair for pair in splits.train if len(pair.source) <= LONGEST]
    step = max(1, len(short) // TRAINED)
    pairs = [(pair.source, pair.target) for pair in short[::step][:TRAINED]]
    return list(groups)[:TESTS], list(groups.values())[:TESTS], pairs


@app.command()
def quality(
    seeds: Annotated[int, typer.Option(help="Students of each kind.", min=1)] = 3,
    steps: Annotated[int, typer.Option(help="Training steps of a student.", min=1)] = 400,
    output: Annotated[Path, typer.Option()] = Path("results/efficiency.json"),
) -> None:
    """Score what was rounded, and what was cut and taught again."""
    torch.set_num_threads(1)
    model, tokenizer = zoo.load_folder(FOLDER, device="cpu")
    assert isinstance(model, EncoderDecoder)
    sources, references, pairs = corpus()

    def write(system: Any, texts: list[str]) -> list[str]:
        return generate_text(system, tokenizer, texts, num_beams=1, max_new_tokens=64)

    def score(system: Any) -> dict[str, Any]:
        return chrf(write(system, sources), references).as_dict()

    variants: dict[str, Any] = {}
    variants["float32"] = {"bytes": weight_bytes(model), "chrF": score(model)}
    half = copy.deepcopy(model).bfloat16()
    variants["bfloat16"] = {"bytes": weight_bytes(half), "chrF": score(half)}
    for name, (bits, per_row) in ROUNDINGS.items():
        twin, size = rounded(model, bits, per_row=per_row)
        variants[name] = {"bytes": size, "chrF": score(twin)}
    variants["torch, dynamic"] = {"chrF": score(dynamic(model))}
    print({name: each["chrF"]["value"] for name, each in variants.items()}, flush=True)

    started = time.process_time()
    written = write(model, [source for source, _ in pairs])
    teaching = round(time.process_time() - started)
    sets = {"references": [target for _, target in pairs], "the teacher's": written}
    found: dict[str, Any] = {name: {"chrF": [], "loss": [], "seconds": []} for name in sets}
    cut = {"bytes": weight_bytes(shallow(model)), "chrF": score(shallow(model))}
    speculation: list[dict[str, Any]] = []
    for seed in range(seeds):
        for name, targets in sets.items():
            encoded = [
                Example(tokenizer(source).input_ids, tokenizer(text_target=target).input_ids)
                for (source, _), target in zip(pairs, targets, strict=True)
            ]
            started, student = time.process_time(), shallow(model)
            losses = teach(student, encoded, steps=steps, batch=BATCH, rate=1e-3, seed=seed)
            found[name]["seconds"].append(round(time.process_time() - started))
            found[name]["loss"].append(round(statistics.mean(losses[-20:]), 4))
            found[name]["chrF"].append(score(student))
            print(seed, name, found[name]["chrF"][-1]["value"], flush=True)
        if seed == 0:
            speculation = speculate(model, student, tokenizer, sources[:SPECULATED])
        write_json(
            output,
            {
                "name": "efficiency",
                "description": "chrF of cheaper variants of marian-en-fr, greedy search.",
                "sentences": len(sources),
                "variants": variants,
                "students": {"cut, not taught": cut, **found},
                "teaching": {
                    "pairs": len(pairs), "steps": steps, "batch": BATCH, "seconds": teaching,
                },
                "seeds": seed + 1,
                "speculation": {"sentences": SPECULATED, "ahead": speculation},
                "provenance": provenance("python -m benchmarks.efficiency quality"),
            },
        )  # fmt: skip


def speculate(
    model: EncoderDecoder, draft: EncoderDecoder, tokenizer: Any, sources: list[str]
) -> list[dict[str, Any]]:
    """Count calls and accepted tokens, and compare with greedy search token by token."""
    rows = [tokenizer(source, return_tensors="pt").input_ids for source in sources]
    plain = [
        generate(model, ids, num_beams=1, max_new_tokens=64).sequences.tolist() for ids in rows
    ]
    found = []
    for ahead in AHEAD:
        outputs = [
            speculative_search(model, draft, ids, ahead=ahead, max_new_tokens=64) for ids in rows
        ]
        found.append(
            {
                "ahead": ahead,
                "tokens": sum(output.sequences.shape[1] - 1 for output in outputs),
                "calls": sum(output.calls for output in outputs),
                "proposed": sum(output.proposed for output in outputs),
                "accepted": sum(output.accepted for output in outputs),
                "equal": sum(
                    output.sequences.tolist() == wanted
                    for output, wanted in zip(outputs, plain, strict=True)
                ),
            }
        )
    return found


@app.command()
def times(
    rounds: Annotated[int, typer.Option(help="How often each is measured.", min=1)] = 5,
    output: Annotated[Path, typer.Option()] = Path("results/efficiency-times.json"),
) -> None:
    """Measure seconds for each sentence of the phrasebook, one sentence at a time."""
    torch.set_num_threads(1)
    model, tokenizer = zoo.load_folder(FOLDER, device="cpu")
    assert isinstance(model, EncoderDecoder)
    rows = [tokenizer(text, return_tensors="pt").input_ids for text in load_phrasebook()]
    with TemporaryDirectory() as place:
        exported = {}
        for name, bits in (("onnxruntime, float32", 32), ("onnxruntime, 8 bits", 8)):
            folder = Path(place) / str(bits)
            export(model, tokenizer, folder, bits=bits)  # type: ignore[arg-type]
            exported[name] = ExportedModel(folder)
        systems: dict[str, Any] = {
            "float32": model,
            "bfloat16": copy.deepcopy(model).bfloat16(),
            "torch, dynamic": dynamic(model),
            "student, one layer": shallow(model),
            **exported,
        }
        found = {name: clock(system, rows, rounds) for name, system in systems.items()}
    write_json(
        output,
        {
            "name": "efficiency-times",
            "description": "Seconds for a sentence, greedy, 12 tokens each, one at a time.",
            "sentences": len(rows),
            "rounds": rounds,
            "systems": found,
            "provenance": provenance("python -m benchmarks.efficiency times"),
        },
    )


def clock(system: Any, rows: list[Tensor], rounds: int) -> list[float]:
    """Seconds for one sentence with exactly twelve tokens, one figure a round."""

    def one() -> None:
        for ids in rows:
            generate(system, ids, num_beams=1, min_new_tokens=12, max_new_tokens=12)

    return [round(seconds(one) / len(rows), 6) for _ in range(rounds + 1)][1:]  # the first warms up


def seconds(action: Callable[[], None]) -> float:
    """How long something takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


if __name__ == "__main__":
    app()
