"""The ledger agrees with what torch counts and with what the caches really hold."""

from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from encdec import costs
from encdec.config import TransformerConfig
from encdec.hybrids import PromptedDecoder, SharedEncoderDecoder
from encdec.recurrent import RecurrentConfig, RecurrentEncoderDecoder
from encdec.stacks import Record
from encdec.transformer import DecoderOnly, EncoderDecoder, PrefixLM

# heads · d_kv differs from d_model, and the decoder from the encoder, on purpose
PLAIN = TransformerConfig(
    vocab_size=23, d_model=12, d_kv=5, num_heads=3, d_ff=20, num_layers=2, num_decoder_layers=3
)
CONFIGS = {
    "plain": PLAIN,
    "gated": replace(PLAIN, gated=True, bias=False),
    "two vocabularies": replace(PLAIN, decoder_vocab_size=17),
    "other decoder": replace(PLAIN, decoder_num_heads=4, decoder_d_ff=9),
}
LENGTHS = ((7, 1), (1, 5), (4, 3), (3, 6))


def ids(batch, length):
    return torch.randint(2, 17, (batch, length))


def written(model, source, target, batch):
    """Write token by token; attention is recorded, so that torch sees its products."""
    record = Record()
    prompt = torch.zeros(batch, 1, dtype=torch.long)
    with FlopCounterMode(display=False) as counter:
        tokens, cache = model.start(ids(batch, source), prompt=prompt, record=record)
        for _ in range(target):
            model.step(tokens, cache, record)
            tokens = ids(batch, 1)
    return counter.get_total_flops(), cache


@pytest.fixture(params=CONFIGS, ids=str)
def config(request):
    return CONFIGS[request.param]


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("batch", [1, 2])
def test_an_encoder_decoder_does_what_the_ledger_says(config, lengths, batch):
    flops, cache = written(EncoderDecoder(config).eval(), *lengths, batch)
    ledger = costs.encoder_decoder(config, *lengths, batch=batch)
    assert ledger.total_flops == flops
    memory = sum(each.nbytes for pair in cache.cross_attention for each in pair)
    assert ledger.cache[costs.CROSS] == memory
    assert ledger.cache[costs.SELF] == held(cache.self_attention)


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("batch", [1, 2])
def test_a_decoder_only_model_does_what_the_ledger_says(config, lengths, batch):
    config = replace(config, decoder_vocab_size=None)
    flops, cache = written(DecoderOnly(config).eval(), *lengths, batch)
    ledger = costs.decoder_only(config, *lengths, batch=batch, count_masked=True)
    assert ledger.total_flops == flops
    assert ledger.total_cache == held(cache)


def held(cache):
    """Bytes of the positions that are filled; more may be allocated."""
    return cache._store[:, :, :, :, : cache.length].nbytes


def test_half_precision_halves_the_bytes_and_leaves_the_arithmetic():
    full, half = (costs.encoder_decoder(PLAIN, 9, 4, bytes_per_number=n) for n in (4, 2))
    assert half.flops == full.flops
    assert 2 * half.total_cache == full.total_cache
    assert 2 * half.total_traffic == full.total_traffic


def test_a_source_that_is_encoded_already_costs_nothing_to_read():
    fresh, again = (costs.encoder_decoder(PLAIN, 9, 4, encoded=e) for e in (False, True))
    for part in (costs.ENCODER, costs.PROJECTION):
        assert again.flops[part] == again.traffic[part] == 0
        assert fresh.flops[part] > 0
    assert again.cache == fresh.cache
    assert again.flops[costs.CROSS] == fresh.flops[costs.CROSS]


@pytest.mark.parametrize("cached", [1, 4, 8])
def test_a_cached_beginning_is_what_an_earlier_task_has_paid_for(cached):
    whole, rest = (costs.decoder_only(PLAIN, 9, 4, cached=c) for c in (0, cached))
    # the task that fills the cache: `cached` positions, of which the last one writes a token
    paid = costs.decoder_only(PLAIN, cached, 1)
    for part in (costs.LAYERS, costs.SELF):
        assert paid.flops[part] + rest.flops[part] == whole.flops[part]
    assert rest.cache == whole.cache


def test_reading_all_at_once_or_token_by_token_is_the_same_arithmetic_without_the_mask():
    at_once, one_by_one = (costs.decoder_only(PLAIN, *lengths) for lengths in ((9, 1), (1, 9)))
    for part in (costs.LAYERS, costs.SELF):
        assert at_once.flops[part] == one_by_one.flops[part]
    assert at_once.total_traffic < one_by_one.total_traffic


