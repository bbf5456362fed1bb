"""What repeated use takes is measured on processes and pages that really run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import load
from encdec.__main__ import app

SOURCE = """
import json, pathlib, sys, load
for code in ("held = bytearray(200 * 2**20)", "pass"):
    print(json.dumps(load.took([sys.executable, "-c", code], pathlib.Path.cwd())))
"""


def test_a_process_is_measured_by_itself():
    """In a process of its own: what this one holds would count."""
    tools = Path(load.__file__).parent
    said = subprocess.check_output([sys.executable, "-c", SOURCE], cwd=tools, text=True)
    large, small = map(json.loads, said.splitlines())
    assert 150 < large["peak_mib"] - small["peak_mib"] < 250
    assert small["seconds"] > 0


def test_a_command_that_fails_is_no_measurement(tmp_path):
    with pytest.raises(load.FailedError, match="ZeroDivisionError"):
        load.took([sys.executable, "-c", "1 / 0"], tmp_path)


def test_every_command_is_measured():
    known = {command.callback.__name__ for command in app.registered_commands}
    assert known == {arguments[0] for arguments in load.COMMANDS.values()} - {"--help"}


def test_evaluate_finds_what_train_left(tmp_path):
    train = load.fresh(str(tmp_path), "train")
    assert list(train.iterdir()) == []
    (train / load.SMOKE).mkdir(parents=True)
    assert load.fresh(str(tmp_path), "evaluate") == train


def test_pages_are_opened_again_and_again(browser, tmp_path):
    page = '<!doctype html><link rel="icon" href="data:,"><p>Text</p>'
    for name in ("index.html", "chapters/one.html"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(page, encoding="utf8")
    moved = '<meta http-equiv="Refresh" content="0; url=index.html">'
    (tmp_path / "old.html").write_text(moved, encoding="utf8")
    found = load.of_site(browser, tmp_path, rounds=3)
    assert sorted(found["milliseconds"]) == ["chapters/one.html", "index.html"]
    assert len(found["heap_mib"]) == len(found["nodes"]) == 3
    assert all(heap > 0 for heap in found["heap_mib"])


def test_without_a_site_there_is_nothing_to_walk_through(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        load.main(["--site", str(tmp_path)])
    assert "build it with `make book`" in capsys.readouterr().err
