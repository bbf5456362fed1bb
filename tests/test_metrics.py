import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encdec.metrics import (
    Score,
    accuracy,
    bleu,
    chrf,
    exact_match,
    paired_bootstrap,
    perplexity,
    ratio,
    rouge,
)

REFERENCES = [
    ["le chat dort sur le lit .", "le chat est endormi sur le lit ."],
    ["elle ne boit jamais de café le matin ."],
]


def test_a_perfect_translation_has_a_hundred():
    perfect = [references[0] for references in REFERENCES]
    assert bleu(perfect, REFERENCES).value == pytest.approx(100)
    assert chrf(perfect, REFERENCES).value == pytest.approx(100)


@pytest.mark.parametrize("metric", [bleu, chrf])
def test_intervals_of_a_few_sentences_stay_on_the_scale_and_hold_the_score(metric):
    right = ["séchez la pompe .", "ne touchez pas le filtre .", "bonjour"]
    for answers in (right, [right[0], right[1], "au revoir"], ["", right[1], ""], right[::-1]):
        score = metric(answers, [[text] for text in right])
        assert 0 <= score.low <= score.value <= score.high <= 100


def test_any_of_several_references_counts():
    second = [REFERENCES[0][1], REFERENCES[1][0]]
    assert bleu(second, REFERENCES).value == pytest.approx(100)
    assert bleu(second, [REFERENCES[0][:1], REFERENCES[1]]).value < 90


def by_hand(hypothesis, reference):
    """BLEU of one sentence against one reference, from its definition, no smoothing."""
    precisions = []
    for n in range(1, 5):
        grams = [
            Counter(tuple(s[i : i + n]) for i in range(len(s) - n + 1))
            for s in (hypothesis, reference)
        ]
        total = sum(grams[0].values())
        precisions.append(sum((grams[0] & grams[1]).values()) / total)
    brevity = min(1.0, math.exp(1 - len(reference) / len(hypothesis)))
    return 100 * brevity * math.exp(sum(map(math.log, precisions)) / 4)


@settings(max_examples=20)
@given(
    st.lists(st.sampled_from("abcdef"), min_size=1, max_size=4),
    st.lists(st.sampled_from("abcdef"), min_size=1, max_size=4),
)
def test_bleu_is_its_definition(before, after):
    core = ["the", "cat", "sat", "down"]  # so that every n-gram order has a match
    hypothesis, reference = before + core, core + after
    score = bleu([" ".join(hypothesis)], [[" ".join(reference)]])
    assert score.value == pytest.approx(by_hand(hypothesis, reference))


def test_the_interval_holds_the_value_and_narrows_with_more_sentences():
    hypotheses = ["le chat dort sur le tapis .", "elle ne boit pas de thé le matin ."]
    few, many = bleu(hypotheses * 5, REFERENCES * 5), bleu(hypotheses * 100, REFERENCES * 100)
    assert few.low < few.value < few.high
    assert many.high - many.low < few.high - few.low
    assert "nrefs:" in few.signature


@pytest.mark.parametrize(
    ("hypotheses", "references", "message"),
    [
        (["a"], [], "1 hypotheses against references for 0"),
        ([], [], "at least one sentence"),
        (["a"], [[]], "one reference for each"),
    ],
)
def test_misaligned_input_is_refused(hypotheses, references, message):
    with pytest.raises(ValueError, match=message):
        bleu(hypotheses, references)


def test_the_paired_test_tells_a_real_difference_from_none():
    good = [references[0] for references in REFERENCES] * 30
    bad = [f"{answer} euh" if i % 3 else answer for i, answer in enumerate(good)]
    difference = paired_bootstrap(bad, good, REFERENCES * 30)
    assert difference["BLEU"] > 0
    assert difference["p"] < 0.05
    assert paired_bootstrap(good, good, REFERENCES * 30)["BLEU"] == 0


def test_a_score_reads_and_stores_well():
    score = Score("BLEU", 45.678, 44.1, 47.2, 100)
    assert str(score) == "BLEU 45.7 (95% interval 44.1–47.2)"
    stored = score.as_dict()
    assert stored == {"name": "BLEU", "value": 45.68, "low": 44.1, "high": 47.2, "items": 100}


def overlap(candidate, reference, n):
    """ROUGE-n F1 of two texts of plain words, from its definition."""
    grams = [
        Counter(tuple(text[i : i + n]) for i in range(len(text) - n + 1))
        for text in (candidate, reference)
    ]
    totals = [sum(counts.values()) for counts in grams]
    return 2 * sum((grams[0] & grams[1]).values()) / max(1, sum(totals))


