"""Arguments follow the answers, rest on something, and are text, on the page and with a kernel."""

import json
import re
from dataclasses import replace

import pytest

from encdec.guide_view import EITHER, ONE, TWO, Argument, Guide, GuideView, guide_explorer

LONG = Argument("source?", "long", TWO, "half of <b> the work", "05-advantages", "The crossover")
CHAT = Argument("chat?", "yes", ONE, "from turn 3 on", "05-advantages", "A conversation")
ALWAYS = Argument("source?", "short", EITHER, "measure & see", "", "The idea")
GUIDE = Guide({"source?": ["long", "short"], "chat?": ["no", "yes"]}, [LONG, CHAT, ALWAYS])


def answers(source, chat):
    return {"source?": source, "chat?": chat}


def test_an_answer_brings_its_arguments_and_no_others():
    assert GUIDE.balance(answers("long", "no")) == {TWO: [LONG], ONE: [], EITHER: []}
    assert GUIDE.balance(answers("short", "yes")) == {TWO: [], ONE: [CHAT], EITHER: [ALWAYS]}
    assert GUIDE.balance({"chat?": "yes"})[ONE] == [CHAT]


@pytest.mark.parametrize(
    ("chosen", "kind", "words"),
    [
        (("long", "no"), "two", "speaks for an encoder–decoder: 1"),
        (("short", "yes"), "one", "speaks for a decoder-only model: 1"),
        (("long", "yes"), "both", "They disagree, 1 to 1"),
        (("short", "no"), "none", "Nothing that was measured decides"),
    ],
)
def test_the_balance_is_said(chosen, kind, words):
    assert GUIDE.kind(answers(*chosen)) == kind
    assert words in GUIDE.said(answers(*chosen))


def test_all_situations_can_be_gone_through():
    found = list(GUIDE.situations())
    assert len(found) == 4
    assert found[0] == GUIDE.first() == answers("long", "no")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"answer": "huge"}, "'huge' is no answer to 'source?'"),
        ({"question": "who?"}, "'long' is no answer to 'who?'"),
        ({"side": "both"}, "'both' is no side"),
        ({"heading": ""}, "rests on nothing"),
    ],
)
def test_an_argument_that_can_not_be_used_is_refused(change, complaint):
    guide = Guide(GUIDE.questions, [*GUIDE.arguments, replace(LONG, **change)])
    assert complaint in " ".join(guide.complaints())
    with pytest.raises(ValueError, match="no answer|no side|rests"):
        GuideView(guide)


def test_a_question_that_decides_nothing_is_a_complaint():
    guide = Guide(GUIDE.questions, [LONG])
    assert guide.complaints() == ["no answer to 'chat?' brings an argument."]


def test_an_answer_that_is_none_is_refused():
    with pytest.raises(ValueError, match="'maybe' is no answer to 'chat\\?'"):
        GUIDE.balance({"chat?": "maybe"})


def test_the_page_holds_every_argument_with_its_link_and_fetches_nothing():
    page = GuideView(GUIDE, "here")._repr_html_()
    for unwanted in ("http", "{{", "<b> the", "of <b>"):
        assert unwanted not in page
    assert page.count("<li ") == 3
    assert page.count("</script>") == 1
    assert "05-advantages.ipynb#the-crossover" in page
    assert "(<a href='#the-idea' style='color: inherit'>this page, The idea</a>)" in page
    data = json.loads(re.search(r"const data = (.*);\n", page)[1])
    assert data["questions"] == {"source?": ["long", "short"], "chat?": ["no", "yes"]}
    assert "{two}" in data["said"]["both"]


def test_with_a_kernel_the_arguments_follow_the_menus():
    *menus, shown = guide_explorer(GUIDE).children
    assert "half of &lt;b&gt; the work" in shown.value
    menus[0].value, menus[1].value = "short", "yes"
    assert "half of" not in shown.value
    assert "from turn 3 on" in shown.value
    assert "measure &amp; see" in shown.value
