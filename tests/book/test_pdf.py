"""The book as a PDF: everything is on paper, dark on white, with page numbers and an outline."""

import re
import shutil
import subprocess

import pytest

import pdf

ROWS = "".join(f"<p>Row {number}</p>" for number in range(400))
PAGE = f"""<!doctype html><html lang="en" data-theme="dark"><head><title>T</title>
<link rel="stylesheet" href="custom.css"></head><body>
<ul><li><a href="#document-second">Listed</a></li>
<li><a href="#document-genindex">Not listed</a></li></ul><h1>First part</h1>{ROWS}
<span id="document-second"></span><section><h2>Second part</h2>
<details><summary>Answer</summary><p>What was folded</p></details>
<img loading="lazy" alt="A dot" src="dot.png"></section>
<span id="document-genindex"></span><section><h2>Empty index</h2></section></body></html>"""
BROKEN = """#!/bin/sh
echo "WARNING: a page is missing"; exit 1
"""


@pytest.fixture(scope="module")
def printed(browser, tmp_path_factory):
    """A small page as a PDF."""
    folder = tmp_path_factory.mktemp("printed")
    shutil.copy(pdf.ROOT / "assets" / "custom.css", folder)
    (folder / "page.html").write_text(PAGE, encoding="utf8")
    pdf.write(browser, folder / "page.html", folder / "new" / "book.pdf")
    return folder / "new" / "book.pdf"


def text_of(path):
    if shutil.which("pdftotext") is None:
        pytest.skip("there is no pdftotext here: apt-get install poppler-utils")
    done = subprocess.run(["pdftotext", path, "-"], capture_output=True, text=True, check=True)
    return done.stdout.split("\f")


def test_a_pdf_has_an_outline_and_a_structure_that_can_be_read_aloud(printed):
    content = printed.read_bytes()
    assert content.startswith(b"%PDF")
    assert b"/Outlines" in content
    assert b"/StructTreeRoot" in content


def test_all_of_the_page_is_printed_folded_parts_too(printed):
    text = "".join(text_of(printed))
    assert [int(n) for n in re.findall(r"Row (\d+)", text)] == list(range(400))
    assert "What was folded" in text
    assert "Empty index" not in text
    assert "Listed" in text
    assert "Not listed" not in text


def test_each_part_begins_on_a_page_and_pages_have_numbers(printed):
    pages = [page for page in text_of(printed) if page.strip()]
    assert len(pages) > 5
    assert [n for n, page in enumerate(pages, 1) if str(n) not in page.split()] == []
    assert all("Encoder–Decoder LLMs for Instruction Tasks" in page for page in pages)
    [second] = [page for page in pages if "Second part" in page]
    assert "Row" not in second


def test_a_dark_page_is_printed_dark_on_white(browser, tmp_path):
    page = browser.new_page()
    page.set_content(PAGE)
    page.add_style_tag(path=pdf.ROOT / "assets" / "custom.css")
    colour = "getComputedStyle(document.documentElement).getPropertyValue('--pst-color-{}').trim()"
    page.emulate_media(media="print")
    shown = [page.evaluate(colour.format(name)) for name in ("text-base", "background")]
    assert shown == ["#000", "#fff"]
    page.close()


def test_pictures_do_not_wait_for_a_reader_to_come_near():
    assert "lazy" not in pdf.prepare(PAGE)


def test_what_sphinx_complains_of_is_passed_on(monkeypatch, tmp_path):
    (tmp_path / "jupyter-book").write_text(BROKEN)
    (tmp_path / "jupyter-book").chmod(0o755)
    monkeypatch.setattr(pdf.sys, "executable", str(tmp_path / "python"))
    with pytest.raises(pdf.NotBuiltError, match="a page is missing"):
        pdf.one_page(tmp_path)


def test_without_a_browser_there_is_one_sentence(monkeypatch):
    monkeypatch.setattr(pdf.browser, "CHROMIUM", None)
    monkeypatch.setattr(pdf.sys, "argv", ["pdf.py"])
    with pytest.raises(SystemExit, match=r"No PDF was made: there is no Chromium here"):
        pdf.main()
