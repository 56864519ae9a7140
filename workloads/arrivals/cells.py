"""Sorted random times in cells: spans of time, each in one segment of a rate's curve, with a number of arrivals each.

Given how many arrivals of a Poisson process fall into a cell, they are there independently, each by the shape of the
rate. In order they need no sort: order statistics of n uniform numbers are the partial sums of n exponential ones over
the sum of n + 1 (Devroye 1986, V.3), and the integral of the rate, inverted, makes of them the times.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from workloads.arrivals.rate import RateCurve

__all__ = ["PIECE", "Cells", "counts_of_cells", "cut_into_pieces", "times_in_cells"]

PIECE = 32_768
"""About so many times are drawn at once: they stay in the processor's nearest caches."""


@dataclass(frozen=True, eq=False)
class Cells:
    """Consecutive cells, all arrays ``[cell]``.

    Attributes
    ----------
    start_s, end_s
        Arrivals lie in ``(start_s, end_s]``.
    edge_s, rate_rps, slope_rps2
        Where the cell's segment begins, the rate there, and by how much it rises every second.
    """

    start_s: np.ndarray
    end_s: np.ndarray
    edge_s: np.ndarray
    rate_rps: np.ndarray
    slope_rps2: np.ndarray

    @classmethod
    def of(cls, curve: RateCurve, edges_s: np.ndarray) -> Cells:
        """The cells between edges, which must contain those of the curve between the first and the last."""
        segment = curve.segment((edges_s[:-1] + edges_s[1:]) / 2)
        edge_s = curve.edges_s[segment]
        return cls(edges_s[:-1], edges_s[1:], edge_s, curve.left_rps[segment], curve.slope_rps2(segment))

    @classmethod
    def even(cls, edges_s: np.ndarray) -> Cells:
        """Cells of a constant rate."""
        start_s = edges_s[:-1]
        return cls(start_s, edges_s[1:], start_s, np.ones(len(start_s)), np.zeros(len(start_s)))

    @property
    def before(self) -> np.ndarray:
        """Expected arrivals from the segment's edge to the cell's start."""
        return self._since_edge(self.start_s)

    @property
    def mass(self) -> np.ndarray:
        """Expected arrivals in the cell."""
        return np.maximum(self._since_edge(self.end_s) - self.before, 0.0)

    def some(self, keep: np.ndarray | slice) -> Cells:
        """Some of the cells."""
        return Cells(
            self.start_s[keep], self.end_s[keep], self.edge_s[keep], self.rate_rps[keep], self.slope_rps2[keep]
        )

    def _since_edge(self, time_s: np.ndarray) -> np.ndarray:
        elapsed_s = time_s - self.edge_s
        return elapsed_s * (self.rate_rps + elapsed_s * (self.slope_rps2 / 2))


def cut_into_pieces(counts: np.ndarray) -> Iterator[slice]:
    """Consecutive cells ``counts[cell]`` in pieces of at most `PIECE` arrivals, or of one cell that has more."""
    ends = np.cumsum(counts)
    first = 0
    while first < len(counts):
        before = int(ends[first - 1]) if first else 0
        last = max(int(np.searchsorted(ends, before + PIECE, side="right")), first + 1)
        yield slice(first, last)
        first = last


def counts_of_cells(cells: Cells, counts: np.ndarray, ends_s: np.ndarray) -> np.ndarray | None:
    """``[interval]`` arrivals of ``counts[cell]`` in the intervals up to and with ``ends_s[interval]``.

    None if an interval's end lies inside a cell or before the last one's.
    """
    interval = np.searchsorted(ends_s, cells.end_s)
    if interval[-1] >= len(ends_s) or (interval != np.searchsorted(ends_s, cells.start_s, side="right")).any():
        return None
    sums = np.zeros(len(ends_s), np.int64)
    np.add.at(sums, interval, counts)
    return sums


def times_in_cells(rng: np.random.Generator, counts: np.ndarray, cells: Cells) -> np.ndarray:
    """Draw ``time_s[arrival]`` in rising order, ``counts[cell]`` in each cell."""
    if not counts.all():
        filled = np.flatnonzero(counts)
        counts, cells = counts[filled], cells.some(filled)
    if not len(counts):
        return np.zeros(0)
    ends = np.cumsum(counts)
    sums = rng.standard_exponential(int(ends[-1]))
    np.cumsum(sums, out=sums)
    last = sums[ends - 1]
    base = np.concatenate([[0.0], last[:-1]])
    total = last - base + rng.standard_exponential(len(counts))
    if cells.slope_rps2.any():
        times_s = _bent(sums, counts, cells, base, total)
    else:
        times_s = _scaled(sums, counts, cells.start_s, (cells.end_s - cells.start_s) / total, base)
    return _inside(times_s, counts, ends, cells)


def _bent(sums: np.ndarray, counts: np.ndarray, cells: Cells, base: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Times where the rate is linear: the root of ``c = l t + s t^2 / 2`` in the form that does not cancel.

    ``t = c / (l / 2 + sqrt(l^2 / 4 + s c / 2))`` from the segment's edge, with `l` the rate there and `s` its slope.
    """
    to_come = _scaled(sums, counts, cells.before, cells.mass / total, base)
    half_rate = cells.rate_rps / 2
    root = to_come * _of_rows(cells.slope_rps2 / 2, counts)
    root += _of_rows(half_rate**2, counts)
    np.sqrt(np.maximum(root, 0.0, out=root), out=root)
    root += _of_rows(half_rate, counts)
    with np.errstate(divide="ignore", invalid="ignore"):
        to_come /= root
    to_come += _of_rows(cells.edge_s, counts)
    return to_come


def _scaled(sums: np.ndarray, counts: np.ndarray, start: np.ndarray, scale: np.ndarray, base: np.ndarray) -> np.ndarray:
    """``start + scale * (sums - base)``, cell by cell, in the place of `sums`."""
    sums *= _of_rows(scale, counts)
    sums += _of_rows(start - scale * base, counts)
    return sums


def _of_rows(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """``values[cell]`` for each arrival; a single one where all are the same."""
    return values[:1] if (values == values[0]).all() else np.repeat(values, counts)


def _inside(times_s: np.ndarray, counts: np.ndarray, ends: np.ndarray, cells: Cells) -> np.ndarray:
    """The times, put back into their cells and in order where rounding took them out, which is rare."""
    in_cells = bool((times_s[ends - counts] > cells.start_s).all() and (times_s[ends - 1] <= cells.end_s).all())
    if in_cells and bool((times_s[1:] >= times_s[:-1]).all()):
        return times_s
    after_start_s = np.nextafter(cells.start_s, np.inf)
    times_s = np.fmax(times_s, np.repeat(after_start_s, counts))
    return np.maximum.accumulate(np.minimum(times_s, np.repeat(cells.end_s, counts)))
