"""What is fuzzed: a parser each, bytes in; it may refuse in its own words, and nothing else."""

from __future__ import annotations

import contextlib
import json
import tempfile
from pathlib import Path

from encdec.checkpoints import parts, read_json, read_weights
from encdec.config import TransformerConfig
from encdec.data.docstrings import first_sentence, plain_text
from encdec.data.files import read_pairs
from encdec.errors import EncdecError
from encdec.layouts import read_config
from encdec.recipe import load_recipe
from encdec.summarizer import read_functions

MEMORY = Path("/dev/shm")  # a disk would slow the fuzzer down
FOLDER = Path(tempfile.mkdtemp(prefix="encdec-", dir=MEMORY if MEMORY.is_dir() else None))


def _file(name: str, data: bytes) -> Path:
    path = FOLDER / name
    path.write_bytes(data)
    return path


def recipe(data: bytes) -> None:
    with contextlib.suppress(EncdecError):
        load_recipe(_file("recipe.yaml", data))


def csv(data: bytes) -> None:
    with contextlib.suppress(EncdecError):
        read_pairs(_file("pairs.csv", data), "a", "b")


def jsonl(data: bytes) -> None:
    with contextlib.suppress(EncdecError):
        read_pairs(_file("pairs.jsonl", data), "a", "b")


def model_folder(data: bytes) -> None:
    """A configuration, an index or weights."""
    with contextlib.suppress(ValueError):
        read_weights(_file("model.safetensors", data))
    with contextlib.suppress(ValueError):
        parts(_file("model.safetensors.index.json", data))
    with contextlib.suppress(ValueError):
        config: TransformerConfig = read_config(read_json(_file("config.json", data)), None)
        json.dumps(config.model_type)


def docstrings(data: bytes) -> None:
    text = data.decode("utf8", "replace")
    first_sentence(text)
    plain_text(text)


def source(data: bytes) -> None:
    with contextlib.suppress(EncdecError):
        read_functions(_file("code.py", data))


TARGETS = {
    "recipe": recipe,
    "csv": csv,
    "jsonl": jsonl,
    "model-folder": model_folder,
    "docstrings": docstrings,
    "source": source,
}
