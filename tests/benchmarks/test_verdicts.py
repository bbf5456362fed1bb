"""A verdict rests on a figure that a cell or a run still shows."""

from dataclasses import replace

import pytest
from typer.testing import CliRunner

from benchmarks import verdicts
from encdec import results

SECTIONS = {ruling.section: ruling for ruling in verdicts.RULINGS}


def test_the_record_says_what_the_chapters_say():
    recorded = results.load("verdicts")
    assert recorded["rulings"] == verdicts.rulings(), "run python -m benchmarks.verdicts again"
    again = {name: finding.as_dict() for name, finding in verdicts.GROUNDS.items()}
    assert recorded["grounds"] == again, "run python -m benchmarks.verdicts again"


def test_every_section_of_the_article_but_the_last_page_itself_has_a_ruling():
    assert list(SECTIONS) == [*range(1, 14), 15]
    for ruling in verdicts.RULINGS:
        if ruling.sentence:
            assert ruling.sentence.verdict in verdicts.SENTENCES
        if ruling.code:
            assert ruling.code.verdict in verdicts.CODES


def test_every_verdict_has_a_figure_from_somewhere():
    findings = [f for ruling in verdicts.RULINGS for f in (ruling.sentence, ruling.code) if f]
    for finding in [*findings, *verdicts.GROUNDS.values()]:
        assert finding.printed or finding.recorded, finding.says


def test_a_figure_that_no_longer_supports_a_verdict_stops_everything():
    finding = SECTIONS[6].sentence
    worse = replace(finding, recorded=dict(finding.recorded) | {"low": lambda: 3.0})
    with pytest.raises(verdicts.VerdictError, match="does not support 'holds'"):
        worse.as_dict()


def test_a_cell_that_says_something_else_stops_everything():
    finding = replace(SECTIONS[9].code, printed=(r"(?P<samples>\d+) elephants",))
    with pytest.raises(verdicts.VerdictError, match="no output of 09-instruction-tuning fits"):
        finding.as_dict()


def test_a_section_that_is_gone_stops_everything():
    with pytest.raises(verdicts.VerdictError, match="has no section 'Elephants'"):
        replace(SECTIONS[9].code, heading="Elephants").as_dict()
    with pytest.raises(verdicts.VerdictError, match="there is no chapter '99-x'"):
        verdicts.notebook("99-x")


def test_numbers_are_read_with_their_commas():
    plain = verdicts.printed("13-future-directions", r"weights (?P<n>[\d,]+) and")
    assert plain["n"] > 1000


def test_the_command_writes_the_record(tmp_path):
    command = verdicts.typer.Typer()
    command.command()(verdicts.main)
    path = tmp_path / "verdicts.json"
    assert CliRunner().invoke(command, ["--output", str(path)]).exit_code == 0
    assert path.exists()
