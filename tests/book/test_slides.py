"""Every chapter gives slides: its title, its figures described, nothing fetched, no solution."""

import base64
import functools
import html
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

import live
import rules
import site_checks
import slides

ROOT = Path(__file__).parents[2]
CHAPTERS = slides.chapters()
FEWEST = 20  # slides of a chapter
EACH = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
PIXEL = base64.b64encode(b"a picture").decode()


@functools.cache
def chapter(path):
    return nbformat.read(path, as_version=4)


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """Files in the place of reveal.js's: what is tested here runs without a network."""
    folder = tmp_path_factory.mktemp("reveal")
    for name in slides.REVEAL:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("/* empty */")
    return folder


@pytest.fixture(scope="module")
def text(parts):
    """To write the slides of a chapter, once."""
    return functools.cache(lambda path: slides.deck(chapter(path), parts))


@pytest.fixture(scope="module")
def tree(text):
    """To read them as a browser does."""
    return functools.cache(lambda path: BeautifulSoup(text(path), "html.parser"))


def on_slides(tree):
    """What the class sees: each slide without its notes."""
    found = []
    for section in tree.select("section > section"):
        seen = BeautifulSoup(str(section), "html.parser")
        for notes in seen.select("aside.notes"):
            notes.decompose()
        found.append(seen)
    return found


def taught(path):
    """The cells of a chapter up to the one that begins its exercises."""
    cells = chapter(path).cells
    end = next(i for i, cell in enumerate(cells) if "## Exercises\n" in cell.source)
    return cells[: end + 1]


def figures(path):
    return [
        cell.metadata["mystnb"]["image"]["alt"]
        for cell in taught(path)
        if cell.cell_type == "code"
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]


def test_the_chapters_are_those_of_the_table_of_contents():
    assert len(CHAPTERS) >= 12
    assert sorted(CHAPTERS) == CHAPTERS
    assert all(path.is_file() and path.name[:2].isdigit() for path in CHAPTERS)


@EACH
def test_a_chapter_gives_slides_with_its_title(path, tree):
    found = on_slides(tree(path))
    assert len(found) >= FEWEST
    assert found[0].h1.get_text() == slides.title_of(chapter(path))
    assert tree(path).title.get_text() == slides.title_of(chapter(path))
    assert all(slide.h1 or slide.h2 for slide in found)
    for slide in found[1:]:
        more = slide.select("p:not(.where), li, pre, table, img, iframe, .math")
        assert more, f"there is nothing under {slide.h2.get_text()}"


@EACH
def test_every_figure_is_shown_and_described(path, tree):
    alts = [picture["alt"] for picture in tree(path).find_all("img")]
    assert alts == figures(path)
    assert all(len(alt) >= rules.SHORTEST_ALT for alt in alts)


@EACH
def test_every_view_works_on_a_slide_too(path, tree):
    views = [
        "".join(output.data["text/html"])
        for cell in taught(path)
        if cell.cell_type == "code" and "remove-output" not in cell.metadata.get("tags", [])
        for output in cell.outputs
        if "text/html" in output.get("data", {})
    ]
    frames = tree(path).find_all("iframe")
    assert [frame["srcdoc"].removeprefix(slides.VIEW) for frame in frames] == views
    assert all(frame["title"] for frame in frames)


@EACH
def test_every_prediction_is_a_slide(path, tree):
    asked = sum(
        len(slides.PREDICT.findall(cell.source))
        for cell in taught(path)
        if cell.cell_type == "markdown"
    )
    titles = [slide.h2.get_text() for slide in on_slides(tree(path)) if slide.h2]
    assert titles.count("Predict first") == asked >= 3


@EACH
def test_what_is_not_on_a_slide_is_in_the_notes(path):
    deck = slides.Deck(chapter(path)).slides
    said = "\n".join(text for slide in deck for text in [*slide.body, *slide.notes])
    source = "\n\n".join(c.source for c in taught(path)[1:] if c.cell_type == "markdown")
    left_out = False
    for block in slides.blocks_of(source):
        if block.source.startswith("## "):
            left_out = block.source.removeprefix("## ").startswith(slides.LEFT_OUT)
        if block.kind == "paragraph" and not left_out and not slides.PREDICT.search(block.source):
            assert block.source in said


@EACH
def test_answers_and_solutions_are_not_shown(path, tree):
    said = tree(path).get_text()
    solutions = [c.source for c in chapter(path).cells if "solution" in c.metadata.get("tags", [])]
    assert len(solutions) >= 3
    assert not any(solution in said for solution in solutions)
    tests = [s for s in tree(path).select("section > section") if s.h2 and "Test your" in s.h2.text]
    for slide in tests:
        assert slide.select_one("aside.notes").get_text().strip().startswith("Answer.")
    assert not any("Answer." in slide.get_text() for slide in on_slides(tree(path)))


