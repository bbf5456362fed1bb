"""What a model really takes: seconds, peak memory and cache, as input and output grow.

Peak memory is that of all tensors, counted as torch makes and frees them, so it is the same number
on every machine; buffers inside a kernel are not seen.
"""

from __future__ import annotations

import statistics
import time
import weakref
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from encdec.cache import EncoderDecoderCache, KVCache
from encdec.recurrent import RecurrentCache


class PeakMemory(TorchDispatchMode):
    """Counts the bytes of the tensors that are made inside its `with`.

    Args:
        held: bytes of what was there before and stays, e.g. of the weights.
    """

    def __init__(self, held: int = 0) -> None:
        super().__init__()
        self.now = self.peak = held
        self._seen: dict[int, Any] = {}  # storages by address; alive as long as their finalizers

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operation and count what it made."""
        before = {_address(each) for each in tree_leaves((args, kwargs)) if _counts(each)}
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if _counts(tensor) and _address(tensor) not in before:
                self._add(tensor.untyped_storage())
        return made

    def _add(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self._seen:
            return
        size = storage.nbytes()
        self._seen[key] = weakref.finalize(storage, self._remove, key, size)
        self.now += size
        self.peak = max(self.peak, self.now)

    def _remove(self, key: int, size: int) -> None:
        if self._seen.pop(key, None) is not None:
            self.now -= size


def _counts(thing: object) -> bool:
    return isinstance(thing, Tensor) and thing.layout == torch.strided


def _address(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def weight_bytes(model: nn.Module) -> int:
    """Bytes of all weights, each once even where two names share one."""
    return sum(each.nbytes for each in (*model.parameters(), *model.buffers()))


def cache_bytes(cache: Any) -> int:
    """Bytes that a model has to keep while it writes.

    Args:
        cache: from the model's `start`.

    Returns:
        Keys and values, of the source too; of a recurrent model its states and those of the source,
        which attention reads.

    Raises:
        TypeError: if it is no cache of this package.
    """
    if isinstance(cache, KVCache):
        return cache.nbytes
    if isinstance(cache, EncoderDecoderCache):
        source = sum(each.nbytes for pair in cache.cross_attention for each in pair)
        return cache.self_attention.nbytes + source
    if isinstance(cache, RecurrentCache):
        memory = cache.memory
        read = memory.states.nbytes
        if memory.keys.data_ptr() != memory.states.data_ptr():
            read += memory.keys.nbytes
        return read + sum(each.nbytes for each in cache.state)
    raise TypeError(f"cache is a {type(cache).__name__}, which is no cache of this package.")


@torch.inference_mode()
def write(model: Any, input_ids: Tensor, target: int) -> Any:
    """Write exactly so many tokens, the likeliest each time.

    Args:
        model: any `Decodable` that is called like an encoder–decoder.
        input_ids: (batch, source).
        target: tokens to write.

    Returns:
        The cache after the last one.
    """
    start = torch.full_like(input_ids[:, :1], model.config.decoder_start_token_id)
    tokens, cache = model.start(input_ids, prompt=start, max_length=target + 1)
    for _ in range(target):
        tokens = model.step(tokens, cache).argmax(dim=-1, keepdim=True)  # (batch, 1)
    return cache


def random_ids(model: Any, batch: int, length: int) -> Tensor:
    """Token ids that are no special ones, (batch, length)."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, model.config.vocab_size, (batch, length), generator=generator)
    return ids.to(model.device)


def decoding(model: Any, source: int, target: int, *, batch: int, repeats: int) -> dict[str, Any]:
    """Measure what it takes to read and write texts of given lengths.

    Args:
        model: any `Decodable` that is called like an encoder–decoder.
        source: tokens that are read.
        target: tokens that are written.
        batch: texts side by side.
        repeats: how often; the median counts.

    Returns:
        ``seconds`` for the whole batch, from reading to the last token; ``first_seconds`` until
        the first one; ``cache_bytes`` after the last; ``peak_bytes``, weights included.
    """
    input_ids = random_ids(model, batch, source)
    write(model, input_ids, min(target, 2))  # whatever happens only once
    with PeakMemory(weight_bytes(model)) as memory:
        cache = write(model, input_ids, target)
    return {
        "source": source,
        "target": target,
        "batch": batch,
        "seconds": median_seconds(lambda: write(model, input_ids, target), repeats, model.device),
        "first_seconds": median_seconds(lambda: write(model, input_ids, 1), repeats, model.device),
        "cache_bytes": cache_bytes(cache),
        "peak_bytes": memory.peak,
    }


def training_memory(model: nn.Module, source: int, target: int, *, batch: int) -> int:
    """Peak bytes of one step: weights, two moments of Adam, gradients, activations.

    Args:
        model: called like an encoder–decoder; its gradients are left empty.
        source: tokens of a source.
        target: tokens of a target.
        batch: sequences side by side.
    """
    input_ids, labels = random_ids(model, batch, source), random_ids(model, batch, target)
    with PeakMemory(3 * weight_bytes(model)) as memory:
        logits = model(input_ids, decoder_input_ids=labels)
        F.cross_entropy(logits.flatten(0, 1), labels.flatten()).backward()
    model.zero_grad(set_to_none=True)
    return memory.peak


def median_seconds(action: Callable[[], object], repeats: int, device: torch.device) -> float:
    """How long something takes, in the middle of so many times.

    Raises:
        ValueError: if it should be done less than once.
    """
    if repeats < 1:
        raise ValueError(f"repeats={repeats} must be at least 1.")
    found = []
    for _ in range(repeats):
        _wait(device)
        started = time.perf_counter()
        action()
        _wait(device)
        found.append(time.perf_counter() - started)
    return statistics.median(found)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
