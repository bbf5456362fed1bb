import math

import torch

from encdec.stacks import Record, add_mask
from tiny import batch, ours


def test_a_mask_makes_a_bias_impossible_and_leaves_the_rest():
    bias = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    mask = torch.tensor([[True, False], [True, True]])
    assert add_mask(bias, mask).tolist() == [[1.0, -math.inf], [3.0, 4.0]]
    assert add_mask(bias, None) is bias


def test_a_record_holds_one_entry_a_layer_and_the_embeddings():
    model = ours("bart")
    ids, mask = batch("bart", [6, 4])
    record = Record(attentions=True, states=True)
    states = model.encode(ids, mask, record=record)
    model.decode(ids[:, :3], states, mask, record=record)
    config = model.config
    assert len(record.encoder_attentions) == config.num_layers
    assert len(record.encoder_states) == config.num_layers + 1
    assert len(record.decoder_attentions) == len(record.cross_attentions)
    assert len(record.cross_attentions) == config.num_decoder_layers
    assert record.cross_attentions[0].shape[-2:] == (3, 6)
    torch.testing.assert_close(record.encoder_states[-1], states)


def test_recorded_attention_is_a_distribution_and_the_result_is_the_same():
    model = ours("t5")
    ids, mask = batch("t5", [6, 4])
    record = Record()
    torch.testing.assert_close(model.encode(ids, mask, record=record), model.encode(ids, mask))
    for weights in record.encoder_attentions:
        torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))
        assert weights[1, :, :, 4:].abs().max() == 0  # padding is not looked at
