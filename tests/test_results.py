import json
import subprocess
from pathlib import Path

import pytest

from encdec import results
from encdec.results import ResultError, git_commit, provenance, write_json

ROOT = Path(__file__).parents[1]


def test_a_recorded_run_says_where_it_comes_from():
    for path in (ROOT / "results").glob("*.json"):
        origin = results.load(path.stem)["provenance"]
        assert {"command", "date", "commit", "hardware", "versions"} <= origin.keys()
        assert origin["command"].startswith(("python -m ", "make "))
        assert not origin["commit"].endswith("+") or path.stem.startswith("benchmark")


def test_the_bars_of_the_book_are_met():
    """What the book promises of its translators, of `t5` and of its summaries."""
    bleu, chrf = results.load("marian-en-fr")["scores"]["beam 5"]
    assert bleu["value"] >= 45
    assert chrf["value"] >= 60
    assert bleu["items"] >= 2000
    assert results.load("multi30k-en-fr")["scores"]["beam 5"][0]["value"] >= 57
    t5 = results.load("t5")
    [answers] = t5["instructions"]["scores"]["unseen templates"]
    assert answers["value"] >= 90
    assert t5["prompts"]["translate English to French: How are you?"] == "Comment allez-vous ?"
    assert t5["prompts"]["translate English to German: How are you?"] == "Wie geht es Ihnen?"
    pegasus = results.load("pegasus-docstrings")
    for system, times in (("beam 4", 1.65), ("lowest risk of 32", 1.7)):
        assert pegasus["scores"][system][0]["value"] >= times * best_baseline(pegasus)
        assert pegasus["distinct"][system]["value"] >= 90
        assert pegasus["stutters"][system]["value"] <= 2


def best_baseline(run):
    return max(s[0]["value"] for n, s in run["scores"].items() if n.startswith("baseline"))


def test_an_unknown_run_names_the_recorded_ones():
    with pytest.raises(ResultError, match="recorded run 'nothing'; recorded are: .*marian-en-fr"):
        results.load("nothing")


def test_provenance_is_complete():
    origin = provenance("python -m encdec doctor")
    assert origin["versions"]["torch"]
    assert origin["hardware"]


def test_a_changed_file_shows_in_the_commit_but_a_recorded_run_does_not(tmp_path):
    def git(*arguments):
        name = ["-c", "user.name=n", "-c", "user.email=e"]
        subprocess.run(["git", *name, *arguments], cwd=tmp_path, check=True, capture_output=True)

    files = [tmp_path / "src" / "code.py", tmp_path / "results" / "run.json"]
    for path in files:
        path.parent.mkdir()
        path.write_text("1")
    assert git_commit(files[0].parent) == "unknown"
    for command in (["init"], ["add", "."], ["commit", "-m", "first"]):
        git(*command)
    commit = git_commit(files[0].parent)
    files[1].write_text("2")
    assert git_commit(files[0].parent) == commit != "unknown"
    files[0].write_text("2")
    assert git_commit(files[0].parent) == commit + "+"


def test_a_failing_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "results" / "run.json"
    write_json(path, {"figure": 1})
    with pytest.raises(TypeError):
        write_json(path, {"figure": object()})
    assert json.loads(path.read_text()) == {"figure": 1}
