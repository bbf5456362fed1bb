"""The Transformers against transformers' own code, and against what they must be by design."""

import copy
from dataclasses import replace

import pytest
import torch

from encdec.architectures import freeze_sinusoids
from encdec.config import TransformerConfig
from encdec.stacks import Record
from encdec.transformer import DecoderOnly, EncoderDecoder, PrefixLM
from tiny import ENCODER_DECODERS, VOCAB, batch, ours, theirs

CLOSE = {"atol": 1e-5, "rtol": 1e-5}
FAMILIES = (*ENCODER_DECODERS, "gpt2")


def example(family, lengths=(7, 3, 5), target=6, side="right"):
    ids, mask = batch(family, list(lengths), seed=1, side=side)
    decoder_input_ids, _ = batch(family, [target] * len(lengths), seed=2)
    return {"input_ids": ids, "attention_mask": mask, "decoder_input_ids": decoder_input_ids}


# --- parity with transformers --------------------------------------------------------------------


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("family", ENCODER_DECODERS)
def test_parity_of_logits(family, side):
    inputs = example(family, side=side)
    with torch.no_grad():
        got, wanted = ours(family)(**inputs), theirs(family)(**inputs).logits
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, wanted, **CLOSE)


@pytest.mark.parametrize("side", ["right", "left"])
def test_parity_of_decoder_only_logits(side):
    ids, mask = batch("gpt2", [9, 4, 6], side=side)
    real = mask.bool()
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    with torch.no_grad():
        got = ours("gpt2")(ids, mask)
        wanted = theirs("gpt2")(input_ids=ids, attention_mask=mask, position_ids=positions).logits
    torch.testing.assert_close(got[real], wanted[real], **CLOSE)
    assert not got.isnan().any()


@pytest.mark.parametrize("family", ENCODER_DECODERS)
def test_parity_of_states_and_attentions_in_every_layer(family):
    inputs = example(family)
    options = {"output_attentions": True, "output_hidden_states": True}
    with torch.no_grad():
        got = ours(family)(**inputs, **options)
        wanted = theirs(family)(**inputs, **options)
    pairs = [
        (got.encoder_states, wanted.encoder_hidden_states),
        (got.decoder_states, wanted.decoder_hidden_states),
        (got.encoder_attentions, wanted.encoder_attentions),
        (got.decoder_attentions, wanted.decoder_attentions),
        (got.cross_attentions, wanted.cross_attentions),
    ]
    for mine, yours in pairs:
        torch.testing.assert_close(mine, torch.stack(yours), **CLOSE)
    torch.testing.assert_close(got.logits, ours(family)(**inputs), **CLOSE)
    torch.testing.assert_close(got.encoder_hidden_states, wanted.encoder_last_hidden_state, **CLOSE)


@pytest.mark.parametrize("family", ENCODER_DECODERS)
def test_parity_of_labels_and_loss(family):
    inputs = example(family)
    del inputs["decoder_input_ids"]
    labels, real = batch(family, [6, 4, 2], seed=3)
    labels = labels.masked_fill(real == 0, -100)
    wanted = theirs(family)
    if family == "mbart":  # transformers takes the start from the label's own end here
        shifted = ours(family).shift_right(labels)
        logits = wanted(**inputs, decoder_input_ids=shifted).logits
    else:
        logits = wanted(**inputs, labels=labels).logits
    with torch.no_grad():
        torch.testing.assert_close(ours(family)(**inputs, labels=labels), logits, **CLOSE)


