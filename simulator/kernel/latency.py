"""The latency of one batch: interpolated between measured sizes, drawn between measured quantiles.

Where a size or a level lies among those measured is looked up by cells, so that mostly nothing remains to be searched.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from simulator.kernel.compiled import inlined
from simulator.kernel.event_tree import bits
from simulator.kernel.state import Latencies

__all__ = ["LEVEL_CELLS", "SIZE_CELLS", "batch_latency"]


LEVEL_CELLS = 64
"""Equal parts of the quantile levels from 0 to 1."""

SIZE_CELLS = 8 * 32
"""Eighths of octaves of batch sizes from 1 on."""

_SHIFT = 52 - 3
_FIRST_SIZE_CELL = 1023 << 3


@inlined
def _bracket(values: np.ndarray, first: int, low: int, high: int, x: float) -> int:
    """Index ``i`` in ``[low, high - 1]`` with ``values[first + i] <= x``, the largest there is (``low`` if none)."""
    while high - low > 1:
        middle = (low + high) >> 1
        if values[first + middle] <= x:
            low = middle
        else:
            high = middle
    return low


@inlined
def _size_below(table: Any, latencies: Latencies, units: int) -> int:
    """Index of the largest measured size up to ``units``, but for the last size."""
    cell = (bits(float(units)) >> _SHIFT) - _FIRST_SIZE_CELL
    low, high = latencies.size_cell[table.row, cell], latencies.size_cell[table.row, cell + 1] + 1
    return _bracket(latencies.batch_size, table.size_offset, low, high, units)


@inlined
def _level_below(table: Any, latencies: Latencies, u: float) -> int:
    """Index of the highest measured level up to ``u``, but for the last level."""
    cell = int(u * LEVEL_CELLS)
    low, high = latencies.level_cell[table.row, cell], latencies.level_cell[table.row, cell + 1] + 1
    return _bracket(latencies.level, table.level_offset, low, high, u)


@inlined
def batch_latency(table: Any, latencies: Latencies, units: int, u: float) -> tuple[float, float, bool]:
    """Latency (s), host cores busy meanwhile and whether ``units`` exceeds every measured size.

    Linear between the two measured sizes around ``units``; constant below the smallest; the last segment extended
    above the largest, unless it falls: then constant (proportional to ``units`` where one size only was measured). At
    a size, linear between the measured quantile levels around ``u``, constant beyond the outermost; with one level no
    noise.
    """
    first, sizes, levels = table.size_offset, table.sizes, table.levels
    low = 0
    high = 0
    share = 0.0
    if units > latencies.batch_size[first]:
        if sizes == 1:
            share = units / latencies.batch_size[first] - 1.0
        else:
            low = _size_below(table, latencies, units)
            high = low + 1
            below = latencies.batch_size[first + low]
            share = (units - below) / (latencies.batch_size[first + high] - below)

    level = 0
    level_share = 0.0
    if levels > 1:
        level = _level_below(table, latencies, u)
        at = latencies.level[table.level_offset + level]
        step = latencies.level[table.level_offset + level + 1] - at
        level_share = min(max((u - at) / step, 0.0), 1.0)

    row_low = table.latency_offset + low * levels + level
    row_high = table.latency_offset + high * levels + level
    latency_low = latencies.latency_s[np.uint32(row_low)]
    latency_high = latencies.latency_s[np.uint32(row_high)]
    if levels > 1:
        latency_low += level_share * (latencies.latency_s[np.uint32(row_low + 1)] - latency_low)
        latency_high += level_share * (latencies.latency_s[np.uint32(row_high + 1)] - latency_high)
    cores_low = latencies.cores_busy[first + low]
    cores_busy = cores_low + min(share, 1.0) * (latencies.cores_busy[first + high] - cores_low)
    beyond = units > latencies.batch_size[first + sizes - 1]
    if sizes == 1:
        return latency_low * (1.0 + share), cores_busy, beyond
    latency_s = latency_low + share * (latency_high - latency_low)
    return max(latency_s, latency_high) if beyond else latency_s, cores_busy, beyond
