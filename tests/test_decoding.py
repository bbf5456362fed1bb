"""The same tokens as transformers' `generate`, and what each search must do by design."""

import copy
import itertools
import math
from collections import Counter
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from encdec.config import TransformerConfig
from encdec.decoding import (
    DEFAULT_MAX_NEW_TOKENS,
    beam_search,
    generate,
    greedy_search,
    sample,
    stream,
)
from encdec.transformer import EncoderDecoder
from tiny import ENCODER_DECODERS, FAMILIES, VOCAB, batch, lacks, ours, since, theirs

TWO_VOCABULARIES = "marian-two-vocabularies"
MENDED = {
    family: pytest.param(family, marks=since("5.18")) if family == TWO_VOCABULARIES else family
    for family in FAMILIES
}
PADDING_COUNTS_AS_SAID = lacks("5.23")  # for the repetition penalty of transformers

# --- the same tokens as transformers -------------------------------------------------------------


@st.composite
def requests(draw, family):
    """A batch, and options for it."""
    seed = draw(st.integers(0, 2))
    eos = ours(family, seed).config.eos_token_id
    lengths = draw(st.lists(st.integers(1, 8), min_size=1, max_size=8))
    side = "left" if family == "gpt2" else draw(st.sampled_from(["left", "right"]))
    options = {
        "num_beams": draw(st.sampled_from([1, 1, 2, 3, 4, 5])),
        "max_new_tokens": draw(st.sampled_from([1, 2, 5, 9, 12])),
    }
    maybe = {
        "no_repeat_ngram_size": st.sampled_from([1, 2, 3]),
        "repetition_penalty": st.sampled_from([0.7, 1.5]),
        "suppress_tokens": st.just([4, 9]),
        "bad_words_ids": st.just([[5], [6, 7], [3, 4, 5], [eos]]),
        "forced_bos_token_id": st.just(7),
        "forced_eos_token_id": st.just(eos),
        "eos_token_id": st.sampled_from([[eos, 11, 12], [eos, 3, 4, 6, 8, 10]]),
        "min_new_tokens": st.integers(1, options["max_new_tokens"]),
        "min_length": st.integers(1, options["max_new_tokens"]),
    }
    if PADDING_COUNTS_AS_SAID and family == "gpt2":
        del maybe["repetition_penalty"]
    chosen = draw(st.sets(st.sampled_from(sorted(maybe)), max_size=4))
    if "min_new_tokens" in chosen:
        chosen.discard("min_length")
    options |= {name: draw(maybe[name]) for name in sorted(chosen)}
    if options["num_beams"] > 1:
        options["length_penalty"] = draw(st.sampled_from([-1.0, 0.0, 0.6, 1.0, 2.0]))
        options["early_stopping"] = draw(st.sampled_from([True, False, "never"]))
        options["num_return_sequences"] = draw(st.integers(1, options["num_beams"]))
    return seed, lengths, side, options


@pytest.mark.parametrize("family", MENDED.values())
def test_parity_of_generate(family):
    @given(request=requests(family), draw=st.integers(0, 10_000))
    @settings(max_examples=60, derandomize=True, deadline=None)
    def check(request, draw):
        seed, lengths, side, options = request
        ids, mask = batch(family, lengths, draw, side=side)
        wanted = theirs(family, seed).generate(
            ids, attention_mask=mask, return_dict_in_generate=True, output_scores=True, **options
        )
        got = generate(ours(family, seed), ids, mask, **options)
        assert got.sequences.tolist() == wanted.sequences.tolist()
        if options["num_beams"] > 1:
            torch.testing.assert_close(got.scores, wanted.sequences_scores, atol=1e-4, rtol=1e-4)

    check()


