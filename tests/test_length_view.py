"""The views show the answers they are given, and need nothing but themselves."""

import json
import re

import pytest

from encdec.length_view import LengthView, length_explorer, length_table

GRID = {
    (0, 0.0): "a b", (0, 1.0): "a b c", (0, 2.0): "a b c",
    (9, 0.0): "a b </script><b>d", (9, 1.0): "a b c c", (9, 2.0): "a b c c c",
}  # fmt: skip


def test_the_page_holds_the_answers_and_needs_nothing_from_outside():
    page = LengthView({"x": GRID}, name="v")._repr_html_()
    data = json.loads(re.search(r"const data = (.*);\n", page).group(1))
    assert data["texts"] == ["x"]
    assert (data["minima"], data["penalties"]) == ([0, 9], [0.0, 1.0, 2.0])
    for (least, penalty), answer in GRID.items():
        row, column = data["minima"].index(least), data["penalties"].index(penalty)
        assert data["answers"][0][row][column] == answer
    assert "http" not in page
    assert page.count("</script>") == 1
    assert 'id="v"' in page
    assert LengthView({"x": GRID}).name != LengthView({"x": GRID}).name


def test_the_table_has_a_row_for_each_minimum_under_the_middle_penalty():
    table = length_table(GRID)
    assert re.findall(r"<td>(.*?)</td>", table) == ["a b c", "a b c c"]
    assert re.findall(r"<th scope='row'>(.*?)</th>", table) == ["0", "9"]
    markup = length_table({(0, 0.0): GRID[9, 0.0]})
    assert "<b>" not in markup


def test_the_explorer_asks_with_what_its_sliders_say_and_shows_errors():
    asked = []

    def answer(text, least, penalty):
        asked.append((text, least, penalty))
        if text == "bad":
            raise ValueError("<no>")
        return "<i> two"

    box = length_explorer(answer, ["good", "other"])
    text, least, penalty, button, view = box.children
    assert asked == [("good", 0, 1.0)]
    assert view.value == "<b>&lt;i&gt; two</b><br>2 words"
    text.value, least.value, penalty.value = "bad", 40, 2.0
    button.click()
    assert asked[-1] == ("bad", 40, 2.0)
    assert view.value == "<em>&lt;no&gt;</em>"


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match="answers is empty"):
        LengthView({})
    with pytest.raises(ValueError, match=r"the minima \[9\]: 0, no minimum"):
        LengthView({"x": {(9, 1.0): "a"}})
    with pytest.raises(ValueError, match=r"answers\['y'\] lacks \(0, 1.0\)"):
        LengthView({"x": GRID, "y": {(0, 0.0): "a", (9, 0.0): "a"}})