@pytest.mark.parametrize("family", ENCODER_DECODERS)
def test_parity_of_gradients(family):
    inputs = example(family)
    pad = ours(family).config.pad_token_id
    labels, _ = batch(family, [6, 6, 6], seed=4)
    mine, yours = copy.deepcopy(ours(family)), copy.deepcopy(theirs(family))
    freeze_sinusoids(yours)

    def backward(model, logits):
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten()).backward()
        return model

    backward(mine, mine(**inputs))
    backward(yours, yours(**inputs).logits)
    from encdec.layouts import to_hugging_face

    got = to_hugging_face(
        mine.config,
        {
            name: parameter.grad
            for name, parameter in mine.named_parameters()
            if parameter.grad is not None
        }
        | ({"output_bias": torch.zeros(1)} if mine.config.output_bias else {}),
    )
    wanted = {name: each.grad for name, each in yours.named_parameters() if each.grad is not None}
    assert set(wanted) <= set(got)
    for name, gradient in wanted.items():
        mine_here = got[name]
        if "shared" in name or "embed_tokens" in name:
            # transformers never trains BART's padding row; it may be the start token, so we do
            keep = torch.arange(len(gradient)) != pad
            gradient, mine_here = gradient[keep], mine_here[keep]
        torch.testing.assert_close(mine_here, gradient, atol=1e-5, rtol=1e-4, msg=name)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bf16", "fp16"])
@pytest.mark.parametrize("family", ENCODER_DECODERS)
def test_parity_in_half_precision(family, dtype):
    """Ours is within 4 percent (bfloat16) or 0.5 percent (float16) of float32, as a share of the
    norm; from transformers', which rounds at other places, it may be twice as far."""
    bound = {torch.bfloat16: 0.04, torch.float16: 0.005}[dtype]
    inputs = example(family)
    mine, yours = copy.deepcopy(ours(family)).to(dtype), copy.deepcopy(theirs(family)).to(dtype)
    with torch.no_grad():
        exact = ours(family)(**inputs)
        got, wanted = mine(**inputs), yours(**inputs).logits.float()
    assert got.dtype == torch.float32
    assert (got - exact).norm() / exact.norm() < bound
    assert (got - wanted).norm() / wanted.norm() < 2 * bound


@pytest.mark.parametrize("family", FAMILIES)
def test_parity_of_from_pretrained_in_half_precision(family):
    from tiny import folder

    model = type(ours(family)).from_pretrained(folder(family), dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}


# --- the cache -----------------------------------------------------------------------------------


@pytest.mark.parametrize("max_length", [None, 6, 3])
@pytest.mark.parametrize("family", ENCODER_DECODERS)
def test_properties_cached_equals_uncached(family, max_length):
    model, inputs = ours(family), example(family)
    mask, target = inputs["attention_mask"], inputs["decoder_input_ids"]
    with torch.no_grad():
        encoded = model.encode(inputs["input_ids"], mask)
        whole = model.decode(target, encoded, mask)
        cache = model.init_cache(encoded, mask, max_length)
        steps = [model.decode(target[:, i : i + 1], cache=cache) for i in range(target.shape[1])]
        chunks = model.init_cache(encoded, mask, max_length)
        parts = [model.decode(part, cache=chunks) for part in target.split([3, 1, 2], dim=1)]
    torch.testing.assert_close(torch.cat(steps, 1), whole, **CLOSE)
    torch.testing.assert_close(torch.cat(parts, 1), whole, **CLOSE)


def test_properties_cached_equals_uncached_with_left_padding():
    model = ours("gpt2")
    ids, mask = batch("gpt2", [8, 3, 5], side="left")
    with torch.no_grad():
        whole = model(ids, mask)
        _, cache = model.start(ids, mask)
        first = model.step(ids[:, :4].contiguous(), cache)
        rest = [model.step(ids[:, i : i + 1], cache) for i in range(4, 8)]
    torch.testing.assert_close(rest[-1], whole[:, -1], **CLOSE)
    torch.testing.assert_close(first[0], whole[0, 3], **CLOSE)


