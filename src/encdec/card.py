"""Model cards: what a checkpoint was made of, what it can do and what it can't."""

from __future__ import annotations

from typing import Any

from encdec.recipe import Recipe

_LICENCES = {
    "tatoeba": (
        "Tatoeba (tatoeba.org, by way of manythings.org/anki), CC BY 2.0 FR. No English sentence\n"
        "of the test split is in training, in any case or punctuation",
        "sentences of at most nine words, some of them joined; longer or formal text is far off",
    ),
    "multi30k": (
        "Multi30k (Elliott et al. 2016, 2017), for research",
        "captions of photographs; other text is far from that",
    ),
}


def model_card(recipe: Recipe, outcome: dict[str, Any]) -> str:
    """A model card in the Hub's form, every figure taken from the recorded outcome.

    Args:
        recipe: what the model was trained by.
        outcome: what :func:`encdec.experiment.run` recorded.
    """
    data, limits = _LICENCES[recipe.data.corpus]
    training, test = outcome["training"], outcome["test"]
    rows = [
        f"| {system} | {_figure(scores[0])} | {_figure(scores[1])} |"
        for system, scores in outcome["scores"].items()
    ]
    rows.append(
        "| first row, only sentences whose references never occur in training | "
        f"{_figure(outcome['unseen_targets'][0])} | {_figure(outcome['unseen_targets'][1])} |"
    )
    examples = [f"| {source} | {answer} |" for source, answer in outcome["prompts"].items()]
    origin = outcome["provenance"]
    return f"""---
language: [{recipe.data.source}, {recipe.data.target}]
license: cc-by-2.0
pipeline_tag: translation
library_name: transformers
---

# {recipe.name}

{recipe.description}. A Marian model of {outcome["parameters"] / 1e6:.1f} million parameters, made
for the book *Encoder–Decoder LLMs for Instruction Tasks*; half-precision safetensors, loadable by
`AutoModelForSeq2SeqLM` and by `encdec.EncoderDecoder`.

## Data

{data}.

{outcome["splits"]["train"]["pairs"]:,} training pairs; the test split holds
{test["sentences"]:,} English sentences with {test["references"]:,} reference translations.

## Training

`{origin["command"]}`: {training["epochs"]} epochs, {training["steps"]:,} steps,
{training["minutes"]:.0f} minutes on {origin["hardware"]}, {training["precision"]},
seed {outcome["seed"]}. The recipe and the log are beside this file.

## Scores

Brackets hold 95% bootstrap intervals; {test["sentences"]:,} sentences, all their references.
sacreBLEU `{next(iter(outcome["scores"].values()))[0]["signature"]}`.

| system | BLEU | chrF |
|---|---|---|
{chr(10).join(rows)}

| English | answer |
|---|---|
{chr(10).join(examples)}

## Limits

Trained on {limits}.

It does not know when it does not know: names and rare words come out as fluent guesses.
"""


def _figure(score: dict[str, Any]) -> str:
    return f"{score['value']:.1f} [{score['low']:.1f}, {score['high']:.1f}]"
