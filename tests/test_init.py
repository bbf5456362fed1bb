"""The package itself: every name is there, and nothing heavy is loaded before it is asked for."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import encdec

HEAVY = {"torch", "transformers", "matplotlib", "accelerate", "numpy", "pydantic"}


def loaded(*arguments: str) -> set[str]:
    """The top-level packages that a fresh Python imports."""
    command = [sys.executable, "-X", "importtime", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [line.rpartition("|")[2] for line in done.stderr.splitlines() if "|" in line]
    return {line.strip().partition(".")[0] for line in lines}


def test_importing_the_package_loads_nothing_heavy():
    assert loaded("-c", "import encdec").isdisjoint(HEAVY)


def test_the_help_of_the_command_line_loads_nothing_heavy():
    found = loaded("-m", "encdec", "--help")
    assert "typer" in found
    assert found.isdisjoint(HEAVY)


def test_a_model_does_not_load_transformers():
    found = loaded("-c", "from encdec import EncoderDecoder, generate")
    assert "torch" in found
    assert "transformers" not in found


def test_names_come_from_where_type_checkers_look_for_them():
    tree = ast.parse(Path(encdec.__file__).read_text(encoding="utf8"))
    found = {
        name.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module.startswith("encdec")
        for name in node.names
    }
    assert sorted(found) == encdec.__all__
    for name, module in found.items():
        vars(encdec).pop(name, None)  # so that it is asked for the first time
        value = import_module(f"encdec.{name}") if module == "encdec" else None
        assert getattr(encdec, name) is (value or getattr(import_module(module), name))
    assert set(encdec.__all__) <= set(dir(encdec))


def test_a_name_that_is_not_there_is_named():
    with pytest.raises(AttributeError, match="module 'encdec' has no attribute 'translate'"):
        _ = encdec.translate
    with pytest.raises(ImportError, match="translate"):
        from encdec import translate  # noqa: F401
