"""Speculative search writes what greedy search writes, whatever the draft thinks."""

import pytest
import torch

from encdec import EncoderDecoder, TransformerConfig
from encdec.decoding import greedy_search
from encdec.distillation import shallow
from encdec.speculative import speculative_search


def make(seed, vocab=12):
    torch.manual_seed(seed)
    config = TransformerConfig.family(
        "marian", vocab_size=vocab, d_model=16, d_ff=32, num_heads=2, num_layers=2, init_std=0.5
    )
    return EncoderDecoder(config).eval()


@pytest.mark.parametrize("ahead", [1, 2, 5])
@pytest.mark.parametrize("seed", range(8))
def test_the_tokens_are_those_of_greedy_search(ahead, seed):
    model, ids = (
        make(seed),
        torch.randint(2, 10, (1, 6), generator=torch.Generator().manual_seed(seed)),
    )
    wanted = greedy_search(model, ids, max_new_tokens=15).sequences
    for draft in (model, make(seed + 100), shallow(model)):
        output = speculative_search(model, draft, ids, ahead=ahead, max_new_tokens=15)
        assert output.sequences.tolist() == wanted.tolist()
        assert output.accepted <= output.proposed
        if draft is model:
            assert output.accepted == output.proposed


def test_a_draft_that_is_always_right_saves_calls():
    model, ids = make(0), torch.tensor([[2, 3, 4]])
    length = greedy_search(model, ids, max_new_tokens=12).sequences.shape[1] - 1
    calls = speculative_search(model, model, ids, ahead=3, max_new_tokens=12).calls
    assert calls == -(-length // 4)


def test_bad_input_is_refused():
    model = make(0)
    with pytest.raises(ValueError, match="2 rows"):
        speculative_search(model, model, torch.ones(2, 3, dtype=torch.long))
    with pytest.raises(ValueError, match="one vocabulary"):
        speculative_search(model, make(0, 13), torch.ones(1, 3, dtype=torch.long))
    with pytest.raises(ValueError, match="ahead=0"):
        speculative_search(model, model, torch.ones(1, 3, dtype=torch.long), ahead=0)
