"""Text in, text out: check what a reader typed, then generate in batches of similar length."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from encdec.decoding import generate
from encdec.errors import EncdecError


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
