"""Memory of training, computed; and the views of it, which need nothing but themselves."""

import json
import re

import pytest
import torch

from encdec.memory_view import MemoryView, fits, memory_explorer, memory_table, training_bytes

MODELS = {"<b>small": 1_000_000, "large": 3_000_000_000}


@pytest.mark.parametrize("frozen", [False, True])
def test_the_sum_is_what_pytorch_keeps(frozen):
    model = torch.nn.Sequential(
        torch.nn.Linear(8, 8, bias=False), torch.nn.Linear(8, 8, bias=False)
    )
    model[0].requires_grad_(not frozen)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad])
    model(torch.ones(1, 8)).sum().backward()
    optimizer.step()
    found = training_bytes(128, 0.5 if frozen else 1.0)
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    moments = [t for s in optimizer.state.values() for t in s.values() if t.ndim]
    assert found["gradients"] == sum(t.nbytes for t in grads)
    assert found["moments"] == sum(t.nbytes for t in moments)
    assert found["total"] == found["weights"] + found["gradients"] + found["moments"]


def test_the_page_holds_the_models_and_needs_nothing_from_outside():
    page = MemoryView(MODELS, name="v")._repr_html_()
    data = json.loads(re.search(r"const data = (.*);\n", page).group(1))
    assert dict(data["models"]) == MODELS
    assert "http" not in page
    assert "<b>small" not in page
    assert page.count("</script>") == 1
    assert 'id="v"' in page
    assert MemoryView(MODELS).name != MemoryView(MODELS).name


def test_the_table_and_the_explorer_show_the_same():
    assert "48.00 GB" in memory_table(MODELS)
    model, share, view = memory_explorer(MODELS).children
    model.value = "large"
    assert "total 48.00 GB" in view.value
    assert "fits: H100" in view.value
    share.value = 0.0
    assert "total 12.00 GB" in view.value
    assert fits(12e9) == ["T4", "A100", "H100"]
    assert fits(1e15) == []


def test_what_can_not_be_is_named():
    with pytest.raises(ValueError, match="models is empty"):
        MemoryView({})
    with pytest.raises(ValueError, match="parameters=0"):
        MemoryView({"none": 0})
    with pytest.raises(ValueError, match=r"trainable=1\.5"):
        training_bytes(1, 1.5)
