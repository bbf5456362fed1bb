"""Recurrent networks keep the promises of the Transformers: same call, same decoding."""

from dataclasses import replace

import pytest
import torch

from encdec.decoding import beam_search, generate, greedy_search, sample
from encdec.recurrent import RecurrentConfig, RecurrentEncoderDecoder

KINDS = ("none", "additive", "dot")
CLOSE = {"atol": 1e-5, "rtol": 1e-5}


def model_of(attention, **changes):
    torch.manual_seed(0)
    config = RecurrentConfig(
        vocab_size=20, d_model=12, num_layers=2, attention=attention, **changes
    )
    model = RecurrentEncoderDecoder(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.5)
    return model.eval()


def example():
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(3, 20, (3, 6), generator=generator)
    mask = torch.tensor([[1] * 6, [1, 1, 0, 0, 0, 0], [1, 1, 1, 1, 0, 0]])
    target = torch.randint(3, 20, (3, 5), generator=generator)
    return {"input_ids": ids, "attention_mask": mask, "decoder_input_ids": target}


@pytest.mark.parametrize("attention", KINDS)
def test_properties_cached_equals_uncached(attention):
    model, inputs = model_of(attention), example()
    with torch.no_grad():
        whole = model(**inputs)
        _, cache = model.start(
            inputs["input_ids"], inputs["attention_mask"], prompt=inputs["decoder_input_ids"][:, :1]
        )
        steps = [model.step(inputs["decoder_input_ids"][:, i : i + 1], cache) for i in range(5)]
    assert whole.shape == (3, 5, 20)
    torch.testing.assert_close(torch.stack(steps, 1), whole, **CLOSE)


@pytest.mark.parametrize("attention", KINDS)
def test_properties_the_future_does_not_move_the_past(attention):
    model, inputs = model_of(attention), example()
    changed = inputs["decoder_input_ids"].clone()
    changed[:, 3] = (changed[:, 3] + 1) % 17 + 3
    with torch.no_grad():
        before, after = model(**inputs), model(**{**inputs, "decoder_input_ids": changed})
    torch.testing.assert_close(before[:, :3], after[:, :3], **CLOSE)
    assert not torch.allclose(before[:, 3], after[:, 3], atol=1e-3)


@pytest.mark.parametrize("attention", KINDS)
def test_properties_padding_changes_nothing_and_rows_do_not_mix(attention):
    model, inputs = model_of(attention), example()
    with torch.no_grad():
        together = model(**inputs)
        for row in range(3):
            length = int(inputs["attention_mask"][row].sum())
            alone = model(
                inputs["input_ids"][row : row + 1, :length],
                decoder_input_ids=inputs["decoder_input_ids"][row : row + 1],
            )
            torch.testing.assert_close(together[row : row + 1], alone, **CLOSE)


def test_properties_without_attention_the_source_is_one_vector():
    model, inputs = model_of("none"), example()
    with torch.no_grad():
        memory = model.encode(inputs["input_ids"], inputs["attention_mask"])
        embedded = model.target_tokens(inputs["decoder_input_ids"])
        before, _ = model.decoder(embedded, memory, memory.state)
        memory.states = torch.randn_like(memory.states)
        after, _ = model.decoder(embedded, memory, memory.state)
    assert torch.equal(before, after)
    assert model(**inputs, output_attentions=True).cross_attentions is None


@pytest.mark.parametrize("attention", ["additive", "dot"])
def test_attention_weights_are_shares_of_real_words(attention):
    model, inputs = model_of(attention), example()
    weights = model(**inputs, output_attentions=True).cross_attentions
    assert weights.shape == (1, 3, 1, 5, 6)
    torch.testing.assert_close(weights.sum(-1), torch.ones(1, 3, 1, 5))
    hidden = ~inputs["attention_mask"].bool()[None, :, None, None].expand_as(weights)
    assert (weights[hidden] == 0).all()