@pytest.mark.parametrize("family", ENCODER_DECODERS)
def test_properties_a_reordered_cache_goes_on_as_the_other_row(family):
    model, inputs = ours(family), example(family)
    mask, target = inputs["attention_mask"], inputs["decoder_input_ids"]
    order = torch.tensor([2, 0, 0])
    with torch.no_grad():
        encoded = model.encode(inputs["input_ids"], mask)
        cache = model.init_cache(encoded, mask)
        model.step(target[:, :3], cache)
        cache.reorder(order)
        got = model.step(target[:, 3:4], cache)
        mixed = torch.cat([target[order, :3], target[:, 3:4]], dim=1)
        wanted = model.logits(model.decode(mixed, encoded[order], mask[order]))[:, -1]
    torch.testing.assert_close(got, wanted, **CLOSE)


@pytest.mark.parametrize("positions", ["relative", "rotary", "sinusoidal", "none"])
def test_properties_a_decoder_with_any_positions_is_padded_and_cached(positions):
    torch.manual_seed(0)
    config = replace(ours("gpt2").config, positions=positions, init_std=0.3)
    model = DecoderOnly(config).eval()
    ids, _ = batch("gpt2", [6])
    padded = torch.nn.functional.pad(ids, (3, 0))
    mask = torch.nn.functional.pad(torch.ones_like(ids), (3, 0))
    with torch.no_grad():
        alone = model(ids)
        torch.testing.assert_close(model(padded, mask)[:, 3:], alone, **CLOSE)
        _, cache = model.start(padded, mask)
        first = model.step(padded[:, :5], cache)
        rest = [model.step(padded[:, i : i + 1], cache) for i in range(5, 9)]
        torch.testing.assert_close(torch.stack([first, *rest], 1), alone[:, 1:], **CLOSE)
        output = model(padded, mask, output_attentions=True, output_hidden_states=True)
        torch.testing.assert_close(output.logits[:, 3:], alone, **CLOSE)
        assert output.decoder_attentions.shape == (2, 1, 2, 9, 9)
        assert output.decoder_states.shape == (3, 1, 9, 16)


# --- properties ----------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ENCODER_DECODERS)
def test_properties_the_future_does_not_move_the_past(family):
    model, inputs = ours(family), example(family)
    with torch.no_grad():
        before = model(**inputs)
        for place in range(1, 6):
            changed = inputs["decoder_input_ids"].clone()
            changed[:, place] = (changed[:, place] + 1) % 20 + 3
            after = model(**{**inputs, "decoder_input_ids": changed})
            torch.testing.assert_close(after[:, :place], before[:, :place], **CLOSE)
            assert not torch.allclose(after[:, place], before[:, place], atol=1e-3)


def test_properties_the_future_does_not_move_the_past_of_a_decoder():
    ids, _ = batch("gpt2", [8])
    changed = ids.clone()
    changed[0, 5] = (ids[0, 5] + 1) % 20 + 3
    with torch.no_grad():
        before, after = ours("gpt2")(ids), ours("gpt2")(changed)
    torch.testing.assert_close(after[:, :5], before[:, :5], **CLOSE)
    assert not torch.allclose(after[:, 5:], before[:, 5:], atol=1e-3)


@pytest.mark.parametrize("family", ENCODER_DECODERS)
def test_properties_the_encoder_sees_both_ways(family):
    ids, _ = batch(family, [6])
    changed = ids.clone()
    changed[0, 5] = (ids[0, 5] + 1) % 20 + 3
    with torch.no_grad():
        before, after = ours(family).encode(ids), ours(family).encode(changed)
    assert not torch.allclose(before[:, 0], after[:, 0], atol=1e-4)


@pytest.mark.parametrize("family", ENCODER_DECODERS)
def test_properties_padding_changes_nothing(family):
    model = ours(family)
    ids, _ = batch(family, [5])
    target, _ = batch(family, [4], seed=2)
    padded = torch.nn.functional.pad(ids, (0, 3), value=model.config.pad_token_id)
    mask = torch.tensor([[1] * 5 + [0] * 3])
    with torch.no_grad():
        alone = model(ids, decoder_input_ids=target)
        torch.testing.assert_close(model(padded, mask, target), alone, **CLOSE)
        # nor does it matter what stands under the padding, or what follows the target
        padded[:, 5:] = 7
        longer = torch.nn.functional.pad(target, (0, 2), value=9)
        torch.testing.assert_close(model(padded, mask, longer)[:, :4], alone, **CLOSE)


