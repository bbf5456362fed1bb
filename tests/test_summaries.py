import pytest
from rouge_score.rouge_scorer import RougeScorer

from encdec.objectives import gap_sentences
from encdec.summaries import (
    SummaryError,
    content_stems,
    gap_scores,
    most_frequent_words,
    oracle,
    stems,
    text_rank,
    unsupported,
    unsupported_share,
)

TEXT = [
    "The ferry was late.",
    "A storm had damaged the engine of the ferry.",
    "Nobody knew why.",
    "After the storm the engine was mended and the ferry left late.",
]


def test_names_are_the_words_they_are_made_of_and_endings_do_not_count():
    assert stems("readLines(max_items=3)") == stems("read line max items 3")
    assert content_stems("Return the number of the lines") == stems("return number lines")


@pytest.mark.parametrize(
    ("summary", "expected"),
    [
        ("Read all lines.", ["all"]),
        ("Reading the line with a path.", []),
        ("Write 12 lines.", ["write", "12"]),
        ("", []),
    ],
)
def test_what_the_source_lacks_is_listed(summary, expected):
    source = "read_lines(path): for line in path.open(): yield line"
    assert unsupported(summary, source) == expected


def test_the_share_counts_words_over_all_summaries():
    score = unsupported_share(["read it", "write one line"], ["read", "line"])
    assert score.value == pytest.approx(100 / 3)
    assert score.items == 2
    assert unsupported_share(["read"], ["read"]).value == 0


def test_gap_scores_are_rouge_and_choose_what_the_objective_hides():
    scores = gap_scores(TEXT)
    scorer = RougeScorer(["rouge1"], use_stemmer=True)
    rest = " ".join(TEXT[:1] + TEXT[2:])
    assert scores[1] == pytest.approx(scorer.score(rest, TEXT[1])["rouge1"].fmeasure)
    ids = {stem: n for n, stem in enumerate(dict.fromkeys(s for t in TEXT for s in stems(t)))}
    rows = [[ids[stem] for stem in stems(text)] for text in TEXT]
    hidden = gap_sentences(rows, number=1, mask_token_id=98, eos_token_id=99)
    assert list(hidden.labels[:-1]) == rows[scores.index(max(scores))]


def test_text_rank_is_a_distribution_and_prefers_the_middle():
    ranks = text_rank(TEXT)
    assert sum(ranks) == pytest.approx(1)
    assert min(ranks) > 0
    assert ranks.index(min(ranks)) == 2
    assert ranks.index(max(ranks)) == 3
    assert text_rank(["a cat", "a dog"]) == pytest.approx([0.5, 0.5])
    permuted = text_rank(TEXT[::-1])
    assert permuted[::-1] == pytest.approx(ranks)


def test_the_oracle_is_at_least_as_good_as_every_sentence():
    assert oracle(TEXT, "A storm broke the ferry's engine.") == 1
    assert oracle(["x", "x"], "x") == 0


def test_the_commonest_words_come_first():
    assert most_frequent_words(["b a b", "c b a"], 2) == "b a"
    assert most_frequent_words(["b a"], 5) == "a b"


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: unsupported_share(["a"], []), "1 summaries for 0 sources"),
        (lambda: unsupported_share(["the"], ["x"]), "nothing to judge"),
        (lambda: gap_scores(["one"]), "1 sentence: there must be two"),
        (lambda: text_rank([]), "0 sentence: there must be two"),
        (lambda: text_rank(TEXT, damping=1), "damping=1"),
        (lambda: oracle([], "x"), "no sentence to choose"),
        (lambda: most_frequent_words(["a"], 0), "number=0"),
    ],
)
def test_what_cannot_be_done_is_said(call, sentence):
    with pytest.raises(SummaryError, match=sentence):
        call()
