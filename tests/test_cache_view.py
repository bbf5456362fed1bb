"""The views say what a cache takes."""

import json
import re

import pytest
import torch

from encdec.cache import KVCache
from encdec.cache_view import CacheView, cache_explorer, cache_size
from encdec.config import TransformerConfig

CONFIG = TransformerConfig.family("marian", vocab_size=20, d_model=24, num_heads=6, num_layers=2)


@pytest.mark.parametrize("kv_heads", [1, 2, 6])
def test_the_size_is_that_of_a_real_cache(kv_heads):
    cache = KVCache(2)
    for layer in range(2):
        key = torch.zeros(3, kv_heads, 5, CONFIG.d_kv)
        cache.update(layer, key, key)
    cache.advance(5)
    assert cache.nbytes == cache_size(CONFIG, kv_heads, 5, rows=3)


def test_heads_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="kv_heads=4"):
        cache_size(CONFIG, 4, 5)


def test_the_figure_stands_alone():
    page = CacheView(CONFIG, name="view")._repr_html_()
    assert "{{" not in page
    assert "http" not in page
    data = json.loads(re.search(r"const data = (.*);", page).group(1))
    assert data == {"layers": 2, "heads": 6, "d_kv": 4, "kv_heads": [1, 2, 3, 6]}
    assert f"{cache_size(CONFIG, 2, 512, width=2):,}" in page


def test_the_widget_follows_its_sliders():
    widget = cache_explorer(CONFIG)
    kv, positions, *_, view = widget.children
    before = view.value
    kv.value, positions.value = 1, 8000
    assert view.value != before
    assert f"{cache_size(CONFIG, 1, 8000, width=2) / 1e6:.2f}" in view.value
