"""Hybrids: what each shares, sees and keeps."""

from dataclasses import replace

import pytest
import torch

from encdec.config import TransformerConfig
from encdec.decoding import generate, greedy_search
from encdec.hybrids import (
    DecoderDecoder,
    DecoderDecoderConfig,
    FusionInDecoder,
    PrefixLM,
    PromptedDecoder,
    SharedEncoderDecoder,
    warm_start,
)
from encdec.transformer import DecoderOnly, EncoderDecoder
from tiny import VOCAB, batch, ours

CLOSE = {"atol": 1e-5, "rtol": 1e-5}
SIZES = {"vocab_size": VOCAB, "d_model": 16, "d_ff": 24, "num_heads": 2, "init_std": 0.3}


def count(model):
    return sum(each.numel() for each in model.parameters())


# --- a prompt and an answer ---------------------------------------------------------------------


def prompted(kind=PromptedDecoder):
    torch.manual_seed(0)
    return kind(TransformerConfig.family("pegasus", num_layers=0, num_decoder_layers=2, **SIZES))


def test_a_prompted_decoder_is_a_decoder_of_one_row():
    model = prompted().eval()
    plain = DecoderOnly(model.config).eval()
    plain.load_state_dict(model.state_dict())
    ids, target = torch.randint(3, VOCAB, (2, 5)), torch.randint(3, VOCAB, (2, 4))
    expected = plain(torch.cat([ids, target], dim=1))[:, 5:]
    torch.testing.assert_close(model(ids, decoder_input_ids=target), expected, **CLOSE)


def test_only_a_prefix_lm_reads_its_source_both_ways():
    ids, target = torch.randint(3, VOCAB, (1, 5)), torch.randint(3, VOCAB, (1, 4))
    for kind, sees in ((PromptedDecoder, False), (PrefixLM, True)):
        model = prompted(kind).eval()
        captured = []
        model.decoder.register_forward_hook(lambda *a, kept=captured: kept.append(a[2]))
        for last in (3, 4):
            ids[0, -1] = last
            model(ids, decoder_input_ids=target)
        first, second = captured
        assert (not torch.equal(first[:, 0], second[:, 0])) == sees


@pytest.mark.parametrize("kind", [PromptedDecoder, PrefixLM])
def test_a_prompted_decoder_writes_what_it_scores(kind):
    model = prompted(kind).eval()
    ids = torch.randint(3, VOCAB, (2, 5))
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    found = greedy_search(model, ids, mask, max_new_tokens=4).sequences
    logits = model(ids, mask, decoder_input_ids=found[:, :-1])
    end = model.config.eos_token_id
    for row in range(2):
        for step, token in enumerate(found[row, 1:].tolist()):
            if step < 3:  # the last one is forced to be the end
                assert logits[row, step].argmax() == token
            if token == end:
                break


# --- one stack for both --------------------------------------------------------------------------


def shared():
    torch.manual_seed(0)
    return SharedEncoderDecoder(TransformerConfig.family("t5", num_layers=2, **SIZES)).eval()


def test_properties_shared_stacks_are_the_same_tensors():
    model = shared()
    for encoder, decoder in zip(model.encoder.layers, model.decoder.layers, strict=True):
        assert encoder.self_attention.qkv.weight is decoder.self_attention.qkv.weight
        assert encoder.feed_forward is decoder.feed_forward
    whole = EncoderDecoder(model.config)
    encoder = sum(each.numel() for each in whole.encoder.layers.parameters())
    assert count(model) == count(whole) - encoder


def test_properties_shared_stacks_train_and_decode_as_one():
    model, (ids, mask) = shared(), batch("t5", [5, 3])
    labels, _ = batch("t5", [4, 4], seed=2)
    model(ids, mask, labels=labels).logsumexp(-1).sum().backward()
    assert model.encoder.layers[0].self_attention.qkv.weight.grad is not None
    output = generate(model, ids, mask, num_beams=3, max_new_tokens=5, num_return_sequences=3)
    assert output.sequences.shape[0] == 6


def test_shared_stacks_survive_a_round_trip(tmp_path):
    model, (ids, mask) = shared(), batch("t5", [5, 3])
    model.save_pretrained(tmp_path)
    again = SharedEncoderDecoder.from_pretrained(tmp_path)
    assert torch.equal(again(ids, mask, ids), model(ids, mask, ids))
    assert count(again) == count(model)


def test_stacks_of_different_size_cannot_be_shared():
    config = TransformerConfig.family("t5", num_layers=2, num_decoder_layers=3, **SIZES)
    with pytest.raises(ValueError, match="num_decoder_layers=3 must be 2"):
        SharedEncoderDecoder(config)


# --- many passages -------------------------------------------------------------------------------


def fusion():
    model = FusionInDecoder(ours("t5").config)
    model.load_state_dict(ours("t5").state_dict())
    return model.eval()


def test_properties_fusion_of_one_passage_is_an_encoder_decoder():
    model, (ids, mask) = fusion(), batch("t5", [5, 3])
    target, _ = batch("t5", [4, 4], seed=2)
    with torch.no_grad():
        torch.testing.assert_close(
            model(ids[:, None], mask[:, None], target), ours("t5")(ids, mask, target), **CLOSE
        )


