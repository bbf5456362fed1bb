"""The views show the masks and guesses they are given, and need nothing but themselves."""

import json
import re

import pytest
import torch

from encdec.mask_view import CROSSED, MaskView, Setting, Text, mask_explorer, mask_table
from encdec.masks import causal_mask

HOSTILE = "</script><b>x</b>"
GUESSES = [[("a", 0.75), (HOSTILE, 0.25)], [("b", 0.99), ("rare", 0.01)]]


def text(tokens=("a", HOSTILE)):
    crossed = torch.tensor([[1, 1], [CROSSED, 1]])
    settings = [Setting("causal", causal_mask(2), GUESSES), Setting("two", crossed, GUESSES)]
    return Text(tokens, ("a", "b"), 1, settings)


def test_the_page_holds_masks_and_guesses_and_needs_nothing_from_outside():
    page = MaskView({"x": text()}, name="m")._repr_html_()
    data = json.loads(re.search(r"const data = (.*);\n", page).group(1))
    [row] = data["texts"]
    assert row["tokens"] == ["a", HOSTILE]
    assert [each["mask"] for each in row["settings"]] == [[[1, 0], [1, 1]], [[1, 1], [2, 1]]]
    assert row["settings"][0]["guesses"] == [[["a", 75], [HOSTILE, 25]], [["b", 99], ["rare", 1]]]
    assert "http" not in page
    assert page.count("</script>") == 1
    assert "<b>x" not in page
    assert 'id="m"' in page
    assert MaskView({"x": text()}).name != MaskView({"x": text()}).name


def test_the_table_marks_what_is_seen_and_says_what_is_guessed():
    table = mask_table(text(), 0)
    assert table.count("title='seen'") == 3
    assert table.count("title='hidden'") == 1
    assert "a 75%" in table
    assert "rare" not in table
    assert "<b>" not in table


def test_the_explorer_follows_its_slider_and_shows_errors():
    def look(words):
        if words == "bad":
            raise ValueError("<no>")
        return text((words, "q"))

    box, slider, view = mask_explorer(look, ["x", "y"]).children
    assert view.value == mask_table(text(("x", "q")), 0)
    slider.value = 1
    assert view.value == mask_table(text(("x", "q")), 1)
    box.value = "y"
    assert view.value == mask_table(text(("y", "q")), 1)
    box.value = "bad"
    assert view.value == "<em>&lt;no&gt;</em>"


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match="texts is empty"):
        MaskView({})
    with pytest.raises(ValueError, match="settings is empty"):
        Text(("a",), ("a",), 1, [])
    with pytest.raises(ValueError, match="wanted has 1 words, but tokens has 2"):
        Text(("a", "b"), ("a",), 1, [])
    with pytest.raises(ValueError, match=r"'s' has a mask of shape \(1, 1\).*the text has 2"):
        Text(("a", "b"), ("a", "b"), 1, [Setting("s", torch.ones(1, 1), GUESSES)])