@pytest.mark.parametrize("num_beams", [1, 3])
@pytest.mark.parametrize("family", MENDED.values())
def test_parity_of_generate_with_a_prompt(family, num_beams):
    ids, mask = batch(family, [5, 3], 3, side="left")
    start = ours(family).config.decoder_start_token_id
    for prompt in ([[8, 9], [10, 9]], [[start, 8], [start, 11]]):
        if family == "gpt2":
            more = torch.cat([ids, torch.tensor([[8, 9], [10, 9]])], dim=1)
            inputs = {"attention_mask": torch.nn.functional.pad(mask, (0, 2), value=1)}
        else:
            more, inputs = ids, {"attention_mask": mask, "decoder_input_ids": torch.tensor(prompt)}
        options = {"num_beams": num_beams, "max_new_tokens": 6}
        wanted = theirs(family).generate(more, **inputs, **options)
        assert (
            generate(ours(family), more, **inputs, **options).sequences.tolist() == wanted.tolist()
        )


@pytest.mark.parametrize("num_beams", [1, 4])
@pytest.mark.parametrize("family", [MENDED[family] for family in ENCODER_DECODERS])
def test_parity_of_a_checkpoints_own_advice(family, num_beams, tmp_path):
    """Defaults of the checkpoint hold where the caller says nothing."""
    yours = copy.deepcopy(theirs(family))
    advice = {"num_beams": num_beams, "max_length": 9, "min_length": 4, "no_repeat_ngram_size": 2}
    if num_beams > 1:
        advice |= {"length_penalty": 2.0, "early_stopping": True}
    yours.generation_config.update(**advice)
    yours.save_pretrained(tmp_path)
    ids, mask = batch(family, [6, 4], 2)
    wanted = yours.generate(ids, attention_mask=mask)
    got = generate(EncoderDecoder.from_pretrained(tmp_path), ids, mask)
    assert got.sequences.tolist() == wanted.tolist()


SAMPLING = [
    {},
    {"temperature": 0.5},
    {"top_k": 3},
    {"top_p": 0.6},
    {"min_p": 0.2},
    {"temperature": 1.7, "top_k": 9, "top_p": 0.9, "repetition_penalty": 1.3},
]


@pytest.mark.parametrize("options", SAMPLING, ids=str)
@pytest.mark.parametrize("family", ["t5", "marian", "gpt2"])
def test_parity_of_sampling_from_the_same_seed(family, options):
    if PADDING_COUNTS_AS_SAID and family == "gpt2" and "repetition_penalty" in options:
        pytest.skip("transformers has mended this in 5.23")
    ids, mask = batch(family, [5, 2, 4], 1, side="left")
    shared = {"do_sample": True, "max_new_tokens": 8, "num_return_sequences": 2, **options}
    reference = theirs(family)  # making it draws from the generator too
    torch.manual_seed(3)
    wanted = reference.generate(ids, attention_mask=mask, **{"top_k": 0, **shared})
    torch.manual_seed(3)
    got = generate(ours(family), ids, mask, **shared)
    assert got.sequences.tolist() == wanted.tolist()


@pytest.mark.parametrize("num_beams", [1, 3])
@pytest.mark.parametrize("family", FAMILIES)
def test_parity_of_attentions_while_decoding(family, num_beams):
    ids, mask = batch(family, [5, 3], 4, side="left")
    options = {"num_beams": num_beams, "max_new_tokens": 6, "min_new_tokens": 6}
    got = generate(ours(family), ids, mask, output_attentions=True, **options)
    # teacher forcing along what was written must have looked at the same places
    fed = got.sequences[:, :-1]
    if family == "gpt2":
        real = torch.nn.functional.pad(mask, (0, fed.shape[1] - mask.shape[1]), value=1)
        again = ours(family)(fed, real, output_attentions=True)
        seen = real.bool()[None, :, None, :, None].expand_as(again.decoder_attentions)
        torch.testing.assert_close(
            got.attentions.decoder[seen], again.decoder_attentions[seen], atol=1e-5, rtol=1e-4
        )
        assert got.attentions.cross is None
        return
    again = ours(family)(ids, mask, fed, output_attentions=True)
    close = {"atol": 1e-5, "rtol": 1e-4}
    torch.testing.assert_close(got.attentions.encoder, again.encoder_attentions, **close)
    torch.testing.assert_close(got.attentions.decoder, again.decoder_attentions, **close)
    torch.testing.assert_close(got.attentions.cross, again.cross_attentions, **close)


