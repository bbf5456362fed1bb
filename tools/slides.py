"""Slides of the chapters, made from their notebooks: ``python tools/slides.py`` (``make slides``).

A chapter says what is a slide by how it is written, so that its cells need no marks:

- a heading, with the first sentence under it and the first list or formula that fits;
- a paragraph that begins with *Predict first*, and what is printed next;
- a figure, or a view to play with;
- code under a heading that says *from scratch*, a screenful at a time;
- a small table; the names of the exercises; the questions of the self-test;
- *What to remember* and *Common misconceptions*.

All other text becomes the speaker notes of the slide before it. Jupyter's own mark overrides this
for a whole cell: ``{"slideshow": {"slide_type": "slide"}}``, ``subslide``, ``notes`` or ``skip``.

nbconvert writes one file a chapter, with reveal.js in it: nothing is fetched when it is opened.
"""

import argparse
import base64
import functools
import html
import re
import shutil
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
import yaml
from docutils import nodes
from jinja2 import pass_context
from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.myst_role import myst_role_plugin
from nbconvert.exporters import SlidesExporter
from nbformat import NotebookNode
from pybtex.database import parse_file
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name

import live

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "_ext"))
from mathml import mathml  # noqa: E402  (the site's own formulas)

TEMPLATE, STYLE = (ROOT / "tools" / f"slides.{kind}" for kind in ("html.j2", "css"))
REVEAL = ("reveal.css", "reveal.js", "plugin/notes.js")
ROOM = 14  # lines on a slide under its title
COLUMNS, TITLE_COLUMNS = 76, 48  # letters in a line
CODE_LINES, CODE_COLUMNS = 20, 96
SELF_TEST = ("Self-test", "Test yourself")
LEFT_OUT = ("Further reading",)
SUMMARIES = ("What to remember", "Common misconceptions")
TASK = re.compile(r"(?P<number>\d+)\. (?P<name>.+?) \((?P<kind>\w+), (?P<time>\d+ minutes)\)")
VIEW = '<meta charset="utf-8"><style>body { font: 22px system-ui, sans-serif; margin: 0; }</style>'
LIST = re.compile(r'(<ul[^>]* id="decks"[^>]*>).*?(</ul>)', re.DOTALL)
PREDICT = re.compile(r"\*\*Predict first\.?\*\*[:.]?\s*")
NOISE = re.compile(r"[\w-]+: [\w-]+ \(.+ no download\)$|Exception reporting mode")
ITEM = re.compile(r"(?:[-*]|\d+\.) ")
QUESTION = re.compile(
    r"^(?P<number>\d+)\. (?P<question>.+?)\n\n\s+<details><summary>Answer</summary>\n"
    r"(?P<answer>.+?)</details>|^<details>\n"
    r"<summary>(?P<number_>\d+)\. (?P<question_>.+?)</summary>(?P<answer_>.+?)</details>",
    re.MULTILINE | re.DOTALL,
)
SENTENCE = re.compile(r".+?[.?!](?=\s+[\[(“\"*_`$A-Z]|$)|.+:$")


