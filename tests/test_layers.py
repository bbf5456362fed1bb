import pytest
import torch

from encdec.config import TransformerConfig
from encdec.layers import (
    ACTIVATIONS,
    DecoderLayer,
    EncoderLayer,
    FeedForward,
    Residual,
    RMSNorm,
    clamp_half,
    make_norm,
)


def config(**changes):
    return TransformerConfig(vocab_size=9, d_model=8, d_ff=16, num_heads=2, dropout=0.0, **changes)


def randn(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_rms_norm_by_its_formula():
    norm = RMSNorm(8, eps=1e-6)
    torch.nn.init.normal_(norm.weight)
    states = randn(2, 3, 8) * 5
    expected = states / (states.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt() * norm.weight
    torch.testing.assert_close(norm(states), expected)


def test_rms_norm_leaves_the_mean_where_it_is():
    states = randn(1, 1, 8) + 10
    assert RMSNorm(8)(states).mean() > 0.9
    assert abs(torch.nn.LayerNorm(8)(states).mean()) < 1e-6


def test_a_configuration_gets_the_norm_it_asks_for():
    assert isinstance(make_norm(config(norm="rms_norm")), RMSNorm)
    assert isinstance(make_norm(config(norm="layer_norm")), torch.nn.LayerNorm)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gated_feed_forward_multiplies_two_projections(activation):
    layer = FeedForward(config(gated=True, activation=activation), 16)
    states = randn(1, 2, 8)
    gate, passed = layer.wi.weight.chunk(2), layer.wi.bias.chunk(2)
    first = ACTIVATIONS[activation](states @ gate[0].t() + passed[0])
    expected = (first * (states @ gate[1].t() + passed[1])) @ layer.wo.weight.t() + layer.wo.bias
    torch.testing.assert_close(layer(states), expected)


@pytest.mark.parametrize("norm_first", [True, False])
def test_residual_normalises_where_it_is_told(norm_first):
    frame = Residual(config(norm_first=norm_first))
    states, made = randn(1, 2, 8) * 3 + 1, randn(1, 2, 8)
    if norm_first:
        assert torch.equal(frame.before(states), frame.norm(states))
        assert torch.equal(frame.after(states, made), states + made)
    else:
        assert frame.before(states) is states
        assert torch.equal(frame.after(states, made), frame.norm(states + made))


def test_half_precision_states_stay_finite():
    states = torch.tensor([float("inf"), -float("inf"), 1.0], dtype=torch.float16)
    assert clamp_half(states).isfinite().all()
    assert clamp_half(torch.tensor([float("inf")])).isinf().all()


@pytest.mark.parametrize("norm_first", [True, False])
def test_properties_layers_treat_positions_alike_without_positions(norm_first):
    layer = EncoderLayer(config(norm_first=norm_first)).eval()
    states, order = randn(1, 5, 8), torch.tensor([3, 1, 4, 0, 2])
    torch.testing.assert_close(layer(states)[:, order], layer(states[:, order]))


def test_a_decoder_layer_without_a_source_has_nothing_to_project():
    with pytest.raises(ValueError, match="cross=False"):
        DecoderLayer(config(), cross=False).project(randn(1, 2, 8))