@pytest.mark.parametrize("num_beams", [1, 3])
def test_parity_of_step_scores(num_beams):
    ids, mask = batch("bart", [5, 3], 4)
    options = {"num_beams": num_beams, "max_new_tokens": 5, "repetition_penalty": 1.2}
    wanted = theirs("bart").generate(
        ids, attention_mask=mask, return_dict_in_generate=True, output_scores=True, **options
    )
    got = generate(ours("bart"), ids, mask, output_step_scores=True, **options)
    assert len(got.step_scores) == len(wanted.scores)
    for mine, yours in zip(got.step_scores, wanted.scores, strict=True):
        torch.testing.assert_close(mine, yours, atol=1e-4, rtol=1e-4)


# --- what each search must do --------------------------------------------------------------------


def four_token_model(seed=0):
    """A model whose whole tree of outputs can be walked: padding, the end, and two words."""
    torch.manual_seed(seed)
    sizes = {"d_model": 8, "d_ff": 8, "num_heads": 2, "num_layers": 1, "init_std": 0.7}
    return EncoderDecoder(TransformerConfig.family("t5", vocab_size=4, **sizes)).eval()


def all_outputs(model, ids, steps, length_penalty):
    """Score every sequence that ends, or reaches the limit, by teacher forcing."""
    scored = {}
    for length in range(1, steps + 1):
        for tokens in itertools.product(range(4), repeat=length):
            if 1 in tokens[:-1] or (tokens[-1] != 1 and length < steps):
                continue
            with torch.no_grad():
                fed = torch.tensor([[0, *tokens[:-1]]])
                log_probs = model(ids, decoder_input_ids=fed)[0].log_softmax(-1)
            total = sum(log_probs[place, token].item() for place, token in enumerate(tokens))
            scored[tokens] = total / length**length_penalty
    return sorted(scored.items(), key=lambda item: -item[1])


@pytest.mark.parametrize("length_penalty", [0.0, 1.0, 2.0, -1.0])
@pytest.mark.parametrize("seed", range(4))
def test_properties_a_wide_beam_finds_what_exhaustive_search_finds(seed, length_penalty):
    model, ids = four_token_model(seed), torch.tensor([[2, 3, 2]])
    wanted = all_outputs(model, ids, 3, length_penalty)
    assert len(wanted) == 1 + 3 + 9 * 4
    got = beam_search(
        model,
        ids,
        num_beams=64,
        num_return_sequences=len(wanted),
        max_new_tokens=3,
        length_penalty=length_penalty,
        early_stopping="never",
    )
    found = {}
    for row, score in zip(got.sequences[:, 1:].tolist(), got.scores.tolist(), strict=True):
        tokens = tuple(row[: row.index(1) + 1] if 1 in row else row)
        found[tokens] = score
    assert found == pytest.approx(dict(wanted), abs=1e-5)
    assert list(found.values()) == sorted(found.values(), reverse=True)
    assert next(iter(found)) == wanted[0][0]


