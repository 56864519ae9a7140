"""Holt-Winters exponential smoothing, by statsmodels, made cheap enough for a control loop."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from optimizer.forecasting.forecast import as_history
from optimizer.forecasting.refits import refit_length

__all__ = ["HoltWinters"]

BINS_OF_A_SEASON = 144
"""At most, about; a season of a day has bins of ten minutes."""
SEASONS, PLAIN_BINS = 3, 288
"""How far back the model looks: seasons, or bins where there is no season."""
FEWEST_BINS = 12
GROWTH = 0.1
"""The smoothing constants are fitted again when the history has grown by this fraction."""
_CONSTANTS = ("smoothing_level", "smoothing_trend", "smoothing_seasonal", "damping_trend")


class HoltWinters:
    """Level, damped trend and additive season (Hyndman and Athanasopoulos, Forecasting, 3rd edition, section 8.3).

    The history is averaged over bins that end now, at least ``bin_s`` wide and about `BINS_OF_A_SEASON` a season at
    most: a season of 1,440 minutes would be 1,440 states to learn. Their forecast is read off by linear interpolation
    between the middles of bins. The season is the shortest of ``periods``, once the history covers it twice; before,
    and without one, there are level and trend alone. The constants are fitted when the history has grown by a tenth
    (30 ms), and the series is smoothed anew with them once in ``bin_s`` at most: 10 to 20 ms a service on one core. A
    series that does not move, or of fewer than `FEWEST_BINS` bins, is continued by its last value.

    Parameters
    ----------
    interval_s
        Length of an interval.
    periods
        Possible periods in intervals.
    bin_s
        Least width of a bin.
    """

    def __init__(self, interval_s: float, periods: Sequence[int], bin_s: float = 60.0) -> None:
        self._least = max(1, round(bin_s / interval_s))
        self._period = min(periods, default=0)
        self._wide = _seasonal_width(self._period, self._least)
        self._season = round(self._period / self._wide)
        self._seasonal_from = 2 * self._season * self._wide if self._season >= 2 else 0
        self._constants: dict[int, tuple[int, dict[str, float]]] = {}
        self._smoothed: tuple[int, np.ndarray] = (0, np.empty((0, 0)))

    def predict(self, history_rps: np.ndarray, horizon: int) -> np.ndarray:
        """``[service, step]``."""
        history = as_history(history_rps)
        length = history.shape[1]
        origin = max(1, length - length % self._least)
        steps = horizon + length - origin
        if self._smoothed[0] != origin or self._smoothed[1].shape[1] < steps:
            rows = [self._continued(history[s, :origin], s, steps + self._least) for s in range(len(history))]
            self._smoothed = (origin, np.maximum(rows, 0.0))
        return self._smoothed[1][:, length - origin : steps]

    def _continued(self, series: np.ndarray, service: int, steps: int) -> np.ndarray:
        """``[step]`` after the end of a series."""
        last = np.full(steps, series[-1])
        bins, width, season = self._binned(series)
        if not _moves(bins):
            return last
        constants = self._fitted(series, service, season)
        with _quietly():
            try:
                model = _model(bins, season).fit(optimized=False, **constants)
                expected = np.asarray(model.forecast(int(np.ceil(steps / width)) + 1))
            except (ValueError, np.linalg.LinAlgError):
                return last
        found = np.interp(np.arange(steps) + 0.5, (np.arange(len(expected)) + 0.5) * width, expected)
        return found if np.isfinite(found).all() else last

    def _fitted(self, series: np.ndarray, service: int, season: int) -> dict[str, float]:
        """Smoothing constants, from the series as it was at the last refit."""
        first = self._seasonal_from if season else FEWEST_BINS * self._least
        length = max(refit_length(len(series), GROWTH), min(first, len(series)))
        known = self._constants.get(service)
        if known is not None and known[0] == length:
            return known[1]
        bins, _, season = self._binned(series[:length])
        with _quietly():
            params = _model(bins, season).fit(use_brute=False).params if _moves(bins) else {}
        values = {name: float(params.get(name, np.nan)) for name in _CONSTANTS if season or "seasonal" not in name}
        if not np.isfinite(list(values.values())).all():
            values = dict.fromkeys(values, 0.1) | {"damping_trend": 0.9}
        self._constants[service] = (length, values)
        return values

    def _binned(self, series: np.ndarray) -> tuple[np.ndarray, int, int]:
        """Means of bins that end with the series; a bin's width in intervals; bins in a season, 0 for none."""
        seasonal = 0 < self._seasonal_from <= len(series)
        width, most = (self._wide, SEASONS * self._season) if seasonal else (self._least, PLAIN_BINS)
        count = min(len(series) // width, most)
        bins = series[len(series) - count * width :].reshape(count, width).mean(axis=1)
        return bins, width, self._season if seasonal else 0


def _seasonal_width(period: int, least: int) -> int:
    """Width of a bin of which a season has a whole number, if there is a suitable one."""
    width = max(least, -(-period // BINS_OF_A_SEASON))
    return next((w for w in range(width, 2 * width) if period % w == 0), width)


def _moves(bins: np.ndarray) -> bool:
    return len(bins) >= FEWEST_BINS and float(np.ptp(bins)) > 1e-9 * float(bins.max())


def _model(bins: np.ndarray, season: int) -> Any:
    from statsmodels.tsa.holtwinters import ExponentialSmoothing

    return ExponentialSmoothing(
        bins,
        trend="add",
        damped_trend=True,
        seasonal="add" if season else None,
        seasonal_periods=season or None,
        initialization_method="heuristic",
    )


@contextmanager
def _quietly() -> Iterator[None]:
    """A fit that has not converged is used as it is: it is scored like any other."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield
