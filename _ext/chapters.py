"""What pages say of the chapters and of the book, read from where it stands.

When the site is built, ``<!-- chapters -->`` in a page becomes a card for each chapter in the table
of contents, and ``<!-- citation -->`` the BibTeX entry of ``CITATION.cff``. Each chapter says below
its own estimate how long it took and how much memory it needed in the recorded run that
``make measure`` writes, if there is one, ``<!-- speed -->`` says it of the live page and
``<!-- class -->`` of a class. The list of contents shows the chapters' numbers.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.config import Config

FOLDER = "chapters/"
RECORDS = {
    "chapters": "results/chapters.json",
    "class": "results/class-load.json",
    "live": "results/live.json",
}
CARDS = "<!-- chapters -->"
CITATION = "<!-- citation -->"
SPEED = "<!-- speed -->"
CLASS = "<!-- class -->"
TITLE = re.compile(r"\A# (.+)")
QUESTION = re.compile(r"\*\*The question of this \w+\.\*\* (.+?)(?:\n\n|\Z)", re.DOTALL)
TIME = re.compile(r"(?m)^\*\*Time\*\*: ([^,.]+).*$")


@dataclass(frozen=True)
class Chapter:
    """What the first cell of a chapter says.

    Attributes:
        name: the document, as ``chapters/06-translation``.
        title: the heading.
        question: what the chapter answers.
        reading: how long it takes to read, in words.
    """

    name: str
    title: str
    question: str
    reading: str

    @property
    def number(self) -> str:
        """``6`` for ``chapters/06-translation``; empty for an appendix."""
        found = re.match(rf"{FOLDER}0*(\d+)-", self.name)
        return found[1] if found else ""

    @property
    def numbered(self) -> str:
        """The title with its number."""
        return f"{self.number}. {self.title}" if self.number else self.title


def chapter(name: str, opening: str) -> Chapter:
    """Read a chapter's first cell; what it does not say is empty.

    Args:
        name: the document.
        opening: the cell's Markdown.
    """
    found = [pattern.search(opening) for pattern in (TITLE, QUESTION, TIME)]
    title, question, reading = (" ".join(match[1].split()) if match else "" for match in found)
    return Chapter(name, title or name, question, reading)


def read_chapter(source: Path, name: str) -> Chapter:
    """Read a chapter's file."""
    notebook = json.loads((source / f"{name}.ipynb").read_text(encoding="utf8"))
    return chapter(name, "".join(notebook["cells"][0]["source"]))


