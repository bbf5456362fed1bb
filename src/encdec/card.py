"""Model cards: what a checkpoint was made of, what it can do and what it can't."""

from __future__ import annotations

import textwrap
from typing import Any

from encdec.recipe import (
    DenoisingRecipe,
    InstructionsRecipe,
    PairsRecipe,
    Recipe,
    SummariesRecipe,
    TranslationRecipe,
)
from encdec.scoring import reports

# Where each kind of text comes from, and what it leaves out.
_SOURCES = {
    "tatoeba": (
        "Tatoeba (tatoeba.org, by way of manythings.org/anki), CC BY 2.0 FR. No English sentence\n"
        "of the test split is in training, in any case or punctuation.",
        "sentences of at most nine words, some of them joined; longer or formal text is far off",
    ),
    "multi30k": (
        "Multi30k (Elliott et al. 2016, 2017), for research.",
        "captions of photographs; other text is far from that",
    ),
    "docstrings": (
        "Docstrings of the Python packages that the book is pinned to, each under its package's\n"
        "licence. No package of the test split is in training, and nothing that says the same.",
        "the documentation of Python code; other prose is far from that",
    ),
    "instructions": (
        "Instructions made by a program, whose answers a program can check (`encdec.data.tasks`).\n"
        "Some templates, items, tasks and whole clusters of tasks are in no training.",
        "a few kinds of instructions about small, closed matters; it answers others at random",
    ),
    "pairs": (
        "Pairs of a file that its owner brought. No source of the test split is in training.",
        "what that file holds",
    ),
}
_LANGUAGES = {"english": "en", "french": "fr", "german": "de"}
_CAUSAL, _USUAL = (
    ("AutoModelForCausalLM", "DecoderOnly"),
    ("AutoModelForSeq2SeqLM", "EncoderDecoder"),
)


def model_card(recipe: Recipe, outcome: dict[str, Any]) -> str:
    """A model card in the Hub's form, every figure taken from the recorded outcome.

    Args:
        recipe: what the model was trained by.
        outcome: what :func:`encdec.experiment.run` recorded.
    """
    millions = outcome["parameters"] / 1e6
    training, origin = outcome["training"], outcome["provenance"]
    theirs, ours = _CAUSAL if recipe.architecture == "gpt2" else _USUAL
    sources = [_SOURCES[name] for name in _corpora(recipe)]
    stages = ", then ".join(stage.name.replace("-", " ") for stage in recipe.stages)
    start = f"It starts from the weights of {recipe.init_from}. " if recipe.init_from else ""
    return f"""---
language: [{", ".join(_languages(recipe))}]
license: {"other" if "pairs" in _corpora(recipe) else "cc-by-2.0"}
pipeline_tag: {_pipeline(recipe)}
library_name: transformers
---

# {recipe.name}

{recipe.description}. A {type_name(recipe)} model of {millions:.1f} million parameters, made
for the book *Encoder–Decoder LLMs for Instruction Tasks*; half-precision safetensors, loadable by
`{theirs}` and by `encdec.{ours}`.

## Data

{(chr(10) * 2).join(text for text, _ in sources)}

## Training

`{origin["command"]}`: {training["epochs"]} epochs, {training["steps"]:,} steps,
{training["minutes"]:.0f} minutes on {origin["hardware"]}, {training["precision"]},
seed {outcome["seed"]}. {start}Stages: {stages}.{_code(training.get("code", {}))}
The recipe and the logs are beside this file.

## Scores

Brackets hold 95% intervals.

{chr(10).join(_section(name, report) for name, report in reports(outcome).items())}
{_examples(outcome["prompts"])}## Limits

Trained on {f";{chr(10)}".join(limit for _, limit in sources)}.

It does not know when it does not know: names and rare words come out as fluent guesses.
"""


def _code(sizes: dict[str, int]) -> str:
    """What else than documented functions was learnt from, as a sentence."""
    names = {
        "functions": "other functions",
        "classes": "classes",
        "names": "names of undocumented functions",
        "libraries": "functions and classes of other libraries",
    }
    found = [f"{sizes[code]:,} {what}" for code, what in names.items() if code in sizes]
    sentence = f"Beside the functions counted below it learnt from {', '.join(found)}."
    return f"\n{textwrap.fill(sentence, 100)}" * bool(found)


