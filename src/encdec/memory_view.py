"""Interactive views of what training a model keeps in memory, activations aside."""

from __future__ import annotations

import html
import uuid
from collections.abc import Mapping
from importlib.resources import files

import ipywidgets

from encdec.widgets import fill

_TEMPLATE = files("encdec").joinpath("memory_view.html").read_text(encoding="utf8")
FLOAT = 4  # bytes of a number in float32
MOMENTS = 2  # that AdamW keeps of each weight
CARDS = {"T4": 16e9, "A100": 40e9, "H100": 80e9}  # bytes, as they are sold


def training_bytes(parameters: int, trainable: float) -> dict[str, float]:
    """What weights, gradients and AdamW's moments take, all in float32.

    Args:
        parameters: number of weights.
        trainable: share of them that is trained, between 0 and 1.

    Returns:
        Bytes of the ``weights``, the ``gradients``, the ``moments``, and their ``total``.

    Raises:
        ValueError: the number is not positive, or the share not between 0 and 1.
    """
    if parameters < 1:
        raise ValueError(f"parameters={parameters}: a model has at least one.")
    if not 0 <= trainable <= 1:
        raise ValueError(f"trainable={trainable}: a share is between 0 and 1.")
    weights = float(FLOAT * parameters)
    moving = weights * trainable
    parts = {"weights": weights, "gradients": moving, "moments": MOMENTS * moving}
    return parts | {"total": sum(parts.values())}


def fits(needed: float) -> list[str]:
    """Cards of :data:`CARDS` that hold so many bytes and leave a fifth for activations."""
    return [card for card, room in CARDS.items() if needed <= 0.8 * room]


class MemoryView:
    """A self-contained HTML figure: a model, the share that is trained, and the memory it takes.

    Args:
        models: number of weights of each model to choose from.
        name: identifier of the element on the page; drawn at random when omitted.

    Raises:
        ValueError: there is no model, or one has no weights.
    """

    def __init__(self, models: Mapping[str, int], name: str | None = None) -> None:
        if not models:
            raise ValueError("models is empty: give at least one")
        for parameters in models.values():
            training_bytes(parameters, 1.0)
        self.models = dict(models)
        self.name = name or f"memory-{uuid.uuid4().hex[:8]}"

    def _repr_html_(self) -> str:
        data = {"models": list(self.models.items()), "cards": list(CARDS.items())}
        return fill(_TEMPLATE, data, name=self.name, table=memory_table(self.models))


def memory_table(models: Mapping[str, int]) -> str:
    """Gigabytes of every model with all, half and a hundredth of its weights trained, as HTML."""
    shares = (1.0, 0.5, 0.01)
    head = "".join(f"<th scope='col'>{share:.0%} trained</th>" for share in shares)
    rows = []
    for label, parameters in models.items():
        totals = (training_bytes(parameters, share)["total"] / 1e9 for share in shares)
        cells = "".join(f"<td>{total:.2f} GB</td>" for total in totals)
        rows.append(f"<tr><th scope='row'>{html.escape(label)}</th>{cells}</tr>")
    return f"<table><tr><th scope='col'>model</th>{head}</tr>{''.join(rows)}</table>"


def memory_explorer(models: Mapping[str, int]) -> ipywidgets.Widget:
    """A model to choose, a slider for the share that is trained, and the memory it takes.

    Args:
        models: number of weights of each model to choose from.

    Raises:
        ValueError: as :class:`MemoryView`.
    """
    models = MemoryView(models).models
    model = ipywidgets.Dropdown(options=list(models), description="model")
    share = ipywidgets.FloatSlider(value=100, min=0, max=100, step=0.5, description="% trained")
    view = ipywidgets.HTML()

    def show(_: object = None) -> None:
        found = training_bytes(models[model.value], share.value / 100)
        parts = ", ".join(f"{name} {size / 1e9:.2f} GB" for name, size in found.items())
        view.value = f"<p>{parts}</p><p>fits: {', '.join(fits(found['total'])) or 'none'}</p>"

    model.observe(show, names="value")
    share.observe(show, names="value")
    show()
    return ipywidgets.VBox([model, share, view])
