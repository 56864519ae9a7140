"""How well latency objectives were held over time: violations by interval and the worst window."""

from __future__ import annotations

import math

import numpy as np

from simulator.result import Intervals

__all__ = ["WINDOW_S", "outcomes_and_met", "violated", "worst_window"]

WINDOW_S = 300.0
"""Length of the window of `worst_window`."""


def outcomes_and_met(intervals: Intervals) -> tuple[np.ndarray, np.ndarray]:
    """Requests that ended and those that met the objective: two arrays ``[interval, service]``.

    An interval in which no request ended although some were in flight from its beginning to its end counts
    these as outcomes that missed: a stalled service is not a quiet one.
    """
    outcomes = intervals.completed + intervals.rejected + intervals.failed
    before = np.vstack([np.zeros_like(intervals.in_flight[:1]), intervals.in_flight[:-1]])
    waiting = np.minimum(before, intervals.in_flight)
    return np.where(outcomes == 0, waiting, outcomes), intervals.slo_met


def violated(intervals: Intervals, slo_quantile: np.ndarray) -> np.ndarray:
    """``[interval, service]`` true where less than ``slo_quantile`` of the outcomes met the objective."""
    outcomes, met = outcomes_and_met(intervals)
    return met < slo_quantile * outcomes - 1e-9


def worst_window(intervals: Intervals, window_s: float = WINDOW_S) -> tuple[float, np.ndarray]:
    """Lowest attainment of whole intervals that span ``window_s``: of the fleet, and by ``[service]``.

    A run shorter than the window is one window. NaN where no request ended.
    """
    outcomes, met = outcomes_and_met(intervals)
    n = len(intervals.start_s)
    width = min(n, max(1, math.ceil(window_s / float(intervals.length_s.max()) - 1e-9))) if n else 1
    met, outcomes = _windows(met, width), _windows(outcomes, width)
    fleet = _lowest(met.sum(axis=1, keepdims=True), outcomes.sum(axis=1, keepdims=True))
    return float(fleet[0]), _lowest(met, outcomes)


def _windows(values: np.ndarray, width: int) -> np.ndarray:
    total = np.vstack([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0, dtype=np.float64)])
    return np.asarray(total[width:] - total[:-width])


def _lowest(met: np.ndarray, outcomes: np.ndarray) -> np.ndarray:
    share = np.where(outcomes > 0, met / np.maximum(outcomes, 1), np.inf)
    lowest = share.min(axis=0, initial=np.inf)
    return np.where(np.isfinite(lowest), lowest, np.nan)
