import math
import pickle
import random
from collections import Counter
from itertools import groupby, permutations, product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from encdec.data.collate import Example, collate
from encdec.objectives import (
    FRAME,
    MASK,
    UL2,
    Denoised,
    Denoiser,
    causal_lm,
    gap_sentences,
    mixture_of_denoisers,
    noise_mask,
    prefix_lm,
    restore_spans,
    sentence_permutation,
    shift_right,
    shuffle_and_infill,
    span_corruption,
    split_sentences,
    text_infilling,
)

BOS, EOS, BLANK, STOP = 0, 1, 2, 3
SENTINELS = list(range(1000, 1100))
MODES = {"R": 90, "S": 91, "X": 92}
ids = st.integers(100, 130)  # few, so that words recur
windows = st.lists(ids, min_size=2, max_size=130)
documents = st.lists(st.lists(ids, min_size=1, max_size=9), min_size=2, max_size=9)
seeds = st.integers(0, 2**32 - 1)
densities = st.floats(0.01, 0.99)


def rng(seed=0):
    return np.random.default_rng(seed)


def corrupt(tokens, generator, **options):
    return span_corruption(tokens, generator, sentinels=SENTINELS, eos_token_id=EOS, **options)


def infill(tokens, generator, **options):
    return text_infilling(tokens, generator, mask_token_id=BLANK, eos_token_id=EOS, **options)


def mix(tokens, generator, **options):
    return mixture_of_denoisers(
        tokens, generator, sentinels=SENTINELS, eos_token_id=EOS, modes=MODES, **options
    )


def gaps(sentences, **options):
    return gap_sentences(sentences, mask_token_id=BLANK, eos_token_id=EOS, **options)


def flat(sentences):
    return [token for sentence in sentences for token in sentence]


# Every objective: what it makes of a document.
OBJECTIVES = {
    "span corruption": lambda d, g: corrupt(flat(d), g),
    "rolled": lambda d, g: corrupt(flat(d), g, roll=True),
    "infilling": lambda d, g: infill(flat(d), g),
    "permutation": lambda d, g: sentence_permutation(d, g, eos_token_id=EOS),
    "both": lambda d, g: shuffle_and_infill(d, g, mask_token_id=BLANK, eos_token_id=EOS),
    "begun": lambda d, g: shuffle_and_infill(
        d, g, mask_token_id=BLANK, eos_token_id=EOS, bos_token_id=BOS
    ),
    "gap sentences": lambda d, g: gaps(d),
    "sequential gap sentences": lambda d, g: gaps(d, number=len(d) // 2, selection="sequential"),
    "mixture": lambda d, g: mix(flat(d), g),
    "prefix": lambda d, g: prefix_lm(flat(d), g, eos_token_id=EOS),
    "causal": lambda d, g: causal_lm(flat(d), eos_token_id=EOS),
}
each_objective = pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)


# --- all of them ----------------------------------------------------------------------------------


@each_objective
@given(document=documents, seed=seeds)
def test_every_token_is_visible_or_to_be_predicted_and_the_text_comes_back(
    objective, document, seed
):
    example, text = objective(document, rng(seed)), flat(document)
    assert example.tokens == text
    shown, asked = set(example.input_origin.tolist()), set(example.label_origin.tolist())
    assert (shown | asked) - {MASK, FRAME} == set(range(len(text)))
    assert example.hidden == sorted(set(range(len(text))) - shown)
    assert bool(example.hidden) == (objective is not OBJECTIVES["permutation"])


@each_objective
@given(document=documents, seed=seeds)
def test_every_origin_names_the_place_of_its_token(objective, document, seed):
    example, text = objective(document, rng(seed)), flat(document)
    for row, origin in (
        (example.input_ids, example.input_origin),
        (example.labels, example.label_origin),
    ):
        assert len(row) == len(origin)
        for token, place in zip(row, origin.tolist(), strict=True):
            if place >= 0:
                assert token == text[place]
            elif place == MASK:
                assert token == BLANK or token in SENTINELS
            else:
                assert token in (BOS, EOS, *MODES.values())


