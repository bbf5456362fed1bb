"""What a model takes: counted where it can be counted."""

import pytest
import torch

from encdec import costs, measuring
from encdec.compare import SYSTEMS
from encdec.config import TransformerConfig
from encdec.hybrids import PromptedDecoder
from encdec.recurrent import RecurrentConfig, RecurrentEncoderDecoder
from encdec.transformer import EncoderDecoder

SIZES = {"vocab_size": 40, "d_model": 16, "d_ff": 24, "num_heads": 2}


def transformer(kind, layers):
    config = TransformerConfig.family("pegasus", num_layers=layers, num_decoder_layers=2, **SIZES)
    return kind(config).eval()


def recurrent(attention="dot"):
    return RecurrentEncoderDecoder(
        RecurrentConfig(vocab_size=40, d_model=16, num_layers=2, attention=attention)
    ).eval()


def test_the_peak_is_what_lives_at_the_same_time():
    with measuring.PeakMemory(held=7) as memory:
        a = torch.ones(100)
        b = a + a  # 800 bytes now
        del a
        c = b * b
        view = c.view(10, 10)
        view.mul_(2)  # nothing new
        del b
        d = torch.ones(50)
    assert memory.peak == 7 + 800
    assert memory.now == 7 + 400 + 200
    del c, view, d
    assert memory.now == 7


def test_a_large_tensor_that_was_freed_still_counts():
    with measuring.PeakMemory() as memory:
        torch.ones(1000).sum()
        torch.ones(10).sum()
    assert 4000 <= memory.peak <= 4008


@pytest.mark.parametrize(("kind", "layers"), [(EncoderDecoder, 2), (PromptedDecoder, 0)])
def test_the_cache_is_as_large_as_the_ledger_says(kind, layers):
    model = transformer(kind, layers)
    found = measuring.decoding(model, 9, 5, batch=3, repeats=1)
    if layers:
        expected = costs.encoder_decoder(model.config, 9, 5, batch=3).total_cache
    else:  # source, start token and all but the last of what is written
        expected = costs.decoder_only(model.config, 10, 5, batch=3).total_cache
    assert found["cache_bytes"] == expected
    assert found["peak_bytes"] > found["cache_bytes"] + measuring.weight_bytes(model)


def test_a_recurrent_cache_does_not_grow_with_the_output():
    model = recurrent()
    short, long = (measuring.decoding(model, 9, n, batch=2, repeats=1) for n in (1, 8))
    assert short["cache_bytes"] == long["cache_bytes"]
    wider = measuring.decoding(model, 18, 1, batch=2, repeats=1)
    assert wider["cache_bytes"] - short["cache_bytes"] == 2 * 9 * 16 * 4 * 2  # states and keys


def test_a_step_of_training_needs_more_for_longer_texts():
    model = transformer(EncoderDecoder, 2).train()
    short, long = (measuring.training_memory(model, n, n, batch=2) for n in (4, 32))
    assert long > short > 4 * measuring.weight_bytes(model)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_what_is_no_cache_is_refused():
    with pytest.raises(TypeError, match="list"):
        measuring.cache_bytes([])
    with pytest.raises(ValueError, match="repeats=0"):
        measuring.median_seconds(lambda: None, 0, torch.device("cpu"))


def test_all_systems_can_be_measured():
    assert set(SYSTEMS) >= {"lstm", "encoder-decoder", "decoder-only", "prefix-lm", "shared"}
