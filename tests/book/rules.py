"""The rules of a stored chapter, each a function from a notebook to a list of complaints.

A complaint is one sentence that says where and what. ``RULES`` holds them all.
"""

import ast
import re
from collections.abc import Callable, Iterator
from itertools import pairwise

from nbformat import NotebookNode

Rule = Callable[[NotebookNode], list[str]]

LONGEST_CELL = 25  # lines that are not blank
IGNORED_SHARE = 0.25  # of the code cells
SHORTEST_ALT = 20  # characters; less describes nothing
FRAME = (
    "The article under test",
    "Exercises",
    "What to remember",
    "Common misconceptions",
    "Further reading",
)
MACHINE_PATH = re.compile(
    r"(?<![\w.~-])/(?:home|root|Users|work|opt|mnt|private|usr/local|var/folders|tmp)/[\w.-]+"
    r"|\b[A-Z]:\\Users\\"
)
COLOUR = re.compile(r"\x1b\[[0-9;]*m")  # would hide that a path begins
OUTSIDE_IMAGE = re.compile(
    r"!\[[^\]]*\]\(\s*<?(?:https?:)?//"
    r"|<(?:img|script|iframe|source|video|audio)\b[^>]*\bsrc\s*=\s*[\"']?(?:https?:)?//"
    r"|<link\b[^>]*\bhref\s*=\s*[\"']?(?:https?:)?//"
    r"|url\(\s*[\"']?(?:https?:)?//",
    re.IGNORECASE,
)


def code_cells(notebook: NotebookNode) -> list[tuple[int, NotebookNode]]:
    """Code cells with their place in the notebook."""
    return [(i, cell) for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"]


def tags(cell: NotebookNode) -> set[str]:
    """The tags of a cell."""
    return set(cell.metadata.get("tags", []))


def texts(output: NotebookNode) -> Iterator[str]:
    """What an output holds as text: a stream, a traceback, text and HTML, but no picture."""
    if output.output_type == "stream":
        yield output.text
    elif output.output_type == "error":
        traceback = (COLOUR.sub("", line) for line in output.traceback)
        yield "\n".join([output.ename, output.evalue, *traceback])
    else:
        for kind, content in output.data.items():
            if not kind.startswith(("image/png", "image/jpeg", "application/")):
                yield content if isinstance(content, str) else "".join(content)


def kinds(cell: NotebookNode) -> set[str]:
    """The media types of a cell's outputs."""
    return {kind for output in cell.outputs for kind in output.get("data", {})}


def headings(notebook: NotebookNode) -> list[tuple[int, str]]:
    """Level and text of every heading, leaving fenced code out."""
    found = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            prose = re.sub(r"(?ms)^(`{3,}|~{3,}).*?^\1", "", cell.source)
            found += [
                (len(marks), title.strip())
                for marks, title in re.findall(r"(?m)^(#{1,6})\s+(.+)$", prose)
            ]
    return found


def executed_in_order(notebook: NotebookNode) -> list[str]:
    """Execution counts are 1 to n; only a cell that is skipped everywhere has none."""
    complaints, expected = [], 1
    for place, cell in code_cells(notebook):
        if "nbval-skip" in tags(cell):
            continue
        if not cell.source.strip():
            complaints.append(f"cell {place} is an empty code cell.")
        if cell.execution_count != expected:
            was = cell.execution_count
            complaints.append(f"cell {place} has the execution count {was}, not {expected}.")
        expected += 1
    return complaints


def errors_only_where_meant(notebook: NotebookNode) -> list[str]:
    """A stored error stands in a cell tagged ``raises-exception``, and each such cell has one."""
    complaints = []
    for place, cell in code_cells(notebook):
        raised = any(output.output_type == "error" for output in cell.outputs)
        meant = "raises-exception" in tags(cell)
        if raised and not meant:
            complaints.append(f"cell {place} stores an error that is not meant.")
        if meant and not raised:
            complaints.append(f"cell {place} is tagged raises-exception and raised nothing.")
    return complaints


def nothing_on_stderr(notebook: NotebookNode) -> list[str]:
    """No warnings and no progress bars are stored."""
    return [
        f"cell {place} stores a message on stderr: {output.text.strip()[:60]!r}."
        for place, cell in code_cells(notebook)
        for output in cell.outputs
        if output.output_type == "stream" and output.name == "stderr"
    ]


def same_setup_cell(notebook: NotebookNode, setup: str) -> list[str]:
    """The first code cell is the set-up cell of all chapters, its output ignored."""
    cells = code_cells(notebook)
    if not cells:
        return ["there is no code cell."]
    place, first = cells[0]
    complaints = []
    if first.source != setup:
        complaints.append(f"cell {place} is not the set-up cell that tools/address.py prints.")
    if "nbval-ignore-output" not in tags(first):
        complaints.append(f"cell {place}, the set-up cell, is not tagged nbval-ignore-output.")
    return complaints


def alternative_texts(notebook: NotebookNode) -> list[str]:
    """Every cell that shows a picture says in words what it shows."""
    complaints = []
    for place, cell in code_cells(notebook):
        if not any(kind.startswith("image/") for kind in kinds(cell)):
            continue
        alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
        if len(alt.strip()) < SHORTEST_ALT:
            complaints.append(f"cell {place} shows a picture without a text in mystnb.image.alt.")
    for place, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown" and re.search(r"!\[\s*\]\(", cell.source):
            complaints.append(f"cell {place} includes a picture without alternative text.")
    return complaints


def short_cells(notebook: NotebookNode) -> list[str]:
    """A code cell can be taken in at a glance."""
    complaints = []
    for place, cell in code_cells(notebook):
        lines = sum(1 for line in cell.source.splitlines() if line.strip())
        if lines > LONGEST_CELL:
            complaints.append(f"cell {place} has {lines} lines; {LONGEST_CELL} is the limit.")
    return complaints


def asserts(source: str) -> bool:
    """Whether code holds an assertion; lines that only IPython reads are left out."""
    python = re.sub(r"(?m)^(\s*)[%!].*$", r"\1pass", source)
    try:
        return any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(python)))
    except SyntaxError:
        return False