@each_objective
def test_the_same_seed_gives_the_same_example_and_ids_are_plain_integers(objective):
    document = [[100 + i + 7 * j for i in range(6)] for j in range(6)]
    first, second = objective(document, rng(4)), objective(document, rng(4))
    assert first == second
    assert {type(i) for i in first.input_ids + first.labels} == {int}
    assert first.labels[-1] == EOS


def test_an_example_equals_the_plain_one_and_survives_pickling():
    example = corrupt(list(range(100, 160)), rng())
    assert example == Example(example.input_ids, example.labels)
    copy = pickle.loads(pickle.dumps(example))
    assert copy == example
    assert copy.input_origin.tolist() == example.input_origin.tolist()
    assert copy.tokens == example.tokens
    assert isinstance(copy, Denoised)


def test_an_example_is_collated_like_any_other():
    examples = [corrupt(list(range(100, 100 + n)), rng(n)) for n in (9, 40)]
    batch = collate(examples, pad_token_id=0, decoder_start_token_id=0)
    assert batch["input_ids"][1].tolist() == examples[1].input_ids
    assert batch["labels"][1].tolist() == examples[1].labels


# --- span corruption ------------------------------------------------------------------------------


def runs(mask):
    """Lengths of the hidden stretches."""
    return [len(list(group)) for hidden, group in groupby(mask) if hidden]


def test_the_papers_example():
    # "Thank you for inviting me to your party last week", hidden: "for inviting" and "last"
    x, y, z = SENTINELS[:3]
    source = [100, 101, x, 104, 105, 106, 107, y, 109, EOS]
    target = [x, 102, 103, y, 108, z, EOS]
    found = [corrupt(list(range(100, 110)), rng(s), noise_density=0.3, mean_span_length=1.5,
                     roll=True) for s in range(400)]  # fmt: skip
    assert Example(source, target) in found


@given(text=windows, seed=seeds, density=densities, mean=st.floats(1, 9), roll=st.booleans())
def test_spans_are_restored(text, seed, density, mean, roll):
    example = corrupt(text, rng(seed), noise_density=density, mean_span_length=mean, roll=roll)
    restored = restore_spans(*example, sentinels=SENTINELS, eos_token_id=EOS)
    assert restored == text


@given(text=windows, seed=seeds, density=densities, mean=st.floats(1, 9), roll=st.booleans())
def test_sentinels_come_in_order_and_one_closes_the_target(text, seed, density, mean, roll):
    example = corrupt(text, rng(seed), noise_density=density, mean_span_length=mean, roll=roll)
    shown = [i for i in example.input_ids if i in SENTINELS]
    asked = [i for i in example.labels if i in SENTINELS]
    assert shown == SENTINELS[: len(shown)]
    assert asked == SENTINELS[: len(shown) + 1]
    assert example.labels[-2:] == [asked[-1], EOS]


@given(length=st.integers(2, 200), density=densities, mean=st.floats(1, 9), seed=seeds)
def test_noise_is_exact_and_alternates(length, density, mean, seed):
    mask = noise_mask(length, rng(seed), noise_density=density, mean_span_length=mean).tolist()
    hidden = min(max(round(length * density), 1), length - 1)
    assert sum(mask) == hidden
    assert not mask[0]
    assert mask[-1]
    spans = runs(mask)
    if length - hidden >= hidden / mean + 1 and hidden >= mean:
        assert abs(len(spans) * mean - hidden) <= mean / 2 + 1e-9  # as near as whole spans allow


@pytest.mark.parametrize(("density", "mean"), [(0.15, 3.0), (0.15, 8.0), (0.5, 3.0), (0.5, 8.0)])
def test_the_mean_span_length_is_met(density, mean):
    spans = [
        length
        for seed in range(20)
        for length in runs(
            noise_mask(512, rng(seed), noise_density=density, mean_span_length=mean).tolist()
        )
    ]
    assert np.mean(spans) == pytest.approx(mean, rel=0.06)
    assert len(set(spans)) > 3  # not all alike


