"""Figures of the book, drawn with matplotlib: colours that colour-blind readers can tell apart."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch, Rectangle
from torch import Tensor

from encdec import masking_view
from encdec.decoding import BeamStep
from encdec.objectives import Denoised

# Okabe and Ito's palette, in an order in which neighbours differ in lightness too.
BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION = (
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00",
)  # fmt: skip
GREY = "#6B7280"


def attention_map(
    weights: Tensor,
    source: Sequence[str],
    target: Sequence[str],
    title: str,
    ax: Axes | None = None,
) -> Axes:
    """Which source tokens each target token looked at.

    Args:
        weights: (target, source), each row a distribution.
        source: source tokens, the columns.
        target: target tokens, the rows.
        title: states the finding.
        ax: where to draw; a new figure of a fitting size when omitted.

    Raises:
        ValueError: the weights have another shape than the labels.
    """
    if tuple(weights.shape) != (len(target), len(source)):
        raise ValueError(
            f"weights has shape {tuple(weights.shape)}, but there are {len(target)} target and "
            f"{len(source)} source tokens."
        )
    if ax is None:
        _, ax = plt.subplots(figsize=(1.6 + 0.5 * len(source), 1.4 + 0.36 * len(target)))
    image = ax.imshow(weights.detach().cpu().numpy(), cmap="cividis", vmin=0, vmax=1, aspect="auto")
    ax.set_xticks(range(len(source)), source, rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(target)), target)
    ax.set_xlabel("source token")
    ax.set_ylabel("target token")
    ax.set_title(title)
    ax.figure.colorbar(image, ax=ax, label="attention weight", fraction=0.04, pad=0.03)
    return ax


def intervals(
    scores: Mapping[str, Mapping[str, float]],
    title: str,
    xlabel: str,
    ax: Axes | None = None,
    colour: str = BLUE,
) -> Axes:
    """One row a system: its score as a dot, its 95% interval as a line, its value in figures.

    Args:
        scores: for each system ``value``, ``low`` and ``high``.
        title: states the finding.
        xlabel: the metric and its unit.
        ax: where to draw.
        colour: of dots and lines.
    """
    if ax is None:
        _, ax = plt.subplots(figsize=(7, 0.9 + 0.45 * len(scores)))
    names = list(scores)
    rows = range(len(names))
    values = np.array([scores[name]["value"] for name in names])
    low = np.array([scores[name]["low"] for name in names])
    high = np.array([scores[name]["high"] for name in names])
    ax.errorbar(
        values, rows, xerr=[values - low, high - values], fmt="o", color=colour, capsize=4, lw=2
    )
    for row, value, end in zip(rows, values, high, strict=True):
        ax.annotate(
            f"{value:.1f}", (end, row), xytext=(8, 0), textcoords="offset points", va="center"
        )
    ax.set_yticks(rows, names)
    ax.invert_yaxis()
    ax.margins(x=0.15, y=0.15)
    ax.set_xlabel(xlabel)
    ax.set_title(title)
    ax.grid(axis="x", alpha=0.3)
    return ax


def curve(
    points: Mapping[str, Mapping[str, float]],
    title: str,
    xlabel: str,
    ylabel: str,
    ax: Axes | None = None,
) -> Axes:
    """A score against something ordered (length, steps), with its interval as a band.

    Args:
        points: for each value on the x axis, as text, its ``value``, ``low`` and ``high``.
        title: states the finding.
        xlabel: what varies.
        ylabel: the metric and its unit.
        ax: where to draw.
    """
    if ax is None:
        _, ax = plt.subplots(figsize=(7, 3.4))
    x = range(len(points))
    ax.plot(x, [p["value"] for p in points.values()], "o-", color=BLUE, lw=2)
    ax.fill_between(
        x, [p["low"] for p in points.values()], [p["high"] for p in points.values()],
        color=SKY, alpha=0.35, label="95% interval",
    )  # fmt: skip
    ax.set_xticks(x, list(points))
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    ax.set_title(title)
    ax.grid(alpha=0.3)
    ax.legend(frameon=False)
    return ax


# Fill, ink and edge of a token's box; the fills differ in lightness too.
_BOXES = {
    masking_view.VISIBLE: ("white", "black", "#9CA3AF"),
    masking_view.STAND_IN: (ORANGE, "black", "white"),
    masking_view.HIDDEN: (BLUE, "white", "white"),
    masking_view.REPEATED: ("#D6EAF7", "black", "#8FC3E8"),
    masking_view.AROUND: ("#F3F4F6", "#4B5563", "#D1D5DB"),
}
_SENTENCES = (VERMILION, GREEN, PURPLE, BLUE, ORANGE, SKY)
_COLUMNS, _MARGIN = 84, 8  # characters that a line holds, and that its name has beside it


def masked_tokens(
    example: Denoised, text: Callable[[int], str], title: str, ax: Axes | None = None
) -> Axes:
    """What a pre-training objective shows of a text, and below it what is to be predicted.

    What is to be predicted stands below what stands for it. Where sentences were shuffled, the
    whole input comes first and then the target, and each sentence has a number and a colour.

    Args:
        example: what one of :mod:`encdec.objectives` made of a text.
        text: shows a token id, e.g. ``tokenizer.convert_ids_to_tokens``.
        title: states the finding.
        ax: where to draw, about seven inches wide; a new figure of that width when omitted.

    Raises:
        ValueError: the example does not know where its tokens stood.
    """
    lines = masking_view.lay_out(example, text, _COLUMNS)
    kinds = {b.kind for line in lines for row in line.rows for _, _, b in line.boxes(row)}
    drawn = [(kind, colours) for kind, colours in _BOXES.items() if kind in kinds]
    if ax is None:
        rows = (not example.input_ids) + sum(len(line.rows) for line in lines)
        height = 0.3 * rows + 0.1 * len(lines)
        _, ax = plt.subplots(figsize=(7, 0.6 + height + 0.2 * math.ceil(len(drawn) / 3)))
    y = 0.0
    if not example.input_ids:
        y -= 1.2
        ax.text(-1, y + 0.5, "input", ha="right", va="center", fontsize=9, color=GREY)
        ax.text(0, y + 0.5, "(nothing)", va="center", fontsize=9, color=GREY)
    for line in lines:
        for row in line.rows:
            y -= 1.2
            ax.text(-1, y + 0.5, row, ha="right", va="center", fontsize=9, color=GREY)
            for x, width, box in line.boxes(row):
                _draw_box(ax, x, y, width, box)
        y -= 0.3 if len(line.rows) == 2 else 0.5  # a number may stand above the next line
    ax.set_xlim(-_MARGIN, _COLUMNS)
    ax.set_ylim(y, 0.4)
    ax.set_title(title)
    ax.axis("off")
    patches = [Patch(fc=fill, ec=edge, label=kind) for kind, (fill, _, edge) in drawn]
    ax.legend(
        handles=patches, loc="upper left", bbox_to_anchor=(0.07, 0), ncols=3, frameon=False,
        fontsize=9, handlelength=1.2,
    )  # fmt: skip
    return ax


def _draw_box(ax: Axes, x: float, y: float, width: float, box: masking_view.Token) -> None:
    fill, ink, edge = _BOXES[box.kind]
    if box.sentence is not None:
        edge = _SENTENCES[box.sentence % len(_SENTENCES)]
    thick = 0.8 if box.sentence is None else 1.8
    ax.add_patch(Rectangle((x, y), width - 0.25, 1, fc=fill, ec=edge, lw=thick))
    middle = (x + width / 2 - 0.12, y + 0.45)
    ax.text(
        *middle, box.text, ha="center", va="center", fontsize=8.5, color=ink, family="monospace"
    )
    if box.first and box.sentence is not None:
        ax.text(x, y + 1.05, str(box.sentence + 1), fontsize=7, weight="bold")


def beam_tree(
    steps: Sequence[BeamStep],
    winner: Sequence[int],
    text: Callable[[int], str],
    title: str,
    ax: Axes | None = None,
) -> Axes:
    """Draw a beam search as a tree that grows to the right.

    Round boxes live on, square ones are finished; below each token stands the log-probability of
    the hypothesis so far; the way to the winner is drawn bold.

    Args:
        steps: the trace of one input, as :func:`~encdec.decoding.beam_search` returns it.
        winner: token ids of the best hypothesis, without the start token.
        text: shows a token id, e.g. ``tokenizer.convert_ids_to_tokens``.
        title: states the finding.
        ax: where to draw.
    """
    root = _Node(0, None, -1, 0.0, finished=False, best=True, path=())
    levels = [root, *_grow(root, steps, tuple(winner))]
    depth = max(node.step for node in levels)
    rows = {s: [n for n in levels if n.step == s] for s in range(depth + 1)}
    widest = max(map(len, rows.values()))
    if ax is None:
        _, ax = plt.subplots(figsize=(0.9 * (depth + 1), 0.6 + 0.55 * widest))
    place = {
        id(node): (node.step, (len(row) - 1) / 2 - i)
        for row in rows.values()
        for i, node in enumerate(row)
    }
    for node in levels:
        colour = BLUE if node.best else GREY
        if node.parent is not None:
            (x0, y0), (x1, y1) = place[id(node.parent)], place[id(node)]
            ax.plot([x0, x1], [y0, y1], color=colour, lw=2.6 if node.best else 1.0, zorder=1)
        shape = "square" if node.finished else "round"
        ax.text(
            *place[id(node)],
            f"{text(node.token)}\n{node.log_prob:.2f}" if node.parent else "start",
            ha="center",
            va="center",
            fontsize=8,
            color=colour if node.best else "black",
            weight="bold" if node.best else "normal",
            bbox={"boxstyle": f"{shape},pad=0.25", "ec": colour, "fc": "white", "lw": 1.2},
        )
    ax.set_xlim(-0.6, depth + 0.6)
    ax.set_ylim(-widest / 2 - 0.2, widest / 2 + 0.2)
    ax.set_title(title)
    ax.axis("off")
    return ax


@dataclass(frozen=True, eq=False)
class _Node:
    """A hypothesis in the tree."""

    step: int
    parent: _Node | None
    token: int
    log_prob: float
    finished: bool
    best: bool
    path: tuple[int, ...]


def _grow(root: _Node, steps: Sequence[BeamStep], winner: tuple[int, ...]) -> Iterator[_Node]:
    """Every hypothesis that lived on or ended, in the order of the steps."""
    beams = [root] * len(steps[0].kept)
    for number, step in enumerate(steps, 1):
        nodes = {}
        # A hypothesis that ends counts only if it is among the best as many as there are beams.
        ended = [c for c in step.candidates[: len(step.kept)] if c.finished]
        for candidate in sorted({*step.kept, *ended}, key=lambda c: -c.log_prob):
            parent = beams[candidate.parent]
            path = (*parent.path, candidate.token)
            nodes[candidate] = _Node(
                step=number,
                parent=parent,
                token=candidate.token,
                log_prob=candidate.log_prob,
                finished=candidate.finished,
                best=path == winner[: len(path)],
                path=path,
            )
        yield from nodes.values()
        beams = [nodes[candidate] for candidate in step.kept]
