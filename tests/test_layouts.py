import json

import pytest
import torch
from safetensors.torch import load_file

from encdec.layouts import from_hugging_face, read_config, to_hugging_face, write_config
from tiny import FAMILIES, folder, ours


def stored(family):
    path = folder(family)
    given = json.loads((path / "config.json").read_text(encoding="utf8"))
    advice = json.loads((path / "generation_config.json").read_text(encoding="utf8"))
    return read_config(given, advice), load_file(path / "model.safetensors")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_configuration_survives_being_written_and_read(family):
    config = ours(family).config
    again = read_config(*write_config(config))
    for name in ("d_model", "d_ff", "num_heads", "num_layers", "norm", "positions", "activation"):
        assert getattr(again, name) == getattr(config, name), name


@pytest.mark.parametrize("family", FAMILIES)
def test_tensors_survive_both_ways(family):
    model = ours(family)
    given = to_hugging_face(model.config, model.state_dict())
    again = from_hugging_face(model.config, given)
    assert again.keys() <= model.state_dict().keys()
    for name, tensor in again.items():
        assert torch.equal(tensor, model.state_dict()[name]), name


def test_a_tensor_that_is_not_known_is_named():
    config, tensors = stored("bart")
    with pytest.raises(ValueError, match=r"model\.encoder\.surprise"):
        from_hugging_face(config, tensors | {"model.encoder.surprise": torch.zeros(1)})


def test_a_missing_tensor_is_named():
    config, tensors = stored("bart")
    del tensors["model.encoder.layers.0.fc1.weight"]
    with pytest.raises(ValueError, match=r"model\.encoder\.layers\.0\.fc1\.weight"):
        from_hugging_face(config, tensors)


def test_an_unknown_model_type_names_the_known_ones():
    with pytest.raises(ValueError, match="model_type='rwkv' is not supported; supported are .*t5"):
        read_config({"model_type": "rwkv"})