@given(length=st.integers(2, 200), density=densities, mean=st.floats(1, 9), seed=seeds)
def test_rolling_moves_the_mask_and_changes_nothing_else(length, density, mean, seed):
    options = {"noise_density": density, "mean_span_length": mean}
    plain = noise_mask(length, rng(seed), **options).tolist()
    rolled = noise_mask(length, rng(seed), **options, roll=True).tolist()
    assert rolled in [plain[i:] + plain[:i] for i in range(length)]


def test_all_masks_are_equally_likely():
    # ten tokens, four hidden in two spans: every mask that begins visible and ends hidden
    possible = [
        mask
        for mask in product([False, True], repeat=10)
        if sum(mask) == 4 and len(runs(mask)) == 2 and not mask[0] and mask[-1]
    ]
    generator, draws = rng(1), 15_000
    options = {"noise_density": 0.4, "mean_span_length": 2.0}
    seen = Counter(tuple(noise_mask(10, generator, **options).tolist()) for _ in range(draws))
    assert set(seen) == set(possible)
    expected = draws / len(possible)
    assert chi_square([seen[m] for m in possible], [expected] * len(possible)) < 2


def chi_square(observed, expected):
    """Divided by the degrees of freedom: about 1 if observed frequencies are as expected."""
    terms = [(o - e) ** 2 / e for o, e in zip(observed, expected, strict=True)]
    return sum(terms) / (len(terms) - 1)


def shuffled_markers(length, density, mean, generator):
    """The t5 library's way: shuffle marks of where a new segment begins."""
    hidden = round(length * density)
    spans = round(hidden / mean)

    def parts(items):
        marks = [1] * (spans - 1) + [0] * (items - spans)
        generator.shuffle(marks)
        sizes = [1]
        for mark in marks:
            if mark:
                sizes.append(0)
            sizes[-1] += 1
        return sizes

    mask = []
    for visible, noise in zip(parts(length - hidden), parts(hidden), strict=True):
        mask += [0] * visible + [1] * noise
    return mask


def test_the_statistics_are_those_of_a_simple_implementation():
    draws = 4000
    mine, theirs = rng(2), random.Random(2)
    a = np.array([noise_mask(64, mine) for _ in range(draws)])
    b = np.array([shuffled_markers(64, 0.15, 3.0, theirs) for _ in range(draws)])
    sigma = 0.5 * math.sqrt(2 / draws)
    assert np.abs(a.mean(axis=0) - b.mean(axis=0)).max() < 4.5 * sigma  # where
    sizes = [Counter(n for row in rows.tolist() for n in runs(row)) for rows in (a, b)]
    total = sum(sizes[0].values())
    for size in range(1, 8):  # how long
        assert abs(sizes[0][size] - sizes[1][size]) / total < 0.015


def test_a_short_window_always_loses_its_end_unless_the_mask_is_rolled():
    plain = np.array([noise_mask(20, rng(seed)) for seed in range(200)])
    assert (plain == plain[0]).all()
    assert plain[0].nonzero()[0].tolist() == [17, 18, 19]
    generator = rng(3)
    rolled = np.array([noise_mask(20, generator, roll=True) for _ in range(6000)])
    assert np.abs(rolled.mean(axis=0) - 3 / 20).max() < 0.025  # every place alike


def test_too_few_sentinels_are_told_how_many_are_needed():
    text = list(range(100, 164))  # ten hidden tokens in three spans
    four = SENTINELS[:4]
    assert span_corruption(text, rng(), sentinels=four, eos_token_id=EOS).labels[-2] == four[-1]
    with pytest.raises(ValueError, match="sentinels holds 3 ids, but 3 spans need 4"):
        span_corruption(text, rng(), sentinels=SENTINELS[:3], eos_token_id=EOS)


def test_a_sentinel_in_the_text_is_named():
    with pytest.raises(ValueError, match=r"tokens holds \[1001\], which sentinels"):
        corrupt([*range(100, 140), 1001, *range(140, 163)], rng())
    with pytest.raises(ValueError, match="names an id twice"):
        span_corruption([5, 6, 7], rng(), sentinels=[9, 9], eos_token_id=EOS)


