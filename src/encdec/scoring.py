"""What a saved model can do: scores on held-out text, each beside its baselines.

A model is scored on everything that the last stage of its recipe mixes. There is one report for
each skill: ``scores`` holds, for every system, a list of scores with their intervals, the model
first and the baselines last; ``test`` says what they were measured on.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from encdec.answers import Answerer, Progress, silent
from encdec.architectures import ARCHITECTURES
from encdec.baselines import TranslationMemory, copy_source
from encdec.corpora import Corpora
from encdec.data.collate import IGNORE, Example
from encdec.data.parallel import Pair, group_references, load_phrasebook
from encdec.metrics import (
    Score,
    accuracy,
    bleu,
    chrf,
    exact_match,
    paired_bootstrap,
    perplexity,
    ratio,
    rouge,
)
from encdec.mixture import Windows
from encdec.objectives import Denoised, restore_spans
from encdec.recipe import (
    DenoisingRecipe,
    Ingredient,
    InstructionsRecipe,
    PairsRecipe,
    Recipe,
    SummariesRecipe,
    Text,
    TranslationRecipe,
    load_recipe,
)
from encdec.reranking import sentence_rouge
from encdec.tokenizer import SENTINELS

Report = dict[str, Any]

# The four ways in which an instruction can be new.
UNSEEN: dict[str, dict[str, Any]] = {
    "unseen templates": {"split": "unseen_templates"},
    "unseen items": {"split": "unseen_templates", "unseen_items": True},
    "unseen tasks": {"split": "unseen_tasks"},
    "unseen clusters": {"split": "unseen_clusters"},
}


def evaluate(
    folder: Path,
    *,
    earlier: Sequence[Path] = (),
    corpora: Corpora | None = None,
    on_batch: Progress = silent,
) -> dict[str, Any]:
    """Score a model folder on what its own recipe holds out.

    Args:
        folder: the model.
        earlier: the models after the stages before the last, where they are at hand.
        corpora: where held-out text comes from; read anew if not given.
        on_batch: called while the model writes.

    Returns:
        The report of the model's skill; of several, each under its name (see :func:`reports`). And
        ``prompts``: the texts that the recipe names, answered.

    Raises:
        EncdecError: the folder, its recipe or a corpus is not at hand; the message says which.
    """
    recipe = load_recipe(folder / "recipe.yaml")
    corpora = corpora or Corpora(recipe.held_out)
    model = Answerer.load(folder, recipe, on_batch)
    found: dict[str, Report] = {}
    for name, kinds in skills(recipe).items():
        model.what, kind = name, kinds[0]
        if isinstance(kind, TranslationRecipe):
            first = first_translator(recipe, earlier, kind.direction)
            before = Answerer.load(first, recipe, on_batch) if first else None
            found[name] = translation(kind, corpora, model, before)
        elif isinstance(kind, SummariesRecipe):
            found[name] = summaries(kind, corpora, model)
        elif isinstance(kind, InstructionsRecipe):
            found[name] = instructions(model)
        elif isinstance(kind, PairsRecipe):
            found[name] = pairs(kind, corpora, model)
        else:
            texts = [(k, text) for k in kinds if isinstance(k, DenoisingRecipe) for text in k.texts]
            skill = language_model if kind.objective == "causal_lm" else denoising
            found[name] = skill(texts, corpora, model)
    model.what, prompts = "prompts", list(recipe.evaluation.prompts)
    answers = model.answer(prompts) if prompts else []
    return {
        **(found if len(found) > 1 else next(iter(found.values()))),
        "prompts": dict(zip(prompts, answers, strict=True)),
    }


def reports(outcome: dict[str, Any]) -> dict[str, Report]:
    """The reports in an outcome by the name of the skill; a single one has no name."""
    if "scores" in outcome:
        return {"": outcome}
    return {k: v for k, v in outcome.items() if isinstance(v, dict) and "scores" in v}


def skills(recipe: Recipe) -> dict[str, list[Ingredient]]:
    """What the last stage teaches."""
    found: dict[str, list[Ingredient]] = {}
    for part in recipe.stages[-1].mixture:
        kind = part.kind
        if isinstance(kind, TranslationRecipe):
            name = f"translation {kind.direction}"
        elif isinstance(kind, DenoisingRecipe):
            names = {"causal_lm": "language model", "gap_sentences": "gap sentences"}
            name = names.get(kind.objective, "denoising")
        elif isinstance(kind, PairsRecipe):
            name = f"pairs of {Path(kind.file).name}"
        else:
            name = "summaries" if isinstance(kind, SummariesRecipe) else "instructions"
        found.setdefault(name, []).append(kind)
    return found


def first_translator(recipe: Recipe, earlier: Sequence[Path], direction: str) -> Path | None:
    """The model after the first of the earlier stages that taught to translate so."""
    for stage, path in zip(recipe.stages, earlier, strict=False):
        if any(p.translation and p.translation.direction == direction for p in stage.mixture):
            return path
    return None


# --- translation ----------------------------------------------------------------------------------


def translation(
    kind: TranslationRecipe, corpora: Corpora, model: Answerer, first: Answerer | None = None
) -> Report:
    """BLEU and chrF of one direction.

    Args:
        kind: the ingredient.
        corpora: holds the test split.
        model: what is scored.
        first: an earlier model, to be compared with on the phrasebook.

    Returns:
        Besides the scores ``beam_against_greedy``: what beam search gains and how surely;
        ``unseen_targets``: the model's scores on sentences none of whose references is a target in
        training; ``by_length``: the model's by number of source words; ``phrasebook``: chrF on it;
        ``splits``: which sentences these were.
    """
    splits = corpora.pairs(kind)
    groups = group_references(splits.test)
    sources, references = list(groups), list(groups.values())
    memory = TranslationMemory(splits.train)
    answers = model.systems([kind.prefix + source for source in sources])
    systems = {name: model.texts(rows) for name, rows in answers.items()} | {
        "baseline: nearest training sentence": [memory(source) for source in sources],
        "baseline: source copied": copy_source(sources),
    }
    trained = {pair.target for pair in splits.train}
    unseen = [i for i, known in enumerate(references) if not trained & set(known)]
    best = next(iter(systems.values()))
    report = {
        "test": {
            "sentences": len(sources),
            "references": len(splits.test),
            "decoding": model.options,
        },
        "scores": {name: _bleu_chrf(found, references) for name, found in systems.items()},
        "beam_against_greedy": paired_bootstrap(systems["greedy"], best, references),
        "unseen_targets": _bleu_chrf([best[i] for i in unseen], [references[i] for i in unseen]),
        "by_length": {
            words: _bleu_chrf([best[i] for i in chosen], [references[i] for i in chosen])
            for words, chosen in _by_length(sources).items()
        },
        "splits": splits.summary(),
    }
    if kind.direction == "en-fr":
        runs = ({"first run": first} if first else {}) | {"last run": model}
        report["phrasebook"] = {run: _phrasebook(kind, one) for run, one in runs.items()}
    return report


def pairs(kind: PairsRecipe, corpora: Corpora, model: Answerer) -> Report:
    """What the model makes of the sources of a file that were held out."""
    splits = corpora.file(kind)
    behind = [Pair(kind.prefix + source, target) for source, target in splits.test]
    groups = {
        source.removeprefix(kind.prefix): references
        for source, references in group_references(model.encoder.fitting(behind)).items()
    }
    if not groups:
        raise ValueError(f"all held-out pairs of {kind.file} are too long for the model.")
    sources, references = list(groups), list(groups.values())
    memory = TranslationMemory(splits.train)
    answers = model.systems([kind.prefix + source for source in sources])
    systems = {name: model.texts(rows) for name, rows in answers.items()} | {
        "baseline: nearest training example": [memory(source) for source in sources],
        "baseline: source copied": copy_source(sources),
    }
    return {
        "test": {"sources": len(sources), "decoding": model.options},
        "scores": {
            name: [exact_match(found, references).as_dict(), *_bleu_chrf(found, references)]
            for name, found in systems.items()
        },
        "splits": splits.summary(),
    }


def _phrasebook(kind: TranslationRecipe, model: Answerer) -> dict[str, dict[str, Any]]:
    """A model's chrF on the phrasebook, long sentences apart from the others."""
    book = load_phrasebook()
    answers = model.answer([kind.prefix + english for english in book])
    groups: dict[str, list[tuple[str, list[str]]]] = {}
    for answer, (english, references) in zip(answers, book.items(), strict=True):
        name = "10 words and more" if len(english.split()) > 9 else "at most 9 words"
        groups.setdefault(name, []).append((answer, references))
    return {
        name: chrf([a for a, _ in group], [r for _, r in group]).as_dict()
        for name, group in groups.items()
    }


