"""Interactive views of `min_length` and `length_penalty`: what an answer becomes under both."""

from __future__ import annotations

import html
import uuid
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files

import ipywidgets

from encdec.widgets import fill

Answers = Mapping[tuple[int, float], str]
"""For each pair of a `min_length` and a `length_penalty`, what was written."""

_TEMPLATE = files("encdec").joinpath("length_view.html").read_text(encoding="utf8")


class LengthView:
    """A self-contained HTML figure: a text to choose, two sliders, and the answer.

    Words beyond the answer without a minimum, under the same penalty, are marked.

    Args:
        answers: for each text its answers over one grid of both options, the same for all texts.
        name: identifier of the element on the page; drawn at random when omitted.

    Raises:
        ValueError: if there is no text, an answer of the grid is missing, or the grid does not
            hold the minimum 0.
    """

    def __init__(self, answers: Mapping[str, Answers], name: str | None = None) -> None:
        if not answers:
            raise ValueError("answers is empty: give at least one text")
        first = next(iter(answers.values()))
        self.minima = sorted({least for least, _ in first})
        self.penalties = sorted({penalty for _, penalty in first})
        if not self.minima or self.minima[0] != 0:
            raise ValueError(
                f"answers has the minima {self.minima}: 0, no minimum, must be among them"
            )
        wanted = {(least, penalty) for least in self.minima for penalty in self.penalties}
        for text, grid in answers.items():
            if missing := sorted(wanted - set(grid)):
                raise ValueError(f"answers[{text!r}] lacks {missing[0]}")
        self.answers = answers
        self.name = name or f"length-{uuid.uuid4().hex[:8]}"

    def _repr_html_(self) -> str:
        data = {
            "texts": list(self.answers),
            "minima": self.minima,
            "penalties": self.penalties,
            "answers": [
                [[grid[least, penalty] for penalty in self.penalties] for least in self.minima]
                for grid in self.answers.values()
            ],
        }
        tables = "".join(
            f"<p>{html.escape(text)}</p>{length_table(grid)}" for text, grid in self.answers.items()
        )
        return fill(_TEMPLATE, data, name=self.name, table=tables)


def length_table(answers: Answers) -> str:
    """The answers under the middle penalty, one row for each minimum, as an HTML table.

    Args:
        answers: over a grid of both options.

    Returns:
        HTML; answers are text in it.
    """
    penalties = sorted({penalty for _, penalty in answers})
    middle = penalties[len(penalties) // 2]
    rows = "".join(
        f"<tr><th scope='row'>{least}</th><td>{html.escape(answers[least, middle])}</td></tr>"
        for least, penalty in sorted(answers)
        if penalty == middle
    )
    head = f"<th scope='col'>answer, length_penalty {middle:g}</th>"
    return f"<table><tr><th scope='col'>min_length</th>{head}</tr>{rows}</table>"


def length_explorer(
    answer: Callable[[str, int, float], str],
    examples: Sequence[str],
    *,
    longest: int = 60,
) -> ipywidgets.Widget:
    """A text to type, two sliders, and the answer.

    Args:
        answer: called with the text, ``min_length`` and ``length_penalty``; returns the answer, or
            raises an error whose message is shown to the reader.
        examples: texts to choose from; the first one is there at the start.
        longest: the largest minimum.

    Returns:
        The widget.
    """
    text = ipywidgets.Combobox(value=examples[0], options=tuple(examples), description="text")
    least = ipywidgets.IntSlider(value=0, min=0, max=longest, description="min_length")
    penalty = ipywidgets.FloatSlider(value=1.0, min=-4.0, max=6.0, step=0.5, description="penalty")
    button = ipywidgets.Button(description="Answer", button_style="primary")
    view = ipywidgets.HTML()

    def show(_: object = None) -> None:
        try:
            written = answer(text.value, least.value, penalty.value)
        except Exception as error:
            view.value = f"<em>{html.escape(str(error))}</em>"
            return
        words = len(written.split())
        view.value = f"<b>{html.escape(written)}</b><br>{words} words"

    button.on_click(show)
    show()
    return ipywidgets.VBox([text, least, penalty, button, view])
