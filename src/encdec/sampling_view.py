"""Interactive views of one step of sampling: what temperature, top-k and top-p leave of the scores.

Shape letter: `vocab` tokens that can be written.
"""

from __future__ import annotations

import html
import uuid
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files

import ipywidgets
import torch
from torch import Tensor

from encdec.options import GenerationOptions
from encdec.processors import make_warpers
from encdec.widgets import fill

_TEMPLATE = files("encdec").joinpath("sampling_view.html").read_text(encoding="utf8")


def distribution(
    scores: Tensor,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Tensor:
    """Compute the probabilities that a token is drawn by.

    Args:
        scores: logits of the next token, (vocab,).
        temperature: divides the scores.
        top_k: keep so many tokens; all if not given.
        top_p: then keep the likeliest that together reach this probability; all if not given.

    Returns:
        Probabilities, (vocab,); 0 for what is cut off.
    """
    options = GenerationOptions(do_sample=True, temperature=temperature, top_k=top_k, top_p=top_p)
    warped = scores.detach().float()[None].clone()  # (1, vocab)
    nothing = torch.empty(1, 0, dtype=torch.long, device=scores.device)
    for warp in make_warpers(options):
        warped = warp(nothing, warped)
    return warped[0].softmax(dim=-1)  # (vocab,)


class SamplingView:
    """A self-contained HTML figure: three sliders and the next token's probabilities.

    Args:
        scores: for each text so far the logits of the next token, (vocab,).
        tokens: what each id stands for.
        shown: how many of the likeliest tokens have a bar.
        name: identifier of the element on the page; drawn at random when omitted.

    Raises:
        ValueError: if there is no text, or scores and tokens differ in number.
    """

    def __init__(
        self,
        scores: Mapping[str, Tensor],
        tokens: Sequence[str],
        *,
        shown: int = 12,
        name: str | None = None,
    ) -> None:
        if not scores:
            raise ValueError("scores is empty: give at least one text")
        for label, row in scores.items():
            if tuple(row.shape) != (len(tokens),):
                raise ValueError(
                    f"scores[{label!r}] has shape {tuple(row.shape)}, but there are {len(tokens)} "
                    "tokens"
                )
        self.scores = {label: row.detach().float().cpu() for label, row in scores.items()}
        self.tokens = list(tokens)
        self.shown = shown
        self.name = name or f"sampling-{uuid.uuid4().hex[:8]}"

    def _repr_html_(self) -> str:
        data = {
            "labels": list(self.scores),
            "tokens": self.tokens,
            "shown": self.shown,
            # one digit: stable across processors, and finer than a bar can show
            "scores": [[round(s, 1) for s in row.tolist()] for row in self.scores.values()],
        }
        table = "".join(
            f"<p>{html.escape(label)}</p>{probability_table(row.softmax(-1), self.tokens, 5)}"
            for label, row in self.scores.items()
        )
        return fill(_TEMPLATE, data, name=self.name, table=table)


def probability_table(probabilities: Tensor, tokens: Sequence[str], shown: int) -> str:
    """The likeliest tokens as an HTML table, in whole percents.

    Args:
        probabilities: (vocab,).
        tokens: what each id stands for.
        shown: how many rows.

    Returns:
        HTML; tokens are text in it.
    """
    values, places = probabilities.cpu().sort(descending=True, stable=True)
    rows = "".join(
        f"<tr><th scope='row'>{html.escape(tokens[place])}</th><td>{100 * value:.0f}%</td></tr>"
        for value, place in zip(values[:shown].tolist(), places[:shown].tolist(), strict=True)
        if value > 0
    )
    return (
        "<table><tr><th scope='col'>next token</th><th scope='col'>probability</th></tr>"
        f"{rows}</table>"
    )


def sampling_explorer(
    score: Callable[[str], Tensor],
    tokens: Sequence[str],
    examples: Mapping[str, str],
    *,
    shown: int = 12,
) -> ipywidgets.Widget:
    """A text to type, three sliders, and the probabilities of the next token.

    Args:
        score: called with the text; returns the logits of the next token, (vocab,), or raises an
            error whose message is shown to the reader.
        tokens: what each id stands for.
        examples: texts to choose from, as name and text; the first one is there at the start.
        shown: how many of the likeliest tokens are listed.

    Returns:
        The widget.
    """
    text = ipywidgets.Combobox(
        value=next(iter(examples.values())), options=tuple(examples.values()), description="text"
    )
    slider = ipywidgets.FloatSlider
    temperature = slider(value=1.0, min=0.1, max=3.0, step=0.1, description="temperature")
    top_k = ipywidgets.IntSlider(value=len(tokens), min=1, max=len(tokens), description="top-k")
    top_p = slider(value=1.0, min=0.01, max=1.0, step=0.01, description="top-p")
    view = ipywidgets.HTML()

    def show(_: object = None) -> None:
        try:
            made = distribution(
                score(text.value),
                temperature=temperature.value,
                top_k=top_k.value,
                top_p=top_p.value,
            )
        except Exception as error:
            view.value = f"<em>{html.escape(str(error))}</em>"
            return
        view.value = probability_table(made, tokens, shown)

    for control in (text, temperature, top_k, top_p):
        control.observe(show, names="value")
    show()
    return ipywidgets.VBox([text, temperature, top_k, top_p, view])