@EACH
def test_no_markup_is_left_over(path, text):
    tree = BeautifulSoup(text(path), "html.parser")
    for code in tree.find_all(["code", "pre", "script", "style"]):
        code.extract()
    said = tree.get_text()
    marks = ("{cite}", "{doc}", "$$", "**", "<details", "](")
    assert [mark for mark in marks if mark in said] == []


@EACH
def test_nothing_is_fetched(path, text, tree, tmp_path):
    (tmp_path / "deck.html").write_text(text(path), encoding="utf8")
    assert site_checks.fetched_from_outside(tmp_path) == []
    assert site_checks.broken_links(tmp_path) == []
    assert not tree(path).find_all("script", src=True)
    assert not tree(path).find_all("link", rel="stylesheet")


# The rules, on a chapter made here


def made(*cells):
    start = new_markdown_cell("# A title\n\n**The question of this chapter.** Why?")
    return slides.Deck(new_notebook(cells=[start, *cells])).slides


def drawing(alt):
    output = new_output("display_data", {"image/png": PIXEL})
    return new_code_cell("draw()", outputs=[output], metadata={"mystnb": {"image": {"alt": alt}}})


def test_a_section_shows_how_it_begins_and_keeps_the_rest_for_the_speaker():
    text = "One is here." + " Two is a long sentence that goes on." * 9
    *_, slide = made(new_markdown_cell(f"## The idea\n\n{text}\n\nAnother paragraph."))
    assert slide.title == "The idea"
    assert slide.opens
    assert slide.body[0].startswith("One is here. Two is")
    assert len(slide.body[0]) < len(text) / 1.5
    assert slide.notes == [text, "Another paragraph."]


def test_a_prediction_comes_with_what_was_said_and_then_with_what_is_printed():
    text = "## The idea\n\nFirst.\n\nA model of two layers.\n\n**Predict first**: is it right?"
    printed = new_output("stream", name="stdout", text="yes\n")
    code = [new_code_cell("print('yes')", outputs=[printed]) for _ in range(2)]
    *_, question, answer = made(new_markdown_cell(text), *code)
    assert question.title == "Predict first"
    assert "A model of two layers." in question.body[0]
    assert question.body[1] == "Is it right?"
    assert (answer.title, answer.body) == ("What came out", ["```\nyes\n```"])


def test_what_was_printed_without_a_prediction_is_left_out():
    printed = new_output("stream", name="stdout", text="yes\n")
    *_, slide = made(
        new_markdown_cell("## The idea\n\nFirst."), new_code_cell("", outputs=[printed])
    )
    assert slide.title == "The idea"


def test_a_figure_is_a_slide_with_its_description_escaped():
    alt = 'A curve that rises "fast" & falls'
    *_, slide = made(new_markdown_cell("## The idea\n\nFirst."), drawing(alt))
    assert html.escape(alt) in slide.body[0]
    assert slide.notes == [f"**The figure.** {alt}"]


def test_code_is_shown_where_it_is_built_from_scratch_and_is_cut_to_fit():
    long = "\n\n\n".join(f"def part_{i}():\n" + "    x = 1\n" * 9 for i in range(3))
    cells = [new_code_cell(f"import torch\n\n{long}\n\n\nprint(part_1())")]
    *_, last = made(new_markdown_cell("## Elsewhere\n\nFirst."), *cells)
    assert last.title == "Elsewhere"
    shown = made(new_markdown_cell("## From scratch\n\nFirst."), *cells)[2:]
    assert [text.count("def ") for slide in shown for text in slide.body] == [1, 1, 1]
    assert not any("import" in text for slide in shown for text in slide.body)
    lines = [text.splitlines() for slide in shown for text in slide.body]
    assert max(map(len, lines)) <= slides.CODE_LINES + 2


def test_a_long_table_and_a_long_list_take_several_slides():
    table = "| a | b |\n|---|---|\n" + "\n".join(f"| {i} | {'word ' * 30} |" for i in range(9))
    shown = made(new_markdown_cell(f"## Tools\n\nFirst.\n\n{table}"))[2:]
    assert len(shown) > 1
    assert all(slide.body[0].startswith("| a | b |") for slide in shown)
    assert sum(len(slides.rows_of(slide.body[0])) for slide in shown) == 9
    points = "\n".join(f"- {'word ' * 30}" for _ in range(12))
    shown = made(new_markdown_cell(f"## What to remember\n\n{points}"))[1:]
    assert len(shown) > 1
    assert sum(text.count("- ") for slide in shown for text in slide.body) == 12


def test_further_reading_has_no_slides():
    cell = new_markdown_cell("## Further reading\n\n- A book.\n\n### More\n\nText.")
    assert len(made(cell, drawing("a figure that is not shown at all"))) == 1


