"""Shapes over time that multiply a base rate: day, week, steps, flash crowds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from workloads.arrivals.rate import RateCurve

__all__ = ["DAY_S", "Diurnal", "FlashCrowd", "Shape", "Steps", "Weekly", "shaped_curve"]

DAY_S = 86_400.0
_HOUR_S = 3_600.0
_KNOT_S = 60.0
"""Longest segment of a curve whose shape bends; a day's cosine is off by less than 3e-6 of its amplitude."""


class Shape(Protocol):
    """A factor over time."""

    def edges_s(self, duration_s: float) -> np.ndarray:
        """Times inside ``(0, duration_s)`` at which the factor jumps or bends; dense where it is curved."""

    def factors(self, start_s: np.ndarray, end_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Factor just after each start and just before each end of segments that no edge cuts."""


@dataclass(frozen=True)
class Diurnal:
    """A day's rise and fall, with mean 1 over whole days.

    With `amplitude` a: ``1 + a cos(x)``; with `peak_to_mean` p: ``exp(k cos(x)) / I0(k)``, the von Mises
    shape, whose k is such that the peak is p, so that any p >= 1 is possible and the rate never reaches
    zero. ``x`` is the angle of the hour of day from `peak_hour`. Exactly one of the two is given.

    Attributes
    ----------
    amplitude
        0 (flat) to 1 (zero at night).
    peak_to_mean
        Peak over mean, at least 1.
    peak_hour
        Hour of day of the peak, 0 to 24.
    start_hour
        Hour of day at which the trace starts.
    """

    amplitude: float | None = None
    peak_to_mean: float | None = None
    peak_hour: float = 20.0
    start_hour: float = 0.0

    def __post_init__(self) -> None:
        if (self.amplitude is None) == (self.peak_to_mean is None):
            raise ValueError("give exactly one of amplitude and peak_to_mean")

    def edges_s(self, duration_s: float) -> np.ndarray:
        """A knot a minute."""
        return np.arange(_KNOT_S, duration_s, _KNOT_S)

    def factors(self, start_s: np.ndarray, end_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Shape`."""
        return self._factor(start_s), self._factor(end_s)

    def _factor(self, time_s: np.ndarray) -> np.ndarray:
        hour = self.start_hour + time_s / _HOUR_S
        wave = np.cos((hour - self.peak_hour) * (2 * math.pi / 24))
        if self.amplitude is not None:
            return 1 + self.amplitude * wave
        assert self.peak_to_mean is not None
        concentration = _concentration(self.peak_to_mean)
        return np.exp(concentration * wave) / np.i0(concentration)


def _concentration(peak_to_mean: float) -> float:
    """The k at which ``exp(k) / I0(k)`` is `peak_to_mean`; it grows like sqrt(2 pi k)."""
    from scipy.optimize import brentq
    from scipy.special import i0e

    if peak_to_mean <= 1:
        return 0.0
    return float(brentq(lambda k: 1 / i0e(k) - peak_to_mean, 0, 1 + 2 * peak_to_mean**2, xtol=1e-12))


@dataclass(frozen=True)
class Weekly:
    """A factor for each day of the week, Monday first; scaled to a mean of 1 over whole weeks."""

    day_factors: tuple[float, ...]
    start_day: int = 0
    start_hour: float = 0.0

    def edges_s(self, duration_s: float) -> np.ndarray:
        """Midnights."""
        first = (24 - self.start_hour) * _HOUR_S % DAY_S
        return np.arange(first or DAY_S, duration_s, DAY_S)

    def factors(self, start_s: np.ndarray, end_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Shape`."""
        middle_s = (start_s + end_s) / 2 + self.start_hour * _HOUR_S
        day = (self.start_day + np.floor_divide(middle_s, DAY_S).astype(np.int64)) % 7
        factor = (np.asarray(self.day_factors) / np.mean(self.day_factors))[day]
        return factor, factor


@dataclass(frozen=True)
class Steps:
    """Measured values in equal bins, repeated to the trace's end; scaled to a mean of 1."""

    values: tuple[float, ...]
    bin_s: float

    def edges_s(self, duration_s: float) -> np.ndarray:
        """Bounds of the bins."""
        return np.arange(self.bin_s, duration_s, self.bin_s)

    def factors(self, start_s: np.ndarray, end_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Shape`."""
        values = np.asarray(self.values) / np.mean(self.values)
        bins = np.floor_divide((start_s + end_s) / 2, self.bin_s).astype(np.int64)
        factor = values[bins % len(values)]
        return factor, factor


@dataclass(frozen=True)
class FlashCrowd:
    """A crowd that comes, stays and goes.

    The factor climbs from 1 to `factor`, holds, and falls back, in straight lines. It raises the mean: a
    trace's stated mean rate includes it.
    """

    at_s: float
    rise_s: float
    hold_s: float
    fall_s: float
    factor: float

    def edges_s(self, duration_s: float) -> np.ndarray:
        """The four corners."""
        corners = self.at_s + np.cumsum([0, self.rise_s, self.hold_s, self.fall_s])
        return corners[(corners > 0) & (corners < duration_s)]

    def factors(self, start_s: np.ndarray, end_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Shape`."""
        corners = self.at_s + np.cumsum([0, self.rise_s, self.hold_s, self.fall_s])
        middle_s = (start_s + end_s) / 2
        phase = np.searchsorted(corners, middle_s, side="right")

        def value(time_s: np.ndarray) -> np.ndarray:
            up = (time_s - corners[0]) / max(self.rise_s, 1e-9)
            down = (corners[3] - time_s) / max(self.fall_s, 1e-9)
            height = np.choose(phase, [np.zeros_like(time_s), up, np.ones_like(time_s), down, np.zeros_like(time_s)])
            return 1 + (self.factor - 1) * np.clip(height, 0, 1)

        return value(start_s), value(end_s)


def shaped_curve(rate_rps: float, duration_s: float, shapes: Sequence[Shape] = ()) -> RateCurve:
    """The base rate times all shapes, linear between the shapes' edges.

    Parameters
    ----------
    rate_rps
        Base rate: the mean over whole days and weeks, before flash crowds.
    duration_s
        Length of the curve.
    shapes
        Factors; they multiply.
    """
    inner = [shape.edges_s(duration_s) for shape in shapes]
    edges_s = np.unique(np.concatenate([[0.0], *inner, [float(duration_s)]]))
    left = np.full(len(edges_s) - 1, float(rate_rps))
    right = left.copy()
    for shape in shapes:
        at_start, at_end = shape.factors(edges_s[:-1], edges_s[1:])
        left, right = left * at_start, right * at_end
    return RateCurve(edges_s, left, right)
