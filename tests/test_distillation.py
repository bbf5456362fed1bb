"""A student is cut out of its teacher and learns what it is shown."""

import pytest
import torch

from encdec import EncoderDecoder, TransformerConfig
from encdec.data.collate import Example
from encdec.distillation import shallow, teach


def make():
    torch.manual_seed(0)
    config = TransformerConfig.family(
        "marian", vocab_size=12, d_model=16, d_ff=32, num_heads=2, num_layers=2
    )
    return EncoderDecoder(config).eval()


def test_a_student_has_the_encoder_and_the_last_layers():
    teacher = make()
    student = shallow(teacher, 1)
    ids = torch.tensor([[2, 3, 4]])
    assert len(student.decoder.layers) == 1
    assert torch.equal(student.encode(ids), teacher.encode(ids))
    kept, there = student.decoder.layers[0].state_dict(), teacher.decoder.layers[1].state_dict()
    assert all(torch.equal(kept[name], there[name]) for name in there)
    whole = shallow(teacher, 2)
    assert torch.equal(whole(ids, labels=ids), teacher(ids, labels=ids))


def test_teaching_lowers_the_loss_and_leaves_the_teacher():
    teacher = make()
    before = {name: weight.clone() for name, weight in teacher.state_dict().items()}
    student = shallow(teacher)
    examples = [Example([i, i + 1], [i, 0]) for i in range(1, 9)]
    losses = teach(student, examples, steps=40, batch=8, rate=1e-2)
    assert losses[-1] < 0.7 * losses[0]
    assert not student.training
    assert all(torch.equal(before[n], w) for n, w in teacher.state_dict().items())
    assert losses == teach(shallow(teacher), examples, steps=40, batch=8, rate=1e-2)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="layers=3"):
        shallow(make(), 3)
    with pytest.raises(ValueError, match="0 examples"):
        teach(make(), [], steps=1)
