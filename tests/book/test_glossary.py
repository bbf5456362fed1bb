"""The glossary, the links to it and the index: each term is used, each use leads somewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from docutils import nodes
from docutils.utils import new_document

import glossary

ROOT = Path(__file__).parents[2]
CHAPTERS = sorted((ROOT / "chapters").glob("*.ipynb"))
NO_PROSE = re.compile(
    r"(?ms)^(`{3,}|~{3,}).*?^\1\s*$"  # code
    r"|`[^`\n]*`"  # code in a line, and what a role like {cite} names
    r"|\$\$.*?\$\$|\$[^$\n]*\$"  # formulas
    r"|^#.*?$|^\|.*?$"  # headings and tables
    r"|\]\([^)]*\)"  # addresses
)
TERM_ROLE = re.compile(r"\{term\}`(?:[^`<]*<)?([^`>]+)>?`", re.DOTALL)


def page():
    return (ROOT / "glossary.md").read_text(encoding="utf8")


def prose(path):
    """The prose of a chapter from its first section on."""
    cells = [c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "markdown"]
    text = "\n\n".join(cells)
    return NO_PROSE.sub(" ", text[text.index("\n## ") :])


def used(path, terms):
    return {use.term.first for use in glossary.Finder(terms).uses(prose(path))}


# The glossary itself


def test_no_term_stands_twice():
    names = [term.name.casefold() for term in glossary.terms_of(page())]
    assert len(names) >= 100
    assert sorted({name for name in names if names.count(name) > 1}) == []


def test_terms_stand_in_alphabetical_order():
    for _, body in glossary.BLOCK.findall(page()):
        first = list(
            dict.fromkeys(t.first for t in glossary.terms_of(f":::{{glossary}}\n{body}:::"))
        )
        plain = [re.sub(r"[^a-z0-9 ]", " ", name.casefold()) for name in first]
        assert plain == sorted(plain)


def test_every_term_is_used_in_a_chapter():
    terms = glossary.terms_of(page())
    everywhere = set().union(*(used(path, terms) for path in CHAPTERS))
    assert sorted({term.first for term in terms} - everywhere) == []


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_every_chapter_uses_terms(path):
    enough = 1 if path.stem.startswith("appendix") else 5
    assert len(used(path, glossary.terms_of(page()))) >= enough


def test_every_term_role_names_a_term():
    known = {term.name for term in glossary.terms_of(page())}
    texts = [page(), *(path.read_text(encoding="utf8") for path in CHAPTERS)]
    named = {" ".join(name.split()) for text in texts for name in TERM_ROLE.findall(text)}
    assert named
    assert sorted(named - known) == []


def test_definitions_are_one_short_paragraph():
    for _, body in glossary.BLOCK.findall(page()):
        for entry in re.split(r"\n\n(?=\S)", body.strip()):
            definition = [line for line in entry.splitlines() if line.startswith("  ")]
            assert 1 <= len(definition) <= 4, entry
            assert definition[-1].rstrip().endswith((".", ">`.", ")")), entry


# The extension, on a book made here

SMALL = """# Words

:::{glossary}
beam search
beams
  Keeps several. See {term}`token`.

T5
  A model.

token
  A piece of text.
:::
"""
CHAPTER = """# A token of affection

Opening: beam search.

## On beam search

