"""“Which one for my case?”: an answer from the recorded figures of `encdec.compare`."""

from __future__ import annotations

import html
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import ipywidgets

from encdec.compare import CompareError, across_seeds, decoding_cost
from encdec.widgets import fill

ALL, LITTLE = "all of it", "a part of it"
NAMES = {  # of systems, for readers
    "lstm": "LSTM",
    "encoder-decoder": "encoder–decoder",
    "prefix-lm": "prefix LM",
    "shared": "shared weights",
}
_TEMPLATE = files("encdec").joinpath("choice_view.html").read_text(encoding="utf8")


@dataclass(frozen=True)
class Case:
    """What someone wants to do.

    Args:
        skill: one of the comparison's tests.
        source: tokens that are read.
        target: tokens that are written.
        batch: texts side by side.
        milliseconds: that a batch may take.
        data: `ALL` of the training, or `LITTLE`, as much as a try of the grid has.
    """

    skill: str
    source: int
    target: int
    batch: int
    milliseconds: float
    data: str = ALL


@dataclass(frozen=True)
class Row:
    """One system in a case.

    Args:
        name: of the system.
        score: mean over seeds; for little data minus the loss on held-out text, in nats.
        low: lower end of what it may be.
        high: upper end.
        milliseconds: of a batch.
        cache_bytes: when the last token is written.
        fits: whether it is fast enough.
    """

    name: str
    score: float
    low: float
    high: float
    milliseconds: float
    cache_bytes: float
    fits: bool = True


def system_name(entry: Mapping[str, Any]) -> str:
    """How a system is called in views, e.g. ``decoder-only (equal FLOPs)``."""
    name, equal = str(entry["system"]), entry["matching"]
    shown = "FLOPs" if equal == "flops" else equal
    return NAMES.get(name, name) + ("" if equal == "both" else f" (equal {shown})")


def rows(outcome: Mapping[str, Any], case: Case) -> list[Row]:
    """All systems in a case, those that fit first, the better ones before the others.

    Args:
        outcome: the result of a comparison.
        case: what is asked.

    Raises:
        CompareError: the skill, the data or the lengths are not in the comparison.
    """
    if case.skill not in outcome["tests"]:
        raise CompareError(
            f"skill={case.skill!r} was not tested; tested were {', '.join(outcome['tests'])}."
        )
    if case.data not in (ALL, LITTLE):
        raise CompareError(f"data={case.data!r} must be {ALL!r} or {LITTLE!r}.")
    found = []
    for entry in outcome["systems"]:
        at = (case.source, case.target, case.batch)
        taken = 1000 * decoding_cost(entry, *at)
        if case.data == ALL:
            score = across_seeds(entry, case.skill)
        else:
            loss = -min(one["losses"][case.skill] for one in entry["tuning"]["tried"])
            score = {"mean": loss, "low": loss, "high": loss}
        found.append(
            Row(
                system_name(entry),
                score["mean"],
                score["low"],
                score["high"],
                taken,
                decoding_cost(entry, *at, "cache_bytes"),
                taken <= case.milliseconds,
            )
        )
    return sorted(found, key=lambda row: (not row.fits, -row.score))


def advice(outcome: Mapping[str, Any], case: Case) -> str:
    """The best system that is fast enough; of several undecided ones, the fastest."""
    found = rows(outcome, case)
    best = found[0]
    if not best.fits:
        fastest = min(found, key=lambda row: row.milliseconds)
        taken = f"{fastest.milliseconds:.0f} ms"
        return f"None is fast enough; the fastest, {fastest.name}, takes {taken}."
    if case.data == LITTLE:
        return f"Take {best.name}: its loss is the lowest of the single runs with little training."
    close = [row for row in found if row.fits and row.high >= best.low]
    if len(close) > 1:
        fastest = min(close, key=lambda row: row.milliseconds)
        others = ", ".join(row.name for row in close if row is not fastest)
        return (
            f"Take {fastest.name}, the fastest of {len(close)} that can't be told apart by score: "
            f"the others are {others}."
        )
    return f"Take {best.name}: no other that is fast enough comes near its score."


