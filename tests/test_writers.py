import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from encdec.decoding import greedy_search
from encdec.options import DEFAULT_MAX_NEW_TOKENS
from encdec.writers import Beams, Continuations, best_token, group_size, top
from tiny import batch, ours


@pytest.fixture
def beams():
    """Two inputs with three hypotheses each; the second token tells them apart."""
    ids = torch.tensor([[[0, 1], [0, 2], [0, 3]], [[0, 4], [0, 5], [0, 6]]])
    scores = torch.tensor([[-1.0, -3.0, -2.0], [-6.0, -5.0, -4.0]])
    return Beams(ids, scores, scores < -4.5, ids[:, :, 1] * 10, ids[:, :, 1:])


def test_the_best_beams_come_first_with_all_that_belongs_to_them(beams):
    best = beams.best(2)
    assert best.ids[:, :, 1].tolist() == [[1, 3], [6, 5]]
    assert best.scores.tolist() == [[-1.0, -2.0], [-4.0, -5.0]]
    assert best.done.tolist() == [[False, False], [False, True]]
    assert best.steps.tolist() == [[10, 30], [60, 50]]
    assert best.origins[:, :, 0].tolist() == [[1, 3], [6, 5]]


def test_those_that_have_ended_do_not_go_on():
    scores = torch.tensor([[-1.0, -2.0, -3.0, -4.0]])
    done = torch.tensor([[True, False, False, True]])
    parents, tokens = torch.tensor([[0, 1, 1, 0]]), torch.tensor([[7, 8, 9, 7]])
    alive = Continuations(parents, tokens, scores, done).alive(2, some_ended=True)
    assert alive.tokens.tolist() == [[8, 9]]
    assert alive.parents.tolist() == [[1, 1]]
    assert alive.scores.tolist() == [[-2.0, -3.0]]
    everyone = Continuations(parents, tokens, scores, done & False)
    assert everyone.alive(2, some_ended=False).tokens.tolist() == [[7, 8]]


@given(st.integers(1, 3), st.integers(1, 9), st.integers(1, 20000), st.integers(0, 2**31))
def test_properties_the_best_are_the_same_however_they_are_found(batch, number, width, seed):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(batch, width, generator=generator)
    number = min(number, width)
    wanted, places = scores.topk(number)
    best, index = top(scores, number)
    assert torch.equal(best, wanted)
    assert torch.equal(index, places)
    assert torch.equal(best_token(scores), scores.argmax(dim=1))


def test_the_best_of_long_rows_are_found_in_groups_and_the_first_of_equals_wins():
    scores = torch.zeros(1, 4 * 32128)
    scores[0, [9, 128511, 70000, 70001]] = torch.tensor([1.0, 4.0, 3.0, 2.0])
    assert group_size(scores.shape[1]) == 256
    assert top(scores, 3)[1].tolist() == [[128511, 70000, 70001]]
    scores[0, [500, 900, 100000]] = 7.0
    assert best_token(scores).tolist() == [500]
    assert scores.argmax().item() == 500


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
