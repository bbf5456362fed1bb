import math

import pytest
import torch

from encdec.positions import (
    LearnedPositions,
    RelativePositionBias,
    RotaryPositions,
    ShiftedPositions,
    SinusoidalPositions,
    relative_position_bucket,
    sinusoidal_table,
)


@pytest.mark.parametrize("layout", ["halves", "interleaved"])
def test_sinusoids_by_the_papers_formula(layout):
    d_model = 6
    table = sinusoidal_table(50, d_model, layout)
    for position in (0, 1, 17, 49):
        for pair in range(d_model // 2):
            angle = position / 10000 ** (2 * pair / d_model)
            sine, cosine = (
                (pair, pair + d_model // 2) if layout == "halves" else (2 * pair, 2 * pair + 1)
            )
            assert table[position, sine].item() == pytest.approx(math.sin(angle), abs=1e-6)
            assert table[position, cosine].item() == pytest.approx(math.cos(angle), abs=1e-6)


def test_sinusoids_need_an_even_width_and_a_known_layout():
    with pytest.raises(ValueError, match="d_model=5 must be even"):
        sinusoidal_table(3, 5)
    with pytest.raises(ValueError, match="layout='backwards'"):
        sinusoidal_table(3, 4, "backwards")


def test_sinusoidal_positions_grow_without_limit_and_follow_the_model():
    positions = SinusoidalPositions(8)
    far = positions(torch.tensor([5000]), 5001)
    assert torch.allclose(far[0], sinusoidal_table(5001, 8)[5000])
    assert positions.to(torch.bfloat16)(torch.tensor([3]), 4).dtype == torch.bfloat16
    assert list(positions.state_dict()) == []


def test_learned_positions_skip_the_offset():
    positions = LearnedPositions(3, 2, offset=2)
    torch.nn.init.normal_(positions.weight)
    assert torch.equal(positions(torch.arange(3), 3), positions.weight[2:])


def test_learned_positions_end_with_a_clear_error():
    with pytest.raises(ValueError, match="4 tokens is longer than the max_positions=3"):
        LearnedPositions(3, 2)(torch.arange(4), 4)


def test_near_distances_have_buckets_of_their_own_and_far_ones_share():
    distance = -torch.arange(200)
    buckets = relative_position_bucket(
        distance, bidirectional=False, num_buckets=32, max_distance=128
    )
    assert buckets[:16].tolist() == list(range(16))
    assert (buckets[1:] >= buckets[:-1]).all()
    assert set(buckets[128:].tolist()) == {31}
    assert buckets.max() == 31


def test_causal_buckets_do_not_tell_the_future_apart():
    buckets = relative_position_bucket(
        torch.arange(1, 50), bidirectional=False, num_buckets=32, max_distance=128
    )
    assert set(buckets.tolist()) == {0}


def test_bidirectional_buckets_tell_left_from_right():
    distance = torch.arange(-60, 61)
    buckets = relative_position_bucket(
        distance, bidirectional=True, num_buckets=32, max_distance=128
    )
    left, right = buckets[:60], buckets[61:]
    assert (left < 16).all()
    assert torch.equal(right.flip(0) - 16, left)


def test_relative_bias_depends_on_distance_alone():
    bias = RelativePositionBias(2, 8, 16, bidirectional=False)
    torch.nn.init.normal_(bias.weight)
    here = torch.arange(9)
    full = bias(here, here)
    assert full.shape == (1, 2, 9, 9)
    shifted = bias(here + 100, here + 100)
    assert torch.equal(full, shifted)
    # the last row holds all others: this is what decoding step by step relies on
    for row in range(9):
        assert torch.equal(full[0, :, row, : row + 1], full[0, :, 8, 8 - row :])


def test_rotary_products_depend_on_distance_alone():
    rotary = RotaryPositions(8)
    query, key = torch.randn(2, 1, 1, 1, 8, generator=torch.Generator().manual_seed(0))

    def product(at, other):
        turned = rotary.rotate(query, rotary.angles(torch.tensor([at])))
        return (turned * rotary.rotate(key, rotary.angles(torch.tensor([other])))).sum().item()

    assert product(3, 1) == pytest.approx(product(103, 101), abs=1e-4)
    assert product(3, 1) != pytest.approx(product(3, 2), abs=1e-2)
    assert product(0, 0) == pytest.approx((query * key).sum().item(), abs=1e-5)


def test_rotary_needs_pairs():
    with pytest.raises(ValueError, match="d_kv=5 must be even"):
        RotaryPositions(5)


def test_shifted_positions_count_from_where_they_are_told():
    shifted, plain = ShiftedPositions(8), SinusoidalPositions(8)
    positions = torch.arange(5)
    assert torch.equal(shifted(positions, 5), plain(positions, 5))
    shifted.start = 300
    assert torch.equal(shifted(positions, 5), plain(positions + 300, 305))
