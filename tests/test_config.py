import dataclasses

import pytest

from encdec.config import FAMILIES, TransformerConfig, as_ids


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_can_be_described(name):
    config = TransformerConfig.family(name, vocab_size=50, d_model=16, num_heads=2)
    assert config.d_kv == 8
    assert config.num_decoder_layers == config.num_layers


def test_marian_pads_and_starts_with_its_last_token():
    config = TransformerConfig.family("marian", vocab_size=50)
    assert (config.pad_token_id, config.decoder_start_token_id) == (49, 49)
    config = TransformerConfig.family("marian", vocab_size=50, decoder_vocab_size=60)
    assert config.pad_token_id == 59


def test_a_description_does_not_change():
    config = TransformerConfig(vocab_size=5)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.d_model = 3
    assert dataclasses.replace(config, d_kv=7).d_kv == 7


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"vocab_size": 0}, "vocab_size=0 must be at least 1"),
        ({"num_heads": 0}, "num_heads=0 must be at least 1"),
        ({"norm": "batch"}, "norm='batch' must be one of layer_norm, rms_norm"),
        ({"positions": "guessed"}, "positions='guessed' must be one of relative"),
        ({"activation": "tanh"}, "activation='tanh' must be one of relu"),
        ({"dropout": 1.0}, "dropout=1.0 must be at least 0 and less than 1"),
        ({"positions": "learned", "max_positions": None}, "max_positions=None must be at least 1"),
        ({"positions": "sinusoidal", "d_model": 15}, "d_model=15.*must be even"),
        ({"decoder_vocab_size": 0}, "decoder_vocab_size=0 must be at least 1"),
    ],
)
def test_an_impossible_description_is_refused_by_name(changes, complaint):
    with pytest.raises(ValueError, match=complaint):
        TransformerConfig(**{"vocab_size": 9, **changes})


def test_an_unknown_family_or_field_is_named():
    with pytest.raises(ValueError, match="family 'llama' is unknown"):
        TransformerConfig.family("llama", vocab_size=9)
    with pytest.raises(TypeError, match="'n_heads' is no field"):
        TransformerConfig.family("t5", vocab_size=9, n_heads=2)


def test_ids_come_in_one_form():
    assert as_ids(None) == ()
    assert as_ids(3) == (3,)
    assert as_ids([3, 4]) == (3, 4)
    assert TransformerConfig(vocab_size=9, eos_token_id=(1, 2)).eos_token_ids == (1, 2)
