"""Memory and communication agree with what torch holds and with what a ring really does."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from encdec.config import TransformerConfig
from encdec.scaling import (
    Link,
    activation_bytes,
    efficiency,
    memory_per_device,
    ring_seconds,
    training_flops,
)
from encdec.transformer import EncoderDecoder

SMALL = TransformerConfig.family(
    "t5", vocab_size=60, d_model=16, d_kv=4, num_heads=4, d_ff=32, num_layers=2
)


class Logits(nn.Module):
    """Two layers whose saved tensors can be counted by hand."""

    def __init__(self):
        super().__init__()
        self.inner, self.outer = nn.Linear(5, 7, bias=False), nn.Linear(7, 11, bias=False)

    def forward(self, states):
        return self.outer(self.inner(states).exp())


def test_one_device_holds_what_torch_holds_after_a_step():
    model = EncoderDecoder(SMALL)
    optimizer = torch.optim.AdamW(model.parameters())
    ids = torch.ones(2, 3, dtype=torch.long)
    model(ids, decoder_input_ids=ids).sum().backward()
    optimizer.step()
    held = memory_per_device(sum(p.numel() for p in model.parameters()))
    assert held.weights == sum(p.nbytes for p in model.parameters())
    assert held.gradients == sum(p.grad.nbytes for p in model.parameters())
    moments = [t for state in optimizer.state.values() for t in state.values() if t.ndim]
    assert held.optimizer == sum(t.nbytes for t in moments)
    assert held.total == 16 * sum(p.numel() for p in model.parameters())


def test_every_stage_shares_out_one_thing_more():
    ddp, one, two, three = (memory_per_device(1000, 8, stage=stage) for stage in range(4))
    assert (ddp.weights, ddp.gradients, ddp.optimizer) == (4000, 4000, 8000)
    assert (one.weights, one.gradients, one.optimizer) == (4000, 4000, 1000)
    assert (two.weights, two.gradients, two.optimizer) == (4000, 500, 1000)
    assert (three.weights, three.gradients, three.optimizer) == (500, 500, 1000)
    assert three.total == ddp.total / 8


def test_all_devices_together_hold_a_fully_sharded_model_once():
    found = memory_per_device(1200, 6, stage=3, largest_unit=100)
    assert 6 * (found.weights + found.gradients + found.optimizer) == 1200 * 16
    assert found.gathered == pytest.approx(2 * 400 * 5 / 6)
    assert memory_per_device(1200, stage=3, largest_unit=100).gathered == 0


def test_zero_s_own_example():
    """7.5 billion parameters on 64 devices, figure 1 of the paper: 120, 31.4, 16.6 and 1.9 GB.

    The paper's weights and gradients have two bytes, its optimizer twelve: its stages differ from
    ours in which share is large, so only the ends agree.
    """
    whole = memory_per_device(7_500_000_000, 64)
    shared = memory_per_device(7_500_000_000, 64, stage=3)
    assert whole.total == 120e9
    assert shared.total == pytest.approx(1.9e9, rel=0.02)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stage": 4}, "stage=4 must be 0, 1, 2 or 3"),
        ({"devices": 0}, "devices=0 must be at least 1"),
        ({"largest_unit": 11}, "largest_unit=11 must be at least 0 and at most parameters=10"),
    ],
)
def test_impossible_memory_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        memory_per_device(10, **options)


def test_activations_are_counted_once_and_without_weights():
    states, labels = torch.randn(2, 3, 5), torch.zeros(2, 3, dtype=torch.long)
    numbers = 6 * (5 + 7 + 11)  # the input, exp's output (also the next input), log-probabilities
    extra = 6 * 8 + 4  # labels, and the number of those that count
    batch = {"states": states, "labels": labels}
    assert activation_bytes(Logits(), batch, label_smoothing=0.0) == 4 * numbers + extra


@pytest.mark.parametrize("family", ["t5", "marian"])
def test_activations_grow_with_the_batch_and_need_no_memory_to_be_counted(family):
    config = TransformerConfig.family(
        family, vocab_size=60, d_model=16, num_heads=4, d_ff=32, num_layers=2
    )

    def count(rows, device):
        with torch.device(device):
            ids = torch.ones(rows, 6, dtype=torch.long)
            model = EncoderDecoder(config).train()
            batch = {"input_ids": ids, "decoder_input_ids": ids, "labels": ids}
            return activation_bytes(model, batch)

    two, four, eight = (count(rows, "cpu") for rows in (2, 4, 8))
    assert eight - four == 2 * (four - two)
    # Written out, attention keeps its weights; a fused kernel keeps its output instead.
    assert count(4, "meta") == pytest.approx(four, rel=0.15)


def test_a_batch_without_labels_is_named():
    with pytest.raises(ValueError, match="batch holds states but no labels"):
        activation_bytes(Logits(), {"states": torch.ones(1, 1, 5)})


def ring_all_reduce(rows):
    """Send pieces around a ring, as it is described; give back sums and what one device sent."""
    devices = len(rows)
    pieces = [list(row.chunk(devices)) for row in rows]
    sent = 0
    for first, add in ((0, True), (1, False)):
        for step in range(devices - 1):
            moving = [(d, (d + first - step) % devices) for d in range(devices)]
            payload = [pieces[d][piece].clone() for d, piece in moving]
            sent += len(payload[0])
            for (d, piece), content in zip(moving, payload, strict=True):
                there = pieces[(d + 1) % devices]
                there[piece] = there[piece] + content if add else content
    return [torch.cat(row) for row in pieces], sent


@pytest.mark.parametrize("devices", [2, 3, 5])
def test_a_ring_moves_what_the_formula_says(devices):
    rows = [torch.randn(60) for _ in range(devices)]
    sums, sent = ring_all_reduce(rows)
    for row in sums:
        torch.testing.assert_close(row, sum(rows))
    assert ring_seconds(60, devices, Link(1.0, 0.0)) == pytest.approx(sent)
    assert ring_seconds(0, devices, Link(1.0, 1.0)) == 2 * (devices - 1)


def test_one_device_has_nobody_to_talk_to():
    assert ring_seconds(1e9, 1, Link(1.0, 1.0)) == 0
    assert efficiency(1.0, 0.0) == 1.0


def test_a_large_ring_costs_twice_the_gradients():
    seconds = [ring_seconds(1.0, devices, Link(1.0, 0.0)) for devices in (2, 4, 1024)]
    assert seconds == sorted(seconds)
    assert seconds[-1] == pytest.approx(2, rel=1e-3)
    assert ring_seconds(1.0, 64, Link(1.0, 0.0), passes=3) == 1.5 * ring_seconds(
        1.0, 64, Link(1.0, 0.0)
    )


def test_talk_is_free_while_the_backward_pass_lasts():
    assert efficiency(3.0, 1.9) == 1.0
    assert efficiency(3.0, 3.0) == pytest.approx(3 / 4)
    assert efficiency(3.0, 3.0, hidden=False) == pytest.approx(1 / 2)


def test_a_training_step_costs_what_torch_counts():
    source, target, batch = 7, 5, 3
    model = EncoderDecoder(SMALL)
    ids = torch.ones(batch, source, dtype=torch.long)
    labels = torch.ones(batch, target, dtype=torch.long)
    with FlopCounterMode(display=False) as counter:
        logits = model(ids, decoder_input_ids=labels)
        F.cross_entropy(logits.flatten(0, 1), labels.flatten()).backward()
    # The ledger leaves out what the causal mask hides, which is little beside the rest.
    counted = counter.get_total_flops()
    assert training_flops(SMALL, source, target, batch) == pytest.approx(counted, rel=0.1)