@pytest.mark.parametrize("attention", KINDS)
def test_decoding_serves_recurrent_networks(attention):
    model, inputs = model_of(attention), example()
    del inputs["decoder_input_ids"]
    greedy = greedy_search(model, **inputs, max_new_tokens=7)
    one = beam_search(model, **inputs, max_new_tokens=7, num_beams=1, pad_token_id=19)
    for row, other in zip(greedy.sequences.tolist(), one.sequences.tolist(), strict=True):
        cut = row.index(1, 1) + 1 if 1 in row[1:] else len(row)
        assert row[:cut] == other[:cut]
    wide = generate(model, **inputs, max_new_tokens=7, num_beams=4, num_return_sequences=4)
    assert wide.sequences.shape[0] == 12
    # what beam search says of its hypotheses is what the model says of them
    for row in range(12):
        tokens = wide.sequences[row].tolist()
        end = tokens.index(1, 1) + 1 if 1 in tokens[1:] else len(tokens)
        with torch.no_grad():
            log_probs = model(
                inputs["input_ids"][row // 4 : row // 4 + 1],
                inputs["attention_mask"][row // 4 : row // 4 + 1],
                torch.tensor([tokens[: end - 1]]),
            )[0].log_softmax(-1)
        total = sum(log_probs[i, tokens[i + 1]].item() for i in range(end - 1))
        assert wide.scores[row].item() == pytest.approx(total / (end - 1), abs=1e-4)
    assert sample(model, **inputs, max_new_tokens=3, num_return_sequences=2).sequences.shape[0] == 6


@pytest.mark.parametrize("attention", ["additive", "dot"])
def test_attentions_while_decoding_are_those_of_teacher_forcing(attention):
    model, inputs = model_of(attention), example()
    del inputs["decoder_input_ids"]
    output = generate(
        model, **inputs, num_beams=3, max_new_tokens=5, min_new_tokens=5, output_attentions=True
    )
    again = model(**inputs, decoder_input_ids=output.sequences[:, :-1], output_attentions=True)
    torch.testing.assert_close(output.attentions.cross, again.cross_attentions, **CLOSE)
    assert output.attentions.decoder is None


@pytest.mark.parametrize("attention", KINDS)
def test_properties_it_learns_to_copy_a_word(attention):
    torch.manual_seed(0)
    config = RecurrentConfig(vocab_size=12, d_model=32, attention=attention, dropout=0.0)
    model = RecurrentEncoderDecoder(config)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(120):
        ids = torch.randint(3, 12, (32, 3))
        loss = torch.nn.functional.cross_entropy(
            model(ids, labels=ids).flatten(0, 1), ids.flatten()
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.7  # guessing would be log 9 = 2.2
    assert all(each.grad is not None for each in model.parameters())


@pytest.mark.parametrize("attention", KINDS)
def test_a_round_trip_changes_nothing(attention, tmp_path):
    model, inputs = model_of(attention, decoder_vocab_size=20), example()
    model.save_pretrained(tmp_path)
    again = RecurrentEncoderDecoder.from_pretrained(tmp_path)
    assert again.config == model.config
    assert torch.equal(again(**inputs), model(**inputs))


def test_weights_of_another_shape_are_refused(tmp_path):
    model = model_of("dot")
    model.save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    file.write_text(file.read_text().replace('"d_model": 12', '"d_model": 16'))
    with pytest.raises(ValueError, match=r"do not fit its config\.json"):
        RecurrentEncoderDecoder.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"attention": "all"}, "attention='all' must be one of none, additive, dot"),
        ({"d_model": 7}, "d_model=7 must be even"),
        ({"num_layers": 0}, "num_layers=0 must be at least 1"),
        ({"dropout": 1.0}, "dropout=1.0 must be"),
    ],
)
def test_impossible_descriptions(changes, complaint):
    with pytest.raises(ValueError, match=complaint):
        RecurrentConfig(**{"vocab_size": 9, **changes})


def test_bad_input_is_named():
    model, inputs = model_of("dot"), example()
    with pytest.raises(ValueError, match="pad on the right"):
        model(**{**inputs, "attention_mask": inputs["attention_mask"].flip(1)})
    with pytest.raises(ValueError, match="input_ids holds 20"):
        model(torch.tensor([[20]]), labels=torch.tensor([[3]]))
    with pytest.raises(ValueError, match="decoder_input_ids is None and labels is None"):
        model(inputs["input_ids"])
    bare = RecurrentEncoderDecoder(replace(model.config, decoder_start_token_id=None))
    with pytest.raises(ValueError, match="decoder_start_token_id is None"):
        bare(inputs["input_ids"], labels=inputs["input_ids"])
