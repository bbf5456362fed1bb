"""Text or code in, one sentence out: the settings that the book's summaries are written with."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from encdec.data.docstrings import Docstring, source_text
from encdec.data.functions import functions_in
from encdec.summaries import SummaryError
from encdec.text import generate_text

# What the recipe of `pegasus-docstrings` learns from and is scored with.
SOURCE_TOKENS = 192
OPTIONS: dict[str, Any] = {
    "num_beams": 4,
    "length_penalty": 0.8,
    "no_repeat_ngram_size": 3,
    "max_new_tokens": 48,
}


def shorten(
    texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, tokens: int = SOURCE_TOKENS
) -> tuple[list[str], int]:
    """Cut texts to what a model reads, after a whole word, and count what was cut.

    Args:
        texts: the sources.
        tokenizer: the model's.
        tokens: most tokens of a text, its end included.

    Returns:
        The texts, and how many of them lost something.

    Raises:
        SummaryError: ``tokens`` is less than 2.
    """
    if tokens < 2:
        raise SummaryError(f"tokens={tokens} must be at least 2: one to read and the end.")
    kept = []
    for text in texts:
        encoded = tokenizer(text, return_offsets_mapping=True, verbose=False)
        if len(encoded.input_ids) <= tokens:
            kept.append(text)
            continue
        end = encoded.offset_mapping[tokens - 2][1]  # of the last token before the end's
        whole = text[:end] if text[end : end + 1].isspace() else text[:end].rpartition(" ")[0]
        kept.append(whole or text[:end])
    return kept, sum(a != b for a, b in zip(texts, kept, strict=True))


def summarize(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    functions: Sequence[Docstring],
    *,
    on_batch: Callable[[int], None] = lambda done: None,
    **options: Any,
) -> list[str]:
    """Write one sentence about each function; what stands beyond 192 tokens is not read.

    Args:
        model: an :class:`~encdec.EncoderDecoder` that learnt this task.
        tokenizer: the model's.
        functions: what to summarise.
        on_batch: called after every batch with the number of summaries written so far.
        **options: for :func:`~encdec.generate`, instead of :data:`OPTIONS`.
    """
    texts, _ = shorten([source_text(function) for function in functions], tokenizer)
    return generate_text(model, tokenizer, texts, on_batch=on_batch, **(OPTIONS | options))


def read_functions(path: Path) -> list[Docstring]:
    """The functions of a Python file, documented or not.

    Raises:
        SummaryError: the file can't be read as Python, or holds no function of two statements.
    """
    try:
        source = path.read_text(encoding="utf8")
        found = functions_in(source)
    except OSError as error:
        raise SummaryError(f"{path} can't be read: {error.strerror}.") from error
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise SummaryError(f"{path} can't be read as Python: {error}.") from error
    if not found:
        raise SummaryError(f"{path} holds no function of at least two statements.")
    return found


def module_path(name: str) -> Path:
    """Where the source of a module is; the module itself is not imported.

    Args:
        name: dotted, e.g. ``"json.decoder"``; of a package its ``__init__.py``. The packages that
            a dotted name goes through are imported.

    Raises:
        SummaryError: there is no such module, or it is not written in Python.
    """
    try:
        found = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        found = None
    if found is None:
        raise SummaryError(f"there is no module {name!r} here: check its name, or install it.")
    if not found.origin or not isinstance(found.loader, SourceFileLoader):
        raise SummaryError(f"the module {name!r} has no source in Python.")
    return Path(found.origin)
