import json

import pytest
import torch

import tiny
from encdec import EncoderDecoder, export, generate
from encdec.config import TransformerConfig
from encdec.export import ExportError, Weights
from encdec.exported import ExportedModel
from encdec.quantization import quantize
from encdec.tokenizer import train_tokenizer

onnx = pytest.importorskip("onnx", reason="the package onnx is not installed")
pytest.importorskip("onnxruntime", reason="the package onnxruntime is not installed")


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(["We see the sea.", "You see the house."], 40)


def small(**changes):
    sizes = {"vocab_size": 37, "d_model": 16, "num_layers": 2, "num_heads": 2, "d_ff": 24}
    return EncoderDecoder(TransformerConfig(**{**sizes, **changes})).eval()


@pytest.mark.parametrize("family", tiny.ENCODER_DECODERS)
def test_an_export_in_floats_writes_what_pytorch_writes(family, tokenizer, tmp_path):
    model = tiny.ours(family)
    export.export(model, tokenizer, tmp_path, bits=32)
    exported = ExportedModel(tmp_path)
    # longer than T5's farthest bucket, so that every distance occurs
    for length, options in ((1, {}), (5, {"num_beams": 3}), (20, {"num_beams": 2}), (20, {})):
        ids, _ = tiny.batch(family, [length], seed=length)
        first = generate(model, ids, max_new_tokens=18, **options)
        second = generate(exported, ids, max_new_tokens=18, **options)
        assert first.sequences.tolist() == second.sequences.tolist()
        torch.testing.assert_close(first.scores, second.scores, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "swish", "relu"])
@pytest.mark.parametrize("positions", ["relative", "learned", "sinusoidal", "none"])
def test_logits_are_the_same_whatever_the_parts(activation, positions, tokenizer, tmp_path):
    torch.manual_seed(0)
    model = small(activation=activation, positions=positions, norm_first=positions == "relative")
    export.export(model, tokenizer, tmp_path, bits=32)
    source, target = torch.randint(0, 37, (1, 9)), torch.randint(0, 37, (1, 12))
    exported = ExportedModel(tmp_path)
    prompt, cache = exported.start(source, prompt=target)
    steps = [exported.step(prompt[:, [i]], cache) for i in range(target.shape[1])]
    with torch.no_grad():
        expected = model(source, decoder_input_ids=target)
    torch.testing.assert_close(torch.stack(steps, dim=1), expected, rtol=1e-4, atol=1e-4)


def test_what_cross_attention_looked_at_is_the_same(tokenizer, tmp_path):
    model = tiny.ours("marian")
    export.export(model, tokenizer, tmp_path, bits=32)
    ids, _ = tiny.batch("marian", [7])
    options = {"max_new_tokens": 9, "num_beams": 3, "output_attentions": True}
    first = generate(model, ids, **options).attentions.cross
    second = generate(ExportedModel(tmp_path), ids, **options).attentions.cross
    torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-5)
    assert first.shape[-1] == 7


def test_an_export_in_integers_computes_with_the_rounded_weights(tokenizer, tmp_path):
    torch.manual_seed(0)
    model = small(positions="sinusoidal")
    export.export(model, tokenizer, tmp_path / "8", bits=8)
    with torch.no_grad():  # the same rounding, done in PyTorch
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.copy_(quantize(parameter).restore())
    ids = torch.randint(0, 37, (1, 6))
    exported = ExportedModel(tmp_path / "8")
    prompt, cache = exported.start(ids, prompt=torch.tensor([[0]]))
    with torch.no_grad():
        expected = model(ids, decoder_input_ids=prompt)[:, 0]
    torch.testing.assert_close(exported.step(prompt, cache), expected, rtol=1e-4, atol=1e-4)


def test_a_table_that_both_graphs_read_stands_in_the_file_once(tokenizer, tmp_path):
    model = small(positions="sinusoidal")
    sizes = export.export(model, tokenizer, tmp_path, bits=8)
    matrices = {p.data_ptr(): p.numel() for p in model.parameters() if p.dim() == 2}
    assert sum(matrices.values()) <= sizes["weights.bin"] < sum(matrices.values()) + 64 * 40
    weights = Weights(8)
    assert weights.add(model.tokens.weight) == weights.add(model.tokens.weight)


def test_the_graphs_are_valid_and_of_an_opset_that_browsers_run(tokenizer, tmp_path):
    export.export(small(positions="relative"), tokenizer, tmp_path)
    for name in ("encoder.onnx", "decoder.onnx"):
        onnx.checker.check_model(str(tmp_path / name), full_check=True)
        assert onnx.load(str(tmp_path / name)).opset_import[0].version == 17


def test_the_description_holds_what_a_decoding_loop_needs(tokenizer, tmp_path):
    export.export(tiny.ours("marian"), tokenizer, tmp_path)
    described = json.loads((tmp_path / "model.json").read_text())
    assert described["suppress_tokens"] == [tiny.VOCAB - 1]
    assert described["decoder_start_token_id"] == tiny.VOCAB - 1
    assert (described["layers"], described["heads"], described["d_kv"]) == (3, 4, 4)


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (lambda: tiny.ours("gpt2"), {}, "a DecoderOnly can't be exported"),
        (lambda: tiny.ours("t5"), {"bits": 4}, "bits=4 must be 8 or 32"),
        (lambda: small(positions="rotary"), {}, "kind RotaryPositions can't be exported"),
        (lambda: small(bad_words_ids=((1, 2),)), {}, "sequences of several tokens"),
    ],
)
def test_what_has_no_graph_is_named(model, options, message, tokenizer, tmp_path):
    with pytest.raises(ExportError, match=message):
        export.export(model(), tokenizer, tmp_path, **options)
    assert not list(tmp_path.iterdir())


def test_without_the_package_the_error_says_how_to_get_it(monkeypatch, tokenizer, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(ExportError, match="pip install onnx"):
        export.export(tiny.ours("t5"), tokenizer, tmp_path)


def test_transformers_weights_take_the_same_way(tokenizer, tmp_path):
    """Not our code alone: the export of a checkpoint writes what transformers writes."""
    export.export(tiny.ours("bart"), tokenizer, tmp_path, bits=32)
    ids, mask = tiny.batch("bart", [8])
    theirs = tiny.theirs("bart").generate(
        ids, attention_mask=mask, num_beams=2, max_new_tokens=10, do_sample=False
    )
    ours = generate(ExportedModel(tmp_path), ids, num_beams=2, max_new_tokens=10).sequences
    assert ours.tolist() == theirs.tolist()
