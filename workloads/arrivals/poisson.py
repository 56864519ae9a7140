"""A Poisson process with a rate that varies: numbers by cells of time first, then the times in each.

The numbers have a random stream of their own, so that counting the arrivals of intervals whose ends are ends of cells
draws no times at all.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from workloads.arrivals.cells import Cells, counts_of_cells, cut_into_pieces, times_in_cells
from workloads.arrivals.rate import RateCurve

__all__ = ["poisson_arrivals", "poisson_counts"]

_STEPS_S = (1e-3, 0.01, 0.1, 1.0, 10.0, 60.0, 600.0, 3600.0)
_FEW, _MANY = 500, 12_000
"""Mean arrivals that a cell should have: with fewer its own cost shows, with more its times leave the caches."""
_LARGEST_CELL = 16_384
_CHUNK = 4_096
"""Steps of cells at hand at a time."""


def poisson_arrivals(curve: RateCurve, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield the times in rising order, in pieces."""
    numbers, times = rng.spawn(2)
    for cells, counts in _drawn_cells(curve, numbers):
        for piece in cut_into_pieces(counts):
            times_s = times_in_cells(times, counts[piece], cells.some(piece))
            if len(times_s):
                yield times_s


def poisson_counts(curve: RateCurve, rng: np.random.Generator, ends_s: np.ndarray) -> np.ndarray | None:
    """``[interval]`` numbers of the arrivals that `poisson_arrivals` yields for the same generator, fresh.

    Interval `i` is ``(ends_s[i - 1], ends_s[i]]``, the first from 0. None if an end lies inside a cell: only the times
    can tell then.
    """
    numbers, _ = rng.spawn(2)
    counts = np.zeros(len(ends_s), np.int64)
    for cells, drawn in _drawn_cells(curve, numbers):
        found = counts_of_cells(cells, drawn, ends_s)
        if found is None:
            return None
        counts += found
    return counts


def _drawn_cells(curve: RateCurve, numbers: np.random.Generator) -> Iterator[tuple[Cells, np.ndarray]]:
    """Cells, some thousands at a time, with their drawn numbers of arrivals."""
    for edges_s in _edges_s(curve):
        cells = Cells.of(curve, edges_s)
        yield cells, numbers.poisson(cells.mass)


def _edges_s(curve: RateCurve) -> Iterator[np.ndarray]:
    """Ends of cells: a grid of equal steps, all edges of the curve, and more where cells would be too large."""
    step_s = _step_s(curve.total / curve.duration_s)
    steps = int(np.ceil(curve.duration_s / step_s))
    for first in range(0, steps, _CHUNK):
        number = np.arange(first, min(first + _CHUNK, steps) + 1)
        grid_s = number * step_s if step_s >= 1 else number / round(1 / step_s)
        grid_s = np.minimum(grid_s, curve.duration_s)
        low, high = np.searchsorted(curve.edges_s, grid_s[[0, -1]])
        edges_s = np.union1d(grid_s, curve.edges_s[low:high])
        if len(edges_s) > 1:
            yield _refined(curve, edges_s)


def _step_s(mean_rps: float) -> float:
    """From 10 s upwards the shortest step, as intervals that one counts by are often multiples of 10 s."""
    not_too_long = [step for step in _STEPS_S if step * mean_rps <= _MANY] or [_STEPS_S[0]]
    long_enough = [step for step in not_too_long if step >= 10 and step * mean_rps >= _FEW]
    return min(long_enough, default=max(not_too_long))


def _refined(curve: RateCurve, edges_s: np.ndarray) -> np.ndarray:
    """The edges, with more of them at equal steps where a cell expects more than `_LARGEST_CELL` arrivals."""
    parts = np.ceil(Cells.of(curve, edges_s).mass / _LARGEST_CELL).astype(np.int64)
    if parts.max() <= 1:
        return edges_s
    parts = np.maximum(parts, 1)
    number = np.arange(parts.sum()) - np.repeat(np.cumsum(parts) - parts, parts)
    inner_s = np.repeat(edges_s[:-1], parts) + number * np.repeat(np.diff(edges_s) / parts, parts)
    return np.append(inner_s, edges_s[-1])
