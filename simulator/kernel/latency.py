"""The latency of one batch: interpolated between measured sizes, drawn between measured quantiles."""

from __future__ import annotations

from typing import Any

import numpy as np

from simulator.kernel.compiled import inlined
from simulator.kernel.state import Latencies

__all__ = ["batch_latency"]


@inlined
def _bracket(values: np.ndarray, first: int, count: int, x: float) -> int:
    """Index ``i`` in ``[0, count - 2]`` with ``values[first + i] <= x``, the largest there is (0 if none)."""
    low, high = 0, count - 1
    while high - low > 1:
        middle = (low + high) >> 1
        if values[first + middle] <= x:
            low = middle
        else:
            high = middle
    return low


@inlined
def batch_latency(table: Any, latencies: Latencies, units: int, u: float) -> tuple[float, float, bool]:
    """Latency (s), host cores busy meanwhile and whether ``units`` exceeds every measured size.

    Linear between the two measured sizes around ``units``; constant below the smallest; the last segment extended
    above the largest (proportional to ``units`` where one size only was measured). At a size, linear between the
    measured quantile levels around ``u``, constant beyond the outermost; with one level no noise.
    """
    first, sizes, levels = table.size_offset, table.sizes, table.levels
    low = 0
    high = 0
    share = 0.0
    if units > latencies.batch_size[first]:
        if sizes == 1:
            share = units / latencies.batch_size[first] - 1.0
        else:
            low = _bracket(latencies.batch_size, first, sizes, units)
            high = low + 1
            below = latencies.batch_size[first + low]
            share = (units - below) / (latencies.batch_size[first + high] - below)

    level = 0
    level_share = 0.0
    if levels > 1:
        level = _bracket(latencies.level, table.level_offset, levels, u)
        at = latencies.level[table.level_offset + level]
        step = latencies.level[table.level_offset + level + 1] - at
        level_share = min(max((u - at) / step, 0.0), 1.0)

    row_low = table.latency_offset + low * levels + level
    row_high = table.latency_offset + high * levels + level
    latency_low = latencies.latency_s[row_low]
    latency_high = latencies.latency_s[row_high]
    if levels > 1:
        latency_low += level_share * (latencies.latency_s[row_low + 1] - latency_low)
        latency_high += level_share * (latencies.latency_s[row_high + 1] - latency_high)
    cores_low = latencies.cores_busy[first + low]
    cores_busy = cores_low + min(share, 1.0) * (latencies.cores_busy[first + high] - cores_low)
    beyond = units > latencies.batch_size[first + sizes - 1]
    if sizes == 1:
        return latency_low * (1.0 + share), cores_busy, beyond
    return latency_low + share * (latency_high - latency_low), cores_busy, beyond