@pytest.mark.parametrize("family", ENCODER_DECODERS)
def test_properties_rows_do_not_mix(family):
    model, inputs = ours(family), example(family)
    with torch.no_grad():
        together = model(**inputs)
        for row in range(3):
            alone = model(**{name: each[row : row + 1] for name, each in inputs.items()})
            torch.testing.assert_close(together[row : row + 1], alone, **CLOSE)


@pytest.mark.parametrize("family", FAMILIES)
def test_properties_fresh_models_start_near_uniform_and_learn(family):
    config = replace(ours(family).config, init_std=None, dropout=0.1, output_bias=False)
    torch.manual_seed(0)
    model = type(ours(family))(config).train()
    ids, mask = batch(family, [6, 4], seed=5)
    labels, _ = batch(family, [5, 5], seed=6)

    def loss():
        if family == "gpt2":
            logits, wanted = model(labels)[:, :-1], labels[:, 1:]
        else:
            logits, wanted = model(ids, mask, labels=labels), labels
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), wanted.flatten())

    optimizer = torch.optim.AdamW(model.parameters(), 0.02)
    first = loss()
    assert first.item() < 8
    for _ in range(30):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    assert all(each.grad is not None for each in model.parameters())
    assert loss() < first / 2


@pytest.mark.parametrize("family", ["t5", "bart", "marian"])
def test_dropout_is_honoured_in_training_only(family):
    model, inputs = copy.deepcopy(ours(family)).train(), example(family)
    assert not torch.equal(model(**inputs), model(**inputs))
    model.eval()
    assert torch.equal(model(**inputs), model(**inputs))


@pytest.mark.parametrize("family", ["t5", "marian"])
def test_autocast_trains(family):
    model, inputs = copy.deepcopy(ours(family)).train(), example(family)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(**inputs)
    logits.logsumexp(-1).mean().backward()
    assert logits.dtype == torch.float32
    assert all(each.grad.isfinite().all() for each in model.parameters() if each.grad is not None)


def test_a_record_collects_layer_by_layer():
    model, inputs = ours("bart"), example("bart")
    record = Record(attentions=True, states=True)
    model.encode(inputs["input_ids"], inputs["attention_mask"], record=record)
    assert len(record.encoder_attentions) == 2
    assert len(record.encoder_states) == 3


# --- a prefix that is seen both ways -------------------------------------------------------------


def prefix_lm(positions="learned"):
    torch.manual_seed(0)
    config = TransformerConfig.family(
        "gpt2", vocab_size=VOCAB, d_model=16, d_ff=24, num_decoder_layers=2, num_heads=2
    )
    config = replace(config, positions=positions, max_positions=40, pad_token_id=0, init_std=0.3)
    return PrefixLM(replace(config, decoder_start_token_id=0, eos_token_id=1)).eval()


@pytest.mark.parametrize("positions", ["learned", "sinusoidal", "rotary"])
def test_properties_of_a_prefix_lm(positions):
    model = prefix_lm(positions)
    ids, _ = batch("t5", [5])
    target, _ = batch("t5", [4], seed=2)
    with torch.no_grad():
        before = model(ids, decoder_input_ids=target)
        assert before.shape == (1, 4, VOCAB)
        # the last source token is seen from everywhere
        changed = ids.clone()
        changed[0, 4] = (ids[0, 4] + 1) % 20 + 3
        moved = model(changed, decoder_input_ids=target)
        assert not torch.allclose(moved[:, 0], before[:, 0], atol=1e-3)
        # a later target token is not
        later = target.clone()
        later[0, 3] = (target[0, 3] + 1) % 20 + 3
        torch.testing.assert_close(
            model(ids, decoder_input_ids=later)[:, :3], before[:, :3], **CLOSE
        )
        # padding on either side changes nothing
        for width in ((0, 3), (3, 0)):
            padded = torch.nn.functional.pad(ids, width, value=0)
            mask = torch.nn.functional.pad(torch.ones_like(ids), width)
            torch.testing.assert_close(model(padded, mask, target), before, **CLOSE)
            _, cache = model.start(padded, mask, prompt=target[:, :1])
            steps = [model.step(target[:, i : i + 1], cache) for i in range(4)]
            torch.testing.assert_close(torch.stack(steps, 1), before, **CLOSE)


