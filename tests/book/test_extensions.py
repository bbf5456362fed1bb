"""The site's own Sphinx extensions."""

import html
import json
import re
from types import SimpleNamespace

import pytest
from docutils import nodes
from sphinx import addnodes

import bookext
import chapters
import icons
import lighter
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
    page += '<table><div role="list" class="citation-list"><div role="doc-biblioentry">'
    page += '<button class="btn search-button-field" title="Search" aria-label="Search"></button>'
    page += '<i class="theme-switch fa-solid" data-mode="light" title="Light"></i>'
    page += (
        '<script type="application/vnd.jupyter.widget-state+json">\n{}</script><script></script>'
    )
    repaired = bookext.repaired(page)
    assert repaired == (
        '<summary><p>Show</p></summary><table class="table" tabindex="0">'
        '<table><div class="citation-list"><div>'
        '<button class="btn search-button-field" title="Search"></button>'
        '<i class="theme-switch fa-solid" data-mode="light"></i><script></script>'
    )
    assert bookext.repaired(repaired) == repaired


def test_the_index_gets_a_description_and_nothing_else_does():
    context = {"metatags": "<meta>"}
    bookext.describe_index(None, "intro", "", context, None)
    assert context == {"metatags": "<meta>"}
    bookext.describe_index(None, "genindex", "", context, None)
    assert context["metatags"].startswith('<meta>\n<meta name="description" content="Where each')


def test_icons_are_drawn_and_keep_what_the_theme_says_of_them():
    page = '<i class="theme-switch fa-solid fa-sun   fa-lg" data-mode="light"></i>'
    page += '<span class="fab fa-github"></span><i class="other"></i>'
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


def test_scripts_wait_for_the_text_unless_the_page_needs_them_at_once():
    page = '<script src="_static/a.js?v=1"></script><script data-x="1" src="b.js"></script>'
    page += '<script defer src="c.js"></script><script type="module" src="d.js"></script>'
    page += '<script src="../_static/documentation_options.js?v=9"></script><script>x</script>'
    made = lighter.lighter(page, None)
    assert made == page.replace('<script src="_', '<script defer src="_').replace(
        "<script data-x", "<script defer data-x"
    )
    assert lighter.lighter(made, None) == made


def test_pictures_have_their_size_and_wait_until_they_are_near(tmp_path):
    head = lighter.PNG + b"\0\0\0\rIHDR" + (640).to_bytes(4, "big") + (48).to_bytes(4, "big")
    (tmp_path / "a.png").write_bytes(head)
    (tmp_path / "b.png").write_bytes(b"no picture")
    page = '<img alt="A" src="a.png" /><img alt="B" src="b.png" /><img alt="C" src="c.png" />'
    made = lighter.lighter(page, tmp_path)
    placed = '<img alt="A" src="a.png" width="640" height="48" loading="lazy">'
    assert made == placed + page.partition("/>")[2]
    assert lighter.lighter(made, tmp_path) == made


OPENING = """# Two halves

**The question of this chapter.** Who reads,
and who *writes*?

**Time**: 45 minutes to read, 40 seconds to run on two CPU cores.
**Builds on**: nothing."""
MEASURED = {
    "chapters": {
        "provenance": {"hardware": "a slow computer"},
        "chapters": {"06-halves": {"seconds": 31.4, "peak_mib": 1331.2}},
    },
    "live": {
        "provenance": {"hardware": "a quick one"},
        "models": {"m": {"ready_s": 1.26, "step_ms": 17.4}},
    },
    "class": {
        "chapter": "06-halves",
        "students": 30,
        "at_once": 2,
        "seconds": 600.0,
        "median_seconds": 39.6,
        "peak_bytes": 2**30,
        "open_bytes": 12 * 2**30,
        "provenance": {"hardware": "a school's"},
    },
}
NOTHING = {"chapters": {}, "live": {}, "class": {}}
CITED = {
    "title": "Encoder–Decoder",
    "authors": [{"name": "A Group"}, {"family-names": "Doe", "given-names": "Jo"}],
    "date-released": "2026-11-23",
    "version": "0.1.0",
    "repository-code": "https://example.org/owner/book",
}


