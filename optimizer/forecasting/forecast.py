"""What a forecast is, and the two things that make one: forecasters, and point forecasts that know no quantiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

__all__ = ["Forecast", "Forecaster", "PointForecaster", "as_history", "make_forecast"]


@dataclass(frozen=True, eq=False)
class Forecast:
    """Rates expected in the intervals to come.

    Attributes
    ----------
    mean_rps
        ``mean_rps[service, step]`` the point forecast; step 0 is the interval that begins now.
    levels
        ``levels[level]`` probabilities, rising, each above 0 and below 1.
    quantile_rps
        ``quantile_rps[level, service, step]``, not falling with the level. Nothing is negative, infinite or NaN.
    """

    mean_rps: np.ndarray
    levels: np.ndarray
    quantile_rps: np.ndarray


class Forecaster(Protocol):
    """Says what comes, and how surely.

    A forecaster is fresh for each run or trace: a history must begin with the one of the call before. What it answers
    depends on the history alone, not on the calls before, which merely save work.
    """

    def forecast(self, history_rps: np.ndarray, horizon: int, levels: Sequence[float]) -> Forecast:
        """Forecast the next ``horizon`` intervals after ``history_rps[service, interval]``, at least one interval."""


class PointForecaster(Protocol):
    """Says what comes, not how surely; `optimizer.forecasting.residuals` adds the quantiles."""

    def predict(self, history_rps: np.ndarray, horizon: int) -> np.ndarray:
        """``[service, step]`` for the next ``horizon`` intervals after ``history_rps[service, interval]``."""


def as_history(history_rps: np.ndarray) -> np.ndarray:
    """``[service, interval]`` as float64; one service may be given as ``[interval]``.

    Raises
    ------
    ValueError
        Without an interval, or with a rate that is negative or not finite.
    """
    history = np.atleast_2d(np.asarray(history_rps, dtype=np.float64))
    if history.ndim != 2 or history.shape[1] == 0:
        raise ValueError(
            f"history_rps has shape {np.shape(history_rps)}, expected [service, interval] with an interval"
        )
    if not (np.isfinite(history).all() and (history >= 0.0).all()):
        raise ValueError("history_rps holds a rate that is negative or not finite")
    return history


def make_forecast(mean_rps: np.ndarray, levels: Sequence[float], quantile_rps: np.ndarray) -> Forecast:
    """A forecast of finite, non-negative rates whose quantiles do not cross (they are sorted by level)."""
    quantiles = np.sort(np.maximum(quantile_rps, 0.0), axis=0)
    return Forecast(np.maximum(mean_rps, 0.0), np.asarray(levels, dtype=np.float64), quantiles)
