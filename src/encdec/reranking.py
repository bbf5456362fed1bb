"""Choosing among finished translations by something else than the model's own probability.

The likeliest translation is often not the best one: a model may give the empty sentence more
probability than any other. *Minimum Bayes risk* asks instead for the candidate that resembles what
the model would say on average: the one with the highest expected utility over samples.

From "Minimum Bayes-Risk Decoding for Statistical Machine Translation" (Kumar and Byrne, 2004) and
"Is MAP Decoding All You Need?" (Eikema and Aziz, 2020).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache

from rouge_score.tokenizers import DefaultTokenizer
from sacrebleu.metrics import CHRF

Utility = Callable[[str, str], float]  # of a candidate, if the second text were right

_CHRF = CHRF()
_tokenizer = DefaultTokenizer(use_stemmer=True)


def sentence_chrf(candidate: str, reference: str) -> float:
    """The chrF of one sentence, 0 to 100."""
    return float(_CHRF.sentence_score(candidate, [reference]).score)


def sentence_rouge(candidate: str, reference: str) -> float:
    """The ROUGE-1 F1 of one summary, 0 to 100.

    Equal to that of rouge-score, which would stem a text anew for each that it is compared with.
    """
    ours, theirs = _stems(candidate), _stems(reference)
    shared = (ours & theirs).total()
    return 200 * shared / (ours.total() + theirs.total()) if shared else 0.0


@lru_cache(maxsize=10_000)
def _stems(text: str) -> Counter[str]:
    return Counter(_tokenizer.tokenize(text))


def expected_utility(
    candidates: Sequence[str], samples: Sequence[str], utility: Utility = sentence_chrf
) -> list[float]:
    """How well each candidate would do on average, if each sample were right as often as it occurs.

    Args:
        candidates: texts to choose from.
        samples: texts drawn from the model, which stand for its whole distribution.
        utility: of a candidate and a text held for right.

    Returns:
        One number for each candidate.

    Raises:
        ValueError: there is no sample.
    """
    if not samples:
        raise ValueError("no samples: an expectation needs at least one.")
    counts = Counter(samples)
    known = {
        candidate: sum(n * utility(candidate, sample) for sample, n in counts.items())
        for candidate in set(candidates)
    }
    return [known[candidate] / len(samples) for candidate in candidates]


def minimum_risk(
    candidates: Sequence[str],
    samples: Sequence[str] | None = None,
    utility: Utility = sentence_chrf,
) -> int:
    """The candidate with the highest expected utility, which is the lowest expected risk.

    Args:
        candidates: texts to choose from.
        samples: texts drawn from the model; the candidates themselves if not given.
        utility: of a candidate and a text held for right.

    Returns:
        Its number; of equally good ones the first.

    Raises:
        ValueError: there is no candidate or no sample.
    """
    if not candidates:
        raise ValueError("no candidates: there is nothing to choose from.")
    found = expected_utility(candidates, samples or candidates, utility)
    return found.index(max(found))
