"""From profiles to the flat latency tables of the kernel: one table per variant and node type."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simulator.kernel.latency import LEVEL_CELLS, SIZE_CELLS
from simulator.kernel.state import TABLE, Latencies

__all__ = ["LatencyTable", "flatten", "mean_over_quantiles"]


@dataclass(frozen=True)
class LatencyTable:
    """Latency of one variant on one node type.

    Attributes
    ----------
    batch_sizes
        ``int64[size]``, ascending, in the profile's unit.
    levels
        ``float64[level]`` quantile levels from 0 to 1; a single level means no noise.
    latency_s
        ``float64[size, level]``.
    cores_busy
        ``float64[size]`` host CPU cores at work while a batch runs.
    """

    batch_sizes: np.ndarray
    levels: np.ndarray
    latency_s: np.ndarray
    cores_busy: np.ndarray

    def scaled(self, speed: float) -> LatencyTable:
        """The same on a device ``speed`` times as fast; the host works as long as the batch takes."""
        return LatencyTable(self.batch_sizes, self.levels, self.latency_s / speed, self.cores_busy)

    def without_noise(self, mean_s: np.ndarray) -> LatencyTable:
        """Every batch takes its measured mean ``mean_s[size]``."""
        return LatencyTable(self.batch_sizes, np.zeros(1), mean_s.reshape(-1, 1), self.cores_busy)


def mean_over_quantiles(table: LatencyTable) -> np.ndarray:
    """Mean latency ``[size]`` of what the kernel draws: the integral of the piecewise linear quantile function."""
    if len(table.levels) == 1:
        return table.latency_s[:, 0].copy()
    return np.trapezoid(table.latency_s, table.levels, axis=1)


def _offsets(lengths: np.ndarray) -> np.ndarray:
    return np.cumsum(lengths) - lengths


def _cells(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Index of the largest value up to each cell's start, but for the last value; 0 where there is none."""
    below = np.searchsorted(values, starts, side="right") - 1
    return np.clip(below, 0, max(len(values) - 2, 0)).astype(np.int32)


def flatten(tables: Sequence[LatencyTable]) -> tuple[np.ndarray, Latencies]:
    """Lay the tables end to end for the kernel: the structs that point into them, and the numbers."""
    structs = np.zeros(len(tables), TABLE)
    structs["sizes"] = [len(t.batch_sizes) for t in tables]
    structs["levels"] = [len(t.levels) for t in tables]
    structs["size_offset"] = _offsets(structs["sizes"])
    structs["level_offset"] = _offsets(structs["levels"])
    structs["latency_offset"] = _offsets(structs["sizes"] * structs["levels"])
    structs["row"] = np.arange(len(tables))
    level_starts = np.arange(LEVEL_CELLS + 1) / LEVEL_CELLS
    eighths = np.arange(SIZE_CELLS + 1)
    size_starts = 2.0 ** (eighths // 8) * (1 + eighths % 8 / 8)
    return structs, Latencies(
        batch_size=np.concatenate([t.batch_sizes for t in tables]).astype(np.int64),
        cores_busy=np.concatenate([t.cores_busy for t in tables]).astype(np.float64),
        level=np.concatenate([t.levels for t in tables]).astype(np.float64),
        latency_s=np.concatenate([t.latency_s.ravel() for t in tables]).astype(np.float64),
        level_cell=np.array([_cells(t.levels, level_starts) for t in tables]),
        size_cell=np.array([_cells(t.batch_sizes, size_starts) for t in tables]),
    )