@dataclass
class Slide:
    """One slide.

    Attributes:
        title: Markdown of one line; empty on the first slide, whose body has the title.
        where: the section that the slide belongs to.
        body: blocks of Markdown, top to bottom.
        notes: blocks of Markdown for the speaker.
        opens: whether it begins a section, and so stands to the right of the slide before it.
    """

    title: str
    where: str = ""
    body: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    opens: bool = False

    def fits(self, block: str) -> bool:
        """Whether a block has room under what is there."""
        title = 1.2 * (len(self.title) // TITLE_COLUMNS)
        return title + sum(map(height, [*self.body, block])) <= ROOM


@dataclass
class Block:
    """A part of a Markdown cell: its kind, as markdown-it names it, and its source."""

    kind: str
    source: str


# Text: from the chapters' Markdown to HTML


@functools.cache
def authors() -> dict[str, str]:
    """Who wrote a work, and when, by its key in the bibliography."""
    found = {}
    for key, work in parse_file(ROOT / "references.bib").entries.items():
        people = [" ".join(p.last_names) for p in work.persons.get("author", [])]
        name = people[0] if people else key
        name += " and others" if len(people) > 2 else "".join(f" and {p}" for p in people[1:])
        found[key] = re.sub(r"[{}\\\"]", "", f"{name} {work.fields.get('year', '')}".strip())
    return found


def role(self: Any, tokens: list[Token], index: int, options: Any, env: Any) -> str:
    """What a role of Sphinx stands for: a citation, the title of a chapter, a word."""
    name, content = tokens[index].meta["name"], tokens[index].content
    if name == "cite":
        keys = [key.strip() for key in content.split(",")]
        return f"({html.escape('; '.join(authors().get(key, key) for key in keys))})"
    if name == "doc":
        chapter = ROOT / "chapters" / f"{Path(content).name}.ipynb"
        content = title_of(nbformat.read(chapter, 4)) if chapter.is_file() else content
    return f"<em>{html.escape(content)}</em>"


def coloured(code: str, language: str, _: str) -> str:
    """Code in colours; a printed output, which has no language, as it is."""
    if not language:
        return ""
    return str(highlight(code, get_lexer_by_name(language), HtmlFormatter(nowrap=True)))


@functools.cache
def markdown() -> MarkdownIt:
    """What reads the chapters' Markdown."""

    def formula(latex: str, options: dict[str, Any]) -> str:
        block = options["display_mode"]
        return mathml(nodes.math("", latex), "block" if block else "inline")

    reader = MarkdownIt("commonmark", {"highlight": coloured}).enable("table")
    reader.use(dollarmath_plugin, renderer=formula, double_inline=True).use(myst_role_plugin)
    reader.add_render_rule("myst_role", role)
    for side in ("link_open", "link_close"):  # a page of the site is not beside the slide
        reader.add_render_rule(side, lambda *_: "")
    return reader


def blocks_of(source: str) -> Iterator[Block]:
    """The blocks of a cell, in order."""
    lines = source.splitlines()
    for token in markdown().parse(source):
        if token.level == 0 and token.map and token.nesting >= 0:
            text = "\n".join(lines[slice(*token.map)]).strip("\n")
            yield Block(token.type.removesuffix("_open"), text)


def title_of(chapter: NotebookNode) -> str:
    """The title of a chapter: the heading of its first cell."""
    return str(chapter.cells[0].source).splitlines()[0].removeprefix("# ").strip()


def beginning(paragraph: str) -> str:
    """The first sentences of a paragraph: one, and more while they fit into three lines."""
    rest, kept = " ".join(paragraph.split()), ""
    while found := SENTENCE.match(rest):
        if kept and len(f"{kept} {found[0]}") > 3 * COLUMNS:
            break
        kept, rest = f"{kept} {found[0]}".strip(), rest[found.end() :].strip()
    return kept or rest


def rows_of(table: str) -> list[str]:
    """The rows of a table, its head apart."""
    return table.splitlines()[2:]


def height(block: str) -> float:
    """About how many lines of a slide a block takes."""
    if block.startswith("```"):
        return len(block.splitlines()) - 1
    if block.startswith("$$"):
        return 3
    if block.startswith("|"):
        cells = [row.strip("|").split("|") for row in [block.splitlines()[0], *rows_of(block)]]
        longest = [max(len(cell.strip()) for cell in column) for column in zip(*cells, strict=True)]
        widths = [max(8, 90 * length // sum(longest)) for length in longest]  # in a smaller type
        taken = [[1 + len(c) // w for c, w in zip(row, widths, strict=True)] for row in cells]
        return sum(0.8 * max(row) + 0.4 for row in taken)
    parts = re.split(rf"\n+(?={ITEM.pattern})", re.sub(r"\{\w+\}|[`*$]", "", block))
    lines = [len(" ".join(text.split())) // COLUMNS for text in parts]
    return sum(1.3 + (0.9 if ITEM.match(block) else 1.2) * more for more in lines)


def printed(cell: NotebookNode) -> str:
    """What a cell printed or which error it raised, as much of it as a slide holds."""
    lines: list[str] = []
    for output in cell.outputs:
        if output.output_type == "stream" and output.name == "stdout":
            lines += output.text.rstrip().splitlines()
        elif output.output_type == "error":
            lines.append(f"{output.ename}: {output.evalue}")
    lines = [line.rstrip() for line in lines if not NOISE.match(line)]
    wrapper = textwrap.TextWrapper(CODE_COLUMNS, subsequent_indent="    ", drop_whitespace=False)
    lines = [part for line in lines for part in wrapper.wrap(line) or [""]]
    rest = ["…"] if len(lines) > CODE_LINES - 2 else []
    return "\n".join(lines[: CODE_LINES - 2] + rest).strip("\n")


def pages(code: str) -> Iterator[str]:
    """Code without imports, in parts that a slide holds.

    It is cut where lines are empty. What is too long for a slide is left out, and so is what only
    uses the functions and classes of a cell that was cut.
    """
    found: list[list[str]] = [[]]
    for part in re.split(r"\n{2,}(?=\S)", code.strip()):
        lines = part.splitlines()
        if re.match("import |from ", lines[-1]) or len(lines) > CODE_LINES:
            continue
        if max(map(len, lines)) > CODE_COLUMNS:
            continue
        if len(found[-1]) + 1 + len(lines) > CODE_LINES:
            found.append([])
        found[-1] += [*([""] if found[-1] else []), *lines]
    for page in found:
        text = "\n".join(page)
        if text and (len(found) == 1 or re.search("^(def|class) ", text, re.MULTILINE)):
            yield text


# Slides: which block goes where


class Deck:
    """The slides of a chapter, made block by block."""

    def __init__(self, chapter: NotebookNode) -> None:
        self.slides: list[Slide] = []
        self.section = self.part = ""
        self.asked = False  # a prediction waits for what comes out
        self.fresh = False  # the slide has a heading and no sentence yet
        self.takes_list = False  # the next list belongs on the slide
        self.context = ""  # what was said since the slide began
        for cell in chapter.cells:
            kind = cell.metadata.get("slideshow", {}).get("slide_type", "-")
            if kind in ("slide", "subslide", "notes"):
                self.marked(cell, kind)
            elif kind != "skip":
                (self.markdown if cell.cell_type == "markdown" else self.code)(cell)

    @property
    def last(self) -> Slide:
        """The slide that was begun last."""
        return self.slides[-1]

    @property
    def silent(self) -> bool:
        """Whether the section has no slides."""
        return self.section.startswith(LEFT_OUT)

    def begin(self, title: str, *body: str, opens: bool = False) -> None:
        """Begin a slide."""
        notes = []
        if self.slides and not self.last.body:  # a heading with nothing under it
            empty = self.slides.pop()
            notes, opens = empty.notes, empty.opens or opens
        where = self.part if title != self.part and self.part else self.section
        self.slides.append(Slide(title, where, list(body), notes, opens))
        self.fresh = self.takes_list = False
        self.context = ""

    def put(self, block: str) -> None:
        """Put a block on the slide of its heading, or on another one if there is no room."""
        title = self.part or self.section
        if self.last.title != title or not self.last.fits(block):
            self.begin(title)
        self.last.body.append(block)

    def put_list(self, source: str) -> None:
        """Put a list on the slide, item by item."""
        for item in re.split(rf"\n+(?={ITEM.pattern})", source):
            if self.last.body and not self.last.fits(item):
                self.begin(self.last.title)
            if self.last.body and ITEM.match(self.last.body[-1]):
                self.last.body[-1] += f"\n{item}"
            else:
                self.last.body.append(item)

    def put_table(self, source: str) -> None:
        """Put a table on a slide of its own, or on as many as its rows need."""
        head, page = source.splitlines()[:2], list[str]()
        for row in rows_of(source):
            if page and height("\n".join([*head, *page, row])) > ROOM:
                self.begin(self.part or self.section, "\n".join([*head, *page]))
                page = []
            page.append(row)
        self.begin(self.part or self.section, "\n".join([*head, *page]))

    def marked(self, cell: NotebookNode, kind: str) -> None:
        """Take over a cell that says itself what it is."""
        if kind == "notes":
            self.last.notes.append(cell.source)
            return
        self.begin(self.part or self.section, opens=kind == "slide")
        if cell.cell_type == "markdown":
            self.last.body += [block.source for block in blocks_of(cell.source)]
            self.last.title = ""
            return
        self.last.body += [f"```python\n{page}\n```" for page in pages(cell.source)]
        self.outputs(cell)

    def markdown(self, cell: NotebookNode) -> None:
        """Place the blocks of a text cell."""
        for block in blocks_of(cell.source):
            if block.kind == "heading":
                self.heading(block.source)
            elif self.section in SELF_TEST:
                self.questions(block.source)
            elif self.section == "Exercises":
                self.last.notes.append(block.source)
            elif not self.silent:
                self.block(block)

    def heading(self, source: str) -> None:
        """Begin what a heading begins."""
        marks, _, text = source.partition(" ")
        if marks == "#":
            self.begin("", f"# {text}", opens=True)
        elif marks == "##":
            self.section, self.part, self.asked = text, "", False
            if not self.silent and text not in SELF_TEST:
                self.begin(text, opens=True)
                self.fresh = True
        elif task := TASK.fullmatch(text):
            self.put_list(f"{task['number']}. **{task['name']}** ({task['kind']}, {task['time']})")
            self.last.notes.append(f"**{text}**")
        elif not self.silent:
            self.part, self.asked = text, False
            self.begin(text)
            self.fresh = True

    def questions(self, source: str) -> None:
        """A slide for each question of the self-test, its answer in the notes."""
        for found in QUESTION.finditer(source):
            parts = {name.strip("_"): text for name, text in found.groupdict().items() if text}
            first = parts["number"] == "1"
            self.begin(f"Test yourself: {parts['number']}", parts["question"], opens=first)
            answer = re.sub(r"</?p>", "", textwrap.dedent(parts["answer"])).strip()
            self.last.notes.append(f"**Answer.** {answer}")

    def block(self, block: Block) -> None:
        """Place a block that is no heading."""
        if block.kind == "paragraph":
            self.paragraph(block.source)
        elif block.kind in ("bullet_list", "ordered_list"):
            if self.takes_list or self.section in SUMMARIES:
                self.put_list(block.source)
            else:
                self.last.notes.append(block.source)
        elif block.kind == "math_block":
            self.put(block.source)
        elif block.kind == "table":
            self.put_table(block.source)
        else:
            self.last.notes.append(block.source)

    def paragraph(self, source: str) -> None:
        """Place a paragraph: a prediction, the first of a section, or one for the notes."""
        if PREDICT.search(source):
            before, question = PREDICT.split(source, maxsplit=1)
            if before.strip():
                self.last.notes.append(before)
            context = before.strip() or beginning(self.context)
            if context[:1].islower():  # it goes on after a formula
                context = ""
            body = [f'<div class="context">\n\n{context}\n\n</div>'] if context else []
            self.begin("Predict first", *body, question[:1].upper() + question[1:])
            self.asked = self.takes_list = True
        elif source.startswith("**The question of this chapter.**"):
            self.last.body.append(source.removeprefix("**The question of this chapter.**").strip())
        elif source.startswith("At the end"):
            self.begin(source)
            self.takes_list = True
        else:
            self.last.notes.append(source)
            if self.fresh:
                self.last.body.append(beginning(source))
                self.fresh, self.takes_list = False, True
            else:
                self.context = source

    def code(self, cell: NotebookNode) -> None:
        """Place what is to be seen of a code cell."""
        tags = cell.metadata.get("tags", [])
        if "solution" in tags or self.silent or self.section in ("", "Exercises", *SELF_TEST):
            return
        drawn = any("image/png" in output.get("data", {}) for output in cell.outputs)
        if self.from_scratch() and not drawn:
            for page in pages(cell.source):
                self.begin(self.part or self.section, f"```python\n{page}\n```")
        if "remove-output" not in tags:
            self.outputs(cell)

    def from_scratch(self) -> bool:
        """Whether the code under this heading is there to be read."""
        if self.part.startswith("The same"):
            return False
        return self.section == "From scratch" or "scratch" in (self.part or self.section).lower()

    def outputs(self, cell: NotebookNode) -> None:
        """Place figures and views of a cell, and what it printed if that answers a prediction."""
        alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
        for output in cell.outputs:
            data = output.get("data", {})
            if "image/png" in data:
                picture = "".join(data["image/png"].split())
                source = f'<img src="data:image/png;base64,{picture}" alt="{html.escape(alt)}">'
                self.begin(self.part or self.section, source)
                self.last.notes.append(f"**The figure.** {alt}")
                self.asked = False
            elif "text/html" in data:
                view = html.escape(VIEW + "".join(data["text/html"])).replace("\n", "&#10;")
                title = self.part or self.section
                name = html.escape(title.replace("`", ""))
                self.begin(title, f'<iframe title="{name}" srcdoc="{view}"></iframe>')
                self.last.notes.append("After a click beside the view the keys turn slides again.")
        if self.asked and (text := printed(cell)):
            self.begin("What came out", f"```\n{text}\n```")
            self.asked = False


# A file: from slides to reveal.js


def as_notebook(chapter: NotebookNode) -> NotebookNode:
    """The slides of a chapter as a notebook that nbconvert understands."""
    cells: list[NotebookNode] = []

    def add(kind: str, source: str) -> None:
        cell = nbformat.v4.new_markdown_cell(source, id=f"slide-{len(cells)}")
        cell.metadata.slideshow = {"slide_type": kind}
        cells.append(cell)

    for slide in Deck(chapter).slides:
        where = slide.where if slide.where != slide.title else ""
        lines = [f'<p class="where">{markdown().renderInline(where)}</p>'] if where else []
        lines += [f"## {slide.title}"] if slide.title else []
        add("slide" if slide.opens else "subslide", "\n\n".join([*lines, *slide.body]))
        if slide.notes:
            add("notes", "\n\n".join(slide.notes))
    return nbformat.v4.new_notebook(cells=cells)


class Exporter(SlidesExporter):
    """nbconvert's slides, with the book's Markdown."""

    @pass_context
    def markdown2html(self, context: Any, source: str) -> str:
        """Markdown to HTML, as the site writes it."""
        return str(markdown().render(source))


def reveal() -> Path:
    """The folder of reveal.js's files, fetched once for each lock file.

    Raises:
        NotFetchedError: the registry could not be reached, or had something else.
    """
    lists = [ROOT / "tools" / "web" / name for name in ("package.json", "package-lock.json")]
    place = live.CACHE / f"reveal-{live.digest(*lists)}"
    if not (place / "sizes.json").exists():
        with TemporaryDirectory() as scratch:
            for path in lists:
                shutil.copy(path, scratch)
            live.fetch(Path(scratch))
            made = Path(scratch) / "made"
            for name in REVEAL:
                (made / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(
                    Path(scratch) / "node_modules" / "reveal.js" / "dist" / name, made / name
                )
            live.keep(made, REVEAL, place)
    return place


def deck(chapter: NotebookNode, folder: Path) -> str:
    """The slides of a chapter as one HTML file that fetches nothing.

    Args:
        chapter: the notebook, with its outputs.
        folder: reveal.js's files.

    Returns:
        The file.
    """
    parts = {Path(name).name: (folder / name).read_text("utf8") for name in REVEAL}
    font = base64.b64encode((ROOT / "assets" / "fonts" / "book-math.woff2").read_bytes()).decode()
    look = STYLE.read_text("utf8").replace("BOOK-MATH", f"data:font/woff2;base64,{font}")
    look += HtmlFormatter(style="a11y-high-contrast-light").get_style_defs()
    exporter = Exporter(raw_template=TEMPLATE.read_text("utf8"))
    resources = {"deck": parts | {"look": look, "title": title_of(chapter)}}
    text, _ = exporter.from_notebook_node(as_notebook(chapter), resources)
    return str(text)


def chapters() -> list[Path]:
    """The numbered chapters of the table of contents, in order."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text("utf8"))
    entries = [entry["file"] for part in toc["parts"] for entry in part["chapters"]]
    return [ROOT / f"{name}.ipynb" for name in entries if re.match(r"chapters/\d", name)]


def write(paths: list[Path], to: Path) -> list[Path]:
    """Write the slides of some chapters.

    Args:
        paths: notebooks.
        to: a folder.

    Returns:
        The files.

    Raises:
        FileNotFoundError: a chapter is not there; nothing has been written then.
        ValueError: a file is no notebook; nothing has been written then.
        NotFetchedError: reveal.js could not be had.
    """
    notebooks = {}
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(f"{path} is not there: name a notebook in chapters/.")
        try:
            notebooks[path] = nbformat.read(path, as_version=4)
        except Exception as error:
            raise ValueError(f"{path} is not a Jupyter notebook.") from error
    folder, written = reveal(), []
    to.mkdir(parents=True, exist_ok=True)
    for path, notebook in notebooks.items():
        target = to / f"{path.stem}.html"
        unfinished = target.with_suffix(".part")
        unfinished.write_text(deck(notebook, folder), "utf8")
        written.append(unfinished.replace(target))
    return written


def link(written: list[Path], page: Path) -> None:
    """List the slides on the teacher's page of the built site, if it is there."""
    if not page.is_file():
        return
    items = []
    for path in written:
        [title] = re.findall("<title>(.+?)</title>", path.read_text("utf8"))[:1]
        address, number = f"../{path.parent.name}/{path.name}", int(path.name[:2])
        items.append(f'<li>Chapter {number}: <a href="{address}">{title}</a></li>')
    text = page.read_text("utf8")
    entries = "\n".join(items)
    page.write_text(LIST.sub(lambda found: f"{found[1]}{entries}{found[2]}", text), "utf8")


def main() -> None:
    """Write the slides, list them on the site and say where they are."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("chapters", type=Path, nargs="*", help="all chapters, if none is named")
    parser.add_argument("--to", type=Path, default=ROOT / "_build" / "html" / "slides")
    arguments = parser.parse_args()
    try:
        written = write(arguments.chapters or chapters(), arguments.to)
    except (FileNotFoundError, ValueError) as error:
        sys.exit(str(error))
    except live.NotFetchedError as error:
        sys.exit(f"No slides were made, for want of reveal.js: {error}.")
    if not arguments.chapters:
        link(written, arguments.to.parent / "course" / "index.html")
    print(f"Decks in {arguments.to}: {len(written)}.")


if __name__ == "__main__":
    main()
