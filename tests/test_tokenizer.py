import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encdec.tokenizer import EOS, PAD, UNK, BPEDropout, train_tokenizer


@pytest.fixture(scope="module")
def tokenizer(corpus):
    return train_tokenizer([text for pair in corpus for text in pair], 200)


def test_the_layout_is_marians(tokenizer):
    assert tokenizer.convert_tokens_to_ids([EOS, UNK, PAD]) == [0, 1, len(tokenizer) - 1]
    assert len(tokenizer) <= 200
    assert tokenizer("a dog").input_ids[-1] == tokenizer.eos_token_id


def test_known_text_comes_back(tokenizer, corpus):
    for pair in corpus[::7]:
        for text in pair:
            ids = tokenizer(text).input_ids
            assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_spaces_and_apostrophes_are_normalized(tokenizer):
    plain = tokenizer("Anna see it aujourd'hui").input_ids
    assert tokenizer("  Anna\tsee \n it aujourd’hui ").input_ids == plain


def test_punctuation_never_joins_a_word(tokenizer):
    tokens = tokenizer.convert_ids_to_tokens(tokenizer("I see it.").input_ids)
    assert tokens[-2:] == [".", EOS]


def test_a_saved_tokenizer_is_loaded_by_transformers(tokenizer, tmp_path):
    from transformers import AutoTokenizer

    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "marian"}')
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded("we hear the sea").input_ids == tokenizer("we hear the sea").input_ids
    assert loaded.pad_token == PAD


def test_the_same_texts_make_the_same_tokenizer_also_where_characters_are_equally_frequent():
    letters = [chr(0x4E00 + number) for number in range(200)]
    texts = ["a b c d e"] * 5 + letters  # each of the letters once
    made = {train_tokenizer(texts, 400, alphabet=50).backend_tokenizer.to_str() for _ in range(5)}
    assert len(made) == 1
    kept = train_tokenizer(texts, 400, alphabet=50).get_vocab()
    assert sum(len(token) == 1 for token in kept) == 50
    assert sum(letter in kept for letter in letters) == 50 - len("▁abcde")


def test_no_text_is_refused():
    with pytest.raises(ValueError, match="holds no sentence"):
        train_tokenizer(["", "  "], 100)


def test_a_vocabulary_smaller_than_the_alphabet_is_refused(corpus):
    with pytest.raises(ValueError, match="can't hold the alphabet"):
        train_tokenizer([pair.source for pair in corpus], 10)


def encode(encoder, text, seed=0):
    return encoder.encode(encoder.pieces(text), random.Random(seed))


def test_without_dropout_it_is_the_librarys_encoding(tokenizer, corpus):
    encoder = BPEDropout(tokenizer, 0.0)
    for pair in corpus:
        for text in pair:
            assert encode(encoder, text) == tokenizer(text).input_ids


@given(words=st.lists(st.sampled_from("house dog sea maison chien see want".split()), min_size=1))
def test_dropout_changes_the_pieces_and_never_the_text(tokenizer, words):
    text = " ".join(words)
    ids = encode(BPEDropout(tokenizer, 0.5), text)
    assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_dropout_gives_several_encodings_and_the_same_for_the_same_seed(tokenizer):
    text = "they want the house aujourd'hui"
    encodings = {tuple(encode(BPEDropout(tokenizer, 0.3), text, seed)) for seed in range(20)}
    assert len(encodings) > 3
    assert encode(BPEDropout(tokenizer, 0.3), text, 5) == encode(
        BPEDropout(tokenizer, 0.3), text, 5
    )


@pytest.mark.parametrize("dropout", [-0.1, 1.0])
def test_a_dropout_outside_its_range_is_named(tokenizer, dropout):
    with pytest.raises(ValueError, match=f"dropout={dropout}"):
        BPEDropout(tokenizer, dropout)
