"""The benchmark of cheaper models: what it counts, and what the recorded run must show."""

import pytest
import torch

from benchmarks import efficiency
from encdec import EncoderDecoder, TransformerConfig, results
from encdec.distillation import shallow


class Letters:
    """A tokenizer of digits."""

    def __call__(self, text, return_tensors):
        output = type("Encoding", (), {})()
        output.input_ids = torch.tensor([[int(digit) for digit in text]])
        return output


def make():
    torch.manual_seed(0)
    config = TransformerConfig.family(
        "marian", vocab_size=12, d_model=16, d_ff=32, num_heads=2, num_layers=2, init_std=0.5
    )
    return EncoderDecoder(config).eval()


def test_speculation_is_counted_and_compared():
    model = make()
    found = efficiency.speculate(model, shallow(model), Letters(), ["2345", "6789"])
    assert [each["ahead"] for each in found] == list(efficiency.AHEAD)
    for each in found:
        assert each["equal"] == 2
        assert each["calls"] <= each["tokens"] <= each["calls"] * (each["ahead"] + 1)
        assert each["accepted"] <= each["proposed"] <= each["calls"] * each["ahead"]


def test_the_first_round_warms_up():
    found = efficiency.clock(make(), [torch.tensor([[2, 3, 4]])], 2)
    assert len(found) == 2
    assert min(found) > 0


def test_torch_rounds_linear_maps():
    quantized = efficiency.dynamic(make())
    assert any("dynamic" in type(part).__module__ for part in quantized.modules())


def test_the_recorded_run_has_three_seeds_and_unchanged_texts():
    record = results.load("efficiency")
    assert record["seeds"] >= 3
    for kind in ("references", "the teacher's"):
        assert len(record["students"][kind]["chrF"]) == record["seeds"]
    steps = record["speculation"]["ahead"]
    assert all(each["equal"] == record["speculation"]["sentences"] for each in steps)


@pytest.mark.parametrize("name", ["efficiency", "efficiency-times"])
def test_a_record_says_where_it_comes_from(name):
    made = results.load(name)["provenance"]
    assert made["command"].startswith("python -m benchmarks.efficiency")
    assert made["commit"] != "unknown"
    assert not made["commit"].endswith("+")