def common(a, b):
    """Length of the longest common subsequence, from its definition."""
    if not a or not b:
        return 0
    if a[0] == b[0]:
        return 1 + common(a[1:], b[1:])
    return max(common(a[1:], b), common(a, b[1:]))


words = st.lists(st.sampled_from(["cat", "dog", "sat", "mat"]), min_size=2, max_size=7)


@settings(max_examples=20)
@given(words, words)
def test_rouge_is_its_definition(candidate, reference):
    one, two, longest = rouge([" ".join(candidate)], [" ".join(reference)], stemmer=False)
    assert one.value == pytest.approx(100 * overlap(candidate, reference, 1))
    assert two.value == pytest.approx(100 * overlap(candidate, reference, 2))
    f1 = 2 * common(candidate, reference) / (len(candidate) + len(reference))
    assert longest.value == pytest.approx(100 * f1)


def test_rouge_is_a_mean_over_texts_and_says_how_it_counted():
    scores = rouge(["a cat sat", "no"], ["a cat sat", "a dog"])
    assert [score.name for score in scores] == ["ROUGE-1", "ROUGE-2", "ROUGE-L"]
    assert scores[0].value == pytest.approx(50)
    assert "stem:yes" in scores[0].signature
    assert rouge(["returned values"], ["return value"])[0].value == pytest.approx(100)
    assert rouge(["returned values"], ["return value"], stemmer=False)[0].value == 0


def test_exact_match_takes_any_reference_and_forgives_space_at_the_ends():
    score = exact_match([" yes ", "no", "Yes"], [["yes", "oui"], ["yes"], ["yes"]])
    assert score.value == pytest.approx(100 / 3)
    assert score.items == 3


def test_an_accuracy_of_all_still_has_a_doubt():
    """Of ten right answers in ten nobody concludes that the eleventh must be right."""
    few, many = accuracy([True] * 10), accuracy([True] * 1000)
    assert few.value == many.value == few.high == 100
    assert few.low < 75 < 99 < many.low
    assert accuracy([False] * 10).low == 0


@pytest.mark.parametrize("rate", [0.05, 0.5, 0.9])
def test_intervals_of_accuracies_hold_the_truth_as_often_as_they_say(rate):
    generator = np.random.default_rng(0)
    drawn = generator.random((600, 60)) < rate
    held = [score.low <= 100 * rate <= score.high for score in map(accuracy, drawn.tolist())]
    assert 0.92 < sum(held) / len(held) < 0.99


def test_intervals_of_means_hold_the_truth_as_often_as_they_say():
    generator = np.random.default_rng(0)
    scores = [ratio("mean", generator.exponential(10, 60)) for _ in range(200)]
    held = sum(score.low <= 10 <= score.high for score in scores)
    assert 0.88 < held / 200 < 0.98


def test_a_ratio_is_of_sums_not_a_mean_of_ratios():
    assert ratio("share", [1, 9], [1, 99]).value == pytest.approx(0.1)


def test_a_uniform_model_hesitates_between_all_tokens():
    score = perplexity([-3 * math.log(50), -7 * math.log(50)], [3, 7])
    assert (score.value, score.low, score.high) == pytest.approx((50, 50, 50))
    assert score.name == "perplexity per token"
    assert perplexity([-6 * math.log(2)], [3], unit="byte").value == pytest.approx(4)


@pytest.mark.parametrize("metric", [rouge, exact_match, perplexity, lambda a, b: ratio("", a, b)])
def test_lists_that_do_not_belong_together_are_refused(metric):
    with pytest.raises(ValueError, match="1 hypotheses against references for 2 items"):
        metric(["a"] if metric in (rouge, exact_match) else [1.0], [1, 1])
    with pytest.raises(ValueError, match="at least one item"):
        metric([], [])


def test_nothing_to_divide_by_is_refused():
    with pytest.raises(ValueError, match=r"the wholes of restored add up to 0, not more"):
        ratio("restored", [0, 0], [0, 0])
    with pytest.raises(ValueError, match="right is empty"):
        accuracy([])


def test_a_resample_in_which_nothing_is_right_has_an_interval_too():
    found = chrf(["xyz", "la mer"], [["un chat"], ["la mer"]])
    assert found.low < found.value < found.high
