"""A student with fewer decoder layers, cut out of its teacher and taught by what it writes."""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import nn

from encdec.data.collate import IGNORE, Example, collate
from encdec.transformer import EncoderDecoder


def shallow(teacher: EncoderDecoder, layers: int = 1) -> EncoderDecoder:
    """Copy a model, but of its decoder the last layers only: they are used to the output layer.

    Args:
        teacher: any encoder–decoder.
        layers: decoder layers to keep.

    Returns:
        A model with weights of its own, on the same device, in evaluation mode.

    Raises:
        ValueError: there are not so many layers to keep.
    """
    there = teacher.config.num_decoder_layers
    if not 1 <= layers <= there:
        raise ValueError(f"layers={layers}: the decoder has 1 to {there} layers to keep.")
    student = EncoderDecoder(replace(teacher.config, num_decoder_layers=layers))
    cut = copy.deepcopy(teacher)
    cut.decoder.layers = cut.decoder.layers[there - layers :]
    student.load_state_dict(cut.state_dict())
    return student.to(teacher.device).eval()


def teach(
    student: EncoderDecoder,
    examples: Sequence[Example],
    *,
    steps: int,
    batch: int = 32,
    rate: float = 5e-4,
    seed: int = 0,
) -> list[float]:
    """Train a model on pairs of sources and targets, the teacher's or others'.

    Args:
        student: is changed, and left in evaluation mode.
        examples: token ids, targets with their end.
        steps: training steps; the rate rises over a tenth of them and falls to 0.
        batch: examples in a step.
        rate: the highest learning rate.
        seed: of the order of examples and of dropout.

    Returns:
        The loss of each step.

    Raises:
        ValueError: there are fewer examples than a batch takes, or no step.
    """
    if steps < 1 or len(examples) < batch:
        raise ValueError(f"steps={steps}, and {len(examples)} examples for batches of {batch}.")
    torch.manual_seed(seed)
    generator, losses = random.Random(seed), []
    optimizer = torch.optim.AdamW(student.parameters(), rate, (0.9, 0.98), weight_decay=0.0)
    config = student.config
    student.train()
    for step in range(1, steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(10 * step / steps, 1 - (step - 1) / steps)
        drawn = collate(
            generator.sample(examples, batch),
            config.pad_token_id,
            config.decoder_start_token_id or 0,
        )
        inputs = {name: tensor.to(student.device) for name, tensor in drawn.items()}
        labels = inputs.pop("labels")
        logits = student(**inputs)  # (batch, target, vocab)
        loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORE)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    student.eval()
    return losses