`beam search` is code, [beam search](https://example.org) a link. Beam
search keeps beams of tokens; a tokenizer and T50 are other things, T5s are not.
"""


def build(folder, chapter=CHAPTER, words=SMALL):
    """Build a small book strictly; its pages."""
    source, out = folder / "source", folder / "out"
    (source / "chapters").mkdir(parents=True, exist_ok=True)
    listed = "\n".join(["chapters/a", *(["glossary"] if words else [])])
    config = [
        "extensions = ['myst_parser', 'glossary']",
        "myst_enable_extensions = ['colon_fence']",
        "html_theme = 'basic'",
    ]
    files = {
        "conf.py": "\n".join(config),
        "index.md": f"# Book\n\nA token.\n\n```{{toctree}}\n{listed}\n```\n",
        "chapters/a.md": chapter,
        "glossary.md": words,
    }
    for name, text in files.items():
        if text:
            (source / name).write_text(text, encoding="utf8")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "-n", "--keep-going"]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "_ext"), "NO_COLOR": "1"}
    built = subprocess.run(
        [*command, str(source), str(out)], capture_output=True, text=True, env=environment
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return {
        name: BeautifulSoup((out / f"{name}.html").read_text(encoding="utf8"), "html.parser")
        for name in ("chapters/a", "genindex", "index")
    }


def links(page):
    return [(a.get_text(), a["href"]) for a in page.select(".body a[href*='glossary.html#']")]


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """A folder with a small book, and its pages."""
    folder = tmp_path_factory.mktemp("book")
    return folder, build(folder)


def test_the_first_use_of_each_entry_is_linked(book):
    _, pages = book
    linked = [text.replace("\n", " ") for text, _ in links(pages["chapters/a"])]
    assert linked == ["Beam search", "tokens", "T5s"]
    assert not pages["index"].select("p a[href*='glossary.html#']")  # no chapter


def test_the_index_leads_to_definitions_and_to_uses(book):
    _, pages = book
    targets = {a["href"]: a.get_text() for a in pages["genindex"].select("a[href*='.html#']")}
    assert targets["glossary.html#term-beam-search"] == "beam search"
    assert targets["chapters/a.html#use-of-beam-search"] == "A token of affection"
    for name in ("beam-search", "token", "t5"):
        assert pages["chapters/a"].find(id=f"use-of-{name}")


def test_a_changed_glossary_renews_the_chapters(book):
    folder, _ = book
    pages = build(folder, words=SMALL.replace("\nT5\n", "\nthing\n"))
    linked = [text.split()[-1] for text, _ in links(pages["chapters/a"])]
    assert linked == ["search", "tokens", "things"]


def test_without_a_glossary_nothing_is_linked(tmp_path):
    assert links(build(tmp_path, words="")["chapters/a"]) == []


def test_lines_are_joined_and_nothing_else_is_changed():
    document = new_document("a")
    paragraph = nodes.paragraph("", "", *map(nodes.Text, ("beam", "\n", "search")))
    paragraph += [nodes.emphasis("", "kept"), nodes.Text("end")]
    document += paragraph
    glossary.join_lines(document)
    assert [type(n).__name__ for n in paragraph.children] == ["Text", "emphasis", "Text"]
    assert paragraph.astext() == "beam\nsearchkeptend"
    assert all(child.parent is paragraph for child in paragraph.children)


def test_what_stands_before_the_first_section_is_left_alone():
    document = new_document("a")
    section = nodes.section("", nodes.title("", "A"), nodes.paragraph("", "a token"))
    document += section
    assert glossary.prose(document) == []
    section += nodes.section("", nodes.title("", "token"), nodes.paragraph("", "one token"))
    assert [text.astext() for text in glossary.prose(document)] == ["one token"]


def test_names_of_one_entry_share_its_first_name():
    terms = glossary.terms_of(SMALL)
    assert [(t.name, t.first) for t in terms] == [
        ("beam search", "beam search"),
        ("beams", "beam search"),
        ("T5", "T5"),
        ("token", "token"),
    ]
    assert glossary.terms_of("# No glossary\n\nbeam search\n") == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("an encoder-decoder or encoder–decoders", ["encoder–decoder"] * 2),
        ("Self-attention, not attention", ["self-attention", "attention"]),
        ("non-causal masks are unmasked", ["mask"]),
        ("t5 is no name", []),
        ("batches of masks", ["batch", "mask"]),
        ("a cross-\nattention", ["attention"]),
        ("KV\ncache", ["KV cache"]),
    ],
)
def test_spellings(text, found):
    names = ["encoder–decoder", "self-attention", "attention", "causal", "mask", "T5"]
    terms = [glossary.Term(name, name) for name in [*names, "batch", "KV cache"]]
    assert [use.term.name for use in glossary.Finder(terms).uses(text)] == found
    assert list(glossary.Finder([]).uses(text)) == []
