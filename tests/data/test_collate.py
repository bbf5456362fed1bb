import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from encdec.data.collate import IGNORE, Example, bucket_batches, collate

LENGTHS = st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), min_size=1, max_size=200)


@given(lengths=LENGTHS, max_tokens=st.integers(60, 500), pool=st.integers(1, 20))
def test_every_example_is_in_one_batch_and_no_batch_is_too_large(lengths, max_tokens, pool):
    batches = bucket_batches(lengths, max_tokens, random.Random(0), pool=pool)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        source = max(lengths[i][0] for i in batch)
        target = max(lengths[i][1] for i in batch)
        assert len(batch) * (source + target) <= max_tokens


def test_bucketing_leaves_little_padding():
    generator = random.Random(0)
    lengths = [(n := generator.randint(3, 40), n + generator.randint(-2, 2)) for _ in range(5000)]
    batches = bucket_batches(lengths, 3000, random.Random(0))
    padded = sum(
        len(b) * (max(lengths[i][0] for i in b) + max(lengths[i][1] for i in b)) for b in batches
    )
    assert sum(map(sum, lengths)) / padded > 0.9


def test_the_order_differs_between_generators_and_repeats_with_one():
    lengths = [(i % 7 + 1, i % 5 + 1) for i in range(300)]
    first = bucket_batches(lengths, 100, random.Random("0 0"))
    assert bucket_batches(lengths, 100, random.Random("0 0")) == first
    assert bucket_batches(lengths, 100, random.Random("0 1")) != first


def test_an_example_longer_than_a_batch_is_named():
    with pytest.raises(ValueError, match=r"example 1 has 9 \+ 9 tokens.*max_tokens=10"):
        bucket_batches([(2, 2), (9, 9)], 10, random.Random(0))


def test_collate_shifts_right_and_masks_padding():
    batch = collate([Example([5, 6, 0], [7, 0]), Example([8, 0], [9, 9, 0])], 99, 98)
    assert batch["input_ids"].tolist() == [[5, 6, 0], [8, 0, 99]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]
    assert batch["labels"].tolist() == [[7, 0, IGNORE], [9, 9, 0]]
    assert batch["decoder_input_ids"].tolist() == [[98, 7, 99], [98, 9, 9]]
    assert all(tensor.dtype == torch.long for tensor in batch.values())
