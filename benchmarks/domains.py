"""What a translator of everyday sentences makes of captions, and the other way round.

    python -m benchmarks.domains

scores both of the book's English–French models on both test sets and writes
``results/domain-shift.json``. The model of captions is not published with the book, for its data
forbids it: make it first with ``python -m encdec train recipes/multi30k-en-fr.yaml``. Takes about
five minutes on one processor core.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from encdec.answers import Answerer
from encdec.baselines import TranslationMemory
from encdec.corpora import Corpora
from encdec.data.parallel import Splits, group_references
from encdec.metrics import bleu, chrf
from encdec.recipe import TranslationRecipe, load_recipe
from encdec.results import provenance, write_json

FOLDERS = {
    "everyday sentences": Path("models/marian-en-fr"),
    "captions": Path("runs/multi30k-en-fr/model"),
}
SEED = 0  # of the choice of sentences


def corpus(recipe_file: Path) -> Splits:
    """The sentences that a recipe's first stage learns to translate."""
    recipe = load_recipe(recipe_file)
    kinds = (part.kind for part in recipe.stages[0].mixture)
    kind = next(kind for kind in kinds if isinstance(kind, TranslationRecipe))
    return Corpora(recipe.held_out).pairs(kind)


def some(splits: Splits, number: int) -> dict[str, list[str]]:
    """So many sources of a test split, drawn at random, with all their references."""
    groups = [*group_references(splits.test).items()]
    return dict(random.Random(SEED).sample(groups, min(number, len(groups))))


def words(sentence: str) -> list[str]:
    """Words in lower case, without the marks around them."""
    return [word.strip(".,!?;:\"'()").lower() for word in sentence.split()]


def distance(train: Splits, sources: list[str]) -> dict[str, float]:
    """How far a test set lies from what a model was trained on.

    Returns:
        Percentage of the test's words that do not occur in training, and mean words of a sentence.
    """
    known = {word for pair in train.train for word in words(pair.source)}
    found = [word for source in sources for word in words(source)]
    return {
        "unknown_words": 100 * sum(word not in known for word in found) / len(found),
        "words_per_sentence": len(found) / len(sources),
    }


def compare(
    models: Mapping[str, Answerer], corpora: Mapping[str, Splits], number: int
) -> list[dict[str, Any]]:
    """Score every model, and a translation memory of its training data, on every test set."""
    rows = []
    for tested, splits in corpora.items():
        groups = some(splits, number)
        sources, references = list(groups), list(groups.values())
        for trained, model in models.items():
            memory = TranslationMemory(corpora[trained].train)
            systems = {
                "model": model.answer(sources),
                "nearest training sentence": [memory(source) for source in sources],
            }
            rows.append(
                {
                    "trained": trained,
                    "tested": tested,
                    "sentences": len(sources),
                    **distance(corpora[trained], sources),
                    "scores": {
                        name: [
                            bleu(answers, references).as_dict(),
                            chrf(answers, references).as_dict(),
                        ]
                        for name, answers in systems.items()
                    },
                }
            )
    return rows


def main(
    number: Annotated[int, typer.Option(help="Sentences of each test set.", min=1)] = 1000,
    output: Annotated[Path, typer.Option()] = Path("results/domain-shift.json"),
) -> None:
    """Score and write down."""
    recipes = {name: Path("recipes", f"{f.parts[1]}.yaml") for name, f in FOLDERS.items()}
    if missing := [str(folder) for folder in FOLDERS.values() if not folder.is_dir()]:
        raise typer.BadParameter(f"there is no {missing[0]}: train its recipe first.")
    models = {n: Answerer.load(f, load_recipe(recipes[n])) for n, f in FOLDERS.items()}
    corpora = {name: corpus(recipe) for name, recipe in recipes.items()}
    rows = compare(models, corpora, number)
    for row in rows:
        score = row["scores"]["model"][1]
        line = f"{row['trained']} -> {row['tested']}: chrF {score['value']:.1f}"
        Console().print(line, f"{row['unknown_words']:.1f}% unknown words")
    write_json(
        output,
        {
            "name": "domain-shift",
            "description": "English–French models of two domains on the test sets of both.",
            "rows": rows,
            "provenance": provenance("python -m benchmarks.domains"),
        },
    )


if __name__ == "__main__":
    typer.run(main)
