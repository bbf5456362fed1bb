"""Links between notebooks become links between pages."""

import bookext
from encdec.places import link

LINK = link("10-challenges", "Can the model tell?", "there")


def test_a_link_to_a_notebook_leads_to_its_page():
    assert bookext.repaired(LINK) == LINK.replace(".ipynb", ".html")
    assert bookext.repaired('<a href="10-challenges.ipynb">') == '<a href="10-challenges.html">'


def test_where_all_chapters_are_one_page_it_leads_to_the_chapter():
    page = bookext.repaired(LINK, one_page=True)
    assert page.startswith("<a href='#document-chapters/10-challenges' ")


def test_other_links_stay():
    for other in ('<a href="../_sources/chapters/10-challenges.ipynb">', "<a href='#here'>"):
        assert bookext.repaired(other) == other
