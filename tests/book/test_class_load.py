"""What a class takes is measured on kernels that really run."""

import json

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

import class_load

MIB = 2**20


@pytest.fixture
def chapter(tmp_path):
    path = tmp_path / "chapter.ipynb"
    cells = ["held = bytearray(60 * 2**20)", "more = bytearray(150 * 2**20)\ndel more"]
    nbformat.write(new_notebook(cells=[new_code_cell(cell) for cell in cells]), path)
    return path


def test_every_student_has_a_kernel_and_it_is_measured(chapter, tmp_path, capsys):
    to = tmp_path / "class-load.json"
    assert (
        class_load.main([str(chapter), "--students", "3", "--at-once", "2", "--to", str(to)]) == 0
    )
    found = json.loads(to.read_text(encoding="utf8"))
    assert found["students"] == len(found["each"]) == 3
    assert found["open_bytes"] == sum(each["open_bytes"] for each in found["each"])
    assert all(60 * MIB < each["open_bytes"] < 200 * MIB for each in found["each"])
    assert found["peak_bytes"] >= 60 * MIB
    assert capsys.readouterr().out.count("student ") == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.ipynb"], "there is no chapter nowhere.ipynb"),
        (["--students", "0"], "at least 1"),
    ],
)
def test_a_wrong_call_is_answered_in_a_sentence(arguments, said, capsys):
    with pytest.raises(SystemExit, match="2"):
        class_load.main(arguments)
    assert said in capsys.readouterr().err