def test_a_prefix_lm_needs_positions_that_look_both_ways():
    with pytest.raises(ValueError, match='positions="relative"'):
        PrefixLM(TransformerConfig.family("t5", vocab_size=9))


# --- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        (
            {"input_ids": torch.tensor([[3, VOCAB]])},
            f"input_ids holds {VOCAB}.*vocab_size - 1 = 36",
        ),
        ({"input_ids": torch.tensor([[3, -1]])}, "input_ids holds -1"),
        ({"input_ids": torch.zeros(0, 4, dtype=torch.long)}, r"input_ids has shape \(0, 4\)"),
        ({"input_ids": torch.zeros(2, 0, dtype=torch.long)}, r"input_ids has shape \(2, 0\)"),
        ({"input_ids": torch.zeros(2, 3)}, "input_ids must be integers.*float32"),
        ({"input_ids": torch.tensor([3, 4])}, r"input_ids must be integers.*\(2,\)"),
        ({"attention_mask": torch.ones(1, 3)}, r"attention_mask has shape \(1, 3\)"),
        ({"attention_mask": torch.tensor([[0, 0]])}, r"no real token in row\(s\) \[0\]"),
        ({"decoder_input_ids": torch.tensor([[VOCAB]])}, f"decoder_input_ids holds {VOCAB}"),
        ({"decoder_input_ids": torch.tensor([[0], [0]])}, "decoder_input_ids has 2 rows.*has 1"),
        ({"decoder_input_ids": None}, "decoder_input_ids is None and labels is None"),
    ],
)
def test_bad_input_is_named(changes, complaint):
    inputs = {
        "input_ids": torch.tensor([[3, 4]]),
        "attention_mask": torch.tensor([[1, 1]]),
        "decoder_input_ids": torch.tensor([[0, 5]]),
    }
    if "input_ids" in changes:
        del inputs["attention_mask"]
    with pytest.raises(ValueError, match=complaint):
        ours("t5")(**{**inputs, **changes})


def test_a_source_beyond_learned_positions_is_an_error():
    ids = torch.full((1, 49), 5)
    with pytest.raises(ValueError, match="49 tokens is longer than the max_positions=48"):
        ours("bart")(ids, decoder_input_ids=ids[:, :2])


@pytest.mark.parametrize("family", ["t5", "marian", "pegasus"])
def test_other_positions_have_no_end(family):
    ids = torch.full((1, 300), 5)
    assert ours(family)(ids, decoder_input_ids=ids).shape[1] == 300


def test_labels_need_a_start():
    model = EncoderDecoder(replace(ours("t5").config, decoder_start_token_id=None))
    with pytest.raises(ValueError, match="decoder_start_token_id is None"):
        model.shift_right(torch.tensor([[3]]))


def test_decode_needs_a_source():
    with pytest.raises(ValueError, match="encoder_hidden_states is None and cache is None"):
        ours("t5").decode(torch.tensor([[0]]))


def test_a_decoder_is_padded_on_the_left():
    ids, mask = batch("gpt2", [3, 5], side="right")
    with pytest.raises(ValueError, match="pad on the left"):
        ours("gpt2").start(ids, mask)
    assert isinstance(ours("gpt2"), DecoderOnly)
