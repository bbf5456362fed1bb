"""Does it pay to choose among translations by something else than their probability?

    python -m benchmarks.reranking

translates held-out sentences with ``models/marian-en-fr`` by greedy search, by beam search, by
sampling, and by minimum Bayes risk over samples, and writes ``results/reranking.json``. Takes about
five minutes on one processor core.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console

from benchmarks.domains import FOLDERS, corpus, some
from encdec.answers import Answerer
from encdec.decoding import generate
from encdec.metrics import bleu, chrf, paired_bootstrap
from encdec.recipe import load_recipe
from encdec.reranking import minimum_risk
from encdec.results import provenance, write_json

FOLDER = FOLDERS["everyday sentences"]


def several(model: Answerer, text: str, number: int, **options: Any) -> list[str]:
    """So many translations of one sentence."""
    [row] = model.sources([text])
    output = generate(
        model.model,
        torch.tensor([row]),
        num_return_sequences=number,
        max_new_tokens=model.settings.max_new_tokens,
        **options,
    )
    return model.texts(output.sequences[:, 1:].tolist())


def choose(model: Answerer, text: str, number: int, generator: torch.Generator) -> dict[str, str]:
    """The translation that each way of choosing picks."""
    sampling = {"do_sample": True, "generator": generator}
    samples = several(model, text, number, **sampling)
    likely = several(model, text, number, top_k=10, **sampling)
    best = several(model, text, 5, num_beams=5)
    return {
        "beam 5": best[0],
        "one sample": samples[0],
        "minimum risk among samples": samples[minimum_risk(samples)],
        "minimum risk among likely samples": likely[minimum_risk(likely)],
        "minimum risk among beams": best[minimum_risk(best, samples)],
    }


def main(
    number: Annotated[int, typer.Option(help="Sentences.", min=1)] = 600,
    samples: Annotated[int, typer.Option(help="Samples of each sentence.", min=2)] = 32,
    output: Annotated[Path, typer.Option()] = Path("results/reranking.json"),
) -> None:
    """Translate, score and write down."""
    recipe = Path("recipes", f"{FOLDER.name}.yaml")
    model = Answerer.load(FOLDER, load_recipe(recipe))
    groups = some(corpus(recipe), number)
    generator = torch.Generator().manual_seed(0)
    chosen = [choose(model, source, samples, generator) for source in groups]
    systems = {name: [each[name] for each in chosen] for name in chosen[0]}
    systems["greedy"] = model.answer(list(groups), num_beams=1)
    references = list(groups.values())
    found: dict[str, dict[str, Any]] = {
        name: {
            "scores": [bleu(answers, references).as_dict(), chrf(answers, references).as_dict()],
            "against_beams": paired_bootstrap(systems["beam 5"], answers, references),
        }
        for name, answers in systems.items()
    }
    for name, row in found.items():
        console, scores = Console(), row["scores"]
        console.print(name, *(f"{s['name']} {s['value']:.1f}" for s in scores))
    write_json(
        output,
        {
            "name": "reranking",
            "description": "Ways of choosing among translations, on the same sentences.",
            "sentences": number,
            "samples": samples,
            "systems": found,
            "provenance": provenance("python -m benchmarks.reranking"),
        },
    )


if __name__ == "__main__":
    typer.run(main)
