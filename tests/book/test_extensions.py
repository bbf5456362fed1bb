"""The site's own Sphinx extensions."""

import html
import re

import pytest
from docutils import nodes

import bookext
import icons
import mathml


def render(latex, display="block"):
    return mathml.mathml(nodes.math("", latex), display)


def test_a_formula_becomes_mathml():
    formula = render(r"\frac{a}{b} < c", "inline")
    assert formula.startswith("<math ")
    assert 'display="inline"' in formula
    assert "<mfrac>" in formula
    assert "&lt;" in formula


def test_no_entity_is_escaped_twice():
    assert "&amp;" not in render(r"\sum_{t=1}^{T} \alpha_t \le \left( \frac{1}{2} \right)")


def test_limits_of_a_sum_stand_above_and_below_also_within_brackets():
    formula = render(r"\exp\left(\sum_{n=1}^{4} p_n\right) + \prod_i q_i + x_i^2")
    assert formula.count("<munderover>") == 1
    assert formula.count("<munder>") == 1
    assert formula.count("<msubsup>") == 1


def test_lines_of_a_formula_have_no_numbers_of_their_own():
    formula = render("\\begin{align}\na &= b \\\\\nc &= d\n\\end{align}")
    assert formula.count("<mtr>") == 2
    assert not re.search(r"\(\d\)", "".join(re.findall(r">([^<]*)<", formula)))


@pytest.mark.parametrize(
    ("latex", "prepared"),
    [
        (r"\log p", r"\log\, p"),
        (r"\log \alpha", r"\log\, \alpha"),
        (r"\exp(x)", r"\exp(x)"),
        (r"\log \left( x \right)", r"\log \left( x \right)"),
        (r"\logic p", r"\logic p"),
    ],
)
def test_a_function_stands_apart_from_its_argument(latex, prepared):
    assert mathml.prepare(latex) == prepared


@pytest.mark.parametrize("latex", [r"\frac{<a>}", r"\unknown x", r"\left( x", "x_"])
def test_a_formula_with_a_mistake_is_a_warning(monkeypatch, latex):
    warnings = []
    monkeypatch.setattr(mathml.logger, "warning", lambda *args, **kwargs: warnings.append(args))
    assert render(latex) == f"<code>{html.escape(latex)}</code>"
    assert len(warnings) == 1


class Script:
    def __init__(self, filename, body=""):
        self.filename, self.attributes = filename, {"body": body}


def test_scripts_stand_once_and_thebe_never():
    scripts = [Script("a.js"), Script(None, "var x;"), Script(None, "var x;"), Script("a.js")]
    scripts += [Script("sphinx-thebe.js"), Script(None, "const THEBE_JS_URL = 1")]
    context = {"script_files": scripts, "css_files": ["thebelab.css", "custom.css"]}
    bookext.drop_scripts(None, "", "", context, None)
    assert context == {"script_files": scripts[:2], "css_files": ["custom.css"]}


def test_what_hides_words_or_shuts_out_a_keyboard_is_repaired():
    page = '<summary aria-label="Toggle hidden content"><p>Show</p></summary><table class="table">'
    page += '<table><div role="list" class="citation-list">'
    page += '<i class="theme-switch fa-solid" data-mode="light" title="Light"></i>'
    page += (
        '<script type="application/vnd.jupyter.widget-state+json">\n{}</script><script></script>'
    )
    repaired = bookext.repaired(page)
    assert repaired == (
        '<summary><p>Show</p></summary><table class="table" tabindex="0">'
        '<table><div class="citation-list">'
        '<i class="theme-switch fa-solid" data-mode="light"></i><script></script>'
    )
    assert bookext.repaired(repaired) == repaired


def test_icons_are_drawn_and_keep_what_the_theme_says_of_them():
    page = '<i class="theme-switch fa-solid fa-sun   fa-lg" data-mode="light"></i>'
    page += '<i class="fab fa-github"></i><i class="other"></i>'
    page += '<script defer src="_static/scripts/fontawesome.js?digest=1"></script>'
    found = icons.drawn(page)
    assert found.count("<svg ") == found.count('aria-hidden="true"') == 2
    assert '<svg class="icon theme-switch fa-solid fa-sun fa-lg"' in found
    assert 'data-mode="light"' in found
    assert '<i class="other"></i>' in found
    assert "fontawesome" not in found
    assert icons.drawn(found) == found


def test_sets_of_icons_are_not_mixed_up():
    solid, regular = icons.drawing("file", -1), icons.drawing("file", 0)
    assert solid != regular
    assert icons.drawn('<i class="fas fa-file"></i>').count(solid[1]) == 1


def test_an_icon_that_is_not_there_stops_the_build():
    with pytest.raises(KeyError, match="no icon 'unheard-of'"):
        icons.drawn('<i class="fas fa-unheard-of"></i>')