@pytest.fixture
def book(tmp_path):
    """A small book, and what Sphinx gives to an extension."""
    (tmp_path / "chapters").mkdir()
    for name in ("06-halves", "appendix-more"):
        cells = [{"cell_type": "markdown", "source": OPENING}]
        (tmp_path / "chapters" / f"{name}.ipynb").write_text(json.dumps({"cells": cells}))
    files = "[{file: live}, {file: chapters/06-halves}, {file: chapters/appendix-more}]"
    toc = f"parts: [{{caption: Ends, chapters: {files}}}, {{caption: None, chapters: []}}]"
    (tmp_path / "_toc.yml").write_text(toc)
    (tmp_path / "CITATION.cff").write_text(json.dumps(CITED))
    read = []
    config = SimpleNamespace(measured=MEASURED)
    env = SimpleNamespace(note_dependency=read.append, read=read)
    return SimpleNamespace(srcdir=tmp_path, config=config, env=env)


def filled(book, docname, source):
    pages = [source]
    chapters.fill(book, docname, pages)
    return pages[0]


def test_a_first_cell_says_what_its_chapter_asks():
    found = chapters.chapter("chapters/06-halves", OPENING)
    assert found.numbered == "6. Two halves"
    assert found.question == "Who reads, and who *writes*?"
    assert found.reading == "45 minutes to read"
    assert chapters.chapter("chapters/appendix-more", OPENING).numbered == "Two halves"
    assert chapters.chapter("x", "") == chapters.Chapter("x", "x", "", "")


def test_cards_stand_under_their_part_with_what_was_measured(book):
    page = filled(book, "intro", f"# A\n\n{chapters.CARDS}\n")
    assert page.count("### ") == 1
    assert "### Ends\n" in page
    assert "[6. Two halves](chapters/06-halves.ipynb)\nWho reads, and who *writes*?\n" in page
    assert "\n45 minutes to read · 31 s and 1.3 GiB to run\n" in page
    assert "\n45 minutes to read\n" in page  # the appendix was not measured
    assert len(book.env.read) == 3  # the page is made anew when one of these files changes


def test_a_chapter_says_what_it_took_and_only_if_it_was_measured(book):
    source = (book.srcdir / "chapters" / "06-halves.ipynb").read_text()
    [cell] = json.loads(filled(book, "chapters/06-halves", source))["cells"]
    lines = cell["source"].splitlines()
    assert lines[-3].startswith("**Time**")
    assert lines[-2].startswith("**Measured**: 31 s and 1.3 GiB, all cells (")
    assert lines[-2].endswith("a slow computer).")
    assert filled(book, "chapters/appendix-more", source) == source
    book.config.measured = NOTHING
    assert filled(book, "chapters/06-halves", source) == source


def test_the_live_page_says_how_fast_it_was_and_only_if_it_was_measured(book):
    page = filled(book, "live", f"A {chapters.SPEED}")
    assert "`m` was ready in 1.3 s and took 17 ms a step (" in page
    assert page.endswith("<results/live.json>`, a quick one).")
    book.config.measured = NOTHING
    assert filled(book, "live", f"A {chapters.SPEED}") == "A "


def test_a_teacher_reads_what_a_class_took_and_only_if_it_was_measured(book):
    page = filled(book, "course/index", f"A {chapters.CLASS}")
    assert "30 kernels ran {doc}`../chapters/06-halves`, 2 at a time" in page
    assert "after 10 minutes; a student waited 40 s" in page
    assert "at most 1.0 GiB" in page
    assert "held 12.0 GiB together" in page
    assert page.endswith("<results/class-load.json>`, a school's).")
    book.config.measured = NOTHING
    assert filled(book, "course/index", f"A {chapters.CLASS}") == "A "


def test_the_citation_is_bibtex(book):
    page = filled(book, "intro", f"{chapters.CITATION}")
    assert page.splitlines() == [
        "```bibtex",
        "@misc{book,",
        "  title   = {Encoder--Decoder},",
        "  author  = {{A Group} and Doe, Jo},",
        "  year    = {2026},",
        "  version = {0.1.0},",
        "  url     = {https://example.org/owner/book},",
        "}",
        "```",
    ]


def test_entries_of_the_contents_have_numbers_unless_they_have_a_title(book):
    entries = [(None, "chapters/06-halves"), ("Mine", "chapters/06-halves"), (None, "live")]
    document = nodes.section("", addnodes.toctree(entries=entries))
    chapters.number_entries(book, document)
    assert [title for title, _ in document[0]["entries"]] == ["6. Two halves", "Mine", None]


def test_records_are_read_if_they_are_there(book):
    chapters.read_records(book, book.config)
    assert book.config.measured == NOTHING
    for name, path in chapters.RECORDS.items():
        record = book.srcdir / path
        record.parent.mkdir(exist_ok=True)
        record.write_text(json.dumps(MEASURED[name]))
    chapters.read_records(book, book.config)
    assert book.config.measured == MEASURED
