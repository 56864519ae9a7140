"""A rate of arrivals over time, with its integral and the integral's inverse.

The rate is linear on each of consecutive segments, so that all three are exact: the integral is quadratic
on a segment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

__all__ = ["RateCurve"]


@dataclass(frozen=True, eq=False)
class RateCurve:
    """Requests per second over time, linear on each segment; it may jump between segments.

    Attributes
    ----------
    edges_s
        ``edges_s[edge]``: where segments meet, rising from 0; one more than there are segments.
    left_rps, right_rps
        ``[segment]``: rate at the segment's start and end, finite, not negative.
    cumulative
        ``cumulative[edge]``: expected requests from 0 to the edge.
    """

    edges_s: np.ndarray
    left_rps: np.ndarray
    right_rps: np.ndarray
    cumulative: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        widths_s = np.diff(self.edges_s)
        if not (len(self.left_rps) == len(self.right_rps) == len(widths_s) >= 1):
            raise ValueError("a curve needs one rate at each end of each of at least one segment")
        if self.edges_s[0] != 0 or not bool((widths_s > 0).all()):
            raise ValueError("edges_s must rise from 0")
        rates = np.concatenate([self.left_rps, self.right_rps])
        if not bool(np.isfinite(rates).all()) or bool((rates < 0).any()):
            raise ValueError("rates must be finite and not negative")
        area = widths_s * (self.left_rps + self.right_rps) / 2
        object.__setattr__(self, "cumulative", np.concatenate([[0.0], np.cumsum(area)]))

    @classmethod
    def constant(cls, rate_rps: float, duration_s: float) -> RateCurve:
        """The same rate all the time."""
        rate = np.array([float(rate_rps)])
        return cls(np.array([0.0, float(duration_s)]), rate, rate)

    @classmethod
    def steps(cls, rates_rps: Sequence[float] | np.ndarray, bin_s: float) -> RateCurve:
        """A constant rate in each bin, ``rates_rps[bin]``."""
        rates = np.asarray(rates_rps, dtype=np.float64)
        return cls(np.arange(len(rates) + 1) * float(bin_s), rates, rates)

    @property
    def duration_s(self) -> float:
        """Where the curve ends, seconds."""
        return float(self.edges_s[-1])

    @property
    def total(self) -> float:
        """Expected requests over the whole curve."""
        return float(self.cumulative[-1])

    def rate_rps(self, time_s: np.ndarray | float) -> np.ndarray:
        """Rate at `time_s` (at a jump, the rate after it); 0 outside the curve."""
        times = np.asarray(time_s, dtype=np.float64)
        segment = self.segment(times)
        start_s, end_s = self.edges_s[segment], self.edges_s[segment + 1]
        share = np.clip((times - start_s) / (end_s - start_s), 0, 1)
        rate = self.left_rps[segment] + share * (self.right_rps[segment] - self.left_rps[segment])
        return np.where((times >= 0) & (times <= self.duration_s), rate, 0.0)

    def integral(self, time_s: np.ndarray | float) -> np.ndarray:
        """Expected requests from 0 to `time_s`."""
        times = np.clip(np.asarray(time_s, dtype=np.float64), 0, self.duration_s)
        segment = self.segment(times)
        elapsed_s = times - self.edges_s[segment]
        slope = self.slope_rps2(segment)
        return self.cumulative[segment] + elapsed_s * (self.left_rps[segment] + slope * elapsed_s / 2)

    def invert(self, rising: np.ndarray) -> np.ndarray:
        """Times at which the integral reaches the values `rising`, which do not fall and lie in (0, total].

        Solves the segment's quadratic in the form that does not cancel,
        ``2 c / (b + sqrt(b^2 + 2 a c))`` with slope a, left rate b and c still to go.
        """
        if len(self.left_rps) == 1 and self.left_rps[0] == self.right_rps[0]:
            return np.minimum(rising / self.left_rps[0], self.duration_s)
        segment = self._segments_of_rising(rising)
        to_go = rising - self.cumulative[segment]
        left = self.left_rps[segment]
        root = np.sqrt(np.maximum(left * left + 2 * self.slope_rps2(segment) * to_go, 0))
        times_s = self.edges_s[segment] + 2 * to_go / (left + root)
        return np.minimum(times_s, self.edges_s[segment + 1])

    def times(self, factor: RateCurve) -> RateCurve:
        """This curve multiplied by another that is constant on its segments and at least as long."""
        edges_s = np.union1d(self.edges_s, factor.edges_s)
        edges_s = edges_s[edges_s <= self.duration_s]
        middle_s = (edges_s[:-1] + edges_s[1:]) / 2
        own = self.segment(middle_s)
        multiplier = factor.left_rps[factor.segment(middle_s)]
        slope = self.slope_rps2(own)
        left = self.left_rps[own] + slope * (edges_s[:-1] - self.edges_s[own])
        right = self.left_rps[own] + slope * (edges_s[1:] - self.edges_s[own])
        return RateCurve(edges_s, np.maximum(left, 0) * multiplier, np.maximum(right, 0) * multiplier)

    def segment(self, times_s: np.ndarray) -> np.ndarray:
        found = np.searchsorted(self.edges_s, times_s, side="right") - 1
        return np.clip(found, 0, len(self.left_rps) - 1)

    def slope_rps2(self, segment: np.ndarray) -> np.ndarray:
        width_s = self.edges_s[segment + 1] - self.edges_s[segment]
        return (self.right_rps[segment] - self.left_rps[segment]) / width_s

    def _segments_of_rising(self, rising: np.ndarray) -> np.ndarray:
        """Segment of each value; one on an edge belongs to the segment that it ends, not to an empty one."""
        first, last = np.searchsorted(self.cumulative, rising[[0, -1]], side="left") - 1
        bounds = np.searchsorted(rising, self.cumulative[first + 1 : last + 1], side="right")
        sizes = np.diff(bounds, prepend=0, append=len(rising))
        return np.repeat(np.arange(first, last + 1), sizes)
