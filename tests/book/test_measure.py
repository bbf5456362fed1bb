"""Time and memory of chapters: measured in fresh processes, and within what a chapter may take."""

import json

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

import measure
import refresh
from encdec import results

HOLD = "held = b'x' * (300 * 2**20); assert held.count(b'x') == len(held)"


def notebook(folder, name, *cells):
    path = folder / f"{name}.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(**cell) for cell in cells]), path)
    return path


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Two chapters, measured: one that needs much and waits, one that needs little."""
    folder = tmp_path_factory.mktemp("measured")
    large = notebook(folder, "large", {"source": f"import time; time.sleep(2); {HOLD}"})
    skipped = {"source": "1 / 0", "metadata": {"tags": [refresh.NOT_HERE]}}
    small = notebook(folder, "small", {"source": "print(1)"}, skipped)
    before = [path.read_bytes() for path in (large, small)]
    target = folder / "chapters.json"
    over = measure.record([large, small], target)
    assert [path.read_bytes() for path in (large, small)] == before
    return json.loads(target.read_text()), over


def test_memory_and_time_are_those_of_each_chapter_alone(recorded):
    content, _ = recorded
    large, small = content["chapters"]["large"], content["chapters"]["small"]
    assert 270 < large["peak_mib"] - small["peak_mib"] < 330
    assert small["seconds"] > 0
    assert large["seconds"] > 2


def test_the_run_says_how_to_repeat_it(recorded):
    content, _ = recorded
    assert content["provenance"]["command"] == "make measure"
    assert {"date", "commit", "hardware", "versions"} <= content["provenance"].keys()


def test_what_takes_too_much_is_named(recorded, monkeypatch, tmp_path):
    assert recorded[1] == []
    monkeypatch.setattr(measure, "MEBIBYTES", 1)
    path = notebook(tmp_path, "greedy", {"source": "print(1)"})
    assert measure.record([path], tmp_path / "chapters.json") == ["greedy"]


def test_a_chapter_that_fails_leaves_the_record_as_it_was(tmp_path):
    path = notebook(tmp_path, "broken", {"source": "1 / 0"})
    with pytest.raises(Exception, match="ZeroDivisionError"):
        measure.record([path], tmp_path / "chapters.json")
    assert not (tmp_path / "chapters.json").exists()


def test_every_chapter_stays_within_its_limits():
    try:
        measured = results.load("chapters")["chapters"]
    except results.ResultError:
        pytest.skip("`make measure` has not been run yet")
    numbered = {name: figures for name, figures in measured.items() if name[0].isdigit()}
    assert len(numbered) >= 10
    assert max(figures["seconds"] for figures in numbered.values()) <= measure.SECONDS
    assert max(figures["peak_mib"] for figures in numbered.values()) <= measure.MEBIBYTES
