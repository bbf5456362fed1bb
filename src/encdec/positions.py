"""Positions: learned, sinusoidal, T5's relative bias, rotary.

Shape letters: `batch` sentences, `length` positions, `target` query positions, `source` key
positions, `heads` attention heads, `d_model` width of the model, `d_kv` width of one head.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn


class LearnedPositions(nn.Module):
    """One trained vector for each position (BART, GPT-2).

    Args:
        max_positions: how many positions there are.
        d_model: width of the model.
        offset: rows of the table before position 0. BART has two, left over from the framework
            that it was trained in, where padding took row 1.

    From "Convolutional Sequence to Sequence Learning" (Gehring et al., 2017), section 3.1.
    """

    def __init__(self, max_positions: int, d_model: int, offset: int = 0) -> None:
        super().__init__()
        self.max_positions = max_positions
        self.offset = offset
        self.weight = nn.Parameter(torch.empty(max_positions + offset, d_model))

    def forward(self, positions: Tensor, longest: int) -> Tensor:
        """Look the vectors up.

        Args:
            positions: (length,) or (batch, length).
            longest: one more than the highest position, known to the caller without a look at
                the tensor, which on a GPU would have to be waited for.

        Returns:
            (length, d_model) or (batch, length, d_model).

        Raises:
            ValueError: if a position is beyond the last one learned.
        """
        if longest > self.max_positions:
            raise ValueError(
                f"a sequence of {longest} tokens is longer than the max_positions="
                f"{self.max_positions} that this model has learned: shorten the input, or lower "
                "max_new_tokens"
            )
        return nn.functional.embedding(positions + self.offset, self.weight)


def sinusoidal_table(
    length: int, d_model: int, layout: Literal["halves", "interleaved"] = "halves"
) -> Tensor:
    """Compute sines and cosines of each position at geometrically spaced frequencies.

    Args:
        length: number of positions.
        d_model: width of the model, even.
        layout: "halves" puts all sines before all cosines (Marian, Pegasus); "interleaved" puts
            them in turn, as the paper writes it. A model learns the same from both, but a
            checkpoint works only with the layout that it was trained with.

    Returns:
        Table, (length, d_model), float32.

    Raises:
        ValueError: if `d_model` is odd or `layout` unknown.

    From "Attention Is All You Need" (Vaswani et al., 2017), section 3.5.
    """
    if d_model % 2:
        raise ValueError(f"d_model={d_model} must be even: every sine needs its cosine")
    # float64 first: at position 1000, float32 angles would be off in the fifth digit
    positions = torch.arange(length, dtype=torch.float64)
    frequencies = 10000.0 ** (-torch.arange(0, d_model, 2, dtype=torch.float64) / d_model)
    angles = positions[:, None] * frequencies  # (length, d_model / 2)
    if layout == "halves":
        return torch.cat([angles.sin(), angles.cos()], dim=1).float()  # (length, d_model)
    if layout == "interleaved":
        pairs = torch.stack([angles.sin(), angles.cos()], dim=2)  # (length, d_model / 2, 2)
        return pairs.flatten(1).float()  # (length, d_model)
    raise ValueError(f'layout={layout!r} must be "halves" or "interleaved"')


class SinusoidalPositions(nn.Module):
    """Fixed sines and cosines; nothing is learned, and no length is too long.

    Args:
        d_model: width of the model, even.
        layout: order of sines and cosines, see `sinusoidal_table`.
    """

    def __init__(self, d_model: int, layout: Literal["halves", "interleaved"] = "halves") -> None:
        super().__init__()
        self.d_model = d_model
        self.layout = layout
        # holds nothing, but knows the model's type wherever the model goes
        self.like = nn.Buffer(torch.empty(0), persistent=False)
        self._table: Tensor | None = None  # grows with the longest input seen

    def forward(self, positions: Tensor, longest: int) -> Tensor:
        """Look the vectors up.

        Args:
            positions: (length,) or (batch, length).
            longest: one more than the highest position.

        Returns:
            (length, d_model) or (batch, length, d_model).
        """
        table = self._table
        if (
            table is None
            or len(table) < longest
            or table.dtype != self.like.dtype
            or table.device != positions.device
        ):
            rows = 1 << (max(longest, 256) - 1).bit_length()  # powers of two: rarely made anew
            with torch.inference_mode(False):  # made while generating, it may serve training later
                table = sinusoidal_table(rows, self.d_model, self.layout)
                table = table.to(positions.device, self.like.dtype)
            self._table = table
        return table[positions]


class ShiftedPositions(SinusoidalPositions):
    """Sinusoidal positions that begin to count at `start`, which training can draw at random.

    A model that has seen its words at all numbers up to some limit meets no unknown number in a
    text that is longer than any it has seen.

    Args:
        d_model: width of the model, even.

    After "SHAPE: Shifted Absolute Position Embedding for Transformers" (Kiyono et al., 2021).
    """

    def __init__(self, d_model: int) -> None:
        super().__init__(d_model)
        self.start = 0

    def forward(self, positions: Tensor, longest: int) -> Tensor:
        """Look the vectors up.

        Args:
            positions: (length,) or (batch, length).
            longest: one more than the highest position.

        Returns:
            (length, d_model) or (batch, length, d_model).
        """
        return super().forward(positions + self.start, longest + self.start)


def relative_position_bucket(
    distance: Tensor, *, bidirectional: bool, num_buckets: int, max_distance: int
) -> Tensor:
    """Sort distances between query and key into buckets.

    Half of the buckets hold one distance each, the other half grow logarithmically up to
    `max_distance`; everything beyond falls into the last one. A bidirectional table spends half of
    its buckets on keys after the query; a causal one puts these all into bucket 0.

    Args:
        distance: key position minus query position, integers of any shape.
        bidirectional: whether keys after the query have buckets of their own.
        num_buckets: number of buckets.
        max_distance: from here on, all distances are the same.

    Returns:
        Bucket numbers, same shape.

    From "Exploring the Limits of Transfer Learning" (Raffel et al., 2020), section 2.1.
    """
    bucket = torch.zeros_like(distance)
    if bidirectional:
        num_buckets //= 2
        bucket = (distance > 0).long() * num_buckets
        distance = distance.abs()
    else:
        distance = (-distance).clamp(min=0)
    exact = num_buckets // 2
    growth = torch.log(distance.float() / exact) / math.log(max_distance / exact)
    # below `exact` the logarithm is negative or -inf, where a cast to integers is undefined: clamp
    logarithmic = exact + (growth.clamp(min=0) * (num_buckets - exact)).long()
    return bucket + torch.where(distance < exact, distance, logarithmic.clamp(max=num_buckets - 1))


class RelativePositionBias(nn.Module):
    """T5's positions: one learned number for each head and distance bucket, added to the scores.

    A stack has one such table, which all of its layers use.

    Args:
        num_heads: number of heads.
        num_buckets: number of distance buckets.
        max_distance: distance from which on all are the same.
        bidirectional: True in an encoder, False in a decoder.

    From "Exploring the Limits of Transfer Learning" (Raffel et al., 2020), section 2.1.
    """

    def __init__(
        self, num_heads: int, num_buckets: int, max_distance: int, *, bidirectional: bool
    ) -> None:
        super().__init__()
        self.num_buckets = num_buckets
        self.max_distance = max_distance
        self.bidirectional = bidirectional
        self.weight = nn.Parameter(torch.empty(num_buckets, num_heads))

    def forward(self, query_positions: Tensor, key_positions: Tensor) -> Tensor:
        """Compute the bias of every pair.

        Args:
            query_positions: (target,) or (batch, target).
            key_positions: (source,) or (batch, source).

        Returns:
            Bias, (1, heads, target, source) or (batch, heads, target, source).
        """
        keys, queries = key_positions[..., None, :], query_positions[..., :, None]
        distance = keys - queries  # (..., target, source)
        bucket = relative_position_bucket(
            distance,
            bidirectional=self.bidirectional,
            num_buckets=self.num_buckets,
            max_distance=self.max_distance,
        )
        bias = nn.functional.embedding(bucket, self.weight)  # (..., target, source, heads)
        if bias.dim() == 3:
            bias = bias[None]  # (1, target, source, heads)
        return bias.permute(0, 3, 1, 2)  # (batch or 1, heads, target, source)


class RotaryPositions(nn.Module):
    """Rotate queries and keys by an angle that grows with their position.

    The product of a rotated query and a rotated key depends only on how far apart they stand.
    Pairs are the first and second half of the head's width, as in Llama and Gemma.

    Args:
        d_kv: width of one head, even.
        base: the slowest pair turns once in about 2π · `base` positions.

    Raises:
        ValueError: if `d_kv` is odd.

    From "RoFormer" (Su et al., 2021), section 3.2.
    """

    def __init__(self, d_kv: int, base: float = 10000.0) -> None:
        super().__init__()
        if d_kv % 2:
            raise ValueError(f"d_kv={d_kv} must be even: rotary positions turn pairs of numbers")
        self.d_kv = d_kv
        self.base = base

    def angles(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Compute cosines and sines once, for all layers.

        Args:
            positions: (length,) or (batch, length).

        Returns:
            Cosines and sines, each (length, d_kv / 2) or (batch, 1, length, d_kv / 2), float32.
        """
        exponents = (
            torch.arange(0, self.d_kv, 2, device=positions.device, dtype=torch.float32) / self.d_kv
        )
        angles = positions[..., None].float() * self.base**-exponents  # (..., length, d_kv / 2)
        if angles.dim() == 3:
            angles = angles[:, None]  # (batch, 1, length, d_kv / 2): the same for all heads
        return angles.cos(), angles.sin()

    @staticmethod
    def rotate(states: Tensor, angles: tuple[Tensor, Tensor]) -> Tensor:
        """Turn queries or keys.

        Args:
            states: (batch, heads, length, d_kv).
            angles: from `angles`.

        Returns:
            (batch, heads, length, d_kv).
        """
        cosines, sines = angles
        first, second = states.float().chunk(2, dim=-1)  # 2 × (batch, heads, length, d_kv / 2)
        turned = torch.cat(
            [first * cosines - second * sines, second * cosines + first * sines], dim=-1
        )
        return turned.to(states.dtype)  # (batch, heads, length, d_kv)
