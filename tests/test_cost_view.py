"""The static view computes what the ledger computes, and needs nothing but itself."""

import json
import re

import pytest

from encdec import costs
from encdec.config import TransformerConfig
from encdec.cost_view import LENGTHS, QUANTITIES, CostView, cost_explorer, cost_table, in_words

CONFIG = TransformerConfig(vocab_size=50, d_model=16, d_ff=40, num_layers=2, num_heads=2)
HOSTILE = "</script><b>small</b>"
LEDGERS = {
    "encoder–decoder": lambda s, t: costs.encoder_decoder(CONFIG, s, t),
    HOSTILE: lambda s, t: costs.decoder_only(CONFIG, s, t),
}


def test_the_page_holds_polynomials_that_give_the_ledger_at_every_length():
    page = CostView(LEDGERS, name="a")._repr_html_()
    data = json.loads(re.search(r"const data = (.*);\n", page).group(1))
    assert data["models"] == list(LEDGERS)
    for (key, _, _), quantity in zip(QUANTITIES, data["quantities"], strict=True):
        for count, parts in zip(LEDGERS.values(), quantity["models"], strict=True):
            for source, target in ((4, 8192), (512, 64), (8192, 4)):
                s, t = source - 1, target - 1
                terms = (1, s, t, s * s, s * t, t * t)
                found = {
                    part: sum(c * x for c, x in zip(cs, terms, strict=True))
                    for part, cs in parts.items()
                }
                assert found == getattr(count(source, target), key)
                assert set(found) <= set(data["colours"])


def test_the_page_needs_nothing_from_outside_and_names_are_text():
    page = CostView(LEDGERS, name="a")._repr_html_()
    assert "http" not in page
    assert page.count("</script>") == 1
    assert "<b>small" not in page
    assert 'id="a"' in page
    assert CostView(LEDGERS).name != CostView(LEDGERS).name


def test_the_table_shows_the_totals():
    table = cost_table(LEDGERS, 512, 64)
    ledger = costs.encoder_decoder(CONFIG, 512, 64)
    assert in_words(ledger.total_flops, "FLOP") in table
    assert in_words(ledger.total_cache, "B") in table


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (999.7, "1 kB"),
        (1234, "1.23 kB"),
        (5e9, "5 GB"),
        (2e16, "20 PB"),
    ],
)
def test_a_number_in_words(number, words):
    assert in_words(number, "B") == words


def test_the_explorer_follows_its_sliders():
    box = cost_explorer(LEDGERS)
    source, target, view = box.children
    assert view.value == cost_table(LEDGERS, 512, 64)
    source.value, target.value = 8, 8192
    assert view.value == cost_table(LEDGERS, 8, 8192)


def test_a_length_that_the_sliders_lack_is_named():
    assert 512 in LENGTHS
    with pytest.raises(ValueError, match="source=500 must be one of"):
        CostView(LEDGERS, source=500)
    with pytest.raises(ValueError, match="ledgers is empty"):
        CostView({})
