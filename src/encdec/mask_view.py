"""Interactive views of a mask: slide it, see who sees whom and what a model then says."""

from __future__ import annotations

import html
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

import ipywidgets
from torch import Tensor

from encdec.plots import BLUE, ORANGE, VERMILION
from encdec.widgets import fill

LEAST = 0.05  # probability from which on a second guess is shown
HIDDEN, SEEN, CROSSED = 0, 1, 2  # what an entry of `Setting.mask` says
SHADES = {SEEN: BLUE, CROSSED: ORANGE}
_TEMPLATE = files("encdec").joinpath("mask_view.html").read_text(encoding="utf8")

Guess = tuple[str, float]


@dataclass(frozen=True)
class Setting:
    """One position of the slider.

    Attributes:
        label: what it is called.
        mask: `HIDDEN`, `SEEN` or `CROSSED` (seen through cross-attention), (length, length); a row
            is a position that looks.
        guesses: for each position the likeliest words with their probabilities, best first.
    """

    label: str
    mask: Tensor
    guesses: Sequence[Sequence[Guess]]


@dataclass(frozen=True)
class Text:
    """A text under all settings.

    Attributes:
        tokens: what stands at each position, (length,).
        wanted: the right word for each position, (length,).
        source: how many positions, from the first, are the source.
        settings: from one end of the slider to the other.

    Raises:
        ValueError: if a mask or a list has another length than the text.
    """

    tokens: Sequence[str]
    wanted: Sequence[str]
    source: int
    settings: Sequence[Setting]

    def __post_init__(self) -> None:
        length = len(self.tokens)
        if len(self.wanted) != length:
            raise ValueError(f"wanted has {len(self.wanted)} words, but tokens has {length}")
        if not self.settings:
            raise ValueError("settings is empty: give at least one")
        for each in self.settings:
            if tuple(each.mask.shape) != (length, length) or len(each.guesses) != length:
                raise ValueError(
                    f"the setting {each.label!r} has a mask of shape {tuple(each.mask.shape)} and "
                    f"guesses for {len(each.guesses)} positions, but the text has {length}"
                )


class MaskView:
    """A self-contained HTML figure: slide the mask, and grid and guesses follow.

    Args:
        texts: the texts to choose from, by name, with equally many settings.
        name: identifier of the element on the page; drawn at random when omitted.

    Raises:
        ValueError: if there is no text.
    """

    def __init__(self, texts: Mapping[str, Text], name: str | None = None) -> None:
        if not texts:
            raise ValueError("texts is empty: give at least one")
        self.texts = dict(texts)
        self.name = name or f"mask-{uuid.uuid4().hex[:8]}"

    def _repr_html_(self) -> str:
        rows = [
            {
                "label": label,
                "tokens": list(text.tokens),
                "wanted": list(text.wanted),
                "source": text.source,
                "settings": [
                    {
                        "label": each.label,
                        "mask": each.mask.int().tolist(),
                        "guesses": [
                            [[word, round(100 * share)] for word, share in position]
                            for position in each.guesses
                        ],
                    }
                    for each in text.settings
                ],
            }
            for label, text in self.texts.items()
        ]
        data = {"texts": rows, "shades": SHADES, "wrong": VERMILION, "least": 100 * LEAST}
        first = next(iter(self.texts.values()))
        table = mask_table(first, len(first.settings) // 2)
        return fill(_TEMPLATE, data, name=self.name, table=table)


def mask_table(text: Text, setting: int) -> str:
    """One setting as an HTML table: a row for each position, with what it sees and what it says.

    Args:
        text: the text under all settings.
        setting: which of them.

    Returns:
        HTML; words are text in it.
    """
    chosen = text.settings[setting]
    head = "".join(f"<th scope='col'>{html.escape(token)}</th>" for token in text.tokens)
    rows = []
    for place, token in enumerate(text.tokens):
        cells = "".join(
            f"<td style='background:{SHADES[kind]}' title='seen'>·</td>"
            if kind
            else "<td title='hidden'></td>"
            for kind in chosen.mask[place].int().tolist()
        )
        first, *others = chosen.guesses[place]
        likely = [first, *(each for each in others if each[1] >= LEAST)]
        said = ", ".join(f"{word} {share:.0%}" for word, share in likely)
        rows.append(
            f"<tr><th scope='row'>{html.escape(token)}</th>{cells}<td>{html.escape(said)}</td></tr>"
        )
    return (
        f"<table><caption>{html.escape(chosen.label)}</caption><tr><th></th>{head}"
        f"<th scope='col'>says</th></tr>{''.join(rows)}</table>"
    )


def mask_explorer(look: Callable[[str], Text], texts: Sequence[str]) -> ipywidgets.Widget:
    """A box for a text, a slider for the mask, and the table that follows both.

    Args:
        look: asks the model about a text under all settings, or raises an error whose message is
            shown to the reader.
        texts: some to begin with; others can be typed.

    Returns:
        The widget.
    """
    box = ipywidgets.Combobox(value=texts[0], options=list(texts), description="text")
    current = look(texts[0])
    slider = ipywidgets.IntSlider(0, 0, len(current.settings) - 1, description="mask")
    view = ipywidgets.HTML()

    def show(_: object = None) -> None:
        view.value = mask_table(current, slider.value)

    def ask(_: object = None) -> None:
        nonlocal current
        try:
            current = look(box.value)
        except ValueError as error:
            view.value = f"<em>{html.escape(str(error))}</em>"
            return
        show()

    slider.observe(show, names="value")
    box.observe(ask, names="value")
    show()
    return ipywidgets.VBox([box, slider, view])
