"""Every stored chapter keeps the rules, and every rule can be broken."""

import re
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

import address
import refresh
import rules

CHAPTERS = sorted((Path(__file__).parents[2] / "chapters").glob("*.ipynb"))


def read(path):
    return nbformat.read(path, as_version=4)


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_chapter_keeps_the_rule(path, rule):
    if rule is rules.frame and path.stem.startswith("appendix-"):
        return  # an appendix puts no section of the article under test
    assert rule(read(path)) == []


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_chapter_begins_with_the_setup_cell(path):
    assert rules.same_setup_cell(read(path), address.setup_cell()) == []


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_chapter_is_a_valid_notebook_with_a_good_name(path):
    nbformat.validate(read(path))
    assert re.match(r"\d\d-|appendix-", path.stem)
    assert path.stem == path.stem.lower()
    assert "_" not in path.stem


# The rules themselves, on notebooks made here


def chapter():
    """A small chapter that keeps every rule."""
    setup = new_code_cell(address.setup_cell(), execution_count=1)
    setup.metadata.tags = ["nbval-ignore-output"]
    setup.outputs = [new_output("stream", name="stdout", text="encdec 0.1.0 · cpu\n")]
    plot = new_code_cell("plot(x)", execution_count=2)
    plot.outputs = [new_output("display_data", data={"image/png": "iVBORw0KGgo="})]
    plot.metadata.mystnb = {"image": {"alt": "A line that falls from 4 to 1 in ten steps."}}
    sections = [new_markdown_cell(f"## {title}\n\nText.") for title in rules.FRAME]
    title = new_markdown_cell("# Translation\n\nHow does it work?\n\nTime: 1 min on a CPU.")
    cells = [title, setup, plot, *sections]
    cells += [new_code_cell(f"x{n}", execution_count=n) for n in range(3, 6)]
    notebook = new_notebook(cells=cells)
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    return notebook


def test_a_good_chapter_breaks_no_rule():
    notebook = chapter()
    assert [rule(notebook) for rule in rules.RULES] == [[]] * len(rules.RULES)
    assert rules.same_setup_cell(notebook, address.setup_cell()) == []


def code(notebook, number):
    return [cell for _, cell in rules.code_cells(notebook)][number]


def unexecuted(notebook):
    code(notebook, 2).execution_count = None


def out_of_order(notebook):
    code(notebook, 2).execution_count = 9


def empty_cell(notebook):
    code(notebook, 2).source = " \n"


def stray_error(notebook):
    code(notebook, 2).outputs = [new_output("error", ename="E", evalue="e", traceback=["t"])]


def raised_nothing(notebook):
    code(notebook, 2).metadata.tags = ["raises-exception"]


def warning(notebook):
    code(notebook, 2).outputs = [new_output("stream", name="stderr", text="Warning: old\n")]


def no_alt(notebook):
    del code(notebook, 1).metadata["mystnb"]


def empty_alt(notebook):
    code(notebook, 1).metadata.mystnb.image.alt = "  a plot "


def no_alt_in_prose(notebook):
    notebook.cells[0].source += "\n\n![](picture.png)"


def long_cell(notebook):
    code(notebook, 2).source = "\n\n".join(["x = 1"] * (rules.LONGEST_CELL + 1))


def ignored_without_assertion(notebook):
    code(notebook, 2).metadata.tags = ["nbval-ignore-output"]


def too_many_ignored(notebook):
    for number in (2, 3, 4):
        code(notebook, number).metadata.tags = ["nbval-ignore-output"]
        code(notebook, number).source = "assert x"


def no_title(notebook):
    notebook.cells[0].source = "Translation? On a CPU."


def no_question(notebook):
    notebook.cells[0].source = "# Translation\n\nOn a CPU."


def no_time(notebook):
    notebook.cells[0].source = "# Translation\n\nHow?"


def no_section(notebook):
    del notebook.cells[3]


def two_titles(notebook):
    notebook.cells[3].source += "\n\n# Another"


def skipped_level(notebook):
    notebook.cells[3].source += "\n\n#### Deep"


def other_kernel(notebook):
    notebook.metadata.kernelspec.name = "my-env"


def time_stamp(notebook):
    code(notebook, 2).metadata.execution = {"iopub.execute_input": "2026-01-01"}


def widgets_without_state(notebook):
    notebook.metadata.widgets = {"application/vnd.jupyter.widget-state+json": {"state": {}}}


def path_in_source(notebook):
    code(notebook, 2).source = "open('/" + "home/ada/corpus.txt')"


def path_in_output(notebook):
    text = "saved to /" + "Users/ada/model\n"
    code(notebook, 2).outputs = [new_output("stream", name="stdout", text=text)]


def outside_image(notebook):
    notebook.cells[0].source += "\n\n![a tree](https://example.org/tree.png)"


def outside_script(notebook):
    html = '<script src="https://example.org/d3.js"></script>'
    code(notebook, 2).outputs = [new_output("display_data", data={"text/html": html})]


