import pytest
import torch

from encdec.masks import (
    causal_mask,
    check_attention_mask,
    for_attention,
    left_padding,
    padding_mask,
    prefix_lm_mask,
)


def table(text):
    return torch.tensor([[mark == "x" for mark in line] for line in text.split()])


def test_padding_mask_by_value():
    mask = padding_mask(torch.tensor([[5, 6, 0], [7, 0, 0]]), pad_token_id=0)
    assert torch.equal(mask, table("xx. x.."))


def test_causal_mask_by_value():
    assert torch.equal(causal_mask(3), table("x.. xx. xxx"))


def test_causal_mask_after_a_cache_ends_at_the_last_key():
    assert torch.equal(causal_mask(2, 4), table("xxx. xxxx"))


def test_causal_mask_needs_a_key_for_every_query():
    with pytest.raises(ValueError, match="source=2 is smaller than target=3"):
        causal_mask(3, 2)


def test_prefix_lm_mask_by_value():
    mask = prefix_lm_mask(torch.tensor([2, 0]), 4)
    assert mask.shape == (2, 1, 4, 4)
    assert torch.equal(mask[0, 0], table("xx.. xx.. xxx. xxxx"))
    assert torch.equal(mask[1, 0], causal_mask(4))


def test_prefix_lm_mask_refuses_a_prefix_longer_than_the_text():
    with pytest.raises(ValueError, match=r"prefix_lengths=\[5\].*length=4"):
        prefix_lm_mask(torch.tensor([5]), 4)


def test_tokenizer_masks_become_boolean():
    ids = torch.ones(2, 3, dtype=torch.long)
    mask = check_attention_mask(torch.tensor([[1, 1, 0], [1, 0, 0]]), ids)
    assert torch.equal(mask, table("xx. x.."))


@pytest.mark.parametrize(
    ("mask", "complaint"),
    [
        (torch.ones(2, 4), r"attention_mask has shape \(2, 4\).*input_ids has shape \(2, 3\)"),
        (torch.tensor([[1, 1, 1], [0, 0, 0]]), r"no real token in row\(s\) \[1\]"),
        (torch.tensor([[0.0, -10000.0, 0.0]] * 2), "only 0 and 1.*-10000"),
    ],
)
def test_a_wrong_mask_is_named(mask, complaint):
    with pytest.raises(ValueError, match=complaint):
        check_attention_mask(mask, torch.ones(2, 3, dtype=torch.long))


def test_left_padding_is_counted_and_other_padding_refused():
    assert left_padding(table(".xx xxx")).tolist() == [1, 0]
    assert left_padding(table("xxx xxx")) is None
    with pytest.raises(ValueError, match=r"row\(s\) \[1\].*pad on the left"):
        left_padding(table(".xx xx."))


def test_a_mask_without_padding_says_nothing():
    assert for_attention(None) is None
    assert for_attention(table("xx xx")) is None
    assert for_attention(table("x. xx")).shape == (2, 1, 1, 2)