@pytest.mark.parametrize(
    ("labels", "complaint"),
    [
        ([1000, 5, EOS], r"answers the sentinels \[1000\], but input_ids asks for \[1000, 1001\]"),
        ([1001, 5, 1000, 6, EOS], r"in the same order"),
        ([7, 1000, 5, 1001, 6, EOS], "labels begins with 7"),
        ([1000, 5, 1000, 6, EOS], "names the sentinel 1000 twice"),
        ([1000, 5, 1001, 6, 1002, 7, EOS], "one more may close"),
        ([1000, 5, 1001, 6, 1002, 1003, EOS], "one more may close"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels, complaint):
    with pytest.raises(ValueError, match=complaint):
        restore_spans([1000, 8, 1001, EOS], labels, sentinels=SENTINELS, eos_token_id=EOS)


def test_a_models_answer_is_put_in_as_far_as_it_goes():
    restored = restore_spans(
        [1000, 8, 1001, 9, EOS],
        [3, 1001, 6, 6, EOS, 7, 1000],
        sentinels=SENTINELS,
        eos_token_id=EOS,
        strict=False,
    )
    assert restored == [8, 6, 6, 9]


# --- text infilling and sentence permutation ------------------------------------------------------


def hidden_lengths(example):
    """Length of the span behind every mask, from left to right; spans must not touch."""
    lengths, visible = [], -1
    origin = [o for o in example.input_origin.tolist() if o != FRAME]
    for place in [*origin, len(example.tokens)]:
        if place == MASK:
            lengths.append(None)
            continue
        if place - visible > 1 or (lengths and lengths[-1] is None):
            assert lengths[-1] is None
            lengths[-1] = place - visible - 1
        visible = place
    return lengths


@given(text=windows, seed=seeds, density=densities, mean=st.floats(0.1, 9))
def test_infilling_hides_exactly_its_share_and_asks_for_the_whole_text(text, seed, density, mean):
    example = infill(text, rng(seed), noise_density=density, poisson_lambda=mean)
    assert len(example.hidden) == min(max(round(len(text) * density), 1), len(text) - 1)
    assert example.labels == [*text, EOS]
    shown = [i for i in example.input_ids[:-1] if i != BLANK]
    assert shown == [t for i, t in enumerate(text) if i not in set(example.hidden)]


@given(length=st.integers(20, 130), seed=seeds)
def test_each_span_is_one_mask(length, seed):
    example = infill(list(range(100, 100 + length)), rng(seed))
    lengths = hidden_lengths(example)
    assert None not in lengths  # a mask next to a mask would be left without a length
    assert len(lengths) == example.input_ids.count(BLANK)
    assert sum(lengths) == len(example.hidden)


@pytest.mark.parametrize("mean", [1.0, 3.0, 3.5])
def test_span_lengths_are_poisson(mean):
    example = infill(list(range(100, 60_100)), rng(5), poisson_lambda=mean)
    seen = Counter(hidden_lengths(example))
    spans = seen.total()
    assert seen[0] > 0  # masks that stand for nothing
    likely = [k for k in range(20) if spans * poisson(mean, k) > 10]
    observed = [seen[k] for k in likely]
    assert chi_square(observed, [spans * poisson(mean, k) for k in likely]) < 2.5


def poisson(mean, k):
    return math.exp(-mean) * mean**k / math.factorial(k)


def test_the_span_that_is_cut_short_may_stand_anywhere():
    generator = rng(6)
    text = list(range(100, 164))
    examples = [hidden_lengths(infill(text, generator)) for _ in range(3000)]
    first, last = (np.mean([e[i] for e in examples]) for i in (0, -1))
    assert abs(first - last) < 0.2


def test_begin_and_end_frame_input_and_target():
    example = infill([100, 101, 102, 103], rng(), bos_token_id=BOS)
    assert (example.input_ids[0], example.input_ids[-1]) == (BOS, EOS)
    assert example.labels == [BOS, 100, 101, 102, 103, EOS]


@given(document=documents, seed=seeds)
def test_a_permutation_keeps_sentences_whole_and_its_origins_undo_it(document, seed):
    example = sentence_permutation(document, rng(seed), eos_token_id=EOS)
    shuffled = example.input_ids[:-1]
    undone = [t for _, t in sorted(zip(example.input_origin[:-1].tolist(), shuffled, strict=True))]
    assert undone == flat(document)
    assert example.labels == [*flat(document), EOS]
    starts = np.cumsum([0, *map(len, document)])
    place, left = 0, set(range(len(document)))
    while left:  # the next sentence is the one that begins here
        (which,) = [i for i in left if starts[i] == example.input_origin[place]]
        assert shuffled[place : place + len(document[which])] == document[which]
        place += len(document[which])
        left.remove(which)


def test_all_orders_are_equally_likely():
    generator, draws = rng(7), 6000
    document = [[100, 101], [102], [103, 104, 105]]
    seen = Counter(
        tuple(sentence_permutation(document, generator, eos_token_id=EOS).input_ids)
        for _ in range(draws)
    )
    assert set(seen) == {(*flat(order), EOS) for order in permutations(document)}
    assert chi_square(list(seen.values()), [draws / 6] * 6) < 3


def test_a_single_sentence_stays():
    example = sentence_permutation([[100, 101]], rng(), eos_token_id=EOS)
    assert example == Example([100, 101, EOS], [100, 101, EOS])


@given(document=documents, seed=seeds)
def test_shuffling_and_infilling_together(document, seed):
    text = flat(document)
    example = shuffle_and_infill(document, rng(seed), mask_token_id=BLANK, eos_token_id=EOS)
    assert example.labels == [*text, EOS]
    assert len(example.hidden) == min(max(round(len(text) * 0.3), 1), len(text) - 1)


def test_shuffling_and_infilling_shuffles_and_infills():
    document = [[100 + 10 * i + j for j in range(10)] for i in range(5)]
    example = shuffle_and_infill(document, rng(1), mask_token_id=BLANK, eos_token_id=EOS)
    shown = [t for t in example.input_ids if t >= 100]
    assert shown != sorted(shown)
    assert sorted(shown) == [t for i, t in enumerate(flat(document)) if i not in example.hidden]


@given(text=st.lists(st.sampled_from([STOP, 100, 101, 102])))
def test_sentences_end_at_their_ends(text):
    sentences = split_sentences(text, [STOP])
    assert flat(sentences) == text
    assert all(sentences)
    assert all(sentence[-1] == STOP for sentence in sentences[:-1])
    for sentence in sentences:  # several full stops in a row stay together
        words = [token for token in sentence if token != STOP]
        assert sentence[: len(words)] == words or sentence[0] == STOP


def test_sentences_by_value():
    text = [100, STOP, STOP, 101, 102, STOP, 103]
    assert split_sentences(text, [STOP]) == [[100, STOP, STOP], [101, 102, STOP], [103]]


# --- gap sentences --------------------------------------------------------------------------------

SCORER = RougeScorer(["rouge1"])


def librarys_rouge(candidate, reference):
    text = [" ".join(f"w{token}" for token in tokens) for tokens in (candidate, reference)]
    return SCORER.score(text[1], text[0])["rouge1"].fmeasure


def without(document, indices):
    return flat(s for i, s in enumerate(document) if i not in indices)


def taken(document, indices):
    return flat(s for i, s in enumerate(document) if i in indices)


def chosen(document, example):
    """Indices of the sentences that an example hides."""
    starts = np.cumsum([0, *map(len, document)])
    return {i for i in range(len(document)) if int(starts[i]) in set(example.hidden)}


@given(document=documents, data=st.data())
def test_independent_selection_takes_the_highest_scores(document, data):
    number = data.draw(st.integers(1, len(document) - 1))
    selected = chosen(document, gaps(document, number=number))
    scores = [librarys_rouge(s, without(document, {i})) for i, s in enumerate(document)]
    best = sorted(scores, reverse=True)[:number]
    assert sorted((scores[i] for i in selected), reverse=True) == pytest.approx(best)


@given(document=documents, data=st.data())
def test_sequential_selection_takes_the_best_next_sentence(document, data):
    number = data.draw(st.integers(1, len(document) - 1))
    sets = [
        chosen(document, gaps(document, number=n, selection="sequential"))
        for n in range(1, number + 1)
    ]
    before = set()
    for now in sets:
        assert before < now
        scores = {
            i: librarys_rouge(taken(document, before | {i}), without(document, before | {i}))
            for i in range(len(document))
            if i not in before
        }
        (new,) = now - before
        assert scores[new] == pytest.approx(max(scores.values()))
        before = now


@given(document=documents, data=st.data())
def test_selected_sentences_become_masks_and_the_target(document, data):
    number = data.draw(st.integers(1, len(document) - 1))
    example = gaps(document, number=number)
    selected = chosen(document, example)
    assert len(selected) == number
    assert example.labels == [*taken(document, selected), EOS]
    source = [[BLANK] if i in selected else s for i, s in enumerate(document)]
    assert example.input_ids == [*flat(source), EOS]


def test_the_two_ways_of_selecting_differ_where_sentences_repeat_each_other():
    # The first two say the same, so together they say less about the rest than others do.
    document = [[1, 2, 3, 4], [1, 2, 3, 4], [5, 6, 7], [5, 6, 8, 9], [7, 8, 9, 10]]
    document = [[100 + w for w in sentence] for sentence in document]
    assert chosen(document, gaps(document, number=2)) == {0, 1}
    assert chosen(document, gaps(document, number=2, selection="sequential")) != {0, 1}


@pytest.mark.parametrize(("ratio", "expected"), [(0.01, 1), (0.3, 3), (0.39, 3), (0.99, 9)])
def test_the_ratio_is_rounded_down_to_at_least_one(ratio, expected):
    document = [[100 + i] for i in range(10)]
    assert gaps(document, ratio=ratio).input_ids.count(BLANK) == expected


def test_of_equals_the_first_is_taken():
    assert chosen([[100], [101], [102]], gaps([[100], [101], [102]], number=2)) == {0, 1}


def test_words_may_decide_instead_of_ids():
    document = [[100, 101], [100, 102], [103]]
    words = [["a"], ["b", "c", "d"], ["b", "c", "d"]]
    assert chosen(document, gaps(document, number=1)) == {0}
    assert chosen(document, gaps(document, number=1, words=words)) == {1}
    with pytest.raises(ValueError, match="words has 2 sequences, but there are 3 sentences"):
        gaps(document, words=words[:2])


# --- language models and the mixture --------------------------------------------------------------


def test_a_causal_language_model_predicts_everything():
    assert causal_lm([5, 6], eos_token_id=EOS) == Example([], [5, 6, EOS])
    assert causal_lm([5]) == Example([], [5])


@given(text=windows, seed=seeds, ratio=st.floats(0.01, 0.5))
def test_a_prefix_and_its_continuation_are_the_text(text, seed, ratio):
    example = prefix_lm(text, rng(seed), target_ratio=ratio, eos_token_id=EOS)
    prefix, rest = example.input_ids, example.labels
    assert prefix.pop() == rest.pop() == EOS
    assert prefix + rest == text
    assert 1 <= len(rest) <= max(1, 2 * ratio * len(text))
    assert prefix


def test_every_split_is_equally_likely():
    generator = rng(8)
    lengths = Counter(
        len(prefix_lm(range(100, 120), generator, eos_token_id=EOS).labels) - 1 for _ in range(4000)
    )
    assert set(lengths) == set(range(1, 20))
    assert chi_square(list(lengths.values()), [4000 / 19] * 19) < 2


def test_the_mean_share_of_the_target_is_met():
    generator = rng(9)
    share = [
        (len(prefix_lm(range(100, 180), generator, target_ratio=0.25, eos_token_id=EOS).labels) - 1)
        / 80
        for _ in range(3000)
    ]
    assert np.mean(share) == pytest.approx(0.25, abs=0.01)


@given(text=windows, seed=seeds)
def test_the_mixture_names_its_mode_and_can_be_undone(text, seed):
    example = mix(text, rng(seed))
    assert example.input_ids[0] in MODES.values()
    assert example.input_origin[0] == FRAME
    restored = restore_spans(
        example.input_ids[1:], example.labels, sentinels=SENTINELS, eos_token_id=EOS
    )
    assert restored == text


def test_the_mixtures_denoisers_come_equally_often():
    generator, draws = rng(10), 3500
    text = list(range(100, 200))
    seen = Counter(mix(text, generator).input_ids[0] for _ in range(draws))
    expected = Counter(MODES[denoiser.mode] for denoiser in UL2)
    modes = list(expected)
    assert chi_square([seen[m] for m in modes], [draws * expected[m] / 7 for m in modes]) < 3


@pytest.mark.parametrize("denoiser", UL2, ids=str)
def test_each_denoiser_hides_its_share(denoiser):
    generator, length = rng(11), 200
    text = list(range(100, 100 + length))
    examples = [mix(text, generator, denoisers=[denoiser]) for _ in range(600)]
    shares = [len(example.hidden) / length for example in examples]
    if denoiser.mode == "S":
        assert np.mean(shares) == pytest.approx(denoiser.noise_density, abs=0.02)
        assert len(set(shares)) > 50
        assert all(e.hidden == list(range(e.hidden[0], length)) for e in examples)
    else:
        assert set(shares) == {denoiser.noise_density}
        ends = np.mean([length - 1 in e.hidden for e in examples])
        assert ends == pytest.approx(denoiser.noise_density, abs=0.07)  # not always the end


def test_weights_decide_how_often():
    generator = rng(12)
    text = list(range(100, 164))
    weights = [0, 0, 3, 1, 0, 0, 0]
    seen = Counter(mix(text, generator, weights=weights).input_ids[0] for _ in range(2000))
    assert set(seen) == {MODES["S"], MODES["X"]}
    assert seen[MODES["S"]] / 2000 == pytest.approx(0.75, abs=0.04)


def test_without_modes_there_is_no_mode_token():
    text = list(range(100, 110))
    example = mixture_of_denoisers(
        text, rng(), sentinels=SENTINELS, eos_token_id=EOS, denoisers=[Denoiser("S", 0.25)]
    )
    assert example.input_ids[0] == text[0]


# --- shift right ----------------------------------------------------------------------------------


def test_shifting_is_what_transformers_does():
    from transformers.models.bart.modeling_bart import shift_tokens_right

    labels = torch.tensor([[5, 6, 7, 1], [8, 1, -100, -100]])
    shifted = shift_right(labels, decoder_start_token_id=2, pad_token_id=0)
    assert torch.equal(shifted, shift_tokens_right(labels, 0, 2))
    assert shifted.tolist() == [[2, 5, 6, 7], [2, 8, 1, 0]]
    assert labels[1, 2] == -100  # the labels stay as they are


def test_shifting_agrees_with_collation():
    examples = [Example([9, 1], [5, 6, 7, 1]), Example([9, 1], [8, 1])]
    batch = collate(examples, pad_token_id=0, decoder_start_token_id=2)
    real = batch["labels"] != -100
    shifted = shift_right(batch["labels"], 2, 0)
    assert torch.equal(shifted[real], batch["decoder_input_ids"][real])


def test_labels_without_a_batch_are_refused():
    with pytest.raises(ValueError, match=r"labels has shape \(2,\), but must be \(batch, target\)"):
        shift_right(torch.tensor([5, 6]), 0, 0)


# --- bad input ------------------------------------------------------------------------------------

ONE_TEXT = {
    "span corruption": corrupt,
    "infilling": infill,
    "mixture": mix,
    "prefix": lambda text, generator: prefix_lm(text, generator, eos_token_id=EOS),
}
each_on_text = pytest.mark.parametrize("objective", ONE_TEXT.values(), ids=ONE_TEXT)


@each_on_text
@pytest.mark.parametrize("text", [[], [100]])
def test_too_short_a_text_is_refused(objective, text):
    with pytest.raises(ValueError, match=f"tokens has length {len(text)}, but must hold at least"):
        objective(text, rng())


@each_on_text
def test_two_tokens_are_enough(objective):
    example = objective([100, 101], rng())
    assert len(example.hidden) == 1
    assert example.tokens == [100, 101]


@each_on_text
@pytest.mark.parametrize("text", [[[100, 101]], [0.5, 1.5], ["a", "b"]])
def test_what_is_not_a_row_of_ids_is_refused(objective, text):
    with pytest.raises(ValueError, match="one row of whole numbers"):
        objective(text, rng())


@each_on_text
def test_another_kind_of_generator_is_refused(objective):
    with pytest.raises(TypeError, match=r"generator is a Random, .*default_rng"):
        objective([100, 101, 102], random.Random(0))


@pytest.mark.parametrize("objective", [corrupt, infill], ids=["span corruption", "infilling"])
@pytest.mark.parametrize("density", [0, 1, -0.1, 1.5, float("nan")])
def test_a_density_outside_its_range_is_named(objective, density):
    with pytest.raises(ValueError, match=f"noise_density={density} must lie between 0 and 1"):
        objective([100, 101, 102], rng(), noise_density=density)


TEXT = list(range(100, 110))
BAD = {
    "empty text": (lambda: causal_lm([]), "tokens has length 0"),
    "mask too short": (lambda: noise_mask(1, rng()), "length=1 must be at least 2"),
    "span length": (lambda: corrupt(TEXT, rng(), mean_span_length=0.5), "mean_span_length=0.5"),
    "endless span": (
        lambda: corrupt(TEXT, rng(), mean_span_length=float("inf")),
        "mean_span_length=inf",
    ),
    "lambda": (lambda: infill(TEXT, rng(), poisson_lambda=0), "poisson_lambda=0 must be at least"),
    "mask in the text": (
        lambda: infill([*TEXT, BLANK], rng()),
        r"tokens holds \[2\], which mask_token_id",
    ),
    "mask in a sentence": (lambda: gaps([[100, BLANK], [101]]), r"tokens holds \[2\]"),
    "no sentence": (lambda: gaps([]), "sentences is empty"),
    "one sentence": (lambda: gaps([[100]]), "1 sentence: with it hidden, nothing would be left"),
    "empty sentence": (lambda: gaps([[100], []]), "sentence 1 holds no token"),
    "nothing to shuffle": (
        lambda: sentence_permutation([], rng(), eos_token_id=EOS),
        "sentences is empty",
    ),
    "ratio": (lambda: gaps([[100], [101]], ratio=1.0), "ratio=1.0 must lie between 0 and 1"),
    "number": (lambda: gaps([[100], [101]], number=2), "number=2 .* at most 1 of these 2"),
    "none": (lambda: gaps([[100], [101]], number=0), "number=0 .* at least 1"),
    "selection": (
        lambda: gaps([[100], [101]], selection="best"),
        "selection='best' must be 'independent' or 'sequential'",
    ),
    "prefix ratio": (
        lambda: prefix_lm(TEXT, rng(), target_ratio=0.6, eos_token_id=EOS),
        "target_ratio=0.6 must be more than 0 and at most 0.5",
    ),
    "no denoiser": (lambda: mix(TEXT, rng(), denoisers=[]), "denoisers is empty"),
    "weights": (lambda: mix(TEXT, rng(), weights=[1, 2]), r"weights=\[1, 2\] .* 7 denoisers"),
    "no weight": (lambda: mix(TEXT, rng(), weights=[0] * 7), "not only zeros"),
    "mode without a token": (
        lambda: mixture_of_denoisers(
            TEXT,
            rng(),
            sentinels=SENTINELS,
            eos_token_id=EOS,
            modes={"R": 90},
            denoisers=[Denoiser("S", 0.25)],
        ),
        "modes has no token for 'S', only for R",
    ),
    "no span length": (
        lambda: mix(TEXT, rng(), denoisers=[Denoiser("X", 0.5)]),
        "'X' has no mean_span_length",
    ),
}


@pytest.mark.parametrize(("call", "complaint"), BAD.values(), ids=BAD)
def test_bad_input_is_named(call, complaint):
    with pytest.raises(ValueError, match=complaint):
        call()