def _by_length(sources: list[str], fewest: int = 50) -> dict[str, list[int]]:
    """Indices of the sources by number of words; lengths with few sentences join the longest."""
    lengths = [len(source.split()) for source in sources]
    groups: dict[str, list[int]] = {}
    for words in sorted(set(lengths)):
        rest = [i for i, length in enumerate(lengths) if length >= words]
        chosen = [i for i in rest if lengths[i] == words]
        if len(rest) - len(chosen) < fewest:
            groups[f"{words}+"] = rest
            break
        if len(chosen) >= fewest:
            groups[str(words)] = chosen
    return groups


def _bleu_chrf(answers: list[str], references: list[list[str]]) -> list[dict[str, Any]]:
    return _as_dicts([bleu(answers, references), chrf(answers, references)])


# --- summaries ------------------------------------------------------------------------------------


def summaries(kind: SummariesRecipe, corpora: Corpora, model: Answerer) -> Report:
    """ROUGE of summaries of functions from packages that were not in training.

    Returns:
        Besides the scores, for each of the model's systems, ``distinct``: how many different
        summaries there are, in percent, and ``stutters``: in how many of them a token stands three
        times running; and ``splits``: which docstrings these were.
    """
    from encdec.baselines import function_name, lead_sentence
    from encdec.data.docstrings import source_text

    chosen = corpora.docstrings.test[: model.settings.examples]
    texts = [kind.prefixes[0] + source_text(docstring) for docstring in chosen]
    references = [docstring.summary for docstring in chosen]
    answers = model.systems(texts, kind.source_limit)
    if samples := model.settings.samples:
        found = model.lowest_risk(texts, sentence_rouge, kind.source_limit)
        answers[f"lowest risk of {samples}"] = found
    systems = {name: model.texts(rows) for name, rows in answers.items()} | {
        "baseline: lead sentence": [lead_sentence(docstring) for docstring in chosen],
        "baseline: function name": [function_name(docstring) for docstring in chosen],
    }
    return {
        "test": {"docstrings": len(chosen), "decoding": model.options},
        "scores": {name: _as_dicts(rouge(found, references)) for name, found in systems.items()},
        "distinct": {
            name: accuracy(first_of_their_kind(systems[name]), "distinct").as_dict()
            for name in answers
        },
        "stutters": {
            name: accuracy([*map(stutters, rows)], "stutters").as_dict()
            for name, rows in answers.items()
        },
        "splits": corpora.docstrings.summary(),
    }


