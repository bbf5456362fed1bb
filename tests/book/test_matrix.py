"""What `make test-matrix` says of an environment is what pytest said in it."""

import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import matrix

HERE = Path(sys.executable)


@pytest.fixture
def tests(tmp_path):
    def write(*bodies):
        path = tmp_path / "test_small.py"
        lines = [f"def test_{number}():\n    {body}\n" for number, body in enumerate(bodies)]
        path.write_text("\n".join(lines), encoding="utf8")
        return [str(path)]

    return write


def test_passed_tests_are_counted(tests):
    passed, counts = matrix.test(HERE, tests("pass", "import pytest; pytest.skip('no')"))
    assert passed
    assert counts.startswith("1 passed, 1 skipped in ")


def test_a_failure_is_shown(tests, capsys):
    passed, counts = matrix.test(HERE, tests("assert 2 + 2 == 5", "pass"))
    assert not passed
    assert counts.startswith("1 failed, 1 passed in ")
    assert "assert (2 + 2) == 5" in capsys.readouterr().err


def test_an_environment_without_pytest_ran_nothing(tmp_path):
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho no module >&2\nexit 1\n", encoding="utf8")
    broken.chmod(0o755)
    assert matrix.test(broken, []) == (False, "no test ran")


def test_versions_are_those_of_the_environment():
    said = matrix.versions(HERE)
    for name in matrix.SHOWN:
        assert f"{name} {version(name)}" in said


def test_a_line_for_each_environment_and_the_worst_status(monkeypatch, capsys):
    monkeypatch.setattr(matrix.importlib.metadata, "version", lambda name: "1.0")
    monkeypatch.setattr(matrix, "install", lambda name, torch: Path(name))
    monkeypatch.setattr(
        matrix, "test", lambda python, tests: (python.name == "newest", f"{tests[0]} ran")
    )
    monkeypatch.setattr(matrix, "versions", lambda python: "torch 2.9")
    assert matrix.main([]) == 1
    assert [line.partition(";")[0] for line in capsys.readouterr().out.splitlines()] == [
        "oldest: tests ran (torch 2.9",
        "newest: tests ran (torch 2.9",
    ]
    assert matrix.main(["--only", "newest", "tests/test_masks.py"]) == 0
    assert "newest: tests/test_masks.py ran" in capsys.readouterr().out