def choice_table(outcome: Mapping[str, Any], case: Case) -> str:
    """The systems in a case as an HTML table with a sentence above.

    Args:
        outcome: the result of a comparison.
        case: what is asked.

    Returns:
        HTML; names are text in it.
    """
    score = "score" if case.data == ALL else "− loss"
    heads = ("system", score, "ms", "cache, kB", "fast enough")
    head = "".join(f"<th scope='col'>{name}</th>" for name in heads)
    lines = []
    for row in rows(outcome, case):
        cells = (
            f"{row.score:.1f} ({row.low:.1f}–{row.high:.1f})"
            if case.data == ALL
            else f"{row.score:.2f}",
            f"{row.milliseconds:.0f}",
            f"{row.cache_bytes / 1000:,.0f}",
            "yes" if row.fits else "no",
        )
        body = "".join(f"<td>{cell}</td>" for cell in cells)
        lines.append(f"<tr><th scope='row'>{html.escape(row.name)}</th>{body}</tr>")
    said = html.escape(advice(outcome, case))
    return f"<p><strong>{said}</strong></p><table><tr>{head}</tr>{''.join(lines)}</table>"


def _measured(outcome: Mapping[str, Any], key: str) -> list[int]:
    grid = outcome["systems"][0]["costs"]["decoding"]
    return sorted({row[key] for row in grid})


def limits(outcome: Mapping[str, Any]) -> list[float]:
    """Milliseconds to choose from: from the fastest that was measured to the slowest."""
    grid = [row["seconds"] for entry in outcome["systems"] for row in entry["costs"]["decoding"]]
    steps: list[float] = []
    value = 1.0
    while value < 1000 * min(grid):
        value *= 2
    while not steps or steps[-1] < 1000 * max(grid):
        steps.append(value)
        value *= 2
    return steps


class ChoiceView:
    """A self-contained HTML figure that answers on the page, without a kernel.

    Args:
        outcome: the result of a comparison.
        name: identifier of the element on the page; drawn at random when omitted.
    """

    def __init__(self, outcome: Mapping[str, Any], name: str | None = None) -> None:
        self.outcome = outcome
        self.name = name or f"choice-{uuid.uuid4().hex[:8]}"
        self.start = first_case(outcome)

    def _repr_html_(self) -> str:
        outcome = self.outcome
        systems = [
            {
                "name": system_name(entry),
                "scores": {
                    skill: {
                        ALL: [round(across_seeds(entry, skill)[k], 3) for k in ENDS],
                        LITTLE: [-min(t["losses"][skill] for t in entry["tuning"]["tried"])] * 3,
                    }
                    for skill in outcome["tests"]
                },
                "costs": {
                    f"{c['source']} {c['target']} {c['batch']}": [
                        round(1000 * c["seconds"], 2),
                        c["cache_bytes"],
                    ]
                    for c in entry["costs"]["decoding"]
                },
            }
            for entry in outcome["systems"]
        ]
        data = {
            "systems": systems,
            "choices": {
                "skill": list(outcome["tests"]),
                "source": _measured(outcome, "source"),
                "target": _measured(outcome, "target"),
                "batch": _measured(outcome, "batch"),
                "limit": limits(outcome),
                "data": [ALL, LITTLE],
            },
            "start": {
                "skill": self.start.skill,
                "source": self.start.source,
                "target": self.start.target,
                "batch": self.start.batch,
                "limit": self.start.milliseconds,
                "data": self.start.data,
            },
        }
        table = choice_table(outcome, self.start)
        return fill(_TEMPLATE, data, name=self.name, table=table)


ENDS = ("mean", "low", "high")


def first_case(outcome: Mapping[str, Any]) -> Case:
    """A case to begin with: the first skill, middle lengths, all the time in the world."""
    sources, targets = _measured(outcome, "source"), _measured(outcome, "target")
    return Case(
        next(iter(outcome["tests"])),
        sources[len(sources) // 2],
        targets[len(targets) // 2],
        _measured(outcome, "batch")[0],
        limits(outcome)[-1],
    )


def choice_explorer(outcome: Mapping[str, Any]) -> ipywidgets.Widget:
    """Menus for a case and the table that follows them.

    Args:
        outcome: the result of a comparison.
    """
    start = first_case(outcome)
    menus = {
        "skill": (list(outcome["tests"]), start.skill),
        "source": (_measured(outcome, "source"), start.source),
        "target": (_measured(outcome, "target"), start.target),
        "batch": (_measured(outcome, "batch"), start.batch),
        "milliseconds": (limits(outcome), start.milliseconds),
        "data": ([ALL, LITTLE], start.data),
    }
    boxes = {
        name: ipywidgets.Dropdown(options=options, value=value, description=name)
        for name, (options, value) in menus.items()
    }
    view = ipywidgets.HTML()

    def show(_: object = None) -> None:
        case = Case(**{name: box.value for name, box in boxes.items()})
        view.value = choice_table(outcome, case)

    for box in boxes.values():
        box.observe(show, names="value")
    show()
    return ipywidgets.VBox([*boxes.values(), view])
