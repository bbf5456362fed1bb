"""Interactive views of a cache: how many bytes keys and values take, by heads and lengths."""

from __future__ import annotations

import uuid
from importlib.resources import files

import ipywidgets

from encdec.config import TransformerConfig
from encdec.widgets import fill

_TEMPLATE = files("encdec").joinpath("cache_view.html").read_text(encoding="utf8")


def cache_size(
    config: TransformerConfig, kv_heads: int, positions: int, *, rows: int = 1, width: int = 4
) -> int:
    """Bytes of the keys and values that a decoder keeps.

    Args:
        config: of the model.
        kv_heads: heads that have keys and values of their own; a divisor of the decoder's heads.
        positions: of the source, and of what is written.
        rows: sequences side by side.
        width: bytes of a number.

    Raises:
        ValueError: the heads can't be shared out evenly.
    """
    if kv_heads < 1 or config.decoder_num_heads % kv_heads:
        raise ValueError(
            f"kv_heads={kv_heads} must divide the {config.decoder_num_heads} heads of the decoder."
        )
    return 2 * config.num_decoder_layers * kv_heads * config.d_kv * positions * rows * width


def _divisors(number: int) -> list[int]:
    return [each for each in range(1, number + 1) if number % each == 0]


class CacheView:
    """A self-contained HTML figure: sliders for heads and lengths, and the bytes of the cache.

    Args:
        config: of the model.
        name: identifier of the element on the page; drawn at random when omitted.
    """

    def __init__(self, config: TransformerConfig, name: str | None = None) -> None:
        self.config = config
        self.name = name or f"cache-{uuid.uuid4().hex[:8]}"

    def _repr_html_(self) -> str:
        config = self.config
        heads = config.decoder_num_heads
        data = {
            "layers": config.num_decoder_layers,
            "heads": heads,
            "d_kv": config.d_kv,
            "kv_heads": _divisors(heads),
        }
        rows = "".join(
            f"<tr><th scope='row'>{kv}</th><td>{cache_size(config, kv, 512, width=2):,}</td></tr>"
            for kv in _divisors(heads)
        )
        head = "<th scope='col'>bytes, 512 positions of two bytes</th>"
        table = f"<table><tr><th scope='col'>heads with keys</th>{head}</tr>{rows}</table>"
        return fill(_TEMPLATE, data, name=self.name, table=table)


def cache_explorer(config: TransformerConfig) -> ipywidgets.Widget:
    """The same as a widget: heads with keys, positions, rows and width of a number.

    Args:
        config: of the model.

    Returns:
        The widget.
    """
    heads = _divisors(config.decoder_num_heads)
    kv = ipywidgets.SelectionSlider(options=heads, value=heads[-1], description="KV heads")
    positions = ipywidgets.IntSlider(value=512, min=1, max=8192, description="positions")
    rows = ipywidgets.IntSlider(value=1, min=1, max=128, description="rows")
    width = ipywidgets.SelectionSlider(options=[1, 2, 4], value=2, description="bytes")
    view = ipywidgets.HTML()

    def show(_: object = None) -> None:
        size = cache_size(config, kv.value, positions.value, rows=rows.value, width=width.value)
        view.value = f"<b>{size / 1e6:.2f} MB</b>"

    controls = [kv, positions, rows, width]
    for control in controls:
        control.observe(show, "value")
    show()
    return ipywidgets.VBox([*controls, view])
