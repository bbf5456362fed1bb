"""Interactive views of `encdec.costs`: move two lengths and see what each model would cost."""

from __future__ import annotations

import html
import uuid
from collections.abc import Callable, Mapping
from importlib.resources import files

import ipywidgets

from encdec import costs
from encdec.plots import BLUE, GREEN, GREY, ORANGE, SKY, VERMILION
from encdec.widgets import fill

Count = Callable[[int, int], costs.Ledger]

LENGTHS = tuple(round(2 ** (k / 2)) for k in range(4, 27))  # 4 … 8192 in steps of √2
QUANTITIES = (("flops", "arithmetic", "FLOP"), ("cache", "cache", "B"), ("traffic", "traffic", "B"))
COLOURS = {
    costs.ENCODER: ORANGE,
    costs.PROJECTION: VERMILION,
    costs.LAYERS: BLUE,
    costs.SELF: SKY,
    costs.CROSS: GREEN,
    costs.OUTPUT: GREY,
}
_TEMPLATE = files("encdec").joinpath("cost_view.html").read_text(encoding="utf8")


class CostView:
    """A self-contained HTML figure with two sliders that recomputes the ledgers on the page.

    Args:
        ledgers: for each model its ledger as a function of the lengths of source and target.
        source: tokens in the source at the start, one of `LENGTHS`.
        target: tokens in the target at the start, one of `LENGTHS`.
        name: identifier of the element on the page; drawn at random when omitted.

    Raises:
        ValueError: if there is no model, or the sliders don't have a length.
    """

    def __init__(
        self,
        ledgers: Mapping[str, Count],
        *,
        source: int = 512,
        target: int = 64,
        name: str | None = None,
    ) -> None:
        if not ledgers:
            raise ValueError("ledgers is empty: give at least one model")
        for which, length in (("source", source), ("target", target)):
            if length not in LENGTHS:
                raise ValueError(f"{which}={length} must be one of {', '.join(map(str, LENGTHS))}")
        self.ledgers = dict(ledgers)
        self.source = source
        self.target = target
        self.name = name or f"costs-{uuid.uuid4().hex[:8]}"

    def _repr_html_(self) -> str:
        data = {
            "lengths": LENGTHS,
            "source": self.source,
            "target": self.target,
            "models": list(self.ledgers),
            "colours": COLOURS,
            "quantities": [
                {
                    "name": name,
                    "unit": unit,
                    "models": [_polynomials(count, key) for count in self.ledgers.values()],
                }
                for key, name, unit in QUANTITIES
            ],
        }
        table = cost_table(self.ledgers, self.source, self.target)
        return fill(_TEMPLATE, data, name=self.name, table=table)


def _polynomials(count: Count, key: str) -> dict[str, list[float]]:
    """Coefficients of every part of one quantity."""

    def part_of(part: str) -> Callable[[int, int], int]:
        return lambda source, target: int(getattr(count(source, target), key)[part])

    return {part: costs.coefficients(part_of(part)) for part in getattr(count(1, 1), key)}


def cost_table(ledgers: Mapping[str, Count], source: int, target: int) -> str:
    """The totals of several models as an HTML table.

    Args:
        ledgers: for each model its ledger as a function of the lengths of source and target.
        source: tokens in the source.
        target: tokens in the target.

    Returns:
        HTML; names of models are text in it.
    """
    head = "".join(f"<th scope='col'>{name}</th>" for _, name, _ in QUANTITIES)
    rows = []
    for model, count in ledgers.items():
        ledger = count(source, target)
        cells = "".join(
            f"<td>{in_words(sum(getattr(ledger, key).values()), unit)}</td>"
            for key, _, unit in QUANTITIES
        )
        rows.append(f"<tr><th scope='row'>{html.escape(model)}</th>{cells}</tr>")
    return f"<table><tr><th scope='col'>model</th>{head}</tr>{''.join(rows)}</table>"


def in_words(number: float, unit: str = "") -> str:
    """Write a large number with three digits and a prefix.

    Args:
        number: at least 0.
        unit: what is counted.

    Returns:
        For example "1.23 GFLOP".
    """
    prefixes = ["", "k", "M", "G", "T", "P"]
    while number >= 999.5 and len(prefixes) > 1:
        number /= 1000
        prefixes.pop(0)
    return f"{number:.3g} {prefixes[0]}{unit}".strip()


def cost_explorer(
    ledgers: Mapping[str, Count], *, source: int = 512, target: int = 64
) -> ipywidgets.Widget:
    """Two sliders and the table that follows them.

    Args:
        ledgers: for each model its ledger as a function of the lengths of source and target.
        source: tokens in the source at the start, one of `LENGTHS`.
        target: tokens in the target at the start, one of `LENGTHS`.

    Returns:
        The widget.
    """
    sliders = [
        ipywidgets.SelectionSlider(options=LENGTHS, value=value, description=name)
        for name, value in (("source", source), ("target", target))
    ]
    view = ipywidgets.HTML()

    def show(_: object = None) -> None:
        view.value = cost_table(ledgers, *(slider.value for slider in sliders))

    for slider in sliders:
        slider.observe(show, names="value")
    show()
    return ipywidgets.VBox([*sliders, view])
