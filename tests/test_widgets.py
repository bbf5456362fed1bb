import json
import re

import pytest
import torch

from encdec.widgets import Alignment, AlignmentView, heat_table, translator

HOSTILE = '</script><img src=x onerror="alert(1)">'


@pytest.fixture
def alignment():
    weights = torch.tensor([[0.9, 0.1], [0.25, 0.75]])
    return Alignment(["▁the", HOSTILE], ["▁la", "<b>mer</b>"], weights)


def test_the_view_holds_the_data_and_needs_nothing_from_outside(alignment):
    html = AlignmentView([alignment], name="a")._repr_html_()
    [row] = json.loads(re.search(r"const data = (.*);\n", html).group(1))
    assert row["weights"] == [[90, 10], [25, 75]]
    assert row["source"] == ["▁the", HOSTILE]
    assert "http" not in html
    assert 'id="a"' in html


def test_tokens_are_text_and_never_markup(alignment):
    html = AlignmentView([alignment], name="a")._repr_html_()
    assert html.count("</script>") == 1
    assert "<img" not in html
    assert "<b>mer" not in html
    assert "<img" not in heat_table(alignment)
    assert "▁la → ▁the, &lt;b&gt;mer&lt;/b&gt; → &lt;/script&gt;" in html


def test_a_token_that_looks_like_a_place_in_the_template_stays_a_token():
    page = AlignmentView([Alignment(["{{data}}"], ["{{name}}"], torch.ones(1, 1))])._repr_html_()
    assert "<li>{{name}} → {{data}}</li>" in page
    assert page.count("{{data}}") == page.count("{{name}}") + 1 == 3


def test_two_views_on_a_page_do_not_share_a_name(alignment):
    assert AlignmentView([alignment]).name != AlignmentView([alignment]).name


def parts(box):
    (text, choice), (beams, button) = box.children[0].children, box.children[1].children
    return text, choice, beams, button, *box.children[2:]


def test_the_translator_translates_with_the_chosen_beams(alignment):
    calls = []

    def translate(text, num_beams):
        calls.append((text, num_beams))
        return "La mer <3", alignment

    text, choice, beams, button, answer, view = parts(translator(translate, {"sea": "The sea."}))
    text.value, beams.value = "Hello", 2
    button.click()
    assert calls == [("Hello", 2)]
    assert answer.value == "<b>La mer &lt;3</b>"
    assert "75" in view.value
    choice.value = "The sea."
    assert calls[-1] == ("The sea.", 2)


def test_the_translator_shows_an_error_as_text(alignment):
    def translate(text, num_beams):
        raise ValueError(HOSTILE)

    text, _, _, button, answer, view = parts(translator(translate))
    text.value = "x"
    button.click()
    assert "<img" not in answer.value
    assert "&lt;img" in answer.value
    assert view.value == ""


def test_the_translator_can_stand_for_another_language(alignment):
    text = parts(translator(lambda *_: ("", alignment), language="digits", hint="a number"))[0]
    assert (text.description, text.placeholder) == ("digits", "a number")