def type_name(recipe: Recipe) -> str:
    """How the architecture of a recipe is written."""
    names = {"marian": "Marian", "pegasus": "Pegasus", "gpt2": "GPT-2"}
    return names.get(recipe.architecture, recipe.architecture.upper())


def score_rows(report: dict[str, Any]) -> list[tuple[str, list[dict[str, Any]]]]:
    """The lines of a table of scores: every system, and the model where it is tested hardest."""
    rows = list(report["scores"].items())
    hardest = report.get("unseen_targets")
    if hardest and hardest[0]["items"] < rows[0][1][0]["items"]:
        rows.append(("first row, only sentences whose references never occur in training", hardest))
    return rows


def figure(score: dict[str, Any]) -> str:
    """A score with its interval."""
    return f"{score['value']:.1f} [{score['low']:.1f}, {score['high']:.1f}]"


def test_size(report: dict[str, Any]) -> str:
    """What a report was measured on, in words."""
    sizes = {k: v for k, v in report["test"].items() if k != "decoding"}
    if isinstance(windows := sizes.get("windows"), dict):
        sizes["windows"] = sum(windows.values())
    return ", ".join(f"{number:,} {what}" for what, number in sizes.items())


def _section(name: str, report: dict[str, Any]) -> str:
    """A table of scores, and what it was measured on."""
    rows = score_rows(report)
    metrics = [score["name"] for score in rows[0][1]]
    lines = [f"### {name[0].upper()}{name[1:]}\n"] if name else []
    lines += [f"{_training_size(report)}Test: {test_size(report)}{_signature(rows[0][1][0])}.\n"]
    lines += [f"| system | {' | '.join(metrics)} |", f"|---|{'---|' * len(metrics)}"]
    lines += [f"| {system} | {' | '.join(map(figure, scores))} |" for system, scores in rows]
    for share in ("distinct", "stutters"):
        for system, score in report.get(share, {}).items():
            lines.append(f"\n{share.capitalize()}, {system}: {figure(score)}%.")
    return "\n".join(lines) + "\n"


def _training_size(report: dict[str, Any]) -> str:
    """How much of the kind was learnt from, where that is a fixed number."""
    sizes = report.get("splits", {}).get("train", {})
    return "".join(
        f"{n:,} training {k}. " for k, n in sizes.items() if k in ("pairs", "docstrings")
    )


def _signature(score: dict[str, Any]) -> str:
    return f";\nsignature `{score['signature']}`" if "signature" in score else ""


def _examples(prompts: dict[str, str]) -> str:
    if not prompts:
        return ""
    rows = [f"| {source} | {answer} |" for source, answer in prompts.items()]
    return "\n".join(["| text | answer |", "|---|---|", *rows]) + "\n\n"


def _corpora(recipe: Recipe) -> list[str]:
    """Names of what was learnt from, in the order of the stages."""
    found: dict[str, None] = {}
    for part in recipe.ingredients:
        kind = part.kind
        if isinstance(kind, TranslationRecipe):
            found[kind.corpus] = None
        elif isinstance(kind, DenoisingRecipe):
            for text in kind.texts:
                found["tatoeba" if text in _LANGUAGES else "docstrings"] = None
        elif isinstance(kind, PairsRecipe):
            found["pairs"] = None
        else:
            found["docstrings" if isinstance(kind, SummariesRecipe) else "instructions"] = None
    return list(found)


def _languages(recipe: Recipe) -> list[str]:
    found = ["en"]
    for part in recipe.ingredients:
        kind = part.kind
        if isinstance(kind, TranslationRecipe):
            found += [kind.source, kind.target]
        elif isinstance(kind, DenoisingRecipe):
            found += [_LANGUAGES.get(text, "en") for text in kind.texts]
        elif isinstance(kind, InstructionsRecipe):
            found += ["fr", "de"]
    return list(dict.fromkeys(found))


def _pipeline(recipe: Recipe) -> str:
    """What the Hub files a model under."""
    kinds = {type(part.kind) for part in recipe.stages[-1].mixture}
    if kinds == {TranslationRecipe}:
        return "translation"
    return "summarization" if kinds == {SummariesRecipe} else "text-generation"
