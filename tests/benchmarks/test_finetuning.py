"""The runs of chapter 8: what each method moves, and that a learnt prompt is read."""

import pytest
import torch

from benchmarks import finetuning
from encdec.data.captions import draw_captions


def count(method):
    model, _ = finetuning.tuned(method)
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def test_methods_differ_in_what_they_move():
    counts = [count(method) for method in finetuning.METHODS]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == finetuning.PROMPT * 192
    with pytest.raises(ValueError, match="unknown method 'none'"):
        finetuning.tuned("none")


@pytest.mark.parametrize("method", ["LoRA", "prompt tuning"])
def test_a_step_moves_what_is_new_and_nothing_else(method):
    model, tokenizer = finetuning.tuned(method)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    captions = draw_captions(2, seed=0)
    finetuning.tune(model, tokenizer, lambda _: captions, rate=0.1, steps=1, seed=0)
    moved = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert moved
    assert all("lora_" in name or name == "prompt" for name in moved)


def test_the_prompt_is_read_by_the_encoder():
    model, tokenizer = finetuning.tuned("prompt tuning")
    ids, mask, _ = finetuning.batch_of(draw_captions(1, seed=0), tokenizer)
    assert mask.shape == ids.shape
    with torch.no_grad():
        one = model.encode(ids, mask)
        tokenizer.vectors.mul_(2)
        assert not torch.allclose(one, model.encode(ids, mask))


def test_the_best_rate_is_chosen_by_validation():
    runs = [{"rate": r, "validation": {"value": v}} for r, v in ((1.0, 10), (2.0, 30), (3.0, 20))]
    assert finetuning.best(runs) == 2.0