def parts(toc: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """The captions of a table of contents, with the chapters under each that has some."""
    for part in toc["parts"]:
        names = [entry["file"] for entry in part["chapters"]]
        if names := [name for name in names if name.startswith(FOLDER)]:
            yield part["caption"], names


def cost(measured: dict[str, Any], name: str) -> str:
    """Time and memory of a chapter in words, or nothing if it was not measured."""
    figures = measured["chapters"].get("chapters", {}).get(name.removeprefix(FOLDER))
    if figures is None:
        return ""
    return f"{figures['seconds']:.0f} s and {figures['peak_mib'] / 1024:.1f} GiB"


def card(chapter: Chapter, measured: dict[str, Any]) -> str:
    """One chapter as a card, in MyST Markdown."""
    spent = cost(measured, chapter.name)
    foot = " · ".join(filter(None, [chapter.reading, spent and f"{spent} to run"]))
    return (
        f"::::{{grid-item-card}} [{chapter.numbered}]({chapter.name}.ipynb)\n"
        f"{chapter.question}\n\n:::{{card-footer}}\n{foot}\n:::\n::::\n"
    )


def cards(source: Path, measured: dict[str, Any]) -> str:
    """All chapters as cards under the captions of the table of contents."""
    toc = yaml.safe_load((source / "_toc.yml").read_text(encoding="utf8"))
    text = ""
    for caption, names in parts(toc):
        made = "\n".join(card(read_chapter(source, name), measured) for name in names)
        text += f"### {caption}\n\n:::::{{grid}} 1 1 2 2\n:gutter: 3\n"
        text += f":class-container: chapters\n\n{made}:::::\n\n"
    return text


def bibtex(citation: dict[str, Any]) -> str:
    """The content of ``CITATION.cff`` as BibTeX."""
    address = citation["repository-code"]
    names = [
        author.get("name") or f"{author['family-names']}, {author['given-names']}"
        for author in citation["authors"]
    ]
    fields = {
        "title": citation["title"].replace("–", "--"),
        # a second pair of braces: names of groups are not taken apart
        "author": " and ".join(name if ", " in name else f"{{{name}}}" for name in names),
        "year": str(citation["date-released"])[:4],
        "version": citation["version"],
        "url": address,
    }
    lines = "".join(f"  {name:<7} = {{{value}}},\n" for name, value in fields.items())
    return f"@misc{{{address.rpartition('/')[2]},\n{lines}}}"


def source_of(measured: dict[str, Any], record: str) -> str:
    """Where a figure comes from, in MyST Markdown."""
    hardware = measured[record]["provenance"]["hardware"]
    return f"({{repository}}`recorded run <{RECORDS[record]}>`, {hardware})"


def with_cost(opening: str, spent: str, measured: dict[str, Any]) -> str:
    """A chapter's first cell with a line below its estimate."""
    line = f"**Measured**: {spent}, all cells {source_of(measured, 'chapters')}."
    return TIME.sub(lambda found: f"{found[0]}\n{line}", opening, count=1)


def speed(measured: dict[str, Any]) -> str:
    """How fast the live page was, or nothing if it was not measured."""
    if not measured["live"]:
        return ""
    said = [
        f"`{name}` was ready in {took['ready_s']:.1f} s and took {took['step_ms']:.0f} ms a step"
        for name, took in measured["live"]["models"].items()
    ]
    return f"In the browser of one machine {'; '.join(said)} {source_of(measured, 'live')}."


def class_load(measured: dict[str, Any]) -> str:
    """What a class needed for a chapter, or nothing if it was not measured."""
    found = measured["class"]
    if not found:
        return ""
    gib = 2**30
    return (
        f"When {found['students']} kernels ran {{doc}}`../{FOLDER}{found['chapter']}`, "
        f"{found['at_once']} at a time, the last was through after "
        f"{found['seconds'] / 60:.0f} minutes; a student waited {found['median_seconds']:.0f} s, a "
        f"kernel held at most {found['peak_bytes'] / gib:.1f} GiB, and when all were through and "
        f"open they held {found['open_bytes'] / gib:.1f} GiB together "
        f"{source_of(measured, 'class')}."
    )


def fill(app: Sphinx, docname: str, source: list[str]) -> None:
    """Put into a page, as it is read, what this module promises."""
    measured, folder = app.config.measured, Path(app.srcdir)
    if docname.startswith(FOLDER):
        if spent := cost(measured, docname):
            notebook = json.loads(source[0])
            first = notebook["cells"][0]
            first["source"] = with_cost("".join(first["source"]), spent, measured)
            source[0] = json.dumps(notebook)
        return
    if CARDS in source[0]:
        source[0] = source[0].replace(CARDS, cards(folder, measured))
        for path in (folder / "_toc.yml", *folder.glob(f"{FOLDER}*.ipynb")):
            app.env.note_dependency(str(path))
    source[0] = source[0].replace(SPEED, speed(measured)).replace(CLASS, class_load(measured))
    if CITATION in source[0]:
        path = folder / "CITATION.cff"
        entry = bibtex(yaml.safe_load(path.read_text(encoding="utf8")))
        source[0] = source[0].replace(CITATION, f"```bibtex\n{entry}\n```")
        app.env.note_dependency(str(path))


def number_entries(app: Sphinx, document: nodes.document) -> None:
    """Let the list of contents show the chapters' numbers, which the text refers to."""
    for toctree in document.findall(addnodes.toctree):
        toctree["entries"] = [
            (read_chapter(Path(app.srcdir), name).numbered, name)
            if title is None and name.startswith(FOLDER)
            else (title, name)
            for title, name in toctree["entries"]
        ]


def read_records(app: Sphinx, config: Config) -> None:
    """Read the recorded runs; as they are a setting, pages are made anew when they change."""
    paths = {name: Path(app.srcdir) / file for name, file in RECORDS.items()}
    config.measured = {
        name: json.loads(path.read_text(encoding="utf8")) if path.exists() else {}
        for name, path in paths.items()
    }


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect it."""
    app.add_config_value("measured", {}, "env", dict)
    app.connect("config-inited", read_records)
    app.connect("source-read", fill)
    app.connect("doctree-read", number_entries, priority=400)  # before the contents are collected
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
