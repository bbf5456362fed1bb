import pytest
from rouge_score.rouge_scorer import RougeScorer

from encdec.reranking import expected_utility, minimum_risk, sentence_chrf, sentence_rouge

SAMPLES = ["la mer est belle", "la mer est belle", "la mer est grande", "un chat noir"]


def overlap(candidate, reference):
    a, b = set(candidate.split()), set(reference.split())
    return len(a & b) / len(a | b)


def test_an_expectation_is_the_mean_over_all_samples():
    for candidate in SAMPLES:
        by_hand = sum(overlap(candidate, sample) for sample in SAMPLES) / len(SAMPLES)
        assert expected_utility([candidate], SAMPLES, overlap) == pytest.approx([by_hand])


def test_a_candidate_is_asked_for_once_however_often_it_occurs():
    asked = []

    def counting(candidate, reference):
        asked.append((candidate, reference))
        return overlap(candidate, reference)

    expected_utility(SAMPLES, SAMPLES, counting)
    assert len(asked) == len(set(asked)) == 9


def test_the_outlier_loses_and_what_resembles_the_others_wins():
    assert SAMPLES[minimum_risk(SAMPLES)] == "la mer est belle"
    assert minimum_risk(["un chat noir", "la mer est"], SAMPLES) == 1
    assert minimum_risk(["a", "a"], ["a"]) == 0


def test_chrf_of_a_sentence_is_that_of_sacrebleu():
    assert sentence_chrf("la mer", "la mer") == 100
    assert 0 < sentence_chrf("la mer", "la terre") < 100
    assert sentence_chrf("la mer", "xyz") == 0


@pytest.mark.parametrize(
    "candidate", ["Return the name.", "Returns names of a file.", "", "name name the name"]
)
def test_rouge_of_a_summary_is_that_of_rouge_score(candidate):
    reference = "Return the name of a file."
    expected = RougeScorer(["rouge1"], use_stemmer=True).score(reference, candidate)["rouge1"]
    assert sentence_rouge(candidate, reference) == pytest.approx(100 * expected.fmeasure)


def test_nothing_to_choose_from_is_explained():
    with pytest.raises(ValueError, match="no candidates: there is nothing to choose from"):
        minimum_risk([])
    with pytest.raises(ValueError, match="no samples: an expectation needs at least one"):
        expected_utility(["a"], [])
