"""From examples of unequal length to batches: bucketing, padding and packing.

Whoever makes a batch here also shifts it: the logits at a place predict the label at that place,
for encoder–decoders (:func:`collate`) as for decoders alone (:func:`collate_causal`). Transformers'
own models shift labels once more, so hand them the batch without its labels and compute the loss
from the logits.

Shape letters: ``batch`` examples or rows, ``source`` and ``target`` tokens, ``length`` tokens of
both together, less one.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

IGNORE = -100  # the label that torch's cross entropy skips


class Example(NamedTuple):
    """Token ids of a source and of its target, both ending with the end-of-sequence token."""

    input_ids: list[int]
    labels: list[int]


def bucket_batches(
    lengths: Sequence[tuple[int, int]],
    max_tokens: int,
    generator: random.Random,
    *,
    pool: int = 400,
) -> list[list[int]]:
    """Group examples of similar length, so that little of a batch is padding.

    Examples are shuffled, cut into pools, sorted by length within a pool, filled into batches and
    the batches shuffled: random enough to learn from, regular enough to be fast.

    Args:
        lengths: source and target length of every example, in tokens.
        max_tokens: upper bound for a padded batch: rows × (longest source + longest target).
        generator: source of the shuffles.
        pool: number of batches' worth of examples that are sorted together.

    Returns:
        Lists of example indices; each index occurs exactly once.

    Raises:
        ValueError: one example alone is longer than ``max_tokens``.
    """
    for index, (source, target) in enumerate(lengths):
        if source + target > max_tokens:
            raise ValueError(
                f"example {index} has {source} + {target} tokens, more than max_tokens="
                f"{max_tokens}: raise max_tokens or truncate the example."
            )
    order = list(range(len(lengths)))
    generator.shuffle(order)
    mean = max(1, sum(s + t for s, t in lengths) // max(1, len(lengths)))
    size = max(1, pool * max_tokens // mean)
    batches: list[list[int]] = []
    for start in range(0, len(order), size):
        batch: list[int] = []
        source = target = 0
        for index in sorted(
            order[start : start + size], key=lambda i: (lengths[i][1], lengths[i][0])
        ):
            s, t = lengths[index]
            source, target = max(source, s), max(target, t)
            if batch and (len(batch) + 1) * (source + target) > max_tokens:
                batches.append(batch)
                batch, (source, target) = [], (s, t)
            batch.append(index)
        batches.append(batch)
    generator.shuffle(batches)
    return batches


def pad(rows: Sequence[Sequence[int]], value: int) -> Tensor:
    """Stack rows of unequal length into ``(batch, longest)``, filled up with ``value``.

    Raises:
        ValueError: there are no rows.
    """
    if not rows:
        raise ValueError("rows is empty: a batch holds at least one row.")
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[value] * (longest - len(row))] for row in rows])


def collate(
    examples: Sequence[Example], pad_token_id: int, decoder_start_token_id: int
) -> dict[str, Tensor]:
    """Pad examples into a batch that a sequence-to-sequence model learns from.

    Returns:
        ``input_ids`` and ``attention_mask`` (batch, source); ``decoder_input_ids`` and ``labels``
        (batch, target). Labels are ``IGNORE`` where there is padding; decoder inputs are the labels
        shifted right by one, so that position *t* predicts token *t* from the tokens before it.
    """
    input_ids = pad([example.input_ids for example in examples], pad_token_id)
    mask = pad([[1] * len(example.input_ids) for example in examples], 0)
    shifted = [[decoder_start_token_id, *example.labels[:-1]] for example in examples]
    return {
        "input_ids": input_ids,
        "attention_mask": mask,
        "decoder_input_ids": pad(shifted, pad_token_id),
        "labels": pad([example.labels for example in examples], IGNORE),
    }


def collate_causal(
    examples: Sequence[Example], pad_token_id: int, *, loss_on_source: bool = False
) -> dict[str, Tensor]:
    """Pad examples into a batch that a decoder-only model learns from: source, then target.

    Args:
        examples: a source has at least one token, because something must stand before the first
            label; plain text may have a source of nothing but the token that begins a text.
        pad_token_id: fills up short rows on the right.
        loss_on_source: whether the source is to be predicted as well, from its second token on.

    Returns:
        ``input_ids``, ``attention_mask`` and ``labels``, all (batch, length). The last token of a
        target is no input, since nothing comes after it. Labels are ``IGNORE`` where there is
        padding, and before the target unless ``loss_on_source``.

    Raises:
        ValueError: a source or a target is empty, or there are no examples.

    From "Language Models are Unsupervised Multitask Learners" (Radford et al., 2019), section 2.
    """
    rows = [_row(index, example, loss_on_source) for index, example in enumerate(examples)]
    return {
        "input_ids": pad([input_ids for input_ids, _ in rows], pad_token_id),
        "attention_mask": pad([[1] * len(input_ids) for input_ids, _ in rows], 0),
        "labels": pad([labels for _, labels in rows], IGNORE),
    }


def pack(lengths: Sequence[int], max_length: int) -> list[list[int]]:
    """Put short examples together into rows, so that hardly anything of a batch is padding.

    First-fit decreasing: examples are taken from the longest to the shortest, and each goes into
    the first row that has room for it. That takes at most 11/9 of the fewest possible rows, and
    one more.

    Args:
        lengths: tokens of every example in a row: source and target less one.
        max_length: tokens of a row at most.

    Returns:
        Lists of example indices; each index occurs exactly once.

    Raises:
        ValueError: one example alone is longer than ``max_length``.

    Source: Dósa 2007, The tight bound of first fit decreasing bin-packing algorithm.
    """
    for index, length in enumerate(lengths):
        if length > max_length:
            raise ValueError(
                f"example {index} has {length} tokens, more than max_length={max_length}: raise "
                "max_length or truncate its source."
            )
    rows: list[list[int]] = []
    room = np.empty(len(lengths), dtype=np.int64)  # of each row
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        fits = room[: len(rows)] >= lengths[index]
        row = int(fits.argmax()) if fits.any() else len(rows)
        if row == len(rows):
            rows.append([])
            room[row] = max_length
        rows[row].append(index)
        room[row] -= lengths[index]
    return rows


def collate_packed(
    rows: Sequence[Sequence[Example]], pad_token_id: int, *, loss_on_source: bool = False
) -> dict[str, Tensor]:
    """Pad rows of several examples into a batch that a decoder-only model learns from.

    With :func:`segment_mask` and the positions given here, every example is read as if it stood
    alone.

    Args:
        rows: the examples of each row, see :func:`pack`.
        pad_token_id: fills up short rows on the right.
        loss_on_source: whether sources are to be predicted as well.

    Returns:
        ``input_ids`` and ``labels`` as in :func:`collate_causal`; ``position_ids``, which begin
        anew with every example; ``segment_ids``, which number the examples of a row from 1 and are
        0 where there is padding. All (batch, length).

    Raises:
        ValueError: a source or a target is empty, or there are no rows.
    """
    columns: dict[str, list[list[int]]] = {
        name: [[] for _ in rows] for name in ("input_ids", "labels", "position_ids", "segment_ids")
    }
    for row, examples in enumerate(rows):
        for segment, example in enumerate(examples, 1):
            input_ids, labels = _row(segment - 1, example, loss_on_source)
            columns["input_ids"][row] += input_ids
            columns["labels"][row] += labels
            columns["position_ids"][row] += range(len(input_ids))
            columns["segment_ids"][row] += [segment] * len(input_ids)
    fill = {"input_ids": pad_token_id, "labels": IGNORE, "position_ids": 0, "segment_ids": 0}
    return {name: pad(column, fill[name]) for name, column in columns.items()}


def segment_mask(segment_ids: Tensor) -> Tensor:
    """Let every query see the keys of its own segment up to itself: a block-diagonal causal mask.

    Padding sees padding, so that no query is left without a key.

    Args:
        segment_ids: from :func:`collate_packed`, (batch, length).

    Returns:
        Boolean mask, True where a query may attend, (batch, 1, length, length); the 1 stands for
        all heads.

    Raises:
        ValueError: the segments are not a table.
    """
    if segment_ids.dim() != 2:
        raise ValueError(
            f"segment_ids has shape {tuple(segment_ids.shape)}, but must be (batch, length)."
        )
    same = segment_ids[:, :, None] == segment_ids[:, None, :]  # (batch, length, length)
    return same.tril()[:, None]


def _row(index: int, example: Example, loss_on_source: bool) -> tuple[list[int], list[int]]:
    """Input ids and labels of a source and a target in one row; both (length,)."""
    source, target = example
    if not source or not target:
        raise ValueError(
            f"example {index} has {len(source)} + {len(target)} tokens, but a decoder-only model "
            "needs at least one before the first label and one label: begin the source with the "
            "token that begins a text."
        )
    text = [*source, *target]
    return text[:-1], text[1:] if loss_on_source else [*[IGNORE] * (len(source) - 1), *target]
