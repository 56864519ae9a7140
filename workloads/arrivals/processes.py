"""Arrival processes: each states its mean and its rate over time, and draws its arrival times in pieces."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from workloads.arrivals.cells import PIECE, Cells, counts_of_cells, cut_into_pieces, times_in_cells
from workloads.arrivals.poisson import poisson_arrivals, poisson_counts
from workloads.arrivals.rate import RateCurve

__all__ = ["ArrivalProcess", "Bursts", "CountArrivals", "RenewalArrivals", "scaled_counts"]

_LEAST_PIECE = 256
_EVEN_CV = 1e-6
"""Gaps that vary less are taken as equal."""


class ArrivalProcess(Protocol):
    """Where requests come from in time."""

    @property
    def duration_s(self) -> float:
        """The process ends here."""

    @property
    def mean_rate_rps(self) -> float:
        """Expected requests over the duration, per second."""

    def rate_rps(self, time_s: np.ndarray | float) -> np.ndarray:
        """Expected rate at `time_s`."""

    def expected_requests(self, start_s: float, end_s: float) -> float:
        """Expected number of arrivals in ``[start_s, end_s)``."""

    def arrivals(self, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """Yield the arrival times in rising order, in pieces whose sizes depend on the process alone."""

    def count_arrivals(self, rng: np.random.Generator, ends_s: np.ndarray) -> np.ndarray | None:
        """``[interval]`` numbers of what `arrivals` yields for a generator in the same state.

        Interval `i` is ``(ends_s[i - 1], ends_s[i]]``, the first from 0. None if only the times can tell; `rng` is
        used up in any case.
        """


@dataclass(frozen=True)
class Bursts:
    """A random environment of two states that multiplies the rate; over a Poisson stream, an MMPP.

    The mean of the factor over time is 1.

    Attributes
    ----------
    factor
        The rate's factor during a burst, above 1 and at most ``1 / share``; between bursts it is
        ``(1 - share * factor) / (1 - share)``.
    share
        Share of the time spent in bursts, between 0 and 1.
    mean_s
        Mean length of a burst; lengths are exponential.
    """

    factor: float
    share: float
    mean_s: float

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ValueError(f"share is {self.share}, expected a number between 0 and 1")
        if not 1 < self.factor <= 1 / self.share:
            raise ValueError(f"factor is {self.factor}, expected above 1 and at most 1 / share = {1 / self.share:g}")

    @property
    def quiet_factor(self) -> float:
        """The rate's factor between bursts."""
        return (1 - self.share * self.factor) / (1 - self.share)

    def variance_of_count(self, rate_rps: float, time_s: float) -> float:
        """Variance of the number of Poisson arrivals in `time_s` under a constant mean rate.

        ``m + 2 v (T / g - (1 - exp(-g T)) / g^2)`` with m the mean number, v the variance of the rate and g
        the sum of the two states' leaving rates (Fischer and Meier-Hellstern 1993, the MMPP cookbook, for
        two states).
        """
        leaving = 1 / self.mean_s + self.share / ((1 - self.share) * self.mean_s)
        variance = rate_rps**2 * self.share * (1 - self.share) * (self.factor - self.quiet_factor) ** 2
        tail = -math.expm1(-leaving * time_s) / leaving**2
        return rate_rps * time_s + 2 * variance * (time_s / leaving - tail)

    def environment(self, rng: np.random.Generator, duration_s: float) -> RateCurve:
        """Draw the factor over time, from the stationary state."""
        quiet_s = self.mean_s * (1 - self.share) / self.share
        bursting = bool(rng.random() < self.share)
        edges = [np.zeros(1)]
        end_s = 0.0
        while end_s <= duration_s:
            spells = rng.standard_exponential(256)
            spells[0::2] *= self.mean_s if bursting else quiet_s
            spells[1::2] *= quiet_s if bursting else self.mean_s
            edges.append(end_s + np.cumsum(spells))
            end_s = float(edges[-1][-1])
        edges_s = np.concatenate(edges)
        in_burst = (np.arange(len(edges_s) - 1) % 2 == 0) == bursting
        factor = np.where(in_burst, self.factor, self.quiet_factor)[np.diff(edges_s) > 0]
        return RateCurve(np.unique(edges_s), factor, factor)


