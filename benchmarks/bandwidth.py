"""How fast this machine reads memory, which no decoder can beat: each step reads all weights."""

from __future__ import annotations

import statistics
import time

import torch


def read_bandwidth(megabytes: int = 512, repeats: int = 9) -> float:
    """Measure by a sum over more memory than any cache holds.

    Args:
        megabytes: how much is read each time.
        repeats: how often; the median counts.

    Returns:
        Bytes per second.
    """
    data = torch.ones(megabytes * 1_000_000 // 4)
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        data.sum()
        seconds.append(time.perf_counter() - started)
    return data.numel() * 4 / statistics.median(seconds)
