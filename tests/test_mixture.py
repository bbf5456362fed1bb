import random
from collections import Counter
from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import small
from encdec.corpora import Corpora
from encdec.data.docstrings import source_text
from encdec.data.parallel import Pair
from encdec.data.tasks import draw_items
from encdec.mixture import (
    LEAST_WINDOW,
    Encoder,
    Mixture,
    Windows,
    fill,
    sample,
    tokenizer_texts,
    within,
)
from encdec.recipe import DenoisingRecipe
from encdec.tokenizer import ANSWER, LAYOUTS, MASK_SENTENCE, SENTINELS, TEXT, train_tokenizer

TRANSLATION = {"translation": {"source": "en", "target": "fr"}}


@pytest.fixture
def corpora(corpus, monkeypatch):
    small.use(monkeypatch, corpus)
    return Corpora(small.recipe(mixture=[TRANSLATION]).held_out)


@pytest.fixture(scope="module")
def encoders(corpus):
    """An encoder for each family, all with the same text."""
    pairs = [*corpus, *small.german(corpus)]
    texts = [*chain.from_iterable(pairs), *(f"{d.body} {d.text}" for d in small.functions())]
    return {
        name: Encoder(train_tokenizer(texts, 500, layout), layout, max_length=128)
        for name, layout in LAYOUTS.items()
    }


@pytest.mark.parametrize("family", LAYOUTS)
def test_sources_are_framed_as_the_tokenizer_frames_them(encoders, family, corpus):
    encoder = encoders[family]
    examples = encoder.examples(corpus[:20])
    for pair, example in zip(corpus, examples, strict=False):
        assert example.input_ids == encoder.tokenizer(pair.source).input_ids
        assert encoder.tokenizer.decode(example.labels, skip_special_tokens=True) == pair.target


def test_only_bart_begins_a_target_and_only_gpt_asks_for_an_answer(encoders, corpus):
    firsts = {name: e.examples(corpus[:1])[0] for name, e in encoders.items()}
    for name, example in firsts.items():
        tokenizer = encoders[name].tokenizer
        tokens = tokenizer.convert_ids_to_tokens(example.labels)
        assert (tokens[0] == "<s>") == (name == "bart")
        assert tokens[-1] == tokenizer.eos_token
    source = encoders["gpt2"].tokenizer.convert_ids_to_tokens(firsts["gpt2"].input_ids)
    assert (source[0], source[-1]) == (TEXT, ANSWER)


def test_a_long_source_is_cut_and_keeps_its_frame(encoders):
    pair = Pair("I see the house. " * 40, "je vois")
    [example] = encoders["bart"].examples([pair], source_limit=20)
    assert len(example.input_ids) == 20
    assert example.input_ids[-1] == encoders["bart"].tokenizer.eos_token_id


def test_a_long_target_is_never_cut(encoders):
    pair = Pair("I see", "je vois la maison " * 40)
    with pytest.raises(ValueError, match=r"'I see' and its target 'je vois la.* max_length=128: r"):
        encoders["t5"].examples([pair], source_limit=20)


def test_in_one_row_source_and_target_share_the_room(encoders):
    half = "the house is here " * 17
    assert encoders["t5"].examples([Pair(half, half)])
    with pytest.raises(ValueError, match="max_length=128 for both together"):
        encoders["gpt2"].examples([Pair(half, half)])


sentences = st.lists(st.lists(st.integers(0, 99), min_size=1, max_size=12), min_size=1, max_size=5)


@given(st.lists(sentences, max_size=8), st.integers(3, 20), st.booleans())
def test_packing_keeps_every_token_in_order_and_fills_no_window_over(documents, size, coherent):
    windows = fill(documents, size, coherent=coherent)
    assert [*chain(*chain(*windows))] == [*chain(*chain(*documents))]
    assert all(0 < sum(map(len, window)) <= size for window in windows)


@given(st.lists(sentences, min_size=1, max_size=8), st.integers(3, 20))
def test_coherent_windows_hold_one_document(documents, size):
    marked = [[[number] * len(s) for s in document] for number, document in enumerate(documents)]
    for window in fill(marked, size, coherent=True):
        assert len({token for sentence in window for token in sentence}) == 1