def ignored_outputs_are_asserted(notebook: NotebookNode) -> list[str]:
    """Few outputs are ignored, and an assertion in the cell or the next one vouches for each."""
    complaints = []
    cells = code_cells(notebook)[1:]  # the set-up cell says which versions are there, no more
    ignored = [i for i, (_, cell) in enumerate(cells) if "nbval-ignore-output" in tags(cell)]
    if len(ignored) > IGNORED_SHARE * len(cells):
        complaints.append(
            f"{len(ignored)} of {len(cells)} code cells have their output ignored; "
            "a quarter is the limit."
        )
    for i in ignored:
        if not any(asserts(cell.source) for _, cell in cells[i : i + 2]):
            complaints.append(f"cell {cells[i][0]} has its output ignored and nothing asserted.")
    return complaints


def opening(notebook: NotebookNode) -> list[str]:
    """The first cell holds the title, the question and the time on a CPU."""
    complaints = []
    first = notebook.cells[0] if notebook.cells else None
    if first is None or first.cell_type != "markdown" or not first.source.startswith("# "):
        return ["the first cell does not begin with the title."]
    if "?" not in first.source:
        complaints.append("the first cell asks no question.")
    if "CPU" not in first.source:
        complaints.append("the first cell does not say how long the chapter takes on a CPU.")
    return complaints


def frame(notebook: NotebookNode) -> list[str]:
    """The chapter has the sections of the frame."""
    titles = [title.lower() for _, title in headings(notebook)]
    return [
        f"there is no section {section!r}."
        for section in FRAME
        if not any(title.startswith(section.lower()) for title in titles)
    ]


def heading_levels(notebook: NotebookNode) -> list[str]:
    """One title, and no level of headings skipped: screen readers and the site rely on it."""
    found = headings(notebook)
    complaints = []
    if sum(level == 1 for level, _ in found) != 1:
        complaints.append("there is not exactly one title (a heading with one #).")
    for (above, _), (level, title) in pairwise(found):
        if level > above + 1:
            complaints.append(f"the heading {title!r} skips a level.")
    return complaints


def kernel(notebook: NotebookNode) -> list[str]:
    """The kernel is the plain one, which every Jupyter and Colab has."""
    name = notebook.metadata.get("kernelspec", {}).get("name")
    complaints = [] if name == "python3" else [f"the kernel is {name!r}, not 'python3'."]
    for place, cell in code_cells(notebook):
        if "execution" in cell.metadata:
            complaints.append(f"cell {place} stores when it ran; `make refresh` leaves that out.")
    widgets = notebook.metadata.get("widgets", {})
    if any(not content.get("state") for content in widgets.values()):
        complaints.append("widgets are stored without their state, which breaks GitHub's view.")
    return complaints


def no_machine_paths(notebook: NotebookNode) -> list[str]:
    """No text names a folder of the machine where the chapter ran."""
    complaints = []
    for place, cell in enumerate(notebook.cells):
        shown = [cell.source]
        if cell.cell_type == "code":
            shown += [text for output in cell.outputs for text in texts(output)]
        for text in shown:
            if path := MACHINE_PATH.search(text):
                complaints.append(f"cell {place} names a path of one machine: {path.group()}.")
    return complaints


def no_outside_images(notebook: NotebookNode) -> list[str]:
    """Nothing that a page shows is fetched from elsewhere."""
    complaints = []
    for place, cell in enumerate(notebook.cells):
        shown = [cell.source] if cell.cell_type == "markdown" else []
        if cell.cell_type == "code":
            shown += [text for output in cell.outputs for text in texts(output)]
        if any(OUTSIDE_IMAGE.search(text) for text in shown):
            complaints.append(f"cell {place} shows something that is fetched from elsewhere.")
    return complaints


RULES: tuple[Rule, ...] = (
    executed_in_order,
    errors_only_where_meant,
    nothing_on_stderr,
    alternative_texts,
    short_cells,
    ignored_outputs_are_asserted,
    opening,
    frame,
    heading_levels,
    kernel,
    no_machine_paths,
    no_outside_images,
)
