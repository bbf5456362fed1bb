"""The whole book as one PDF: ``python tools/pdf.py`` (``make pdf``).

Sphinx puts all pages into one, and Chromium prints it, with an outline of the headings and with
numbers on the pages.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

import browser

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "_build" / "encoder-decoder-llms.pdf"
LINE = "font: 8px system-ui, sans-serif; width: 100%; margin: 0 15mm; color: #555;"
HEADER = f'<div style="{LINE}">TITLE</div>'
FOOTER = f'<div style="{LINE} text-align: right"><span class="pageNumber"></span></div>'
MARGIN = {"top": "18mm", "bottom": "18mm", "left": "18mm", "right": "18mm"}


class NotBuiltError(Exception):
    """Sphinx failed; the message is what it said."""


def one_page(to: Path) -> Path:
    """Build the book as one HTML page.

    Args:
        to: a folder.

    Returns:
        The page.

    Raises:
        NotBuiltError: Sphinx complained.
    """
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", str(ROOT)]
    options = ["--builder", "singlehtml", "--path-output", str(to)]
    strict = ["-W", "-n", "--keep-going", "-q"]
    built = subprocess.run([*command, *options, *strict], capture_output=True, text=True)
    if built.returncode:
        raise NotBuiltError(built.stdout + built.stderr)
    [page] = to.rglob("intro.html")
    return page


def prepare(page: str) -> str:
    """What a book needs and a printed page of the site does not: each part begins on a new page."""
    style = """[id^="document-"] { display: block; break-before: page; }
      #document-genindex, #document-genindex + section,
      li:has(> a[href="#document-genindex"]) { display: none; }  /* has no entries here */
    """
    page = page.replace(' loading="lazy"', "")  # paper has no place to which a reader scrolls
    return page.replace("</head>", f"<style>@media print {{ {style} }}</style></head>", 1)


def write(chromium: Any, page: Path, to: Path) -> None:
    """Print a page into a file.

    Args:
        chromium: a running browser.
        page: HTML, with what it shows beside it.
        to: the PDF.
    """
    page.write_text(prepare(page.read_text("utf8")), "utf8")
    title = yaml.safe_load((ROOT / "_config.yml").read_text("utf8"))["title"]
    to.parent.mkdir(parents=True, exist_ok=True)
    with browser.served(page.parent) as root:
        tab = chromium.new_context(color_scheme="light").new_page()
        tab.set_default_timeout(600_000)
        tab.goto(f"{root}{page.name}")  # until all is there: it may be quiet before that
        tab.wait_for_load_state("networkidle")
        tab.pdf(
            path=to,
            format="A4",
            margin=MARGIN,
            print_background=True,
            display_header_footer=True,
            header_template=HEADER.replace("TITLE", title),
            footer_template=FOOTER,
            outline=True,
            tagged=True,
        )
        tab.context.close()


def main() -> None:
    """Build, print, and say where the file is."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--to", type=Path, default=TARGET)
    arguments = parser.parse_args()
    if browser.CHROMIUM is None:
        sys.exit(f"No PDF was made: {browser.MISSING}.")
    with TemporaryDirectory() as scratch:
        try:
            page = one_page(Path(scratch))
        except NotBuiltError as error:
            sys.exit(f"No PDF was made, for Sphinx complained:\n{error}")
        with browser.running() as chromium:
            write(chromium, page, arguments.to)
    print(f"The book is {arguments.to} ({arguments.to.stat().st_size / 1e6:.1f} MB).")


if __name__ == "__main__":
    main()
