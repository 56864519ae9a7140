"""Long series thinned for drawing: bins of whole intervals, with their mean or their worst."""

from __future__ import annotations

import warnings

import numpy as np

__all__ = ["MAX_POINTS", "Clock", "clock", "thin"]

MAX_POINTS = 150


class Clock:
    """Time axis of thinned series: ``edges`` in ``unit``, one more than there are bins."""

    def __init__(self, start_s: np.ndarray, length_s: np.ndarray) -> None:
        end_s = float(start_s[-1] + length_s[-1])
        self.unit, scale = ("h", 3600.0) if end_s >= 7200 else ("min", 60.0)
        self.starts = _bin_starts(len(start_s))
        self.edges = np.append(start_s[self.starts], end_s) / scale
        self.middles = (self.edges[:-1] + self.edges[1:]) / 2
        self.bin_s = float(self.edges[1] - self.edges[0]) * scale

    @property
    def bin_text(self) -> str:
        return f"{self.bin_s / 60:g} min" if self.bin_s >= 60 else f"{self.bin_s:g} s"


def clock(start_s: np.ndarray, length_s: np.ndarray) -> Clock:
    """Time axis for intervals."""
    return Clock(start_s, length_s)


def _bin_starts(n: int) -> np.ndarray:
    width = -(-n // MAX_POINTS)
    return np.arange(0, n, width)


def thin(values: np.ndarray, *, worst: bool = False) -> np.ndarray:
    """``values[interval, ...]`` by bin: the mean, or with ``worst`` the largest (NaN only where all are)."""
    starts = _bin_starts(len(values))
    if worst:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            return np.array([np.nanmax(part, axis=0) for part in np.split(values, starts[1:])])
    sums = np.add.reduceat(values.astype(np.float64), starts, axis=0)
    counts = np.diff(np.append(starts, len(values)))
    return np.asarray(sums / counts.reshape(-1, *[1] * (values.ndim - 1)))
