"""What options do to scores, against transformers' processors on random scores."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.generation import logits_process as theirs

from encdec import processors as ours
from tiny import since

CPU = torch.device("cpu")
PAIRS = {
    "no_repeat_1": (ours.forbid_repeated_ngrams(1), theirs.NoRepeatNGramLogitsProcessor(1)),
    "no_repeat_2": (ours.forbid_repeated_ngrams(2), theirs.NoRepeatNGramLogitsProcessor(2)),
    "no_repeat_3": (ours.forbid_repeated_ngrams(3), theirs.NoRepeatNGramLogitsProcessor(3)),
    "repetition_low": (
        ours.penalise_repetition(0.5),
        theirs.RepetitionPenaltyLogitsProcessor(0.5),
    ),
    "repetition_high": (
        ours.penalise_repetition(1.7),
        theirs.RepetitionPenaltyLogitsProcessor(1.7),
    ),
    "bad_words": (
        ours.forbid_sequences([(3,), (1, 2), (0, 1, 2)], CPU),
        theirs.NoBadWordsLogitsProcessor([[3], [1, 2], [0, 1, 2]]),
    ),
    "suppress": (ours.forbid_tokens([1, 4], CPU), theirs.SuppressTokensLogitsProcessor([1, 4])),
    "min_length": (
        ours.only_at(range(4), ours.forbid_tokens([1, 2], CPU)),
        theirs.MinLengthLogitsProcessor(4, [1, 2]),
    ),
    "forced_bos": (
        ours.only_at(range(1, 2), ours.force_tokens([3], CPU)),
        theirs.ForcedBOSTokenLogitsProcessor(3),
    ),
    "forced_eos": (
        ours.only_at(range(4, 5), ours.force_tokens([1, 2], CPU)),
        theirs.ForcedEOSTokenLogitsProcessor(5, [1, 2]),
    ),
    "top_k": (ours.keep_top_k(2), theirs.TopKLogitsWarper(2)),
    "top_k_all": (ours.keep_top_k(99), theirs.TopKLogitsWarper(99)),
    "top_p": (ours.keep_top_p(0.7), theirs.TopPLogitsWarper(0.7)),
    "top_p_small": (ours.keep_top_p(1e-9), theirs.TopPLogitsWarper(1e-9)),
    "min_p": (ours.keep_min_p(0.4), theirs.MinPLogitsWarper(0.4)),
}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=since("5.18")) if name == "bad_words" else name for name in PAIRS],
)
@given(rows=st.integers(1, 4), length=st.integers(1, 7), seed=st.integers(0, 10_000))
@settings(max_examples=25, derandomize=True, deadline=None)
def test_parity_of_processors(name, rows, length, seed):
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, 5, (rows, length), generator=generator)
    scores = torch.randn(rows, 5, generator=generator)
    mine, yours = PAIRS[name]
    torch.testing.assert_close(mine(ids, scores.clone()), yours(ids, scores.clone()))


@since("5.23")  # which no longer counts padding as said before
def test_parity_of_the_repetition_penalty_beside_padding():
    ids = torch.tensor([[0, 0, 3], [4, 2, 2]])
    scores = torch.randn(2, 5, generator=torch.Generator().manual_seed(0))
    padding = torch.tensor([2, 0])
    mine = ours.penalise_repetition(1.5, padding)(ids, scores.clone())
    yours = theirs.RepetitionPenaltyLogitsProcessor(1.5, prompt_ignore_length=padding)
    torch.testing.assert_close(mine, yours(ids, scores.clone()))
    assert mine[0, 0] == scores[0, 0]