@given(st.integers(1, 9), st.integers(0, 40), st.integers())
def test_a_sample_has_every_item_as_often_as_any_other_up_to_one(items, number, seed):
    drawn = sample(range(items), number, random.Random(seed))
    counts = Counter(drawn)
    assert len(drawn) == number
    assert max(counts.values(), default=0) - min(counts[i] for i in range(items)) <= 1


def test_a_whole_sample_is_everything_once():
    assert sorted(sample("abc", None, random.Random(0))) == ["a", "b", "c"]


def windows(encoder, objective, texts, **options):
    recipe = DenoisingRecipe(objective=objective, texts=("prose",), **options)
    return Windows(recipe, [texts], encoder)


@pytest.fixture
def prose(corpora):
    return corpora.documents("prose", "train")


def draw(made):
    found = made(random.Random(0))
    assert len(found) > 5
    return found


def test_t5_writes_what_its_sentinels_hide(encoders, prose):
    encoder = encoders["t5"]
    sentinels = set(encoder.tokenizer.convert_tokens_to_ids(list(SENTINELS)))
    for example in draw(windows(encoder, "span_corruption", prose, window=40)):
        hidden = [token for token in example.labels[:-1] if token not in sentinels]
        assert set(example.input_ids) & sentinels
        assert hidden == [example.tokens[i] for i in example.hidden]
        assert len(hidden) == max(1, round(0.15 * len(example.tokens)))


def test_bart_writes_the_whole_text(encoders, prose):
    tokenizer = encoders["bart"].tokenizer
    for example in draw(windows(encoders["bart"], "shuffle_and_infill", prose, window=60)):
        assert tokenizer.mask_token_id in example.input_ids
        assert example.labels == [tokenizer.bos_token_id, *example.tokens, tokenizer.eos_token_id]


def test_pegasus_writes_hidden_sentences(encoders, prose):
    tokenizer = encoders["pegasus"].tokenizer
    known = {sentence for document in prose for sentence in document}
    mask = tokenizer.convert_tokens_to_ids(MASK_SENTENCE)
    for example in draw(windows(encoders["pegasus"], "gap_sentences", prose, window=90)):
        assert example.input_ids.count(mask) == 1
        assert tokenizer.decode(example.labels, skip_special_tokens=True) in known


def test_gpt_goes_on_from_its_beginning(encoders, prose):
    text = encoders["gpt2"].tokenizer.convert_tokens_to_ids(TEXT)
    for example in draw(windows(encoders["gpt2"], "causal_lm", prose, window=30)):
        assert example.input_ids == [text]
        assert example.labels[-1] == text
        assert LEAST_WINDOW < len(example.labels) <= 31


def test_an_ingredient_gives_as_many_examples_as_it_is_asked_for(encoders, prose):
    for number in (3, 500):
        made = windows(encoders["t5"], "span_corruption", prose, examples=number)
        assert len(made(random.Random(0))) == number


def mixture(corpora, encoder, ingredients, **changes):
    recipe = small.recipe("t5", ingredients, **changes)
    return Mixture(recipe, recipe.stages[0], corpora, encoder)


def test_the_same_epoch_is_the_same_and_another_is_not(corpora, encoders):
    ingredients = [
        {"translation": {"source": "en", "target": "fr", "prefix": "fr: ", "examples": 20}},
        {"denoising": {"objective": "span_corruption", "texts": ("prose",), "examples": 10}},
        {"summaries": {"prefixes": ("a: ", "b: "), "examples": 10}},
    ]
    one, two = (mixture(corpora, encoders["t5"], ingredients) for _ in range(2))
    assert one(3) == two(3)
    assert len(one(3)) == 40
    assert one(4) != two(3)
    assert mixture(corpora, encoders["t5"], ingredients, seed=1)(3) != one(3)


def test_translations_carry_their_prefix_and_come_from_training(corpora, encoders):
    made = mixture(
        corpora,
        encoders["t5"],
        [{"translation": {"source": "en", "target": "de", "prefix": "x: "}}],
    )
    decode = encoders["t5"].tokenizer.decode
    known = {(f"x: {pair.source}", pair.target) for pair in corpora.pairs(made_recipe("de")).train}
    found = {tuple(decode(ids, skip_special_tokens=True) for ids in example) for example in made(0)}
    assert found == known


