import pytest
import torch

from encdec.decoding import greedy_search
from encdec.options import DEFAULT_MAX_NEW_TOKENS
from encdec.writers import Beams
from tiny import batch, ours


@pytest.fixture
def beams():
    """Two inputs with three hypotheses each; the second token tells them apart."""
    ids = torch.tensor([[[0, 1], [0, 2], [0, 3]], [[0, 4], [0, 5], [0, 6]]])
    scores = torch.tensor([[-1.0, -3.0, -2.0], [-6.0, -5.0, -4.0]])
    return Beams(ids, scores, scores < -4.5, ids[:, :, 1:])


def test_beams_are_picked_with_all_that_belongs_to_them(beams):
    picked = beams.pick(torch.tensor([[2, 0], [1, 1]]))
    assert picked.ids[:, :, 1].tolist() == [[3, 1], [5, 5]]
    assert picked.scores.tolist() == [[-2.0, -1.0], [-5.0, -5.0]]
    assert picked.done.tolist() == [[False, False], [True, True]]
    assert picked.origins[:, :, 0].tolist() == [[3, 1], [5, 5]]


def test_the_best_beams_come_first_by_the_scores_given(beams):
    best = beams.best(-beams.scores, 2)
    assert best.ids[:, :, 1].tolist() == [[2, 3], [4, 5]]
    assert best.scores.tolist() == [[3.0, 2.0], [6.0, 5.0]]


@pytest.mark.parametrize("limit", [1, 3, 7])
def test_no_more_is_written_than_asked_for(limit):
    ids, mask = batch("marian", [5, 3])
    written = greedy_search(ours("marian"), ids, mask, max_new_tokens=limit).sequences
    assert written.shape[1] <= limit + 1


def test_the_limit_without_a_wish_is_the_documented_one_and_never_twenty():
    ids, mask = batch("t5", [5])
    suppressed = [ours("t5").config.eos_token_id]
    written = greedy_search(ours("t5"), ids, mask, suppress_tokens=suppressed).sequences
    assert written.shape[1] == DEFAULT_MAX_NEW_TOKENS + 1
