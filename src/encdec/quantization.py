"""Weights in fewer bits: each row of a matrix as small integers and one scale.

Shape letters: `rows` outputs of a linear map, `columns` its inputs.
"""

from __future__ import annotations

import copy
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn

Model = TypeVar("Model", bound=nn.Module)


class Quantized(NamedTuple):
    """A matrix as integers and scales.

    Args:
        values: (rows, columns), int8, whatever the number of bits.
        scale: what one unit stands for, (rows, 1), or (1, 1) for one scale in all.
        bits: bits of one value.
    """

    values: Tensor
    scale: Tensor
    bits: int

    @property
    def nbytes(self) -> int:
        """Bytes of values, packed tightly, and of scales, four each."""
        return (self.values.numel() * self.bits + 7) // 8 + 4 * self.scale.numel()

    def restore(self) -> Tensor:
        """The matrix again, rounded: (rows, columns), float32."""
        return self.values * self.scale


def quantize(weight: Tensor, bits: int = 8, *, per_row: bool = True) -> Quantized:
    """Round a matrix to integers, symmetrically around 0.

    Args:
        weight: (rows, columns).
        bits: 2 to 8; with b bits the integers go from -(2^(b-1) - 1) to 2^(b-1) - 1.
        per_row: one scale for each row instead of one for the matrix.

    Returns:
        Integers and scales; no value is further from the original than half a scale.

    Raises:
        ValueError: the bits are out of range, or the weight is no matrix.
    """
    if not 2 <= bits <= 8:
        raise ValueError(f"bits={bits}: a value takes 2 to 8 bits here.")
    if weight.ndim != 2:
        raise ValueError(f"weight has the shape {tuple(weight.shape)}, and should be a matrix.")
    weight = weight.detach().float()
    largest = weight.abs().amax(dim=1, keepdim=True) if per_row else weight.abs().max().view(1, 1)
    most = 2 ** (bits - 1) - 1
    scale = (largest / most).clamp_min(torch.finfo(torch.float32).tiny)  # (rows, 1) or (1, 1)
    values = (weight / scale).round().clamp(-most, most).to(torch.int8)
    return Quantized(values, scale, bits)


@torch.no_grad()
def rounded(model: Model, bits: int = 8, *, per_row: bool = True) -> tuple[Model, int]:
    """Copy a model and round all its matrices, tables of embeddings included.

    The copy computes in float32 with the rounded weights: it shows what rounding does to the
    output, not what integers do to the time.

    Args:
        model: any module.
        bits: 2 to 8.
        per_row: one scale for each row instead of one for each matrix.

    Returns:
        The copy, and the bytes that its weights would take: matrices as integers with scales, the
        rest in float32; a weight that two names share counts once.

    Raises:
        ValueError: the bits are out of range.
    """
    twin = copy.deepcopy(model)
    size = 0
    for weight in twin.parameters():
        if weight.ndim == 2:
            found = quantize(weight, bits, per_row=per_row)
            weight.copy_(found.restore())
            size += found.nbytes
        else:
            size += 4 * weight.numel()
    return twin, size