@pytest.mark.parametrize(
    ("rule", "damage"),
    [
        (rules.executed_in_order, unexecuted),
        (rules.executed_in_order, out_of_order),
        (rules.executed_in_order, empty_cell),
        (rules.errors_only_where_meant, stray_error),
        (rules.errors_only_where_meant, raised_nothing),
        (rules.nothing_on_stderr, warning),
        (rules.alternative_texts, no_alt),
        (rules.alternative_texts, empty_alt),
        (rules.alternative_texts, no_alt_in_prose),
        (rules.short_cells, long_cell),
        (rules.ignored_outputs_are_asserted, ignored_without_assertion),
        (rules.ignored_outputs_are_asserted, too_many_ignored),
        (rules.opening, no_title),
        (rules.opening, no_question),
        (rules.opening, no_time),
        (rules.frame, no_section),
        (rules.heading_levels, two_titles),
        (rules.heading_levels, skipped_level),
        (rules.kernel, other_kernel),
        (rules.kernel, time_stamp),
        (rules.kernel, widgets_without_state),
        (rules.no_machine_paths, path_in_source),
        (rules.no_machine_paths, path_in_output),
        (rules.no_outside_images, outside_image),
        (rules.no_outside_images, outside_script),
    ],
    ids=lambda thing: thing.__name__,
)
def test_a_damaged_chapter_breaks_its_rule(rule, damage):
    notebook = chapter()
    damage(notebook)
    assert len(rule(notebook)) == 1


def test_every_rule_is_tried_on_a_damaged_chapter():
    [mark] = test_a_damaged_chapter_breaks_its_rule.pytestmark
    assert {rule for rule, _ in mark.args[1]} == set(rules.RULES)


def test_another_setup_cell_is_noticed():
    notebook = chapter()
    code(notebook, 0).source += "\nimport numpy"
    code(notebook, 0).metadata.tags = []
    assert len(rules.same_setup_cell(notebook, address.setup_cell())) == 2
    assert rules.same_setup_cell(new_notebook(), "") == ["there is no code cell."]


def test_a_path_in_a_coloured_traceback_is_found():
    notebook = chapter()
    line = "File \x1b[32m/" + "home/ada/layer.py\x1b[39m"
    error = new_output("error", ename="E", evalue="e", traceback=[line])
    code(notebook, 2).outputs = [error]
    assert len(rules.no_machine_paths(notebook)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "assert x > 0",
        "for x in y:\n    assert x",
        "%pip install z\nassert z",
        "if a:\n    !ls\nassert a",
    ],
)
def test_an_assertion_is_found(source):
    assert rules.asserts(source)


@pytest.mark.parametrize("source", ["x = 'assert y'", "# assert y", "", "this is no code"])
def test_what_only_looks_like_an_assertion_is_not(source):
    assert not rules.asserts(source)


def test_an_assertion_in_the_next_cell_vouches():
    notebook = chapter()
    code(notebook, 2).metadata.tags = ["nbval-ignore-output"]
    code(notebook, 3).source = "assert x"
    assert rules.ignored_outputs_are_asserted(notebook) == []


def test_a_meant_error_and_a_skipped_cell_are_fine():
    notebook = chapter()
    stray_error(notebook)
    raised_nothing(notebook)
    assert rules.errors_only_where_meant(notebook) == []
    notebook.cells.append(new_code_cell("train_on_gpu()", metadata={"tags": ["nbval-skip"]}))
    assert rules.executed_in_order(notebook) == []


def test_a_heading_in_a_code_block_is_none():
    notebook = new_notebook(cells=[new_markdown_cell("# A\n\n```python\n# comment\n```\n\n## B")])
    assert rules.headings(notebook) == [(1, "A"), (2, "B")]


# The tool that stores outputs


def written(tmp_path, *cells):
    path = tmp_path / "notebook.ipynb"
    nbformat.write(new_notebook(cells=list(cells)), path)
    return path


def test_refreshing_twice_changes_nothing(tmp_path):
    skipped = new_code_cell("1 / 0", metadata={"tags": ["nbval-skip"]})
    skipped.outputs = [new_output("stream", name="stdout", text="recorded on a GPU\n")]
    widget = new_code_cell("import ipywidgets\nobject(), ipywidgets.IntSlider()")
    slider = new_code_cell("ipywidgets.IntSlider(4)")
    path = written(tmp_path, new_code_cell("print(1)\nprint(2)"), skipped, widget, slider)
    assert refresh.main([str(path)]) == 0
    first = path.read_bytes()
    assert refresh.main([str(path)]) == 0
    assert path.read_bytes() == first
    notebook = read(path)
    assert [cell.execution_count for cell in notebook.cells] == [1, None, 2, 3]
    assert notebook.cells[0].outputs[0].text == "1\n2\n"
    assert notebook.cells[1].outputs == skipped.outputs
    shown = notebook.cells[3].outputs[0].data["application/vnd.jupyter.widget-view+json"]
    assert shown["model_id"] in notebook.metadata.widgets[refresh.WIDGETS]["state"]
    assert rules.kernel(notebook) == []


def test_a_failed_refresh_leaves_the_notebook_as_it_was(tmp_path, capsys):
    path = written(tmp_path, new_code_cell("print(1)"), new_code_cell("1 / 0"))
    before = path.read_bytes()
    assert refresh.main([str(path)]) == 1
    assert path.read_bytes() == before
    assert "left as it was" in capsys.readouterr().out


def test_neighbouring_streams_are_joined():
    out = [new_output("stream", name=name, text=name) for name in ("a", "a", "b", "a")]
    assert [output.text for output in refresh.merge_streams(out)] == ["aa", "b", "a"]