@pytest.mark.parametrize(
    ("kinds", "number"),
    [
        (["documented"], 30),
        (["functions"], 4),
        (["classes", "names"], 6),
        (["libraries"], 6),
        (None, 30),
    ],
)
def test_summaries_are_learnt_from_the_code_that_is_asked_for(corpora, encoders, kinds, number):
    ingredient = {"summaries": {"code": tuple(kinds)} if kinds else {}}
    encoder = encoders["t5"]
    expected = encoder.examples(
        [Pair(source_text(d), d.summary) for k in kinds or ["documented"] for d in corpora.code(k)],
        source_limit=160,
    )
    found = mixture(corpora, encoder, [ingredient])(0)
    assert len(found) == number
    assert sorted(found) == sorted(expected)


def test_a_tokenizer_learns_the_same_whatever_else_a_later_stage_reads(corpora):
    summaries = {"summaries": {"code": ("documented",)}}
    more = {"summaries": {"code": ("names", "classes")}}
    assert tokenizer_texts(small.recipe(mixture=[summaries, more]), corpora) == tokenizer_texts(
        small.recipe(mixture=[summaries]), corpora
    )


def test_instructions_are_of_the_tasks_and_templates_that_are_asked_for(corpora, encoders):
    ingredient = {"instructions": {"examples": 30, "tasks": ("plural",), "templates": 1}}
    encoder = encoders["t5"]
    items = draw_items(2000, seed=0, tasks=["plural"], templates=1)
    known = encoder.examples([Pair(item.instruction, item.answer) for item in items])
    found = mixture(corpora, encoder, [ingredient])(0)
    assert 20 < len(found) <= 30  # those that would leak what a corpus holds out are missing
    assert all(example in known for example in found)


def test_a_tokenizer_learns_the_same_whether_or_not_instructions_are_polite(corpora):
    def texts(**more):
        instructions = {"instructions": {"examples": 30, **more}}
        return tokenizer_texts(small.recipe(mixture=[instructions]), corpora)

    assert texts(polite=0.9) == texts()


def made_recipe(target):
    recipe = small.recipe(mixture=[{"translation": {"source": "en", "target": target}}])
    return recipe.ingredients[0].translation


def test_dropout_segments_pairs_anew_each_epoch(corpora, corpus, encoders):
    tokenizer, layout = encoders["marian"].tokenizer, LAYOUTS["marian"]
    encoder = Encoder(tokenizer, layout, 128, dropout=0.3)
    first, second = (encoder.examples(corpus[:50], random.Random(seed)) for seed in (0, 1))
    assert first != second
    assert encoder.examples(corpus[:50], random.Random(0)) == first
    for pair, example in zip(corpus, first, strict=False):
        assert tokenizer.decode(example.input_ids, skip_special_tokens=True) == pair.source


def test_a_tokenizer_learns_from_every_kind_of_text_once(corpora):
    recipe = small.recipe(
        "t5",
        [TRANSLATION, TRANSLATION, {"denoising": {"objective": "span_corruption",
                                                  "texts": ("prose", "german")}}],
    )  # fmt: skip
    train = corpora.pairs(recipe.ingredients[0].translation).train
    expected = Counter(side for pair in train for side in pair)
    for text in ("prose", "german"):
        expected.update(s for document in corpora.documents(text, "train") for s in document)
    assert Counter(tokenizer_texts(recipe, corpora)) == expected


def test_pairs_that_might_not_fit_are_left_out():
    pairs = [Pair("a" * 10, "b"), Pair("a", "b" * 20)]
    assert within(pairs, 15) == pairs[:1]


@pytest.mark.parametrize("family", ["t5", "gpt2"])
def test_pairs_fit_as_long_as_they_can_be_made_into_examples(encoders, family):
    encoder = encoders[family]
    pairs = [Pair("a " * n, "b " * m) for n in range(0, 80, 3) for m in range(0, 80, 7)]
    fitting = set(encoder.fitting(pairs))
    assert 0 < len(fitting) < len(pairs)
    for pair in pairs:
        if pair in fitting:
            encoder.examples([pair])
        else:
            with pytest.raises(ValueError, match="more than max_length"):
                encoder.examples([pair])


def test_noise_needs_no_state_but_its_seed(encoders, prose):
    made = windows(encoders["t5"], "span_corruption", prose)
    window = made.draw(random.Random(0))[0]
    one, two = (made.ask(window, np.random.default_rng(5)) for _ in range(2))
    assert one == two
