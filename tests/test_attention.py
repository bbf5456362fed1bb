import math

import pytest
import torch
import torch.nn.functional as F

from encdec.attention import (
    AdditiveAttention,
    MultiHeadAttention,
    scaled_dot_product_attention,
)
from encdec.cache import KVCache
from encdec.masks import causal_mask


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


MASKS = {
    "none": None,
    "boolean": randn(2, 1, 4, 5, seed=5) > -0.5,
    "additive": randn(2, 3, 4, 5, seed=6),
}


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("scale", [None, 1.0])
def test_parity_of_the_written_out_attention_with_the_fused_kernel(mask, scale):
    query, key, value = randn(2, 3, 4, 6), randn(2, 3, 5, 6, seed=1), randn(2, 3, 5, 6, seed=2)
    mixed, weights = scaled_dot_product_attention(query, key, value, mask, scale=scale)
    fused = F.scaled_dot_product_attention(query, key, value, mask, scale=scale)
    torch.testing.assert_close(mixed, fused, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3, 4))


def test_properties_weights_are_zero_where_forbidden():
    mask = causal_mask(4)
    _, weights = scaled_dot_product_attention(*randn(3, 1, 1, 4, 8), mask)
    assert (weights[0, 0][~mask] == 0).all()
    assert (weights[0, 0][mask] > 0).all()


def test_properties_a_query_that_may_see_nothing_gets_zeros_not_nan():
    mask = torch.zeros(1, 1, 2, 3, dtype=torch.bool)
    query, key, value = randn(1, 1, 2, 4), randn(1, 1, 3, 4), randn(1, 1, 3, 4)
    mixed, weights = scaled_dot_product_attention(query, key, value, mask)
    assert (mixed == 0).all()
    assert (weights == 0).all()
    assert not F.scaled_dot_product_attention(query, key, value, mask).isnan().any()


def test_scale_keeps_the_variance_of_scores():
    query, key = randn(1, 1, 400, 64), randn(1, 1, 400, 64, seed=1)
    scores = query @ key.transpose(2, 3) * 64**-0.5
    assert scores.std().item() == pytest.approx(1.0, abs=0.1)


def test_parity_of_multi_head_attention_with_torchs_own():
    ours = MultiHeadAttention(12, 3)
    torchs = torch.nn.MultiheadAttention(12, 3, batch_first=True)
    with torch.no_grad():
        torchs.in_proj_weight.copy_(ours.qkv.weight)
        torchs.in_proj_bias.copy_(ours.qkv.bias)
        torchs.out_proj.weight.copy_(ours.out.weight)
        torchs.out_proj.bias.copy_(ours.out.bias)
    states = randn(2, 5, 12)
    expected, weights = torchs(states, states, states, average_attn_weights=False)
    attentions = []
    torch.testing.assert_close(ours(states), expected, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(ours(states, attentions=attentions), expected, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(attentions[0], weights, atol=1e-6, rtol=1e-5)


def test_heads_may_be_wider_together_than_the_model():
    attention = MultiHeadAttention(8, 3, 5, bias=False)
    assert attention(randn(2, 4, 8)).shape == (2, 4, 8)
    assert attention.qkv.weight.shape == (45, 8)


def test_heads_must_divide_the_model_unless_their_width_is_given():
    with pytest.raises(ValueError, match="num_heads=3 must divide d_model=8"):
        MultiHeadAttention(8, 3)


@pytest.mark.parametrize("wants_weights", [False, True])
def test_properties_beams_share_their_sentences_memory(wants_weights):
    attention = MultiHeadAttention(8, 2, cross=True).eval()
    encoded = randn(2, 5, 8)
    mask = torch.tensor([[True] * 5, [True, True, False, False, False]])[:, None, None]
    states = randn(6, 3, 8, seed=1)  # three beams for each of two sentences
    shared, repeated = ([], []) if wants_weights else (None, None)
    got = attention(states, mask, memory=attention.project(encoded), attentions=shared)
    wanted = attention(
        states,
        mask.repeat_interleave(3, 0),
        memory=attention.project(encoded.repeat_interleave(3, 0)),
        attentions=repeated,
    )
    torch.testing.assert_close(got, wanted, atol=1e-6, rtol=1e-5)
    if wants_weights:
        assert shared[0].shape == (6, 2, 3, 5)
        torch.testing.assert_close(shared[0], repeated[0], atol=1e-6, rtol=1e-5)


def test_cross_attention_says_what_it_needs():
    with pytest.raises(ValueError, match="memory is missing"):
        MultiHeadAttention(8, 2, cross=True)(randn(1, 2, 8))


def test_properties_cached_attention_equals_uncached():
    attention = MultiHeadAttention(8, 2).eval()
    states = randn(2, 6, 8)
    whole = attention(states, is_causal=True)
    cache, parts = KVCache(1), []
    for start, end in ((0, 3), (3, 4), (4, 6)):
        mask = causal_mask(end - start, end)
        parts.append(attention(states[:, start:end], mask, cache=cache))
        cache.advance(end - start)
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-6, rtol=1e-5)


def test_dropout_acts_in_training_only():
    attention = MultiHeadAttention(8, 2, dropout=0.5)
    states = randn(1, 4, 8)
    assert not torch.equal(attention(states), attention(states))
    attention.eval()
    assert torch.equal(attention(states), attention(states))


def test_additive_attention_by_the_papers_formula():
    attention = AdditiveAttention(3, 4, 5)
    query, keys = randn(2, 1, 3), randn(2, 6, 4)
    mask = torch.tensor([[True] * 6, [True, True, True, False, False, False]])
    context, weights = attention(query, attention.project(keys), keys, mask)
    for row in range(2):
        scores = torch.stack(
            [
                attention.score(
                    torch.tanh(
                        attention.query.weight @ query[row, 0]
                        + attention.key.weight @ keys[row, place]
                        + attention.key.bias
                    )
                )[0]
                for place in range(6)
            ]
        )
        scores[~mask[row]] = -math.inf
        expected = scores.softmax(0)
        torch.testing.assert_close(weights[row, 0], expected)
        torch.testing.assert_close(context[row, 0], expected @ keys[row])
