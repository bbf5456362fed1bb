"""Chapters run on a fresh Colab runtime from their first cell alone.

CI rehearses one chapter, `make colab-rehearsal` all of them.
"""

import os
from pathlib import Path

import pytest

from colab import runtime

CHAPTERS = sorted(Path(__file__).parents[2].glob("chapters/[0-9]*.ipynb"))
REHEARSED = CHAPTERS if os.environ.get("REHEARSE") == "all" else CHAPTERS[5:6]
CACHE = Path(__file__).parents[2] / ".cache" / "colab"


@pytest.fixture(scope="session")
def image():
    return runtime.image(CACHE)


@pytest.fixture(scope="session")
def repository(tmp_path_factory):
    return runtime.repository(tmp_path_factory.mktemp("github"))


@pytest.mark.slow
@pytest.mark.parametrize("chapter", REHEARSED, ids=lambda path: path.stem)
def test_a_chapter_runs_on_a_fresh_runtime(chapter, image, repository, tmp_path):
    fresh = runtime.Runtime(image, repository, tmp_path)
    notebook = fresh.run(chapter)  # a cell that raises ends it
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    said = "".join(output.get("text", "") for output in first.outputs)
    assert "encdec" in said
    assert "transformers 5.15" in said
    assert "GPU" in said  # how to select one
    installed = fresh.installed()
    assert "encdec" in installed
    assert not installed & set(runtime.LEFT_ALONE)