@dataclass(frozen=True, eq=False)
class RenewalArrivals:
    """A stationary renewal process of rate 1, run on the clock of a curve's integral.

    With gaps of mean 1 and coefficient of variation `cv` on that clock: 1 gives exponential gaps, so a
    (non-homogeneous) Poisson process; above or below 1 gamma gaps, more bursty or more even; 0 equal gaps.
    The first gap is drawn from the equilibrium law, so the expected number of arrivals in any interval is
    exactly the curve's integral over it.

    Attributes
    ----------
    curve
        The expected rate over time.
    cv
        Coefficient of variation of the gaps; over long times the variance of counts is cv^2 times their mean.
    bursts
        Optional random environment.
    """

    curve: RateCurve
    cv: float = 1.0
    bursts: Bursts | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.cv <= 100:
            raise ValueError(f"cv is {self.cv}, expected 0 to 100")

    @property
    def duration_s(self) -> float:
        """The process ends here."""
        return self.curve.duration_s

    @property
    def mean_rate_rps(self) -> float:
        """Expected requests over the duration, per second."""
        return self.curve.total / self.curve.duration_s

    def rate_rps(self, time_s: np.ndarray | float) -> np.ndarray:
        """Expected rate at `time_s`."""
        return self.curve.rate_rps(time_s)

    def expected_requests(self, start_s: float, end_s: float) -> float:
        """Expected number of arrivals in ``[start_s, end_s)``."""
        return float(self.curve.integral(end_s) - self.curve.integral(start_s))

    def arrivals(self, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """Yield arrival times; see `ArrivalProcess`."""
        curve = self._drawn_curve(rng)
        if self.cv == 1:
            yield from poisson_arrivals(curve, rng)
            return
        size = int(min(max(self.curve.total / 16, _LEAST_PIECE), PIECE))
        first_gap = self._equilibrium_gap(rng)
        reached, last_s = 0.0, 0.0
        while reached <= curve.total:
            gaps = self._gaps(rng, size)
            if not reached:
                gaps[0] = first_gap
            clock = reached + np.cumsum(gaps)
            reached = float(clock[-1])
            inside = clock[: np.searchsorted(clock, curve.total, side="right")]
            if len(inside):
                times_s = np.maximum(np.maximum.accumulate(curve.invert(inside)), last_s)
                last_s = float(times_s[-1])
                yield times_s

    def count_arrivals(self, rng: np.random.Generator, ends_s: np.ndarray) -> np.ndarray | None:
        """Numbers of arrivals; see `ArrivalProcess`."""
        return poisson_counts(self._drawn_curve(rng), rng, ends_s) if self.cv == 1 else None

    def _drawn_curve(self, rng: np.random.Generator) -> RateCurve:
        """The rate, in its random environment where it has one."""
        if self.bursts is None:
            return self.curve
        return self.curve.times(self.bursts.environment(rng, self.curve.duration_s))

    def _gaps(self, rng: np.random.Generator, size: int) -> np.ndarray:
        if self.cv < _EVEN_CV:
            return np.ones(size)
        shape = self.cv**-2
        return rng.standard_gamma(shape, size) / shape

    def _equilibrium_gap(self, rng: np.random.Generator) -> float:
        """Time from a random instant to the next arrival: a uniform share of a length-biased gap."""
        if self.cv < _EVEN_CV:
            return float(1 - rng.random())
        shape = self.cv**-2
        return float((1 - rng.random()) * rng.standard_gamma(shape + 1) / shape)


@dataclass(frozen=True, eq=False)
class CountArrivals:
    """Exact replay of logged counts.

    Each bin gets ``counts[bin]`` arrivals, placed independently and uniformly in it. That is a Poisson
    process conditioned on its counts: within a bin it assumes Poisson times, which the counts cannot show.
    """

    counts: np.ndarray
    bin_s: float

    def __post_init__(self) -> None:
        counts = np.asarray(self.counts)
        if counts.ndim != 1 or not len(counts) or counts.dtype.kind not in "iu" or counts.min() < 0:
            raise ValueError("counts must be whole numbers, not negative, one for each of at least one bin")
        object.__setattr__(self, "counts", counts.astype(np.int64))

    @property
    def duration_s(self) -> float:
        """The process ends here."""
        return len(self.counts) * self.bin_s

    @property
    def mean_rate_rps(self) -> float:
        """Requests over the duration, per second; exact."""
        return float(self.counts.sum()) / self.duration_s

    def rate_rps(self, time_s: np.ndarray | float) -> np.ndarray:
        """Expected rate at `time_s`."""
        return RateCurve.steps(self.counts / self.bin_s, self.bin_s).rate_rps(time_s)

    def expected_requests(self, start_s: float, end_s: float) -> float:
        """Expected number of arrivals in ``[start_s, end_s)``; exact between bounds of bins."""
        curve = RateCurve.steps(self.counts / self.bin_s, self.bin_s)
        return float(curve.integral(end_s) - curve.integral(start_s))

    def arrivals(self, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """Yield arrival times; see `ArrivalProcess`."""
        cells = self._cells()
        for piece in cut_into_pieces(self.counts):
            counts, some = self.counts[piece], cells.some(piece)
            if counts[0] > 2 * PIECE:
                counts, some = _divided(rng, int(counts[0]), some)
            for part in cut_into_pieces(counts):
                times_s = times_in_cells(rng, counts[part], some.some(part))
                if len(times_s):
                    yield times_s

    def count_arrivals(self, rng: np.random.Generator, ends_s: np.ndarray) -> np.ndarray | None:
        """Numbers of arrivals; see `ArrivalProcess`."""
        return counts_of_cells(self._cells(), self.counts, ends_s)

    def _cells(self) -> Cells:
        edges_s = np.arange(len(self.counts) + 1) * self.bin_s
        return Cells.even(edges_s)


def _divided(rng: np.random.Generator, count: int, cell: Cells) -> tuple[np.ndarray, Cells]:
    """One cell with many arrivals as several with about `PIECE`."""
    parts = -(-count // PIECE)
    edges_s = np.linspace(cell.start_s[0], cell.end_s[0], parts + 1)
    return rng.multinomial(count, np.full(parts, 1 / parts)), Cells.even(edges_s)


def scaled_counts(counts: np.ndarray, scale: float) -> np.ndarray:
    """Counts times `scale`, rounded so that every partial sum is within a half of the exact one.

    Parameters
    ----------
    counts
        ``counts[bin]``, whole numbers.
    scale
        Factor; at 1 the counts come back unchanged.
    """
    if scale == 1:
        return np.asarray(counts, dtype=np.int64)
    sums = np.floor(np.cumsum(np.asarray(counts, dtype=np.float64)) * scale + 0.5)
    return np.diff(sums, prepend=0.0).astype(np.int64)
