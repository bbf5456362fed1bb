"""Interactive views of ROUGE: type a summary and see what it scores and what the source lacks."""

from __future__ import annotations

import html
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

import ipywidgets
from rouge_score.rouge_scorer import RougeScorer

from encdec.baselines import identifier_words
from encdec.summaries import STOP_WORDS
from encdec.widgets import fill

_TEMPLATE = files("encdec").joinpath("rouge_view.html").read_text(encoding="utf8")
_KINDS = {"ROUGE-1": "rouge1", "ROUGE-2": "rouge2", "ROUGE-L": "rougeL"}
_scorer = RougeScorer(list(_KINDS.values()), use_stemmer=False)  # a page has no stemmer


@dataclass(frozen=True)
class Judged:
    """A source, what somebody wrote about it, and what else was written.

    Attributes:
        source: text or code.
        reference: the summary to compare with.
        summaries: others, by what they are: ``{"the model": "Read lines."}``.
    """

    source: str
    reference: str
    summaries: Mapping[str, str]


def rouge_figures(summary: str, reference: str) -> dict[str, float]:
    """ROUGE-1, ROUGE-2 and ROUGE-L of one summary: F1 in percent, words compared as written."""
    found = _scorer.score(reference, summary)
    return {name: 100 * float(found[kind].fmeasure) for name, kind in _KINDS.items()}


def lacking(summary: str, source: str) -> list[str]:
    """Words of a summary that say something and that its source lacks, as written, each once."""
    known = {*identifier_words(source).split(), *STOP_WORDS}
    return [word for word in dict.fromkeys(identifier_words(summary).split()) if word not in known]


class RougeView:
    """A self-contained HTML figure: a source, a box to type a summary in, and its scores.

    The scores are computed on the page as `rouge-score` computes them without its stemmer.

    Args:
        examples: by the name that the reader chooses them by.
        name: identifier of the element on the page; drawn at random when omitted.

    Raises:
        ValueError: there is no example, or one of them has no summary.
    """

    def __init__(self, examples: Mapping[str, Judged], name: str | None = None) -> None:
        if not examples:
            raise ValueError("examples is empty: give at least one")
        for label, example in examples.items():
            if not example.summaries:
                raise ValueError(f"examples[{label!r}] has no summary to begin with")
        self.examples = dict(examples)
        self.name = name or f"rouge-{uuid.uuid4().hex[:8]}"

    def _repr_html_(self) -> str:
        data = {
            "stop": sorted(STOP_WORDS),
            "examples": [
                {
                    "name": label,
                    "source": example.source,
                    "known": sorted(set(identifier_words(example.source).split())),
                    "reference": example.reference,
                    "summaries": list(example.summaries.items()),
                }
                for label, example in self.examples.items()
            ],
        }
        tables = "".join(
            f"<p>{html.escape(label)}</p>{rouge_table(example)}"
            for label, example in self.examples.items()
        )
        return fill(_TEMPLATE, data, name=self.name, table=tables)


def rouge_table(example: Judged) -> str:
    """All summaries of an example with their scores, as an HTML table."""
    head = "".join(f"<th scope='col'>{name}</th>" for name in ("summary", *_KINDS, "not in source"))
    rows = []
    for label, summary in {"the reference": example.reference, **example.summaries}.items():
        scores = rouge_figures(summary, example.reference).values()
        cells = [summary, *(f"{score:.0f}" for score in scores)]
        cells.append(", ".join(lacking(summary, example.source)) or "–")
        rows.append(
            f"<tr><th scope='row'>{html.escape(label)}</th>"
            + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
            + "</tr>"
        )
    return f"<table><tr><th scope='col'>from</th>{head}</tr>{''.join(rows)}</table>"


def rouge_explorer(examples: Mapping[str, Judged]) -> ipywidgets.Widget:
    """A source to choose, a summary to type, and what it scores.

    Args:
        examples: by the name that the reader chooses them by; the first one is there at the start.

    Returns:
        The widget.

    Raises:
        ValueError: as :class:`RougeView`.
    """
    examples = RougeView(examples).examples
    chosen = ipywidgets.Dropdown(options=list(examples), description="source")
    summary = ipywidgets.Text(description="summary", layout=ipywidgets.Layout(width="90%"))
    view = ipywidgets.HTML()

    def show(_: object = None) -> None:
        example = examples[chosen.value]
        figures = rouge_figures(summary.value, example.reference)
        scores = "".join(f"<td>{name} <b>{value:.0f}</b></td>" for name, value in figures.items())
        extra = ", ".join(lacking(summary.value, example.source)) or "none"
        view.value = (
            f"<pre>{html.escape(example.source)}</pre>"
            f"<p>reference: {html.escape(example.reference)}</p>"
            f"<table><tr>{scores}</tr></table><p>not in the source: {html.escape(extra)}</p>"
        )

    def choose(_: object = None) -> None:
        summary.value = next(iter(examples[chosen.value].summaries.values()))
        show()

    chosen.observe(choose, names="value")
    summary.observe(show, names="value")
    choose()
    return ipywidgets.VBox([chosen, summary, view])
