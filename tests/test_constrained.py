from itertools import product

import pytest
import torch

from encdec import beam_search, zoo
from encdec.constrained import constrained_beam_search
from tests.test_decoding import four_token_model
from tests.tiny import ours

SOURCE = torch.tensor([[2, 3, 2]])
EOS = 1


def contains(tokens, phrase):
    return any(tuple(tokens[i : i + len(phrase)]) == tuple(phrase) for i in range(len(tokens)))


def log_probability(model, tokens):
    start = model.config.decoder_start_token_id
    ids = torch.tensor([[start, *tokens[:-1]]])
    with torch.no_grad():
        log_probs = model(SOURCE, decoder_input_ids=ids).log_softmax(dim=-1)[0]
    return sum(float(row[token]) for row, token in zip(log_probs, tokens, strict=True))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("phrases", [[], [(2,)], [(3, 2)], [(2,), (3,)], [(2, 2), (3,)]])
def test_a_wide_grid_finds_the_best_text_with_the_phrases(seed, phrases):
    model, longest = four_token_model(seed), 5
    texts = [
        (*body, EOS) for length in range(longest) for body in product((0, 2, 3), repeat=length)
    ]
    allowed = [text for text in texts if all(contains(text, phrase) for phrase in phrases)]
    wanted = {text: log_probability(model, text) / len(text) for text in allowed}
    found = constrained_beam_search(model, SOURCE, phrases, num_beams=400, max_new_tokens=longest)
    # all texts end among so many beams, so nothing stops the search early
    assert found.log_prob / len(found.tokens) == pytest.approx(max(wanted.values()), abs=1e-5)


@pytest.mark.parametrize("family", ["t5", "bart", "marian"])
@pytest.mark.parametrize("phrase", [(7,), (7, 9, 8), (7, 7)])
def test_the_phrase_is_written_whole(family, phrase):
    model = ours(family)
    found = constrained_beam_search(
        model, torch.tensor([[5, 6, 7, 2]]), [phrase], num_beams=3, max_new_tokens=12
    )
    assert contains(found.tokens, phrase)
    assert not found.unmet
    assert not found.rest


def test_two_phrases_do_not_break_each_other_up():
    found = constrained_beam_search(
        ours("t5"), torch.tensor([[5, 6, 7, 1]]), [(8, 9, 10), (11, 12)], max_new_tokens=14
    )
    assert contains(found.tokens, (8, 9, 10))
    assert contains(found.tokens, (11, 12))


def test_a_translation_uses_the_term_of_the_glossary():
    model, tokenizer = zoo.load("translation", announce=False, device="cpu")
    ids = tokenizer("My car is red.", return_tensors="pt").input_ids
    plain = beam_search(model, ids, num_beams=4, max_new_tokens=30).sequences[0]
    term = "véhicule"
    assert term not in tokenizer.decode(plain, skip_special_tokens=True)
    phrase = tokenizer(text_target=term, add_special_tokens=False).input_ids
    found = constrained_beam_search(model, ids, [phrase])
    text = tokenizer.decode(found.tokens, skip_special_tokens=True)
    assert term in text
    assert "rouge" in text


def test_without_phrases_it_is_beam_search():
    model, tokenizer = zoo.load("translation", announce=False, device="cpu")
    for sentence in ("My car is red.", "Where is the sea?", "She does not like coffee."):
        ids = tokenizer(sentence, return_tensors="pt").input_ids
        plain = beam_search(model, ids, num_beams=4, max_new_tokens=30).sequences[0].tolist()
        found = constrained_beam_search(model, ids, [], num_beams=4, max_new_tokens=30)
        assert list(found.tokens) == plain[1 : len(found.tokens) + 1]


def test_a_model_in_training_is_left_in_training():
    model = ours("t5").train()
    constrained_beam_search(model, torch.tensor([[5, 6, 1]]), [], max_new_tokens=3)
    assert model.training
    model.eval()


def test_bad_wishes_are_explained():
    model, ids = ours("t5"), torch.tensor([[5, 6, 1]])
    with pytest.raises(ValueError, match=r"shape \(2, 3\): one source, \(1, source\)"):
        constrained_beam_search(model, ids.repeat(2, 1), [])
    with pytest.raises(ValueError, match="a phrase without tokens"):
        constrained_beam_search(model, ids, [()])
    with pytest.raises(ValueError, match="num_beams=0: at least one beam"):
        constrained_beam_search(model, ids, [], num_beams=0)
    with pytest.raises(ValueError, match="max_new_tokens=2 leaves no room for 2 demanded tokens"):
        constrained_beam_search(model, ids, [(7, 8)], max_new_tokens=2)
