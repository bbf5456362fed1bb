"""Where something stands in the book: links that work in notebooks and, once built, on the site."""

from __future__ import annotations

import html
import re
import unicodedata


def anchor(heading: str) -> str:
    """The identifier that the site gives to a heading.

    Args:
        heading: its text, without the marks before it.

    Returns:
        Lower-case letters, digits and hyphens; the same as ``docutils.nodes.make_id``.
    """
    plain = re.sub(r"[*`]", "", heading).lower().replace("ß", "sz").replace("ø", "o")
    letters = unicodedata.normalize("NFKD", plain).encode("ascii", "ignore").decode("ascii")
    return re.sub(r"^[-0-9]+|-+$", "", re.sub(r"[^a-z0-9]+", "-", letters))


def address(page: str, heading: str = "") -> str:
    """The address of a section, seen from another chapter.

    Args:
        page: name of the chapter's file, without its ending; empty for the page itself.
        heading: of the section; empty for the top of the page.
    """
    file = f"{page}.ipynb" if page else ""
    return f"{file}#{anchor(heading)}" if heading else file


def link(page: str, heading: str, text: str) -> str:
    """A link to a section as HTML; the text is text in it."""
    return anchored(address(page, heading), text)


def anchored(url: str, text: str) -> str:
    """A link as HTML in the colour of the text around it, which an output on a dark page keeps."""
    return f"<a href='{html.escape(url)}' style='color: inherit'>{html.escape(text)}</a>"