def first_of_their_kind(answers: Sequence[str]) -> list[bool]:
    """Whether each answer was not given before; as many are true as there are different ones."""
    first = {answer: number for number, answer in reversed([*enumerate(answers)])}
    return [first[answer] == number for number, answer in enumerate(answers)]


def stutters(row: Sequence[int]) -> bool:
    """Whether a token stands three times running."""
    return any(a == b == c for a, b, c in zip(row, row[1:], row[2:], strict=False))


# --- instructions ---------------------------------------------------------------------------------


def instructions(model: Answerer) -> Report:
    """Share of right answers to instructions that are new in one of four ways.

    Returns:
        Besides the scores ``by_cluster``: the same for each cluster of tasks.
    """
    from encdec.data.tasks import check, draw_items

    number = model.settings.examples
    usual = _commonest((item.task, item.answer) for item in draw_items(10 * number, seed=1))
    scores: dict[str, list[dict[str, Any]]] = {}
    guesses: dict[str, list[dict[str, Any]]] = {}
    clusters: dict[str, dict[str, Any]] = {}
    for seed, (name, choice) in enumerate(UNSEEN.items(), 2):
        items = draw_items(number, seed=seed, **choice)
        model.what = f"instructions, {name}"
        answers = model.answer([item.instruction for item in items], num_beams=1)
        right = [check(item, answer) for item, answer in zip(items, answers, strict=True)]
        guessed = [check(item, usual.get(item.task, usual[""])) for item in items]
        scores[name] = _as_dicts([accuracy(right)])
        guesses[f"baseline: commonest answer, {name}"] = _as_dicts([accuracy(guessed)])
        by_cluster: dict[str, list[bool]] = {}
        for item, is_right in zip(items, right, strict=True):
            by_cluster.setdefault(item.cluster, []).append(is_right)
        clusters[name] = {c: accuracy(by_cluster[c]).as_dict() for c in sorted(by_cluster)}
    return {
        "test": {"items": number, "decoding": model.options | {"num_beams": 1}},
        "scores": scores | guesses,
        "by_cluster": clusters,
    }


