import random

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from encdec.data.collate import (
    IGNORE,
    Example,
    bucket_batches,
    collate,
    collate_causal,
    collate_packed,
    pack,
    pad,
    segment_mask,
)
from tiny import ours, theirs

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


# --- lengths --------------------------------------------------------------------------------------


def test_a_batch_of_nothing_is_refused():
    with pytest.raises(ValueError, match="rows is empty"):
        pad([], 0)
    with pytest.raises(ValueError, match="rows is empty"):
        collate_causal([], 0)


# --- decoders alone -------------------------------------------------------------------------------

IDS = st.lists(st.integers(2, 30), min_size=1, max_size=9)
EXAMPLES = st.lists(st.builds(Example, IDS, IDS), min_size=1, max_size=12)


def test_source_and_target_stand_in_one_row_and_only_the_target_is_predicted():
    batch = collate_causal([Example([5, 6, 7], [8, 0]), Example([5], [9, 0])], 99)
    assert batch["input_ids"].tolist() == [[5, 6, 7, 8], [5, 9, 99, 99]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]
    assert batch["labels"].tolist() == [[IGNORE, IGNORE, 8, 0], [9, 0, IGNORE, IGNORE]]


def test_the_source_is_predicted_too_if_asked_for():
    batch = collate_causal([Example([5, 6, 7], [8, 0])], 99, loss_on_source=True)
    assert batch["labels"].tolist() == [[6, 7, 8, 0]]


@given(EXAMPLES)
def test_every_label_is_predicted_once_from_what_stands_before_it(examples):
    batch = collate_causal(examples, 0)
    for row, (source, target) in enumerate(examples):
        places = (batch["labels"][row] != IGNORE).nonzero().flatten().tolist()
        assert batch["labels"][row][places].tolist() == target
        for place, count in zip(places, range(len(target)), strict=True):
            seen = batch["input_ids"][row, : place + 1].tolist()
            assert seen == [*source, *target[:count]]
        assert batch["attention_mask"][row].sum() == len(source) + len(target) - 1


@pytest.mark.parametrize(("source", "target"), [([], [1]), ([1], [])])
def test_a_row_without_source_or_target_is_named(source, target):
    examples = [Example([5], [6]), Example(source, target)]
    with pytest.raises(ValueError, match=rf"example 1 has {len(source)} \+ {len(target)} tokens"):
        collate_causal(examples, 0)


def loss(logits, labels):
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORE)


EIGHT = [
    Example([3, 4, 5], [6, 7, 1]),
    Example([8], [9, 10, 11, 12, 1]),
    Example([13, 14, 15, 16, 17], [1]),
    Example([18, 19], [20, 1]),
    Example([21, 22, 23], [24, 25, 26, 27, 28, 1]),
    Example([29, 30], [31, 32, 33, 1]),
    Example([3], [1]),
    Example([7, 7, 7], [8, 8, 8, 1]),
]


def test_the_loss_is_the_one_that_transformers_computes():
    """There the model shifts: labels are the input, -100 on the source and on padding."""
    batch = collate_causal(EIGHT, 0)
    whole = pad([[*source, *target] for source, target in EIGHT], 0)
    labels = pad([[*[IGNORE] * len(source), *target] for source, target in EIGHT], IGNORE)
    mask = pad([[1] * len(source + target) for source, target in EIGHT], 0)
    with torch.no_grad():
        expected = theirs("gpt2")(whole, attention_mask=mask, labels=labels).loss
        logits = ours("gpt2")(batch["input_ids"], batch["attention_mask"])
    torch.testing.assert_close(loss(logits, batch["labels"]), expected, atol=1e-5, rtol=0)


# --- packing --------------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 20), max_size=80), st.integers(20, 60))
def test_packing_keeps_every_example_and_the_limit(lengths, max_length):
    rows = pack(lengths, max_length)
    assert sorted(index for row in rows for index in row) == list(range(len(lengths)))
    used = [sum(lengths[index] for index in row) for row in rows]
    assert all(total <= max_length for total in used)
    assert sum(2 * total <= max_length for total in used) <= 1  # two such rows would be one


@given(st.lists(st.integers(1, 20), max_size=40), st.integers(20, 60))
def test_packing_is_first_fit_decreasing(lengths, max_length):
    rows = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        for row in rows:
            if sum(lengths[i] for i in row) + lengths[index] <= max_length:
                row.append(index)
                break
        else:
            rows.append([index])
    assert pack(lengths, max_length) == rows


