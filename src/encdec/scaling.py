"""What training costs on several devices: memory on each of them, and time lost to talking.

All devices hold the same model and each learns from rows of its own; before every update they add
up their gradients. What a device holds of the state depends on the stage, as ZeRO numbers them:

0. everything, which is what `DistributedDataParallel` (DDP) does;
1. its share of the optimizer's moments;
2. of the gradients too;
3. of the weights too, fetched from the others unit by unit when they are needed: what fully sharded
   data parallelism (FSDP) does.

Units are bytes, seconds, and bytes a second.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from encdec.config import TransformerConfig
from encdec.costs import encoder_decoder

MOMENTS = 2  # numbers that Adam keeps for each weight
BACKWARD = 2  # the backward pass has two matrix products for each one of the forward pass


@dataclass(frozen=True)
class Memory:
    """Bytes on one device at the fullest moment of a step.

    Args:
        weights: its share of the model.
        gradients: its share of them.
        optimizer: its share of the optimizer's moments.
        gathered: weights and gradients of the unit at work that belong to other devices.
        activations: what the forward pass keeps for the backward pass.
    """

    weights: float
    gradients: float
    optimizer: float
    gathered: float
    activations: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.weights + self.gradients + self.optimizer + self.gathered + self.activations


def memory_per_device(
    parameters: int,
    devices: int = 1,
    *,
    stage: int = 0,
    largest_unit: int = 0,
    activations: float = 0,
    bytes_per_number: int = 4,
) -> Memory:
    """Add up what training with Adam holds on each of several devices.

    Weights, gradients and moments have one precision, as in this book's loop, where autocast makes
    half-precision copies only for the product at hand.

    Args:
        parameters: numbers in the model.
        devices: how many share the work.
        stage: 0 to 3, see above.
        largest_unit: numbers in the largest part of the model that is fetched at a time, usually a
            layer or the embedding table; counts from stage 2 on.
        activations: bytes that the forward pass keeps on a device, see `activation_bytes`.
        bytes_per_number: 4 for float32.

    Returns:
        The memory.

    Raises:
        ValueError: if the stage is unknown, or a number is impossible.

    From "ZeRO: Memory Optimizations Toward Training Trillion Parameter Models" (Rajbhandari et al.,
    2020), section 5.
    """
    if stage not in range(4):
        raise ValueError(f"stage={stage} must be 0, 1, 2 or 3")
    _check(parameters=parameters, devices=devices, bytes_per_number=bytes_per_number)
    if not 0 <= largest_unit <= parameters:
        raise ValueError(
            f"largest_unit={largest_unit} must be at least 0 and at most parameters={parameters}"
        )
    state = parameters * bytes_per_number
    share = [devices if stage >= first else 1 for first in (3, 2, 1)]
    # From stage 2 on a unit's gradient is whole until it has been added up; from stage 3 on its
    # weights are whole while they work. Of both, a share is the device's own.
    foreign = largest_unit * bytes_per_number * (1 - 1 / devices)
    return Memory(
        weights=state / share[0],
        gradients=state / share[1],
        optimizer=MOMENTS * state / share[2],
        gathered=foreign * max(0, stage - 1),
        activations=activations,
    )


def activation_bytes(
    model: nn.Module, batch: Mapping[str, Tensor], *, label_smoothing: float = 0.1
) -> int:
    """Count the bytes that a forward pass keeps for its backward pass, weights left out.

    Nothing is estimated: autograd says which tensors it saves, and each piece of memory counts
    once. On the device "meta", where tensors have a shape and nothing else, a model of any size can
    be asked in a second; attention is then counted as written out, with its matrix of weights,
    which fused kernels do not keep.

    Args:
        model: called with the batch but its labels; returns logits, (batch, target, vocab).
        batch: what the model takes, and `labels`, (batch, target).
        label_smoothing: of the loss.

    Returns:
        How many bytes.

    Raises:
        ValueError: if the batch has no labels.
    """
    if "labels" not in batch:
        raise ValueError(f"batch holds {', '.join(batch)} but no labels, which the loss needs")
    weights = {each.untyped_storage()._cdata for each in (*model.parameters(), *model.buffers())}
    kept: dict[int, torch.UntypedStorage] = {}  # held on to, so that no address is used twice

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            kept[storage._cdata] = storage
        return tensor

    inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
    with torch.enable_grad(), saved_tensors_hooks(keep, lambda tensor: tensor):
        logits = model(**inputs)
        F.cross_entropy(
            logits.flatten(0, 1), batch["labels"].flatten(), label_smoothing=label_smoothing
        )
    return sum(storage.nbytes() for storage in kept.values())


@dataclass(frozen=True)
class Link:
    """What connects one device with the next.

    Args:
        bandwidth: bytes a second, in one direction.
        latency: seconds until the first byte arrives.
    """

    bandwidth: float
    latency: float


def ring_seconds(size: float, devices: int, link: Link, *, passes: int = 2) -> float:
    """Time to move gradients or weights around a ring.

    The numbers are cut into as many pieces as there are devices, and in each step every device
    sends one piece to its neighbour. One pass of devices - 1 steps adds the pieces up
    (reduce-scatter); another one hands the sums out (all-gather).

    Args:
        size: bytes that every device holds.
        devices: how many there are.
        link: the slowest link of the ring.
        passes: 2 to add up gradients, 3 for FSDP, which also fetches the weights once more for the
            backward pass.

    Returns:
        Seconds.

    Raises:
        ValueError: if there is no device.

    From "Bandwidth Optimal All-reduce Algorithms for Clusters of Workstations" (Patarasuk and Yuan,
    2009), section 3.
    """
    _check(devices=devices)
    return passes * (devices - 1) * (size / devices / link.bandwidth + link.latency)


def efficiency(compute: float, talk: float, *, hidden: bool = True) -> float:
    """Share of a step in which a device computes.

    Args:
        compute: seconds of arithmetic on a device.
        talk: seconds of communication.
        hidden: whether it goes on during the backward pass, as DDP and FSDP arrange, so that only
            what outlasts that pass costs time.

    Returns:
        Between 0 and 1.

    From "PyTorch Distributed: Experiences on Accelerating Data Parallel Training" (Li et al.,
    2020), section 3.2.3.
    """
    backward = compute * BACKWARD / (1 + BACKWARD) if hidden else 0.0
    return compute / (compute - backward + max(backward, talk))


def training_flops(config: TransformerConfig, source: int, target: int, batch: int = 1) -> int:
    """Count the arithmetic of one training step: a forward pass, and twice as much to go back.

    Args:
        config: the model's description.
        source: tokens of a source.
        target: tokens of a target.
        batch: pairs.

    Returns:
        Floating-point operations of the matrix products.
    """
    return (1 + BACKWARD) * encoder_decoder(config, source, target, batch=batch).total_flops


def _check(**numbers: int) -> None:
    for name, value in numbers.items():
        if value < 1:
            raise ValueError(f"{name}={value} must be at least 1")
