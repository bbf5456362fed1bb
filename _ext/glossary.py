"""Links the first use of each glossary term in a chapter, and lists it in the index.

The sources stay free of ``{term}`` roles, which Jupyter, Colab and GitHub would show raw. A use is
looked for in the prose of a chapter, from its first section on; headings, code, links, formulas and
outputs are left alone. Nothing happens while the glossary is not in the table of contents.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms import SphinxTransform

PAGE = "glossary"
CHAPTERS = "chapters/"
BLOCK = re.compile(r"(?ms)^(:{3,}|`{3,})\{glossary\}\s*\n(.*?)^\1\s*$")
LEFT_ALONE = (
    nodes.title,
    nodes.rubric,
    nodes.caption,
    nodes.reference,
    nodes.literal,
    nodes.literal_block,
    nodes.math,
    nodes.math_block,
    nodes.raw,
    nodes.comment,
    nodes.table,
    addnodes.pending_xref,
)


@dataclass(frozen=True)
class Term:
    """A term of the glossary.

    Attributes:
        name: as the glossary writes it; the index lists this form.
        first: the first name of the same entry, which is ``name`` unless this is a synonym.
    """

    name: str
    first: str


@dataclass(frozen=True)
class Use:
    """A place in a text where a term stands.

    Attributes:
        term: the term.
        start: index of its first character.
        end: index after its last character.
    """

    term: Term
    start: int
    end: int


def terms_of(source: str) -> list[Term]:
    """The terms of a page in MyST Markdown: unindented lines of its glossary directives."""
    found: list[Term] = []
    for _, body in BLOCK.findall(source):
        first = ""
        for line in body.splitlines():
            if not line.strip() or line.startswith((" ", ":")):
                first = ""  # a definition or an option ends the names of an entry
                continue
            name = line.strip()
            first = first or name
            found.append(Term(name, first))
    return found


def spelling(name: str) -> str:
    """A pattern for the ways in which prose writes a term.

    A hyphen and an en dash are one, a blank may be a line's end, and a plural may stand for the
    singular. A name that begins with a capital is looked for as it stands; others may begin a
    sentence.
    """
    parts = [re.escape(part) for part in re.split(r"[-–]", name)]
    pattern = "[-–]".join(parts).replace(r"\ ", r"\s+")
    if name[0].islower():
        pattern = f"[{name[0].upper()}{name[0]}]{pattern[1:]}"
    return pattern + ("" if name.endswith("s") else "(?:e?s)?")


class Finder:
    """Finds the terms of a glossary in prose; the longest wins where several fit.

    Args:
        terms: what to look for.
    """

    def __init__(self, terms: Iterable[Term]) -> None:
        self.terms = sorted(terms, key=lambda term: -len(term.name))
        groups = "|".join(f"({spelling(term.name)})" for term in self.terms)
        self.pattern = re.compile(rf"(?<![\w-])(?:{groups})(?![\w]|-\w)") if groups else None

    def uses(self, text: str) -> Iterator[Use]:
        """The terms in a text, from left to right."""
        for match in self.pattern.finditer(text) if self.pattern else ():
            yield Use(self.terms[(match.lastindex or 1) - 1], *match.span())


def prose(document: nodes.document) -> list[nodes.Text]:
    """The pieces of text in which a term may be linked: what follows the second heading."""
    found: list[nodes.Text] = []
    sections = list(document.findall(nodes.section))
    inner = [section for section in sections if isinstance(section.parent, nodes.section)]
    if not inner:
        return found
    reached = False
    for node in document.findall():
        reached = reached or node is inner[0]
        if reached and isinstance(node, nodes.Text) and not _left_alone(node):
            found.append(node)
    return found


def join_lines(document: nodes.document) -> None:
    """Make one text of the lines of a paragraph, which MyST parses apart."""
    for parent in {id(text.parent): text.parent for text in document.findall(nodes.Text)}.values():
        joined: list[nodes.Node] = []
        for is_text, children in groupby(parent.children, lambda n: isinstance(n, nodes.Text)):
            run = list(children)
            joined += [nodes.Text("".join(n.astext() for n in run))] if is_text else run
        if len(joined) < len(parent.children):
            parent.children = []
            parent.extend(joined)


def _left_alone(node: nodes.Node) -> bool:
    inside_paragraph = False
    above: nodes.Node | None = node.parent
    while above is not None:
        if isinstance(above, LEFT_ALONE):
            return True
        if isinstance(above, nodes.container) and "cell_output" in above.get("classes", []):
            return True
        inside_paragraph = inside_paragraph or isinstance(above, nodes.paragraph)
        above = above.parent
    return not inside_paragraph


class LinkTerms(SphinxTransform):
    """Link the first use of each entry, and mark it for the index."""

    default_priority = 800  # before Sphinx collects index entries (850)

    def apply(self, **kwargs: Any) -> None:
        """Do so, if this is a chapter."""
        finder = getattr(self.app, "glossary_finder", None)
        if finder is None or not self.env.docname.startswith(CHAPTERS):
            return
        title = next(iter(self.document.findall(nodes.title)), None)
        chapter = title.astext() if title is not None else self.env.docname
        seen: set[str] = set()
        join_lines(self.document)
        for text in prose(self.document):
            pieces = self._linked(text.astext(), finder, chapter, seen)
            if pieces is not None:
                text.parent.replace(text, pieces)

    def _linked(
        self, text: str, finder: Finder, chapter: str, seen: set[str]
    ) -> list[nodes.Node] | None:
        pieces: list[nodes.Node] = []
        end = 0
        for use in finder.uses(text):
            if use.term.first in seen:
                continue
            seen.add(use.term.first)
            if use.start > end:
                pieces.append(nodes.Text(text[end : use.start]))
            pieces += self._link(use.term, text[use.start : use.end], chapter)
            end = use.end
        if not pieces:
            return None
        if end < len(text):
            pieces.append(nodes.Text(text[end:]))
        return pieces

    def _link(self, term: Term, written: str, chapter: str) -> list[nodes.Node]:
        place = "use-of-" + nodes.make_id(term.first)
        entry = ("single", f"{term.first}; {chapter.replace(';', ',')}", place, "", None)
        inner = nodes.inline("", written, ids=[place], classes=["xref", "std", "std-term"])
        link = addnodes.pending_xref(
            "",
            inner,
            refdoc=self.env.docname,
            refdomain="std",
            reftype="term",
            reftarget=term.name,
            refexplicit=True,
            refwarn=True,
        )
        return [addnodes.index(entries=[entry]), link]


def read_terms(app: Sphinx, env: BuildEnvironment, docnames: list[str]) -> None:
    """Learn the glossary's terms before chapters are read."""
    app.glossary_finder = None  # type: ignore[attr-defined]
    if PAGE in env.found_docs:
        source = Path(env.doc2path(PAGE)).read_text(encoding="utf8")
        app.glossary_finder = Finder(terms_of(source))  # type: ignore[attr-defined]


def outdated(
    app: Sphinx, env: BuildEnvironment, added: set[str], changed: set[str], removed: set[str]
) -> list[str]:
    """All chapters, if the glossary has changed."""
    if PAGE not in added | changed | removed:
        return []
    return [name for name in env.found_docs if name.startswith(CHAPTERS)]


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect it."""
    app.add_transform(LinkTerms)
    app.connect("env-get-outdated", outdated)
    app.connect("env-before-read-docs", read_terms)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
