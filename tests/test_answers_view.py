"""A wrong letter is marked, on the page and with a kernel, and answers are text, never markup."""

import json
import re

import pytest

from encdec.answers_view import AnswersView, answers_explorer

WRITTEN = {"good": ["ab", "<b>"], "bad": ["a", "abcd"]}


def view(**changes):
    options = {"cases": [2, 3], "wanted": ["ab", "<b>"], "written": WRITTEN, "name": "seen"}
    return AnswersView(**(options | changes))


def test_wrong_missing_and_surplus_letters_are_marked():
    assert "<td>a<mark>·</mark></td>" in view().table(0)
    marked = "<td><mark>a</mark>b<mark>c</mark><mark>d</mark></td>"
    assert marked in view().table(1)


def test_answers_are_text():
    table = view().table(1)
    assert "&lt;b&gt;" in table
    assert "<b>" not in table


def test_what_colours_say_is_said_in_words_too():
    assert view().said(0) == "Without a mistake: good."
    alone = view(written={"bad": ["", ""]})
    assert alone.said(0) == "Without a mistake: none."


def test_the_page_holds_every_case_and_fetches_nothing():
    page = view(start=1, label="letters")._repr_html_()
    data = json.loads(re.search(r"const data = (.*);", page).group(1))
    assert [each["case"] for each in data] == ["2", "3"]
    assert data[0]["table"] == view().table(0)
    assert "{{" not in page
    assert "http" not in page
    assert page.count("</script>") == 1


def test_with_a_kernel_the_table_follows_the_slider():
    shown = view()
    slider, table = answers_explorer(shown).children
    assert shown.table(0) in table.value
    slider.value = 1
    assert shown.table(1) in table.value
    assert "Without a mistake: good." in table.value


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cases": [], "wanted": [], "written": {}}, "cases is empty"),
        ({"written": {"short": ["ab"]}}, "'short' has 1 answers to 2 cases"),
        ({"wanted": ["ab"]}, "'wanted' has 1 answers"),
        ({"start": 2}, "start=2 must be from 0 to 1"),
    ],
)
def test_what_is_wrong_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        view(**changes)
