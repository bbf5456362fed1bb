"""Summaries judged and made without a model: by what the source holds, by taking a sentence over.

Words are compared as ROUGE compares them, without case and by their stems; names such as
``read_lines`` are the words that they are made of.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import DefaultTokenizer

from encdec.baselines import identifier_words
from encdec.errors import EncdecError
from encdec.metrics import Score, ratio

# Words that any sentence may hold, whatever it is about.
STOP_WORDS = frozenset(
    (
        *("a", "an", "and", "are", "as", "at", "be", "been", "but", "by", "can", "do", "does"),
        *("each", "for", "from", "given", "has", "have", "if", "in", "into", "is", "it", "its"),
        *("may", "no", "not", "of", "on", "one", "or", "other", "that", "the", "their", "them"),
        *("then", "there", "these", "they", "this", "those", "to", "up", "used", "was", "what"),
        *("when", "where", "whether", "which", "while", "who", "will", "with", "without"),
    )
)
_tokenizer = DefaultTokenizer(use_stemmer=True)


class SummaryError(EncdecError):
    """There is nothing to judge or to summarise; the message is one sentence."""


def stems(text: str) -> list[str]:
    """The words of a text or of code, as ROUGE compares them."""
    return list(_tokenizer.tokenize(identifier_words(text)))


def content_stems(text: str) -> list[str]:
    """The stems that say something: no article, no preposition, no auxiliary; numbers stay."""
    words = (word for word in identifier_words(text).split() if word not in STOP_WORDS)
    return [stem for word in words for stem in _tokenizer.tokenize(word)]


def unsupported(summary: str, source: str) -> list[str]:
    """The content words and numbers of a summary that its source does not hold, in order.

    Such a word may be a good paraphrase (*write* for ``dump``), knowledge that the author had, or
    an invention. None of them does not make a summary true: ``min`` and *largest* may both stand
    in the source.

    Args:
        summary: what is to be judged.
        source: what it was made of; names in it count as the words that they are made of.

    Returns:
        Stems, each as often as it stands in the summary.
    """
    known = set(stems(source))
    return [stem for stem in content_stems(summary) if stem not in known]


def unsupported_share(summaries: Sequence[str], sources: Sequence[str]) -> Score:
    """Of all content words of all summaries, the percentage that their sources do not hold.

    Args:
        summaries: one for each source.
        sources: what each was made of.

    Raises:
        SummaryError: there is nothing to count, or the two differ in number.
    """
    if len(summaries) != len(sources):
        raise SummaryError(
            f"{len(summaries)} summaries for {len(sources)} sources: there must be one for each."
        )
    every = [len(content_stems(summary)) for summary in summaries]
    if not sum(every):
        raise SummaryError("the summaries hold no word that says something: nothing to judge.")
    lacking = [100 * len(unsupported(*pair)) for pair in zip(summaries, sources, strict=True)]
    return ratio("unsupported words", lacking, every, signature="stems, stop words left out")


def gap_scores(sentences: Sequence[str]) -> list[float]:
    """How well each sentence stands for the rest: its ROUGE-1 F1 against all others, 0 to 1.

    This is what Pegasus picks the sentences by that it hides.

    Raises:
        SummaryError: there are fewer than two sentences.

    Source: Zhang et al. 2020, PEGASUS, section 3.1 (Ind-Orig).
    """
    _check_sentences(sentences)
    scorer = RougeScorer(["rouge1"], use_stemmer=True)
    rows = [identifier_words(sentence) for sentence in sentences]
    return [
        float(scorer.score(" ".join(rows[:i] + rows[i + 1 :]), row)["rouge1"].fmeasure)
        for i, row in enumerate(rows)
    ]


def text_rank(sentences: Sequence[str], damping: float = 0.85) -> list[float]:
    """Rank sentences as pages that link to each other: central is what the central resembles.

    Two sentences are linked by the words they share, divided by the logarithms of their lengths.

    Args:
        sentences: of one text, two at least.
        damping: how often a random reader follows a link instead of going anywhere.

    Returns:
        One score for each sentence; they add up to 1.

    Raises:
        SummaryError: there are fewer than two sentences, or ``damping`` is not between 0 and 1.

    Source: Mihalcea and Tarau 2004, TextRank: bringing order into text.
    """
    _check_sentences(sentences)
    if not 0 < damping < 1:
        raise SummaryError(f"damping={damping} must lie between 0 and 1, both excluded.")
    words = [set(content_stems(sentence)) for sentence in sentences]
    links = np.array([[_resemblance(a, b) * (a is not b) for b in words] for a in words])
    rank = np.full(len(words), 1 / len(words))
    out = links.sum(axis=1, keepdims=True)
    # who resembles nobody leads everywhere
    steps = np.where(out > 0, links / np.where(out > 0, out, 1), 1 / len(words))
    for _ in range(100):
        rank = (1 - damping) / len(words) + damping * rank @ steps
    found: NDArray[np.float64] = rank / rank.sum()
    return [float(value) for value in found]


def oracle(sentences: Sequence[str], reference: str) -> int:
    """Index of the sentence nearest to the reference: what no method that takes one over can beat.

    Nearest is the highest ROUGE-1 F1; of equals the first.

    Raises:
        SummaryError: there is no sentence.
    """
    if not sentences:
        raise SummaryError("there is no sentence to choose from.")
    scorer = RougeScorer(["rouge1"], use_stemmer=True)
    wanted = identifier_words(reference)
    scores = [scorer.score(wanted, identifier_words(s))["rouge1"].fmeasure for s in sentences]
    return int(np.argmax(scores))


def most_frequent_words(texts: Sequence[str], number: int) -> str:
    """The commonest words of some texts, commonest first: a summary that says nothing.

    Raises:
        SummaryError: ``number`` is less than 1.
    """
    if number < 1:
        raise SummaryError(f"number={number} must be at least 1.")
    counts = Counter(word for text in texts for word in identifier_words(text).split())
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    return " ".join(ranked[:number])


def _resemblance(first: set[str], second: set[str]) -> float:
    size = math.log(len(first) + 1) + math.log(len(second) + 1)
    return len(first & second) / size if size else 0.0


def _check_sentences(sentences: Sequence[str]) -> None:
    if len(sentences) < 2:
        raise SummaryError(f"{len(sentences)} sentence: there must be two at least to compare.")