def _commonest(answers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The answer that a task has most often; under the empty name, of all tasks together."""
    counts: dict[str, Counter[str]] = {}
    for task, answer in answers:
        for name in (task, ""):
            counts.setdefault(name, Counter())[answer] += 1
    return {name: counter.most_common(1)[0][0] for name, counter in counts.items()}


# --- denoising ------------------------------------------------------------------------------------


def denoising(
    texts: Sequence[tuple[DenoisingRecipe, Text]], corpora: Corpora, model: Answerer
) -> Report:
    """Share of hidden tokens that the model restores in held-out text, by objective and text.

    Hidden sentences are scored by ROUGE. For hidden spans see :func:`restored`; the baseline fills
    every span, whose length it is told, with the text's commonest token.
    """
    scores: dict[str, list[dict[str, Any]]] = {}
    tested = {}
    for kind, text in texts:
        model.what = f"{kind.objective.replace('_', ' ')}, {text}"
        asked = held_out_windows(kind, text, corpora, model)
        longest = max(len(example.labels) for example in asked) + 10
        answers = model.write(
            [example.input_ids for example in asked], num_beams=1, max_new_tokens=longest
        )
        tested[model.what] = len(asked)
        if kind.objective == "gap_sentences":
            references = model.texts([example.labels for example in asked])
            scores[model.what] = _as_dicts(rouge(model.texts(answers), references))
            continue
        denoised = [example for example in asked if isinstance(example, Denoised)]
        hidden = [len(example.hidden) for example in denoised]
        found = [
            restored(example, _whole(example, answer, model))
            for example, answer in zip(denoised, answers, strict=True)
        ]
        scores[model.what] = _as_dicts([ratio("restored", [100 * n for n in found], hidden)])
        [(commonest, _)] = Counter(t for e in denoised for t in e.tokens).most_common(1)
        guessed = [sum(e.tokens[i] == commonest for i in e.hidden) for e in denoised]
        scores[f"baseline: commonest token, {model.what}"] = _as_dicts(
            [ratio("restored", [100 * n for n in guessed], hidden)]
        )
    return {"test": {"windows": tested, "decoding": {"num_beams": 1}}, "scores": scores}


def held_out_windows(
    kind: DenoisingRecipe, text: Text, corpora: Corpora, model: Answerer
) -> list[Example]:
    """What an objective asks about windows of held-out text; always the same."""
    windows = Windows(kind, [corpora.documents(text, "test")], model.encoder)
    drawn = windows.draw(random.Random(0))[: model.settings.examples]
    if not drawn:
        raise ValueError(f"there is no window of held-out {text} for {kind.objective}.")
    noise = np.random.default_rng(0)
    return [windows.ask(window, noise) for window in drawn]


def _whole(example: Denoised, answer: list[int], model: Answerer) -> list[int]:
    """The whole text that a model means."""
    as_ids, eos = model.tokenizer.convert_tokens_to_ids, model.tokenizer.eos_token_id
    sentinels = as_ids(list(SENTINELS))
    if not set(example.input_ids) & set(sentinels) - {model.tokenizer.unk_token_id}:
        return answer
    return restore_spans(
        example.input_ids, answer, sentinels=sentinels, eos_token_id=eos, strict=False
    )


def restored(example: Denoised, answer: Sequence[int]) -> int:
    """Number of hidden tokens that stand at their place in an answer.

    Text and answer are aligned by the fewest insertions, deletions and replacements of tokens. A
    hidden token is restored if it is aligned with an equal one; visible tokens do not count.

    Args:
        example: says which tokens of the text were hidden.
        answer: token ids of the whole text as the model would have it.

    Source: Levenshtein 1966; Wagner and Fischer 1974 for the alignment.
    """
    hidden = set(example.hidden)
    return sum(position in hidden for position, _ in aligned(example.tokens, answer))


def aligned(text: Sequence[int], answer: Sequence[int]) -> list[tuple[int, int]]:
    """Positions of equal tokens in a cheapest alignment; of equally cheap ones the rightmost."""
    rows = [list(range(len(answer) + 1))]  # rows[i][j]: edits from text[:i] to answer[:j]
    for i, token in enumerate(text, 1):
        above, row = rows[-1], [i]
        for j, other in enumerate(answer, 1):
            row.append(min(above[j - 1] + (token != other), above[j] + 1, row[-1] + 1))
        rows.append(row)
    found = []
    i, j = len(text), len(answer)
    while i and j:
        if rows[i][j] == rows[i - 1][j - 1] + (text[i - 1] != answer[j - 1]):
            i, j = i - 1, j - 1
            if text[i] == answer[j]:
                found.append((i, j))
        elif rows[i][j] == rows[i - 1][j] + 1:
            i -= 1
        else:
            j -= 1
    return found[::-1]


# --- language model -------------------------------------------------------------------------------


def language_model(
    texts: Sequence[tuple[DenoisingRecipe, Text]], corpora: Corpora, model: Answerer
) -> Report:
    """Perplexity on held-out text, by token and by byte.

    The baseline knows how common each token is, and nothing of what stands before it.
    """
    scores: dict[str, list[dict[str, Any]]] = {}
    guesses: dict[str, list[dict[str, Any]]] = {}
    tested = {}
    for kind, text in texts:
        asked = held_out_windows(kind, text, corpora, model)
        model.what, tested[text] = f"language model, {text}", len(asked)
        tokens = [len(example.labels) for example in asked]
        written = model.texts([example.labels for example in asked])
        sizes = [len(string.encode()) for string in written]
        for name, found, nats in (
            (text, scores, log_probabilities(asked, model)),
            (f"baseline: unigrams, {text}", guesses, _unigrams(asked, len(model.tokenizer))),
        ):
            found[name] = _as_dicts(
                [perplexity(nats, tokens), perplexity(nats, sizes, unit="byte")]
            )
    return {"test": {"windows": tested}, "scores": scores | guesses}


def log_probabilities(examples: Sequence[Example], model: Answerer) -> list[float]:
    """What a decoder-only model gives each target after its source, in nats."""
    device = next(model.model.parameters()).device
    family = ARCHITECTURES["gpt2"]
    found = []
    size = model.settings.batch_size
    for start in range(0, len(examples), size):
        batch = family.collate(model.model)(examples[start : start + size])
        labels = batch["labels"].to(device)
        with torch.inference_mode():
            logits = model.model(
                batch["input_ids"].to(device), attention_mask=batch["attention_mask"].to(device)
            )
        nats = F.cross_entropy(
            logits.transpose(1, 2), labels, ignore_index=IGNORE, reduction="none"
        )  # (batch, target)
        found += (-nats.sum(dim=1)).tolist()
        model.on_batch(model.what, start + len(labels), len(examples))
    return found


def _unigrams(examples: Sequence[Example], vocab_size: int) -> list[float]:
    """Log-probabilities if tokens had nothing to do with each other; told the test's own counts."""
    counts = Counter(token for example in examples for token in example.labels)
    total = counts.total()
    return [sum(np.log(counts[t] / total) for t in example.labels) for example in examples]


def _as_dicts(scores: Sequence[Score]) -> list[dict[str, Any]]:
    return [score.as_dict() for score in scores]
