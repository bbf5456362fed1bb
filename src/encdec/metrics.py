"""Scores, each with its interval: thin over the libraries that define them.

BLEU and chrF are sacreBLEU's, whose signature goes with every figure: two BLEU scores can be
compared only if their signatures agree. ROUGE is Google's `rouge-score`. All scores but perplexity
run from 0 to 100.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF
from sacrebleu.significance import PairedTest

RESAMPLES = 1000


@dataclass(frozen=True)
class Score:
    """A figure with its doubt.

    Attributes:
        name: of the metric.
        value: on the whole test set.
        low: lower end of the 95% interval: bootstrap, or Wilson's where the signature says so.
        high: upper end.
        items: number of test items.
        signature: how it was computed; empty where the name says it all.
    """

    name: str
    value: float
    low: float
    high: float
    items: int
    signature: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.value:.1f} (95% interval {self.low:.1f}–{self.high:.1f})"

    def as_dict(self) -> dict[str, Any]:
        """For a results file, rounded to what the interval can bear."""
        rounded = {k: round(v, 2) if isinstance(v, float) else v for k, v in asdict(self).items()}
        return {key: value for key, value in rounded.items() if value != ""}


def bleu(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Score:
    """BLEU of a corpus, with any number of references a sentence.

    Args:
        hypotheses: one translation for each source sentence.
        references: for each source sentence, all its reference translations.

    Source: Papineni et al. 2002; Post 2018 for the signature.
    """
    return _score(BLEU(), "BLEU", hypotheses, references)


class _PlainCHRF(CHRF):  # type: ignore[misc]
    """The library's scores are NumPy's, but for 0; it fails to average the two kinds."""

    def _compute_score_from_stats(self, stats: list[int]) -> Any:
        found = super()._compute_score_from_stats(stats)
        found.score = float(found.score)
        return found


def chrf(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Score:
    """Character n-gram F-score (chrF) of a corpus: kinder to inflection than BLEU.

    Args:
        hypotheses: one translation for each source sentence.
        references: for each source sentence, all its reference translations.

    Source: Popović 2015.
    """
    return _score(_PlainCHRF(), "chrF", hypotheses, references)


def paired_bootstrap(
    baseline: Sequence[str], system: Sequence[str], references: Sequence[Sequence[str]]
) -> dict[str, float]:
    """Whether one system's BLEU differs from another's on the same sentences.

    Both are scored on the same resampled test sets, so that what is hard for both cancels out.

    Args:
        baseline: one translation for each source sentence.
        system: the same, of the system to compare with it.
        references: for each source sentence, all its reference translations.

    Returns:
        ``BLEU``, the difference (system minus baseline), and ``p``, the probability of one at least
        as large if there were none.

    Source: Koehn 2004, Statistical significance tests for machine translation evaluation.
    """
    named = [("baseline", list(baseline)), ("system", list(system))]
    streams = _streams(references)
    test = PairedTest(named, {"BLEU": BLEU()}, streams, test_type="bs", n_samples=RESAMPLES)
    first, second = test()[1]["BLEU"]
    return {"BLEU": round(second.score - first.score, 2), "p": round(float(second.p_value), 4)}


def _streams(references: Sequence[Sequence[str]]) -> list[list[str | None]]:
    """One list a reference, as sacreBLEU wants them; None where a sentence has fewer."""
    most = max(map(len, references))
    return [[row[i] if i < len(row) else None for row in references] for i in range(most)]


def _score(
    metric: Any, name: str, hypotheses: Sequence[str], references: Sequence[Sequence[str]]
) -> Score:
    if len(hypotheses) != len(references):
        raise ValueError(
            f"{len(hypotheses)} hypotheses against references for {len(references)} sentences: "
            "there must be one hypothesis for each."
        )
    if not hypotheses or not all(references):
        raise ValueError("there must be at least one sentence, and one reference for each.")
    result = metric.corpus_score(list(hypotheses), _streams(references), n_bootstrap=RESAMPLES)
    value = min(100.0, float(result.score))  # rounding errors aside
    # The library's interval is symmetric about the mean of the resamples: with a few sentences it
    # can pass the ends of the scale, or miss the score itself.
    return Score(
        name=name,
        value=value,
        low=max(0.0, min(value, float(result._mean - result._ci))),
        high=min(100.0, max(value, float(result._mean + result._ci))),
        items=len(hypotheses),
        signature=str(metric.get_signature()),
    )


def rouge(
    hypotheses: Sequence[str], references: Sequence[str], *, stemmer: bool = True
) -> list[Score]:
    """ROUGE-1, ROUGE-2 and ROUGE-L: words, word pairs and longest common subsequence, as F1.

    Args:
        hypotheses: one summary for each text.
        references: one reference summary for each text.
        stemmer: count *returns* and *returned* as the same word.

    Returns:
        The three scores; each is the mean over texts, and texts are what the bootstrap resamples.

    Raises:
        ValueError: there is no text, or the two lists differ in length.

    Source: Lin 2004, ROUGE: a package for automatic evaluation of summaries.
    """
    _check_aligned(hypotheses, references)
    kinds = {"ROUGE-1": "rouge1", "ROUGE-2": "rouge2", "ROUGE-L": "rougeL"}
    scorer = RougeScorer(list(kinds.values()), use_stemmer=stemmer)
    found = [
        scorer.score(reference, hypothesis)
        for hypothesis, reference in zip(hypotheses, references, strict=True)
    ]
    signature = f"F1|bs:{RESAMPLES}|stem:{'yes' if stemmer else 'no'}|rouge-score:"
    signature += version("rouge-score")
    return [
        ratio(name, [100 * scores[kind].fmeasure for scores in found], signature=signature)
        for name, kind in kinds.items()
    ]


def exact_match(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Score:
    """Share of answers that are, but for space at their ends, one of the references.

    Args:
        hypotheses: one answer for each question.
        references: for each question, all answers that are right.

    Raises:
        ValueError: there is no question, or the two lists differ in length.
    """
    _check_aligned(hypotheses, references)
    right = [
        answer.strip() in {reference.strip() for reference in known}
        for answer, known in zip(hypotheses, references, strict=True)
    ]
    return accuracy(right, "exact match")


def accuracy(right: Sequence[bool], name: str = "accuracy") -> Score:
    """Share of right answers, with Wilson's interval, which is honest near 0 and 100 too.

    Raises:
        ValueError: there is no answer.

    Source: Wilson 1927, Probable inference, the law of succession, and statistical inference.
    """
    if not right:
        raise ValueError("right is empty: there must be at least one answer.")
    n, p, z = len(right), sum(right) / len(right), 1.959964
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    low, high = min(p, max(0.0, middle - half)), max(p, min(1.0, middle + half))
    return Score(name, 100 * p, 100 * low, 100 * high, n, "interval:Wilson")


def perplexity(
    log_probabilities: Sequence[float], units: Sequence[int], unit: str = "token"
) -> Score:
    """How many equally likely units a model hesitates between, on average.

    Args:
        log_probabilities: of each text, in nats, summed over its tokens.
        units: tokens, or bytes, of each text.
        unit: what they are, for the name. Only bytes compare models with different tokenizers.

    Raises:
        ValueError: there is no text, or the two lists differ in length.
    """
    nats = ratio("", [-value for value in log_probabilities], units)
    value, low, high = (math.exp(v) for v in (nats.value, nats.low, nats.high))
    return Score(f"perplexity per {unit}", value, low, high, nats.items)


def ratio(
    name: str,
    parts: Sequence[float],
    wholes: Sequence[float] | None = None,
    *,
    signature: str = "",
) -> Score:
    """The sum of the parts by the sum of the wholes, with a bootstrap interval over items.

    Args:
        name: of the score.
        parts: one for each item.
        wholes: one for each item; 1 if not given, which makes the score a mean.
        signature: how the parts were computed.

    Raises:
        ValueError: there is no item, the two differ in length, or the wholes add up to nothing.

    Source: Efron 1979, Bootstrap methods: another look at the jackknife (percentile interval).
    """
    tops = np.asarray(parts, dtype=np.float64)
    bottoms = np.ones_like(tops) if wholes is None else np.asarray(wholes, dtype=np.float64)
    _check_aligned(tops, bottoms)
    if bottoms.sum() <= 0:
        raise ValueError(
            f"the wholes of {name or 'a ratio'} add up to {bottoms.sum():g}, not more."
        )
    drawn = _resamples(tops, bottoms)
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    value = tops.sum() / bottoms.sum()
    return Score(name, float(value), float(low), float(high), len(tops), signature)


def _resamples(tops: NDArray[np.float64], bottoms: NDArray[np.float64]) -> NDArray[np.float64]:
    """The ratio on resampled items, (resamples,); one seed, so that a score has one interval."""
    generator = np.random.default_rng(12345)
    # how often each item is drawn, (resamples, items)
    times = generator.multinomial(len(tops), np.full(len(tops), 1 / len(tops)), size=RESAMPLES)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: NDArray[np.float64] = (times @ tops) / (times @ bottoms)
    return found


def _check_aligned(hypotheses: Any, references: Any) -> None:
    if len(hypotheses) != len(references):
        raise ValueError(
            f"{len(hypotheses)} hypotheses against references for {len(references)} items: there "
            "must be one for each."
        )
    if not len(hypotheses):
        raise ValueError("there must be at least one item to score.")
