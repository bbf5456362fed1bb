"""Formulas as MathML, which browsers draw themselves: no script, and one small font of our own."""

import html
import re
import xml.etree.ElementTree as ET
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert_to_element
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number
from sphinx.writers.html5 import HTML5Translator

logger = logging.getLogger(__name__)
LARGE = ("∑", "∏")
PARTS = {"mfrac": 2, "mroot": 2, "msub": 2, "msup": 2, "msubsup": 3}
UNDER_AND_OVER = {"msub": "munder", "msup": "mover", "msubsup": "munderover"}


def prepare(latex: str) -> str:
    """LaTeX as the converter needs it.

    Sphinx numbers a formula as a whole, so its lines are not numbered again; and between a function
    and its argument, as in log p, the thin space is made explicit.
    """
    latex = re.sub(r"\\(begin|end)\{(align|gather|equation)\}", r"\\\1{\2*}", latex)
    latex = latex.replace(r"\operatorname*", r"\operatorname")
    return re.sub(r"(\\(?:log|ln|exp|max|min))\s+(?!\\left)(?=[A-Za-z\\])", r"\1\\, ", latex)


def mathml(node: nodes.Element, display: str) -> str:
    """One formula as a ``<math>`` element; one that can't be converted is a warning."""
    latex = prepare(node.astext().strip())
    try:
        formula = convert_to_element(latex, display=display)
        mend(formula)
    except Exception as error:
        reason = str(error) or type(error).__name__
        logger.warning("no MathML for %r: %s", latex, reason, location=node, type="mathml")
        return f"<code>{html.escape(latex)}</code>"
    return ET.tostring(formula, encoding="unicode")


def mend(formula: ET.Element) -> None:
    """Correct in place what the converter leaves undone.

    Raises:
        ValueError: it passed over a mistake: a command that it does not know, or a missing part.
    """
    for element in formula.iter():
        element.text = html.unescape(element.text or "")
        if "\\" in element.text:
            raise ValueError(f"{element.text} is unknown")
        if len(element) != PARTS.get(element.tag, len(element)):
            raise ValueError(f"a part of <{element.tag}> is missing")
        # Limits stand above and below; within a line of text browsers move them to the side.
        if element.tag in UNDER_AND_OVER and html.unescape(element[0].text or "") in LARGE:
            element.tag = UNDER_AND_OVER[element.tag]


def visit_inline(self: HTML5Translator, node: nodes.math) -> None:
    """Write a formula that stands in a line."""
    self.body.append(f'<span class="math">{mathml(node, "inline")}</span>')
    raise nodes.SkipNode


def visit_block(self: HTML5Translator, node: nodes.math_block) -> None:
    """Write a formula that has lines of its own, with its number if it has one."""
    self.body.append(self.starttag(node, "div", CLASS="math"))
    self.body.append(f'<div class="formula" tabindex="0">{mathml(node, "block")}</div>')
    if node.get("number"):
        number = get_node_equation_number(self, node)
        self.body.append(f'<span class="eqno">({number})')
        self.add_permalink_ref(node, "Link to this equation")
        self.body.append("</span>")
    self.body.append("</div>\n")
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Offer the renderer; ``html_math_renderer: mathml`` chooses it."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