@pytest.mark.parametrize("family", FAMILIES)
def test_properties_one_beam_is_greedy(family):
    for seed in range(5):
        ids, mask = batch(family, [4, 7, 2], seed, side="left")
        one = beam_search(ours(family), ids, mask, num_beams=1, max_new_tokens=9)
        greedy = greedy_search(ours(family), ids, mask, max_new_tokens=9)
        for row, other in zip(one.sequences.tolist(), greedy.sequences.tolist(), strict=True):
            # a beam's tail may be filled with the end token, a greedy row's with padding
            eos = ours(family).config.eos_token_id
            prompt = ids.shape[1] if family == "gpt2" else 1
            cut = row.index(eos, prompt) + 1 if eos in row[prompt:] else len(row)
            assert row[:cut] == other[:cut]
        if not ours(family).config.forced_bos_token_id and not ours(family).config.bad_words_ids:
            forced = ours(family).config.forced_eos_token_id is not None
            if not forced:
                torch.testing.assert_close(one.scores, greedy.scores, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("num_beams", [1, 4])
@pytest.mark.parametrize("family", FAMILIES)
def test_properties_neighbours_and_padding_do_not_change_what_is_written(family, num_beams):
    ids, mask = batch(family, [3, 8, 5], 6, side="left" if family == "gpt2" else "right")
    options = {"num_beams": num_beams, "max_new_tokens": 7}
    together = generate(ours(family), ids, mask, **options).sequences
    for row in range(3):
        real = ids[row][mask[row].bool()][None]
        alone = generate(ours(family), real, **options).sequences[0].tolist()
        prompt = ids.shape[1] if family == "gpt2" else 1
        skip = real.shape[1] if family == "gpt2" else 1
        written = together[row, prompt:].tolist()
        assert written[: len(alone) - skip] == alone[skip:]


@pytest.mark.parametrize("family", ["t5", "bart", "gpt2"])
def test_properties_more_beams_find_no_worse_hypotheses(family):
    """Not a law of beam search, but with as many beams as there are prefixes it is one."""
    ids, mask = batch(family, [4], 1)
    options = {"max_new_tokens": 2, "length_penalty": 0.0, "early_stopping": "never"}
    wide = beam_search(ours(family), ids, mask, num_beams=VOCAB, **options).scores
    for num_beams in (1, 2, 5):
        narrow = beam_search(ours(family), ids, mask, num_beams=num_beams, **options).scores
        assert (narrow <= wide + 1e-5).all()


def test_scores_are_log_probabilities_of_what_was_written():
    for search, options in ((greedy_search, {}), (beam_search, {"num_beams": 3})):
        model = ours("t5")
        ids, mask = batch("t5", [5, 3], 2)
        output = search(model, ids, mask, max_new_tokens=6, length_penalty=1.0, **options)
        for row in range(2):
            tokens = output.sequences[row].tolist()
            end = tokens.index(1, 1) + 1 if 1 in tokens[1:] else len(tokens)
            fed = torch.tensor([tokens[: end - 1]])
            with torch.no_grad():
                log_probs = model(ids[row : row + 1], mask[row : row + 1], fed)[0].log_softmax(-1)
            total = sum(log_probs[place, tokens[place + 1]].item() for place in range(end - 1))
            assert output.scores[row].item() == pytest.approx(total / (end - 1), abs=1e-4)


def test_the_tree_of_a_beam_search_can_be_walked():
    model = ours("bart")
    ids, mask = batch("bart", [5, 3], 8)
    output = beam_search(
        model, ids, mask, num_beams=3, max_new_tokens=6, length_penalty=0.0, trace=True
    )
    assert len(output.trace) == 2
    for number, steps in enumerate(output.trace):
        beams, ended = [((), 0.0)], []
        for step in steps:
            candidates = list(step.candidates)
            assert len(candidates) == 6
            assert len(step.kept) == 3
            log_probs = [each.log_prob for each in candidates]
            assert log_probs == sorted(log_probs, reverse=True)
            assert {(each.parent, each.token) for each in step.kept} <= {
                (each.parent, each.token) for each in candidates
            }
            texts = {
                (c.parent, c.token): beams[c.parent][0] + (c.token,)
                for c in candidates
                if c.parent < len(beams)
            }
            ended += [(texts[c.parent, c.token], c.log_prob) for c in candidates[:3] if c.finished]
            beams = [(texts.get((c.parent, c.token), ()), c.log_prob) for c in step.kept]
        best = max(ended, key=lambda each: each[1])
        row = output.sequences[number, 1 : 1 + len(best[0])].tolist()
        assert row == list(best[0])
        assert output.scores[number].item() == pytest.approx(best[1], abs=1e-5)
    assert generate(model, ids, mask, num_beams=3, return_trace=True).trace is not None
    assert generate(model, ids, mask, num_beams=3).trace is None


# --- sampling ------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", SAMPLING, ids=str)
def test_samples_come_as_often_as_their_probability(options):
    model, ids = ours("t5"), batch("t5", [4], 1)[0]
    draws = 4000
    output = sample(
        model,
        ids,
        max_new_tokens=1,
        num_return_sequences=draws,
        generator=torch.Generator().manual_seed(0),
        output_step_scores=True,
        **options,
    )
    expected = output.step_scores[0][0].softmax(-1)
    counts = Counter(output.sequences[:, 1].tolist())
    for token, probability in enumerate(expected.tolist()):
        doubt = 4.5 * math.sqrt(probability * (1 - probability) / draws)
        assert counts[token] / draws == pytest.approx(probability, abs=doubt + 1e-9)
    if "top_k" in options:
        assert len(counts) <= options["top_k"]


def test_a_generator_makes_samples_repeatable_and_leaves_the_global_one_alone():
    ids, mask = batch("bart", [4, 2])
    before = torch.get_rng_state()
    runs = [
        sample(
            ours("bart"), ids, mask, max_new_tokens=6, generator=torch.Generator().manual_seed(seed)
        ).sequences
        for seed in (5, 5, 6)
    ]
    assert torch.equal(runs[0], runs[1])
    assert runs[0].shape != runs[2].shape or not torch.equal(runs[0], runs[2])
    assert torch.equal(torch.get_rng_state(), before)


# --- streaming, limits, rows ---------------------------------------------------------------------


@pytest.mark.parametrize("family", ["t5", "gpt2"])
def test_streamed_tokens_are_the_generated_ones(family):
    ids, mask = batch(family, [4, 2], side="left")
    whole = greedy_search(ours(family), ids, mask, max_new_tokens=7).sequences
    heard = []
    greedy_search(ours(family), ids, mask, max_new_tokens=7, on_tokens=heard.append)
    streamed = list(stream(ours(family), ids, mask, max_new_tokens=7))
    prompt = ids.shape[1] if family == "gpt2" else 1
    assert torch.equal(torch.stack(streamed, 1), whole[:, prompt:])
    assert torch.equal(torch.stack(heard, 1), whole[:, prompt:])
    first = next(stream(ours(family), ids, mask, max_new_tokens=7))
    assert torch.equal(first, whole[:, prompt])


def test_sampled_streams_and_beams():
    ids, _ = batch("t5", [4])
    options = {"do_sample": True, "max_new_tokens": 3}
    streamed = stream(ours("t5"), ids, generator=torch.Generator().manual_seed(1), **options)
    whole = generate(ours("t5"), ids, generator=torch.Generator().manual_seed(1), **options)
    assert torch.stack(list(streamed), 1).tolist() == whole.sequences[:, 1:].tolist()
    with pytest.raises(ValueError, match="num_beams=2 cannot be streamed"):
        next(stream(ours("t5"), ids, num_beams=2))


def test_rows_that_have_ended_are_padded_and_the_loop_stops_with_the_last():
    model, seen = ours("t5"), False
    for seed in range(20):
        ids, mask = batch("t5", [3, 6, 4], seed)
        tokens = greedy_search(model, ids, mask, max_new_tokens=12).sequences
        for row in tokens[:, 1:].tolist():
            if 1 in row:
                assert set(row[row.index(1) + 1 :]) <= {0}
                seen = seen or row.index(1) + 1 < len(row)
        assert tokens.shape[1] == 13 or any(row[-1] == 1 for row in tokens.tolist())
    assert seen


def test_without_a_limit_there_is_a_stated_one():
    model = EncoderDecoder(replace(ours("t5").config, eos_token_id=None)).eval()
    ids = torch.tensor([[3, 4]])
    assert generate(model, ids).sequences.shape[1] == 1 + DEFAULT_MAX_NEW_TOKENS
    model = EncoderDecoder(replace(ours("bart").config, eos_token_id=None)).eval()
    assert generate(model, ids).sequences.shape[1] == 1 + 48  # all its positions


def test_positions_end_with_a_clear_error_and_not_a_token_early():
    ids = torch.tensor([[3, 4]])
    fits = generate(ours("bart"), ids, max_new_tokens=48, min_new_tokens=48)
    assert fits.sequences.shape[1] == 49
    with pytest.raises(ValueError, match=r"max_new_tokens=49 goes beyond.*at most 48"):
        generate(ours("bart"), ids, max_new_tokens=49)
    with pytest.raises(ValueError, match=r"max_length=50 goes beyond.*at most 49"):
        generate(ours("bart"), ids, max_length=50)
    with pytest.raises(ValueError, match=r"max_new_tokens=64 goes beyond.*at most 63"):
        generate(ours("gpt2"), ids, max_new_tokens=64)
    for family in ("t5", "marian"):
        assert generate(ours(family), ids, min_new_tokens=90, max_new_tokens=90).sequences.shape[1]


def test_time_steps_see_one_token_each():
    """The cache is used: after the prompt, a step never shows the model more than one token."""

    class Watched(EncoderDecoder):
        seen: list

        def step(self, tokens, cache, record=None):
            self.seen.append(tuple(tokens.shape))
            return super().step(tokens, cache, record)

    model = Watched(ours("t5").config).eval()
    model.seen = []
    generate(model, torch.tensor([[3, 4], [5, 6]]), num_beams=3, max_new_tokens=5, min_new_tokens=5)
    assert model.seen == [(2, 1)] + [(6, 1)] * 4


def test_training_mode_comes_back_and_dropout_stays_out():
    model = copy.deepcopy(ours("t5")).train()
    ids, mask = batch("t5", [4, 2])
    wanted = generate(ours("t5"), ids, mask, max_new_tokens=6).sequences
    assert torch.equal(generate(model, ids, mask, max_new_tokens=6).sequences, wanted)
    assert model.training


def test_training_goes_on_after_generating():
    model = EncoderDecoder(replace(ours("marian").config, generation={}))
    ids, mask = batch("marian", [4, 2])
    generate(model, ids, mask, max_new_tokens=4)
    model(ids, mask, labels=ids).sum().backward()


# --- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"input_ids": torch.tensor([[VOCAB]])}, f"input_ids holds {VOCAB}"),
        ({"input_ids": torch.tensor([[-3]])}, "input_ids holds -3"),
        ({"input_ids": torch.zeros(0, 3, dtype=torch.long)}, r"input_ids has shape \(0, 3\)"),
        ({"attention_mask": torch.tensor([[0, 0, 0]])}, r"no real token in row\(s\) \[0\]"),
        ({"attention_mask": torch.ones(1, 2)}, r"attention_mask has shape \(1, 2\)"),
        ({"num_beams": 0}, "num_beams=0 must be at least 1"),
        ({"min_new_tokens": 9, "max_new_tokens": 4}, "min_new_tokens=9 asks for 10 tokens"),
        ({"min_length": 9, "max_length": 4}, "min_length=9 asks for 9 tokens"),
        (
            {"decoder_input_ids": torch.zeros(2, 1, dtype=torch.long)},
            r"decoder_input_ids has shape \(2, 1\).*each of the 1 rows",
        ),
        (
            {"decoder_input_ids": torch.full((1, 9), 7), "max_length": 5},
            "max_length=5 leaves no room after the 10",
        ),
    ],
)
@pytest.mark.parametrize("family", ["t5", "bart"])
def test_bad_input_is_named(family, changes, complaint):
    inputs = {"input_ids": torch.tensor([[3, 4, 5]])}
    with pytest.raises(ValueError, match=complaint):
        generate(ours(family), **{**inputs, **changes})


