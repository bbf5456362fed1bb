"""What several systems wrote where one answer is right, letter by letter, case by case."""

from __future__ import annotations

import html
import uuid
from collections.abc import Mapping, Sequence
from importlib.resources import files

import ipywidgets

from encdec.widgets import fill

_TEMPLATE = files("encdec").joinpath("answers_view.html").read_text(encoding="utf8")


class AnswersView:
    """A self-contained HTML figure with a slider over cases; wrong letters are marked.

    Args:
        cases: what the slider shows, e.g. lengths.
        wanted: for each case the right answer.
        written: for each system its answer to each case.
        label: what the slider chooses.
        start: place of the case that is shown first.
        name: identifier of the element on the page; drawn at random when omitted.

    Raises:
        ValueError: if there is no case, or a system has not answered each of them.
    """

    def __init__(
        self,
        cases: Sequence[object],
        wanted: Sequence[str],
        written: Mapping[str, Sequence[str]],
        *,
        label: str = "case",
        start: int = 0,
        name: str | None = None,
    ) -> None:
        if not cases:
            raise ValueError("cases is empty: give at least one")
        for system, answers in {"wanted": wanted, **written}.items():
            if len(answers) != len(cases):
                raise ValueError(f"{system!r} has {len(answers)} answers to {len(cases)} cases")
        if not 0 <= start < len(cases):
            raise ValueError(f"start={start} must be from 0 to {len(cases) - 1}")
        self.cases = [str(case) for case in cases]
        self.wanted = list(wanted)
        self.written = {system: list(answers) for system, answers in written.items()}
        self.label = label
        self.start = start
        self.name = name or f"answers-{uuid.uuid4().hex[:8]}"

    def table(self, place: int) -> str:
        """One case as an HTML table.

        Args:
            place: which case.

        Returns:
            HTML, in which answers are text; a letter that is not where it should be is marked.
        """
        wanted = self.wanted[place]
        rows = [f"<tr><th scope='row'>wanted</th><td>{html.escape(wanted)}</td></tr>"]
        for system, answers in self.written.items():
            cell = _marked(wanted, answers[place])
            rows.append(f"<tr><th scope='row'>{html.escape(system)}</th><td>{cell}</td></tr>")
        return f"<table>{''.join(rows)}</table>"

    def said(self, place: int) -> str:
        """One case as a sentence, for those who can't see the colours."""
        wanted = self.wanted[place]
        right = [system for system, each in self.written.items() if each[place] == wanted]
        return f"Without a mistake: {', '.join(right) or 'none'}."

    def _repr_html_(self) -> str:
        places = range(len(self.cases))
        data = [
            {"case": self.cases[i], "table": self.table(i), "said": self.said(i)} for i in places
        ]
        return fill(
            _TEMPLATE,
            data,
            name=self.name,
            start=str(self.start),
            label=html.escape(self.label),
            table=self.table(self.start),
        )


def _marked(wanted: str, written: str) -> str:
    """An answer with its wrong letters in <mark>; what is missing at its end is a marked dot."""
    letters = []
    for place in range(max(len(wanted), len(written))):
        letter = written[place : place + 1]
        shown = html.escape(letter or "·")
        fits = letter and letter == wanted[place : place + 1]
        letters.append(shown if fits else f"<mark>{shown}</mark>")
    return "".join(letters)


def answers_explorer(view: AnswersView) -> ipywidgets.Widget:
    """The same with a kernel: a slider, and the table that follows it.

    Args:
        view: what is to be shown.

    Returns:
        The widget.
    """
    options = [(case, place) for place, case in enumerate(view.cases)]
    slider = ipywidgets.SelectionSlider(
        options=options, value=view.start, description=view.label, continuous_update=False
    )
    shown = ipywidgets.HTML()

    def show(_: object = None) -> None:
        said = html.escape(view.said(slider.value))
        shown.value = f"<div style='font-family: monospace'>{view.table(slider.value)}</div>{said}"

    slider.observe(show, names="value")
    show()
    return ipywidgets.VBox([slider, shown])
