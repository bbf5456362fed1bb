"""From examples of unequal length to batches: bucketing and padding.

Shape letters: ``batch`` examples, ``source`` and ``target`` tokens.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

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
    """Stack rows of unequal length into ``(batch, longest)``, filled up with ``value``."""
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
