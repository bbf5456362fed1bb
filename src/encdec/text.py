"""Text in, text out: check what a reader typed, then generate in batches of similar length."""

from __future__ import annotations

import io
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import torch
from transformers import PreTrainedTokenizerBase

from encdec.decoding import generate
from encdec.errors import EncdecError

LONGEST_LINE = 20_000  # characters; of a longer line no more is held
WINDOW = 256  # lines that are read before their answers come


class TextError(EncdecError):
    """A text can't be processed; the message is one sentence."""


def check_text(text: str, tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse what a model would answer with nonsense.

    Args:
        text: what the reader typed.
        tokenizer: the model's; its ``model_max_length`` is the most tokens that the model reads.

    Raises:
        TextError: the text is empty, too long, or holds control characters or characters that the
            tokenizer has never seen.
    """
    if not text.strip():
        raise TextError("the text is empty: write at least one word.")
    for character in text:
        if unicodedata.category(character) in ("Cc", "Cs") and not character.isspace():
            raise TextError(
                f"the text holds the control character U+{ord(character):04X}: remove it."
            )
    ids = tokenizer(text, truncation=False, verbose=False).input_ids
    if len(ids) > tokenizer.model_max_length:
        raise TextError(
            f"the text has {len(text.split()):,} words ({len(ids):,} tokens), but this model reads "
            f"at most {tokenizer.model_max_length} tokens: send it sentence by sentence."
        )
    if tokenizer.unk_token_id in ids:
        unknown = [c for c in dict.fromkeys(text) if not c.isspace() and _is_unknown(c, tokenizer)]
        shown = ", ".join(f"{c!r} (U+{ord(c):04X})" for c in unknown[:3]) or "a character"
        raise TextError(f"this model has never seen {shown}: leave it out or write it in words.")


def _is_unknown(character: str, tokenizer: PreTrainedTokenizerBase) -> bool:
    return tokenizer.unk_token_id in tokenizer(f"a{character}").input_ids


def generate_text(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    *,
    batch_size: int = 32,
    on_batch: Callable[[int], None] = lambda done: None,
    **options: Any,
) -> list[str]:
    """Generate one answer for each text.

    Texts of similar length share a batch, so that little time goes into padding; answers come back
    in the order of ``texts``.

    Args:
        model: an :class:`~encdec.EncoderDecoder`.
        tokenizer: the model's.
        texts: the sources.
        batch_size: texts generated at a time.
        on_batch: called after every batch with the number of texts answered so far.
        **options: for :func:`~encdec.generate`, e.g. ``num_beams=4``.

    Returns:
        The answers, special tokens removed.
    """
    device = next(model.parameters()).device
    encoded = [tokenizer(text).input_ids for text in texts]
    order = sorted(range(len(texts)), key=lambda i: len(encoded[i]))
    answers = [""] * len(texts)
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        batch = tokenizer.pad({"input_ids": [encoded[i] for i in chosen]}, return_tensors="pt")
        with torch.inference_mode():
            output = generate(
                model,
                batch["input_ids"].to(device),
                attention_mask=batch["attention_mask"].to(device),
                **options,
            )
        decoded = tokenizer.batch_decode(output.sequences, skip_special_tokens=True)
        for index, answer in zip(chosen, decoded, strict=True):
            answers[index] = answer
        on_batch(start + len(chosen))
    return answers


@dataclass(frozen=True)
class Answer:
    """What came of one line.

    Attributes:
        number: of the line; the first is 1.
        text: the answer, in one line; empty where the line is, or where it was refused.
        problem: why it was refused, in one sentence; empty if it was not.
    """

    number: int
    text: str
    problem: str = ""


@contextmanager
def open_lines(path: Path | None) -> Iterator[TextIO]:
    """A file, or standard input, as UTF-8 whatever the locale; only a line feed ends a line.

    A byte that is not UTF-8 becomes half a surrogate pair, which :func:`answer_lines` refuses: one
    damaged line does not end the run.

    Args:
        path: of the file; None for standard input.

    Raises:
        TextError: there is no such file.
    """
    if path is None:
        if isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(encoding="utf8", errors="surrogateescape", newline="\n")
        yield sys.stdin
        return
    if not path.is_file():
        raise TextError(f"there is no file {path}.")
    with path.open(encoding="utf8", errors="surrogateescape", newline="\n") as file:
        yield file


def read_lines(file: TextIO) -> Iterator[str]:
    """The lines of a file, one at a time, without their ends.

    A byte order mark is left out, and of a line no more than :data:`LONGEST_LINE` characters are
    kept: a file without line ends may be larger than memory.
    """
    first = True
    while line := file.readline(LONGEST_LINE):
        rest = line
        while len(rest) == LONGEST_LINE and not rest.endswith("\n"):
            rest = file.readline(LONGEST_LINE)
        yield (line.removeprefix("\ufeff") if first else line).rstrip("\r\n")
        first = False


def answer_lines(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    lines: Iterable[str],
    *,
    window: int = WINDOW,
    **options: Any,
) -> Iterator[Answer]:
    """Generate one answer for each line, in memory that does not depend on how many there are.

    Args:
        model: an :class:`~encdec.EncoderDecoder`.
        tokenizer: the model's.
        lines: the sources; no more of them are read than the window that is being answered.
        window: how many lines are read at a time; they share batches.
        **options: for :func:`generate_text`, e.g. ``num_beams=4``.

    Yields:
        The answers, in the order of the lines. A line that :func:`check_text` refuses has a
        problem in the place of an answer; the others go on.
    """
    numbered = enumerate(lines, start=1)
    while read := list(islice(numbered, window)):
        problems = {number: _problem(line, tokenizer) for number, line in read}
        good = [(number, line) for number, line in read if line.strip() and not problems[number]]
        texts = generate_text(model, tokenizer, [line for _, line in good], **options)
        answers = dict(zip((number for number, _ in good), texts, strict=True))
        for number, _ in read:
            text = answers.get(number, "").replace("\n", " ")
            yield Answer(number, text, problems[number])


def _problem(line: str, tokenizer: PreTrainedTokenizerBase) -> str:
    if len(line) == LONGEST_LINE:
        return f"the line has {LONGEST_LINE:,} characters or more: break it into sentences."
    if not line.strip():
        return ""
    if broken := next((c for c in line if "\udc80" <= c <= "\udcff"), ""):
        return f"the line is not UTF-8 text: byte 0x{ord(broken) - 0xDC00:02X} can't be read."
    try:
        check_text(line, tokenizer)
    except TextError as error:
        return str(error)
    return ""
