"""Scores, each with its interval: thin over the libraries that define them.

BLEU and chrF are sacreBLEU's, whose signature goes with every figure: two BLEU scores can be
compared only if their signatures agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sacrebleu.metrics import BLEU, CHRF
from sacrebleu.significance import PairedTest

RESAMPLES = 1000


@dataclass(frozen=True)
class Score:
    """A figure with its doubt.

    Attributes:
        name: of the metric.
        value: on the whole test set.
        low: lower end of the 95% bootstrap interval.
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


def chrf(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Score:
    """Character n-gram F-score (chrF) of a corpus: kinder to inflection than BLEU.

    Args:
        hypotheses: one translation for each source sentence.
        references: for each source sentence, all its reference translations.

    Source: Popović 2015.
    """
    return _score(CHRF(), "chrF", hypotheses, references)


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
    return Score(
        name=name,
        value=float(result.score),
        low=float(result._mean - result._ci),
        high=float(result._mean + result._ci),
        items=len(hypotheses),
        signature=str(metric.get_signature()),
    )
