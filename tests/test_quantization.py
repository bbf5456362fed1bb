"""Rounding stays within half a unit, and costs the bytes it says."""

import pytest
import torch

from encdec.quantization import quantize, rounded


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("per_row", [True, False])
def test_no_value_is_further_away_than_half_a_scale(bits, per_row):
    weight = (
        torch.randn(7, 5, generator=torch.Generator().manual_seed(0)) * torch.arange(1, 8)[:, None]
    )
    found = quantize(weight, bits, per_row=per_row)
    assert found.values.abs().max() == 2 ** (bits - 1) - 1
    assert bool(((found.restore() - weight).abs() <= found.scale / 2 + 1e-6).all())
    assert found.scale.shape == ((7, 1) if per_row else (1, 1))


def test_a_large_row_harms_the_others_only_where_the_scale_is_shared():
    weight = torch.tensor([[0.01, -0.02], [10.0, 5.0]])
    shared, own = (quantize(weight, per_row=each).restore() for each in (False, True))
    assert shared[0].tolist() == [0.0, 0.0]
    assert torch.allclose(own[0], weight[0], atol=1e-4)


def test_a_row_of_zeros_stays_zero():
    assert quantize(torch.zeros(2, 3)).restore().tolist() == [[0.0] * 3] * 2


def test_four_bits_are_packed_two_to_a_byte():
    assert quantize(torch.ones(2, 3), 4).nbytes == 3 + 2 * 4
    assert quantize(torch.ones(2, 3), 8, per_row=False).nbytes == 6 + 4


def test_a_model_is_copied_and_a_shared_weight_counts_once():
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
    model[1].weight = model[0].weight
    before = model[0].weight.clone()
    twin, size = rounded(model)
    assert torch.equal(model[0].weight, before)
    assert torch.equal(twin[0].weight, quantize(before).restore())
    assert twin[0].weight is twin[1].weight
    assert size == 9 + 3 * 4 + 2 * 3 * 4


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="bits=9"):
        quantize(torch.ones(1, 1), 9)
    with pytest.raises(ValueError, match="should be a matrix"):
        quantize(torch.ones(3))