def test_a_mark_of_jupyter_overrides_the_rules():
    def marked(kind, source):
        return new_markdown_cell(source, metadata={"slideshow": {"slide_type": kind}})

    long = "All of it." + " All of it." * 60
    cells = marked("skip", "## Left out"), marked("subslide", long), marked("notes", "Say.")
    first, shown, *rest = made(*cells)
    assert rest == []
    assert first.title == ""
    assert shown.body == [long]
    assert shown.notes == ["Say."]


def test_a_citation_and_a_chapter_are_named():
    text = slides.markdown().render("See {cite}`vaswani-2017` and {doc}`06-translation`, $x^2$.")
    assert "Vaswani and others 2017" in text
    assert "language translation" in text
    assert "<math" in text


# The command


def run(*arguments):
    command = [sys.executable, str(ROOT / "tools" / "slides.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(None, "is not there: name a notebook"), ("no notebook", "is not a Jupyter notebook")],
)
def test_a_wrong_file_gives_one_sentence_and_writes_nothing(content, complaint, tmp_path):
    wrong = tmp_path / "wrong.ipynb"
    if content:
        wrong.write_text(content, encoding="utf8")
    done = run(wrong, "--to", tmp_path / "out")
    assert done.returncode == 1
    assert complaint in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_without_the_registry_there_is_one_sentence(monkeypatch, tmp_path, capsys):
    def fail():
        raise live.NotFetchedError("the registry is asleep")

    monkeypatch.setattr(slides, "reveal", fail)
    monkeypatch.setattr(sys, "argv", ["slides.py", "--to", str(tmp_path / "out")])
    with pytest.raises(
        SystemExit, match="No slides were made, for want of reveal.js: the registry"
    ):
        slides.main()
    assert not (tmp_path / "out").exists()


def test_the_teachers_page_lists_the_slides_however_often_it_is_told(tmp_path):
    source = (ROOT / "course" / "index.md").read_text(encoding="utf8")
    assert slides.LIST.search(source), "the page has no place for the list"
    page = tmp_path / "index.html"
    page.write_text(source, encoding="utf8")
    deck = tmp_path / "slides" / "01-a.html"
    deck.parent.mkdir()
    deck.write_text("<title>A chapter</title>", encoding="utf8")
    for _ in range(2):
        slides.link([deck], page)
        text = page.read_text(encoding="utf8")
        assert text.count('<li>Chapter 1: <a href="../slides/01-a.html">A chapter</a></li>') == 1
    slides.link([deck], tmp_path / "nowhere.html")  # a site without a teacher's page


# In a browser, with reveal.js itself

# A browser opens these; `make check-slides` has it open all.
OPENED = CHAPTERS if os.environ.get("SLIDES") == "all" else [CHAPTERS[0], CHAPTERS[3]]
OVERFLOW = """() => Reveal.getSlides().flatMap((slide) => {
  const { h, v } = Reveal.getIndices(slide);
  Reveal.slide(h, v);
  const parts = [...slide.querySelectorAll("*")].filter((part) => !part.closest("aside"));
  const boxes = parts.map((part) => part.getBoundingClientRect()).filter((box) => box.width);
  const low = Math.max(...boxes.map((box) => box.bottom));
  const right = Math.max(...boxes.map((box) => box.right));
  const code = parts.filter((part) => part.tagName === "PRE");
  const cut = code.some((part) => part.scrollWidth > part.clientWidth + 1);
  const begins = slide.innerText.slice(0, 60);
  return low > 706 || right > 1240 || cut ? [`${begins}: ${low}, ${right}`] : [];
})"""


@pytest.fixture(scope="module")
def decks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("decks")
    try:
        slides.write(OPENED, folder)
    except live.NotFetchedError as error:
        pytest.skip(f"reveal.js can't be fetched and is not cached: {error}")
    return folder


def test_every_slide_fits_and_no_deck_asks_for_anything(decks, browser, serve, watch):
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    too_large = {}
    with serve(decks) as origin:
        for path in OPENED:
            page, faults = watch(context, origin)
            page.goto(f"{origin}{path.stem}.html")
            page.wait_for_function("window.Reveal && Reveal.isReady()")
            too_large[path.stem] = page.evaluate(OVERFLOW)
            assert faults == []
            page.close()
    context.close()
    assert {name: found for name, found in too_large.items() if found} == {}


def test_the_speaker_has_a_window_with_the_notes(decks, browser, serve, watch):
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    asked = []
    context.on("request", lambda request: asked.append(request.url))
    with serve(decks) as origin:
        page, faults = watch(context, origin)
        page.goto(f"{origin}{OPENED[0].stem}.html#/1")
        page.wait_for_function("window.Reveal && Reveal.isReady()")
        with page.expect_popup() as popup:
            page.keyboard.press("s")
        popup.value.wait_for_selector(
            ".speaker-controls-notes .value :text('encoder')", state="attached"
        )
        assert "translation" in popup.value.inner_text(".speaker-controls-notes")
        assert [
            url for url in asked if not url.startswith((origin, "data:", "blob:", "about:"))
        ] == []
        assert faults == []
    context.close()