def test_properties_passages_do_not_see_each_other_but_the_decoder_sees_all():
    model = fusion()
    ids, mask = batch("t5", [5, 3, 4, 2, 5, 5])
    ids, mask = ids.view(2, 3, 5), mask.view(2, 3, 5)
    target, _ = batch("t5", [4, 4], seed=2)
    changed = ids.clone()
    changed[:, 2, 0] = (ids[:, 2, 0] + 1) % 20 + 3
    with torch.no_grad():
        before, after = model.encode(ids, mask), model.encode(changed, mask)
        assert before.shape == (2, 15, 16)
        torch.testing.assert_close(before[:, :10], after[:, :10], **CLOSE)
        assert not torch.allclose(before[:, 10:], after[:, 10:], atol=1e-3)
        logits = model(ids, mask, target)
        assert not torch.allclose(logits, model(changed, mask, target), atol=1e-4)
        # the order of passages does not matter: each is read with positions of its own
        order = [2, 0, 1]
        torch.testing.assert_close(model(ids[:, order], mask[:, order], target), logits, **CLOSE)


def test_decoding_over_many_passages():
    model = fusion()
    ids, mask = batch("t5", [5, 3, 4, 2])
    ids, mask = ids.view(2, 2, 5), mask.view(2, 2, 5)
    output = generate(model, ids, mask, num_beams=3, max_new_tokens=6, output_attentions=True)
    assert output.attentions.cross.shape[-1] == 10
    fed = output.sequences[:, :-1]
    greedy = greedy_search(model, ids, mask, max_new_tokens=6).sequences
    with torch.no_grad():
        chosen = model(ids, mask, greedy[:, :-1]).argmax(-1)
    alive = (greedy[:, 1:] != 0) & (greedy[:, :-1] != 1)
    assert torch.equal(chosen[alive], greedy[:, 1:][alive])
    assert fed.shape[0] == 2


def test_passages_need_an_axis():
    with pytest.raises(ValueError, match=r"input_ids has shape \(2, 5\).*passages"):
        fusion().encode(batch("t5", [5, 3])[0])


# --- warm start ----------------------------------------------------------------------------------


@pytest.mark.parametrize("num_layers", [None, 1])
def test_properties_a_warm_start_still_knows_what_the_decoder_knew(num_layers):
    given = ours("gpt2")
    model = warm_start(given, num_layers=num_layers).eval()
    ids, _ = batch("gpt2", [7, 7])
    target, _ = batch("gpt2", [5, 5], seed=2)
    with torch.no_grad():
        for layer in model.decoder.layers:  # without the new part the decoder is the old one
            layer.cross_attention.out.weight.zero_()
            layer.cross_attention.out.bias.zero_()
        torch.testing.assert_close(model(ids, decoder_input_ids=target), given(target), **CLOSE)
        if num_layers is None:  # with the causal mask, so is the encoder
            embedded = model.embed(model.tokens, ids)
            causal = torch.ones(7, 7, dtype=torch.bool).tril()
            states = model.encoder(embedded, causal)
            torch.testing.assert_close(model.logits(states), given(ids), **CLOSE)


def test_a_warm_start_is_a_copy_that_trains_and_decodes():
    given = ours("gpt2")
    before = given.tokens.weight.clone()
    model = warm_start(given)
    layer, old = model.decoder.layers[0], given.decoder.layers[0].self_attention
    assert torch.equal(
        torch.cat([layer.cross_attention.q.weight, layer.cross_attention.kv.weight]), old.qkv.weight
    )
    ids, mask = batch("gpt2", [5, 3])
    model.train()(ids, mask, labels=ids).logsumexp(-1).sum().backward()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    assert torch.equal(given.tokens.weight, before)
    assert generate(warm_start(given), ids, mask, max_new_tokens=4).sequences.shape[0] == 2
    assert isinstance(model, EncoderDecoder)


def test_a_warm_start_cannot_have_layers_that_are_not_there():
    with pytest.raises(ValueError, match="num_layers=5 must be between 1 and the decoder's 2"):
        warm_start(ours("gpt2"), num_layers=5)


# --- decoder–decoder -----------------------------------------------------------------------------


def yoco(positions="rotary", window=3, **changes):
    torch.manual_seed(0)
    config = DecoderDecoderConfig(
        model_type="",
        num_layers=0,
        num_decoder_layers=4,
        norm_first=True,
        final_norm=True,
        positions=positions,
        window=window,
        dropout=0.0,
        **{**SIZES, **changes},
    )
    return DecoderDecoder(config).eval()


@pytest.mark.parametrize("positions", ["rotary", "learned"])
@pytest.mark.parametrize("window", [1, 3, 50])
def test_properties_cached_equals_uncached(positions, window):
    model = yoco(positions, window)
    ids, mask = batch("gpt2", [9, 4, 7], side="left")
    with torch.no_grad():
        whole = model(ids, mask)
        _, cache = model.start(ids, mask)
        model.step(ids[:, :5], cache)
        steps = [model.step(ids[:, i : i + 1], cache) for i in range(5, 9)]
    torch.testing.assert_close(torch.stack(steps, 1), whole[:, 5:], **CLOSE)
    assert not whole[mask.bool()].isnan().any()


