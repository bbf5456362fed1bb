"""A packed step must give what the modules give, for every family, and notice what it can't do."""

import copy
import dataclasses

import pytest
import torch

from encdec.decoding import generate
from encdec.hybrids import SharedEncoderDecoder
from encdec.packed import pack, packable
from encdec.stacks import Record
from tiny import FAMILIES, batch, ours

CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def inputs(family, lengths):
    return batch(family, lengths, side="left" if family == "gpt2" else "right")


def steps(model, ids, mask, target, *, beams, packed):
    """Logits of one step after another, with a change of beams on the way."""
    prompt = target[:, :1] if model.target_is_separate else None
    first, cache = model.start(ids, mask, prompt=prompt, max_length=12 + ids.shape[1])
    # a notebook is what keeps a step on the long way
    record = None if packed else Record()
    logits = [model.step(first, cache, record).repeat_interleave(beams, dim=0)]
    cache.repeat(beams)
    assert cache.packed is not None
    for number, token in enumerate(target[:, 1:].unbind(1)):
        tokens = torch.stack([(token + beam) % 29 for beam in range(beams)], dim=1).view(-1, 1)
        logits.append(model.step(tokens, cache, record))
        if beams > 1 and number == 2:
            order = torch.arange(len(tokens)).view(-1, beams)
            cache.reorder(torch.cat([order[:, :1], order[:, :-1]], dim=1).flatten())
    return torch.stack(logits)


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("lengths", [[5], [6, 3, 4]])
@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_parity_a_packed_step_equals_the_modules(family, lengths, beams):
    model = ours(family)
    ids, mask = inputs(family, lengths)
    target = torch.randint(3, 29, (len(lengths), 7), generator=torch.Generator().manual_seed(1))
    short = steps(model, ids, mask, target, beams=beams, packed=True)
    long = steps(model, ids, mask, target, beams=beams, packed=False)
    torch.testing.assert_close(short, long, **CLOSE)


@pytest.mark.parametrize("family", FAMILIES)
def test_parity_the_short_way_writes_the_same_ids(family, monkeypatch):
    model = ours(family)
    ids, mask = inputs(family, [5, 2, 4])
    asked = {"max_new_tokens": 16, "attention_mask": mask}
    short = [generate(model, ids, num_beams=beams, **asked).sequences for beams in (1, 4)]
    monkeypatch.setattr("encdec.transformer.pack", lambda model: None)
    long = [generate(model, ids, num_beams=beams, **asked).sequences for beams in (1, 4)]
    for one, other in zip(short, long, strict=True):
        assert torch.equal(one, other)


@torch.no_grad()
def test_an_output_longer_than_foreseen_still_has_its_positions():
    for family in ("t5", "marian"):
        model = ours(family)
        ids, mask = batch(family, [4])
        target = torch.randint(3, 37, (1, 90), generator=torch.Generator().manual_seed(2))
        _, cache = model.start(ids, mask, prompt=target[:, :1])  # no limit named: 64 places
        step_by_step = [model.step(token[:, None], cache) for token in target.unbind(1)]
        wanted = model(ids, mask, target)[0]
        torch.testing.assert_close(torch.cat(step_by_step), wanted, **CLOSE)


@torch.no_grad()
def test_a_position_that_was_never_learned_is_named():
    model = ours("bart")
    ids, mask = batch("bart", [4])
    token = ids[:, :1]
    _, cache = model.start(ids, mask, prompt=token)
    for _ in range(model.config.max_positions):
        model.step(token, cache)
    with pytest.raises(ValueError, match=r"49 tokens is longer than the max_positions=48"):
        model.step(token, cache)


@pytest.mark.parametrize("family", ["t5", "marian", "gpt2"])
@torch.no_grad()
def test_changed_weights_are_noticed(family):
    model = copy.deepcopy(ours(family))
    before = pack(model)
    assert pack(model) is before
    model.target_tokens.weight.mul_(2)
    after = pack(model)
    assert after is not before
    assert torch.equal(after.embedding, model.target_tokens.weight)
    model.load_state_dict(ours(family).state_dict())
    assert pack(model) is not after
    assert pack(copy.deepcopy(model)) is not pack(model)


def test_training_changes_what_is_written_next():
    model = copy.deepcopy(ours("marian"))
    ids, mask = batch("marian", [5])
    asked = {"output_step_scores": True, "max_new_tokens": 3, "min_new_tokens": 3}
    before = generate(model, ids, mask, **asked)
    labels = torch.full((1, 3), 9)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.5, fused=True)
    logits = model(ids, mask, labels=labels)
    torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten()).backward()
    optimizer.step()
    after = generate(model, ids, mask, **asked)
    watched = generate(model, ids, mask, output_attentions=True, **asked)
    assert not torch.allclose(before.step_scores[1], after.step_scores[1])
    torch.testing.assert_close(after.step_scores[1], watched.step_scores[1], **CLOSE)


def test_what_cannot_be_packed_goes_through_the_modules():
    def with_hook(model):
        model.decoder.layers[0].register_forward_hook(lambda *args: None)

    def with_adapter(model):
        class Adapted(torch.nn.Linear):
            pass

        model.decoder.layers[0].feed_forward.wi.__class__ = Adapted

    assert packable(ours("t5"))
    for change in (with_hook, with_adapter, torch.nn.Module.train, torch.nn.Module.bfloat16):
        model = copy.deepcopy(ours("t5"))
        change(model)
        assert not packable(model), change
        assert pack(model) is None
    rotary = copy.deepcopy(ours("gpt2"))
    rotary.decoder.positions = torch.nn.Tanh()
    assert not packable(rotary)


def test_a_step_that_wants_gradients_goes_through_the_modules():
    model = ours("marian")
    ids, mask = batch("marian", [4])
    _, cache = model.start(ids, mask, prompt=ids[:, :1])
    model.step(ids[:, :1], cache)
    assert model.step(ids[:, :1], cache).requires_grad
    with torch.no_grad():
        assert not model.step(ids[:, :1], cache).requires_grad


def test_a_hybrid_with_a_common_decoder_takes_the_short_way_too(monkeypatch):
    torch.manual_seed(0)
    config = dataclasses.replace(ours("t5").config, num_decoder_layers=2)
    model = SharedEncoderDecoder(config).eval()
    ids = torch.randint(3, 37, (2, 5))
    assert packable(model)
    short = generate(model, ids, num_beams=3, max_new_tokens=8).sequences
    monkeypatch.setattr("encdec.transformer.pack", lambda model: None)
    assert torch.equal(short, generate(model, ids, num_beams=3, max_new_tokens=8).sequences)