@pytest.mark.parametrize(
    ("family", "changes", "complaint"),
    [
        ("t5", {"input_ids": [[3, 4]]}, "input_ids is a list, but must be a tensor"),
        ("t5", {"max_tokens": 4}, "unknown option 'max_tokens'"),
        ("gpt2", {"decoder_input_ids": torch.tensor([[3]])}, "no meaning for DecoderOnly"),
    ],
)
def test_wrong_types_are_named(family, changes, complaint):
    with pytest.raises(TypeError, match=complaint):
        generate(ours(family), **{"input_ids": torch.tensor([[3, 4]]), **changes})


@pytest.mark.parametrize("options", [{}, {"num_beams": 2}, {"do_sample": True}], ids=str)
def test_logits_that_are_not_numbers_stop_the_search(options):
    model = copy.deepcopy(ours("t5"))
    with torch.no_grad():
        model.decoder.final_norm.weight[0] = float("nan")
    with pytest.raises(ValueError, match=r"logits are NaN or infinite in row\(s\) \[0.*at token 1"):
        generate(model, torch.tensor([[3, 4]]), max_new_tokens=3, **options)


def test_a_decoder_needs_a_start():
    config = replace(ours("t5").config, decoder_start_token_id=None, bos_token_id=None)
    with pytest.raises(ValueError, match="decoder_start_token_id is None and so is bos_token_id"):
        generate(EncoderDecoder(config), torch.tensor([[3]]))