def test_weights_are_shared_by_a_batch_and_keys_are_not():
    one, many = (costs.decoder_only(PLAIN, 9, 4, batch=b) for b in (1, 8))
    assert many.traffic[costs.LAYERS] == one.traffic[costs.LAYERS]
    assert many.traffic[costs.SELF] == 8 * one.traffic[costs.SELF]
    assert many.total_flops == 8 * one.total_flops


def test_the_weights_counted_are_those_of_the_model(config):
    model = EncoderDecoder(config)

    def matrices(stack):
        return sum(p.numel() for p in stack.parameters() if p.dim() == 2)

    assert costs.encoder_weights(config) == matrices(model.encoder)
    projection = sum(layer.cross_attention.kv.weight.numel() for layer in model.decoder.layers)
    assert costs.decoder_weights(config) == matrices(model.decoder) - projection
    assert costs.decoder_weights(config, cross=False) == matrices(DecoderOnly(config).decoder)


@pytest.mark.parametrize("count", [costs.encoder_decoder, costs.decoder_only])
@pytest.mark.parametrize("quantity", ["total_flops", "total_cache", "total_traffic"])
def test_coefficients_give_back_every_entry(count, quantity):
    def entry(source, target):
        return getattr(count(PLAIN, source, target), quantity)

    found = costs.coefficients(entry)
    for source, target in [*LENGTHS, (300, 70), (1, 1)]:
        s, t = source - 1, target - 1
        terms = (1, s, t, s * s, s * t, t * t)
        assert sum(c * x for c, x in zip(found, terms, strict=True)) == entry(source, target)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: costs.encoder_decoder(PLAIN, 0, 1), "source=0 must be at least 1"),
        (lambda: costs.decoder_only(PLAIN, 3, 0), "target=0 must be at least 1"),
        (lambda: costs.decoder_only(PLAIN, 3, 1, batch=0), "batch=0 must be at least 1"),
        (lambda: costs.decoder_only(PLAIN, 3, 1, cached=3), "cached=3 .* less than source=3"),
        (lambda: costs.encoder_decoder(replace(PLAIN, num_layers=0), 3, 1), "has no encoder"),
    ],
)
def test_a_wrong_number_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# --- training -------------------------------------------------------------------------------------


pytestmark = pytest.mark.filterwarnings("ignore:TF32")  # torch's own, from mkldnn.flags


def products(model, source, target, *, backwards):
    """What torch counts; without fused kernels, whose insides it can't see."""
    with (
        torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH),
        torch.backends.mkldnn.flags(enabled=False),
        FlopCounterMode(display=False) as counter,
    ):
        logits = model(ids(1, source), decoder_input_ids=ids(1, target))
        if backwards:
            logits.sum().backward()
    return counter.get_total_flops()


DESIGNS = {
    "encoder–decoder": (EncoderDecoder, False),
    "shared": (SharedEncoderDecoder, False),
    "decoder-only": (PromptedDecoder, True),
    "prefix LM": (PrefixLM, True),
}


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("design", DESIGNS)
def test_a_step_of_training_does_what_was_counted(design, lengths):
    kind, one_stack = DESIGNS[design]
    config = replace(PLAIN, num_decoder_layers=2)
    counted = costs.teacher_forced(config, *lengths, one_stack=one_stack)
    assert products(kind(config), *lengths, backwards=False) == counted
    assert products(kind(config), *lengths, backwards=True) == 3 * counted


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("attention", ["none", "dot", "additive"])
def test_a_recurrent_model_does_what_was_counted(attention, lengths):
    config = RecurrentConfig(vocab_size=23, d_model=12, num_layers=2, attention=attention)
    counted = costs.recurrent(config, *lengths)
    model = RecurrentEncoderDecoder(config)
    assert products(model, *lengths, backwards=False) == counted
    half = config.d_model // 2
    start = 2 * 2 * config.num_layers * 4 * half * half  # nothing goes back into the first state
    assert products(model, *lengths, backwards=True) == 3 * counted - start


def test_what_can_not_be_counted_is_said():
    with pytest.raises(ValueError, match="num_layers=0"):
        costs.teacher_forced(replace(PLAIN, num_layers=0), 3, 3, one_stack=False)
    with pytest.raises(ValueError, match="source=0"):
        costs.recurrent(RecurrentConfig(vocab_size=23), 0, 3)
