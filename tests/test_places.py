"""Links lead to where the site puts a section."""

import re
from pathlib import Path

import nbformat
import pytest
from docutils.nodes import make_id

from encdec.places import address, anchor, link

CHAPTERS = sorted((Path(__file__).parents[1] / "chapters").glob("[0-9]*.ipynb"))


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_an_anchor_is_what_docutils_makes_of_a_heading(path):
    cells = nbformat.read(path, as_version=4).cells
    prose = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    headings = re.findall(r"(?m)^#+ (.+)$", prose)
    assert len(headings) > 5
    for heading in headings:
        assert anchor(heading) == make_id(re.sub(r"[*`]", "", heading))


def test_an_anchor_has_no_number_in_front_and_no_dash_at_its_ends():
    assert anchor("2. Real weights: GPT-2’s “layout”") == "real-weights-gpt-2s-layout"
    assert anchor("Encoder–decoder: größer?") == "encoderdecoder-groszer"


def test_an_address_is_of_another_notebook_or_of_the_page_itself():
    assert (
        address("10-challenges", "Can the model tell?") == "10-challenges.ipynb#can-the-model-tell"
    )
    assert address("10-challenges") == "10-challenges.ipynb"
    assert address("", "The idea") == "#the-idea"


def test_the_text_of_a_link_is_text():
    assert (
        link("02-x", "A & B", "<b>")
        == "<a href='02-x.ipynb#a-b' style='color: inherit'>&lt;b&gt;</a>"
    )