def test_packing_leaves_little_padding():
    generator = random.Random(0)
    lengths = [generator.randint(3, 60) for _ in range(3000)]
    assert sum(lengths) / (len(pack(lengths, 128)) * 128) > 0.99


def test_an_example_longer_than_a_row_is_named():
    with pytest.raises(ValueError, match="example 2 has 21 tokens, more than max_length=20"):
        pack([3, 20, 21], 20)


def packed(examples, max_length):
    lengths = [len(source) + len(target) - 1 for source, target in examples]
    rows = [[examples[i] for i in row] for row in pack(lengths, max_length)]
    return collate_packed(rows, 0)


def test_a_packed_row_by_its_values():
    batch = collate_packed([[Example([5, 6], [7, 0]), Example([8], [9])], [Example([4], [0])]], 99)
    assert batch["input_ids"].tolist() == [[5, 6, 7, 8], [4, 99, 99, 99]]
    assert batch["labels"].tolist() == [[IGNORE, 7, 0, 9], [0, IGNORE, IGNORE, IGNORE]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 0], [0, 0, 0, 0]]
    assert batch["segment_ids"].tolist() == [[1, 1, 1, 2], [1, 0, 0, 0]]
    assert segment_mask(batch["segment_ids"])[0, 0].int().tolist() == [
        [1, 0, 0, 0],
        [1, 1, 0, 0],
        [1, 1, 1, 0],
        [0, 0, 0, 1],
    ]


@given(EXAMPLES, st.integers(17, 60))
def test_packing_loses_no_token(examples, max_length):
    batch, alone = packed(examples, max_length), collate_causal(examples, 0)
    real = batch["segment_ids"] > 0
    for name, kept in (("input_ids", real), ("labels", batch["labels"] != IGNORE)):
        wanted = alone["attention_mask"] > 0 if name == "input_ids" else alone["labels"] != IGNORE
        assert sorted(batch[name][kept].tolist()) == sorted(alone[name][wanted].tolist())
    assert (batch["labels"][~real] == IGNORE).all()
    mask = segment_mask(batch["segment_ids"])
    assert mask.any(dim=-1).all()  # no query without a key
    assert not mask.triu(diagonal=1).any()


def logits_of_ours(batch):
    model = ours("gpt2")
    embedded = model.embed(model.tokens, batch["input_ids"])
    mask = segment_mask(batch["segment_ids"])
    return model.logits(model.decoder(embedded, mask, positions=batch["position_ids"]))


def logits_of_theirs(batch):
    mask = segment_mask(batch["segment_ids"])
    additive = torch.zeros(mask.shape).masked_fill(~mask, torch.finfo(torch.float32).min)
    model = theirs("gpt2")
    return model(
        batch["input_ids"], attention_mask=additive, position_ids=batch["position_ids"]
    ).logits


@pytest.mark.parametrize("score", [logits_of_ours, logits_of_theirs])
def test_a_packed_batch_has_the_loss_of_separate_rows(score):
    batch, alone = packed(EIGHT, 16), collate_causal(EIGHT, 0)
    assert len(batch["input_ids"]) < len(EIGHT) / 2
    with torch.no_grad():
        found = loss(score(batch), batch["labels"])
        separate = ours("gpt2")(alone["input_ids"], alone["attention_mask"])
    torch.testing.assert_close(found, loss(separate, alone["labels"]), atol=1e-5, rtol=0)


@pytest.mark.parametrize("score", [logits_of_ours, logits_of_theirs])
def test_no_example_sees_its_neighbours(score):
    batch = packed(EIGHT, 16)
    with torch.no_grad():
        before = score(batch)
        changed = batch["segment_ids"] == 1
        batch["input_ids"] = torch.where(changed, batch["input_ids"] % 30 + 2, batch["input_ids"])
        after = score(batch)
    torch.testing.assert_close(before[~changed], after[~changed], atol=0, rtol=0)
    assert not torch.allclose(before[changed], after[changed])


def test_segments_of_one_row_alone_are_refused():
    with pytest.raises(ValueError, match=r"shape \(3,\), but must be \(batch, length\)"):
        segment_mask(torch.tensor([1, 1, 2]))
