import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encdec.metrics import Score, bleu, chrf, paired_bootstrap

REFERENCES = [
    ["le chat dort sur le lit .", "le chat est endormi sur le lit ."],
    ["elle ne boit jamais de café le matin ."],
]


def test_a_perfect_translation_has_a_hundred():
    perfect = [references[0] for references in REFERENCES]
    assert bleu(perfect, REFERENCES).value == pytest.approx(100)
    assert chrf(perfect, REFERENCES).value == pytest.approx(100)


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
