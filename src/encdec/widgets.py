"""Interactive views: ipywidgets where there is a kernel, self-contained HTML where there is none.

Whatever a reader typed, and every token, is put into HTML as text, never as markup.
"""

from __future__ import annotations

import html
import json
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

import ipywidgets
from torch import Tensor


def fill(template: str, data: object, **parts: str) -> str:
    """A figure's template with everything in its place.

    Args:
        template: HTML with ``{{data}}`` in a script element, and the names of the parts in the same
            double braces; what stands in the data or in a part is left as it is.
        data: for the script, anything that JSON can hold.
        **parts: HTML by name.
    """
    # "<" would end the script element; as an escape it is the same string to JavaScript.
    parts["data"] = json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], template)


@dataclass(frozen=True)
class Alignment:
    """A sentence pair with the cross-attention between its tokens.

    Attributes:
        source: source tokens.
        target: target tokens.
        weights: (target, source), each row a distribution.
    """

    source: Sequence[str]
    target: Sequence[str]
    weights: Tensor


_TEMPLATE = files("encdec").joinpath("alignment.html").read_text(encoding="utf8")


class AlignmentView:
    """A self-contained HTML figure: point at a target token and see what it looked at.

    Args:
        alignments: the sentence pairs to choose from.
        name: identifier of the element on the page; drawn at random when omitted.
    """

    def __init__(self, alignments: Sequence[Alignment], name: str | None = None) -> None:
        self.alignments = alignments
        self.name = name or f"alignment-{uuid.uuid4().hex[:8]}"

    def _repr_html_(self) -> str:
        rows = [
            {
                "label": _sentence(a.source),
                "source": list(a.source),
                "target": list(a.target),
                "weights": (a.weights * 100).round().int().tolist(),
            }
            for a in self.alignments
        ]
        return fill(_TEMPLATE, rows, name=self.name, text=self._as_text())

    def _as_text(self) -> str:
        """What the figure shows, as a list for those who can't see or point."""
        items = []
        for a in self.alignments:
            strongest = [a.source[j] for j in a.weights.argmax(dim=-1).tolist()]
            pairs = [f"{t} → {s}" for t, s in zip(a.target, strongest, strict=True)]
            items.append(f"<li>{html.escape(', '.join(pairs))}</li>")
        return "".join(items)


def _sentence(tokens: Sequence[str]) -> str:
    """Tokens as a reader writes them: no mark for spaces, no end-of-sequence token."""
    return "".join(token for token in tokens if token != "</s>").replace("▁", " ").strip()


def translator(
    translate: Callable[[str, int], tuple[str, Alignment]],
    examples: Mapping[str, str] | None = None,
    *,
    language: str = "English",
    hint: str = "Type an English sentence",
) -> ipywidgets.Widget:
    """A box to type in, the translation, and the cross-attention that led to it.

    Args:
        translate: called with the text and the number of beams; returns the translation and its
            alignment, or raises an error whose message is shown to the reader.
        examples: sentences to choose from, as name and text.
        language: what stands before the box.
        hint: what stands in the box while it is empty.
    """
    text = ipywidgets.Text(value="", placeholder=hint, description=language)
    beams = ipywidgets.IntSlider(value=4, min=1, max=8, description="beams")
    button = ipywidgets.Button(description="Translate", button_style="primary")
    answer, view = ipywidgets.HTML(), ipywidgets.HTML()
    choice = ipywidgets.Dropdown(options=[("choose an example", ""), *(examples or {}).items()])

    def run(_: object) -> None:
        try:
            translation, alignment = translate(text.value, beams.value)
        except Exception as error:
            answer.value = f"<em>{html.escape(str(error))}</em>"
            view.value = ""
            return
        answer.value = f"<b>{html.escape(translation)}</b>"
        view.value = heat_table(alignment)

    def choose(change: Mapping[str, str]) -> None:
        if change["new"]:
            text.value = change["new"]
            run(None)

    button.on_click(run)
    choice.observe(choose, names="value")
    return ipywidgets.VBox(
        [ipywidgets.HBox([text, choice]), ipywidgets.HBox([beams, button]), answer, view]
    )


def heat_table(alignment: Alignment) -> str:
    """An alignment as an HTML table, the darker the cell the larger the weight."""
    head = "".join(f"<th scope='col'>{html.escape(token)}</th>" for token in alignment.source)
    rows = []
    for token, weights in zip(alignment.target, alignment.weights.tolist(), strict=True):
        cells = "".join(
            f"<td style='background:rgba(230,159,0,{w:.2f});text-align:center'>{100 * w:.0f}</td>"
            for w in weights
        )
        rows.append(f"<tr><th scope='row'>{html.escape(token)}</th>{cells}</tr>")
    return f"<table><tr><th></th>{head}</tr>{''.join(rows)}</table>"