def test_properties_the_future_does_not_move_the_past():
    model, (ids, _) = yoco(), batch("gpt2", [8])
    changed = ids.clone()
    changed[0, 5] = (ids[0, 5] + 1) % 20 + 3
    with torch.no_grad():
        before, after = model(ids), model(changed)
    torch.testing.assert_close(before[:, :5], after[:, :5], **CLOSE)
    # the window is three wide, but the global half still sees position 5 from position 7
    assert not torch.allclose(before[:, 7], after[:, 7], atol=1e-4)


def test_properties_padding_changes_nothing():
    model, (ids, _) = yoco(), batch("gpt2", [5])
    padded = torch.nn.functional.pad(ids, (3, 0))
    mask = torch.nn.functional.pad(torch.ones_like(ids), (3, 0))
    with torch.no_grad():
        torch.testing.assert_close(model(padded, mask)[:, 3:], model(ids), **CLOSE)


def test_the_cache_is_kept_once_and_a_window():
    model, (ids, mask) = yoco(window=3), batch("gpt2", [12])
    with torch.no_grad():
        _, cache = model.start(ids, mask, max_length=12)
        model.step(ids, cache)
    assert cache.shared._store.shape[1] == 1  # one pair for both global layers
    assert [tuple(pair[0].shape) for pair in cache.local.kept] == [(1, 2, 2, 8)] * 2
    shared, local = 2 * 12 * 16 * 4, 2 * 2 * 2 * 16 * 4  # float32
    assert (cache.shared.nbytes, cache.local.nbytes) == (shared, local)
    assert cache.nbytes == shared + local
    _, cache = model.start(ids, mask, max_length=12)
    assert cache.nbytes == 0


@pytest.mark.parametrize("num_beams", [1, 3])
def test_decoding_with_two_decoders(num_beams):
    model = yoco()
    ids, mask = batch("gpt2", [6, 3], side="left")
    options = {"max_new_tokens": 6, "num_beams": num_beams, "length_penalty": 0.0}
    output = generate(model, ids, mask, **options)
    for row in range(2):
        tokens = output.sequences[row, ids.shape[1] :].tolist()
        end = tokens.index(1) + 1 if 1 in tokens else len(tokens)
        real = torch.nn.functional.pad(mask[row : row + 1], (0, end), value=1)
        with torch.no_grad():
            logits = model(output.sequences[row : row + 1, : ids.shape[1] + end], real)
        log_probs = logits[0, ids.shape[1] - 1 : -1].log_softmax(-1)
        total = sum(log_probs[i, token].item() for i, token in enumerate(tokens[:end]))
        assert output.scores[row].item() == pytest.approx(total, abs=1e-4)


def test_two_decoders_survive_a_round_trip_and_give_their_weights(tmp_path):
    model, (ids, mask) = yoco(), batch("gpt2", [6, 3], side="left")
    model.save_pretrained(tmp_path)
    again = DecoderDecoder.from_pretrained(tmp_path)
    assert again.config == model.config
    output = again(ids, mask, output_attentions=True)
    torch.testing.assert_close(output.logits[mask.bool()], model(ids, mask)[mask.bool()], **CLOSE)
    assert output.decoder_attentions.shape == (4, 2, 2, 6, 6)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"window": 0}, "window=0 must be at least 1"),
        ({"num_local_layers": 4}, "num_local_layers=4 must leave at least one"),
        ({"positions": "relative"}, 'positions="relative" is not supported here'),
    ],
)
def test_impossible_descriptions(changes, complaint):
    with pytest.raises(ValueError, match=complaint):
        yoco(**changes)


# --- prefix ---------------------------------------------------------------------------------------


def test_decoding_with_a_prefix_lm_padded_on_either_side():
    torch.manual_seed(0)
    config = TransformerConfig.family("gpt2", num_decoder_layers=2, max_positions=30, **SIZES)
    config = replace(config, pad_token_id=0, eos_token_id=1, decoder_start_token_id=2)
    model = PrefixLM(config).eval()
    written = []
    for side in ("left", "right"):
        ids, mask = batch("t5", [6, 3], side=side)
        written.append(generate(model, ids, mask, num_beams=3, max_new_tokens=5))
    assert torch.equal(written[0].sequences, written[1].sequences)
    assert (written[0].sequences[:, 0] == 2).all()
    greedy = greedy_search(model, ids, mask, max_new_tokens=5).sequences
    with torch.no_grad():
        chosen = model(ids, mask, greedy[:, :-1]).argmax(-1)
    alive = (greedy[:, :-1] != 1).cumprod(1).bool()
    assert torch.equal(chosen[alive], greedy[:, 1:][alive])
    with pytest.raises(ValueError, match=r"max_new_tokens=25 goes beyond.*at most 24"):
        generate(model, ids, mask, max_new_tokens=25)
    assert isinstance(model, DecoderOnly)
