"""The readers of chapter 12: questions that have one answer, and a run that says what it should."""

import torch
from typer.testing import CliRunner

from benchmarks import passages
from encdec import results
from encdec.hybrids import FusionInDecoder


def test_a_question_names_one_of_the_people_and_asks_for_their_food():
    rows, food = passages.facts(20, 4, torch.Generator().manual_seed(0))
    assert rows.shape == (20, 4, 4)
    for question, wanted in zip(rows, food, strict=True):
        assert len(set(question[:, 2].tolist())) == 4
        [holds] = (question[:, 2] == question[0, 0]).nonzero()[:, 0].tolist()
        assert question[holds, 3] == wanted


def test_a_short_run_writes_down_every_test(tmp_path):
    command = passages.typer.Typer()
    command.command()(passages.main)
    path = tmp_path / "passages.json"
    options = ["--steps", "2", "--every", "1", "--seeds", "1", "--output", str(path)]
    assert CliRunner().invoke(command, options).exit_code == 0
    assert path.exists()
    assert len(passages.right(FusionInDecoder(passages.config()))) == len(passages.ASKED)


def test_the_recorded_run_says_what_the_chapter_says():
    run = results.load("passages")
    apart, joined = (run["readers"][name]["right"] for name in passages.READERS)
    assert min(seed[1][-1] for seed in apart) > 0.9  # after the chapter's own 160 steps
    assert max(seed[1][-1] for seed in joined) < 0.5
    assert max(seed[-1][1] for seed in joined) > 0.9  # in the end it can, on as many passages
