"""Linear quantile regression on the recent past and the same time a period ago, by statsmodels."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from optimizer.forecasting.forecast import Forecast, as_history, make_forecast
from optimizer.forecasting.naive import LastValue
from optimizer.forecasting.refits import refit_length
from optimizer.forecasting.residuals import EmpiricalQuantiles

__all__ = ["QuantileRegression"]

WINDOWS = (1, 5, 20)
"""Features: means over so many last intervals."""
AROUND = 5
"""Feature: mean over so many intervals around the same time, a period ago."""
MOST_ROWS, FEWEST_ROWS = 300, 100
"""Past instants that a fit learns from; fewer than a hundred tell nothing of a level of 0.99."""
KNOTS = 3
"""Steps ahead that have a regression of their own; between them, coefficients are interpolated."""
GROWTH = 0.1
LEVEL_OVER = 60
"""Rates are taken relative to their mean over so many last intervals, so that growth does not outdate a fit."""
TOLERANCE = 1e-4
"""Of the solver: a quantile below so small a part of the level is zero, as rates often are exactly."""
PERIODS_BACK = 3
"""Rows come from so many last periods (and `MOST_ROWS` at least), or from the whole history where there is none."""


class QuantileRegression:
    """``q(level, step) = b . features`` for each level (Koenker and Bassett, Econometrica 46, 1978).

    Features are means over the last intervals, and the rates around the same time and around now one period ago (the
    shortest of ``periods``, once the history covers it twice), all relative to the mean of the last `LEVEL_OVER`
    intervals. The regressions are fitted when the history has grown by a tenth, which takes about a tenth of a second;
    in between a forecast is one product. Quantiles that cross are
    sorted (Chernozhukov and others, Econometrica 78, 2010). With fewer than `FEWEST_ROWS` past instants to learn from
    it is the last value, with its empirical quantiles. The point forecast is the median.

    Parameters
    ----------
    interval_s
        Length of an interval.
    periods
        Possible periods in intervals.
    """

    def __init__(self, interval_s: float, periods: Sequence[int]) -> None:
        self._interval_s = interval_s
        self._period = min(periods, default=0)
        self._until_then: dict[int, EmpiricalQuantiles] = {}
        self._fits: dict[tuple[int, int, int, tuple[float, ...]], np.ndarray | None] = {}

    def forecast(self, history_rps: np.ndarray, horizon: int, levels: Sequence[float]) -> Forecast:
        """See `optimizer.forecasting.forecast.Forecaster`."""
        history = as_history(history_rps)
        asked = tuple(sorted({*levels, 0.5}))
        found = np.stack([self._one(row, s, horizon, asked) for s, row in enumerate(history)], axis=1)
        found = np.sort(np.maximum(found, 0.0), axis=0)
        return make_forecast(found[asked.index(0.5)], levels, found[[asked.index(level) for level in levels]])

    def _one(self, series: np.ndarray, service: int, horizon: int, levels: tuple[float, ...]) -> np.ndarray:
        """``[level, step]`` of one service."""
        length = refit_length(len(series), GROWTH)
        key = (service, length, horizon, levels)
        if key not in self._fits:
            self._fits = {known: fit for known, fit in self._fits.items() if known[0] != service}
            self._fits[key] = self._fitted(series[:length], horizon, levels)
        coefficients = self._fits[key]
        if coefficients is None:
            return self._last_value(series, service, horizon, levels)
        origin = np.array([len(series)])
        features = self._features(series, origin, np.arange(1, horizon + 1), self._lag(length))
        relative = np.einsum("lsf,sf->ls", coefficients, features[0])
        found: np.ndarray = np.where(np.abs(relative) < TOLERANCE, 0.0, relative) * _level(series, origin)[0]
        return found if np.isfinite(found).all() else self._last_value(series, service, horizon, levels)

    def _last_value(self, series: np.ndarray, service: int, horizon: int, levels: tuple[float, ...]) -> np.ndarray:
        naive = self._until_then.setdefault(service, EmpiricalQuantiles(LastValue(), self._interval_s))
        return naive.forecast(series[None], horizon, levels).quantile_rps[:, 0]

    def _fitted(self, series: np.ndarray, horizon: int, levels: tuple[float, ...]) -> np.ndarray | None:
        """``[level, step, feature]``, or None where there is too little to learn from."""
        lag = self._lag(len(series))
        reach = max(PERIODS_BACK * lag, MOST_ROWS) if lag else len(series)
        first = max(max(WINDOWS), lag + AROUND, len(series) - reach)
        origins = np.arange(first, len(series) - horizon + 1)
        if len(origins) < FEWEST_ROWS or np.ptp(series[first:]) <= 1e-9 * series.max():
            return None
        origins = np.unique(np.linspace(first, len(series) - horizon, MOST_ROWS).round().astype(np.int64))
        knots = np.unique(np.linspace(1, horizon, KNOTS).round().astype(np.int64))
        features, scale = self._features(series, origins, knots, lag), _level(series, origins)
        fits = np.array([
            [_regress(series[origins + knot - 1] / scale, features[:, k], level) for k, knot in enumerate(knots)]
            for level in levels
        ])  # fmt: skip
        steps = np.arange(1, horizon + 1)
        spread = [[np.interp(steps, knots, one) for one in fit.T] for fit in fits]
        return np.moveaxis(np.array(spread), 1, 2)

    def _lag(self, length: int) -> int:
        """The period, where a history of that length covers it twice; else 0."""
        return self._period if self._period > AROUND and length >= 2 * self._period else 0

    def _features(self, series: np.ndarray, origins: np.ndarray, steps: np.ndarray, lag: int) -> np.ndarray:
        """``[origin, step, feature]``; those of an origin come from intervals before it."""
        sums = np.concatenate([[0.0], np.cumsum(series)])
        shape = (len(origins), len(steps))
        recent = [np.broadcast_to(_mean(sums, origins - w, origins)[:, None], shape) for w in WINDOWS]
        columns = [*recent, *(self._seasonal(sums, origins, steps, lag) if lag else ())]
        scale = _level(series, origins)[:, None]
        return np.stack([np.ones(shape), *(column / scale for column in columns)], axis=2)

    def _seasonal(
        self, sums: np.ndarray, origins: np.ndarray, steps: np.ndarray, lag: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Means around the step's time and around now, a period (or more, if the step is further) ago."""
        ago = origins[:, None] - lag * -(-steps // lag)[None]
        half = AROUND // 2
        then = ago + steps - 1
        high = np.minimum(then + half + 1, origins[:, None])
        return _mean(sums, then - half, high), _mean(sums, ago - AROUND, ago)


def _mean(sums: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Mean over ``[low, high)`` from running sums; what lies before the beginning is left out."""
    low = np.clip(low, 0, len(sums) - 2)
    high = np.maximum(high, low + 1)
    mean: np.ndarray = (sums[high] - sums[low]) / (high - low)
    return mean


def _level(series: np.ndarray, origins: np.ndarray) -> np.ndarray:
    """``[origin]`` mean of the last intervals before it; never less than a hundredth of the mean of all before it."""
    sums = np.concatenate([[0.0], np.cumsum(series)])
    level = np.maximum(_mean(sums, origins - LEVEL_OVER, origins), 0.01 * sums[origins] / origins)
    return np.where(level > 0.0, level, 1.0)


def _regress(met: np.ndarray, features: np.ndarray, level: float) -> np.ndarray:
    """``[feature]`` coefficients of one level."""
    from statsmodels.regression.quantile_regression import QuantReg

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        found: np.ndarray = np.asarray(QuantReg(met, features).fit(q=level, max_iter=200).params)
    return found
