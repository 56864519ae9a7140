"""Quantiles of a point forecast from its own past errors, for each step ahead."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from optimizer.forecasting.forecast import Forecast, PointForecaster, as_history, make_forecast
from optimizer.forecasting.naive import DAY_S

__all__ = ["EmpiricalQuantiles"]

ORIGINS = 64
"""Past instants at least that errors are taken from, twice as many at most, where the history has them."""
FEWEST_ERRORS = 4


class EmpiricalQuantiles:
    """A point forecaster with the distribution of its errors over the last day, or over 128 intervals if that is more.

    Errors are taken between square roots of rates: that makes the spread of counts the same at every rate (Anscombe,
    Biometrika 35, 1948), so those of the night serve by day. The quantile of ``n`` errors is that of rank
    ``level * (n + 1)``, as in split conformal prediction (Vovk and others 2005); where that lies beyond the largest
    error it is the largest, so with 64 to 128 errors a level of 0.99 may cover a little less than it says. With fewer
    than `FEWEST_ERRORS` the quantiles are the point forecast itself.

    Parameters
    ----------
    point
        What is forecast with.
    interval_s
        Length of an interval.
    memory_s
        Errors older than this, and than ``2 * ORIGINS`` intervals, are forgotten.
    """

    def __init__(self, point: PointForecaster, interval_s: float, memory_s: float = DAY_S) -> None:
        self._point = point
        self._memory = max(2 * ORIGINS, round(memory_s / interval_s))
        self._past: dict[int, np.ndarray] = {}

    def forecast(self, history_rps: np.ndarray, horizon: int, levels: Sequence[float]) -> Forecast:
        """Point forecast and empirical quantiles; see `optimizer.forecasting.forecast.Forecaster`."""
        history = as_history(history_rps)
        mean = np.maximum(self._point.predict(history, horizon), 0.0)
        quantiles = np.repeat(mean[None], len(levels), axis=0)
        expected, met = self.past(history, horizon)
        error = np.sqrt(met) - np.sqrt(expected)
        for step in range(horizon):
            known = error[np.isfinite(error[:, 0, step]), :, step]
            if len(known) >= FEWEST_ERRORS:
                shift = np.quantile(known, levels, axis=0, method="weibull")
                quantiles[:, :, step] = np.maximum(np.sqrt(mean[:, step]) + shift, 0.0) ** 2
        return make_forecast(mean, levels, quantiles)

    def mean_absolute_error(self, history_rps: np.ndarray, horizon: int) -> np.ndarray:
        """``[service, step]`` over the same past instants; NaN at steps that have not been met yet."""
        history = as_history(history_rps)
        expected, met = self.past(history, horizon)
        known = np.isfinite(met[:, :1])
        total = np.where(known, np.abs(met - expected), 0.0).sum(axis=0)
        count = known.sum(axis=0)
        return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)

    def past(self, history: np.ndarray, horizon: int) -> tuple[np.ndarray, np.ndarray]:
        """What was expected and what came, each ``[origin, service, step]``; NaN where it has not come yet."""
        length = history.shape[1]
        span = min(length, self._memory)
        stride = 1 << max(0, (span // ORIGINS).bit_length() - 1)
        first = -(-max(1, length - span) // stride) * stride
        origins = range(first, length, stride)
        self._past = {o: f for o, f in self._past.items() if o >= first}
        expected = np.empty((len(origins), len(history), horizon))
        met = np.full(expected.shape, np.nan)
        for row, origin in enumerate(origins):
            known = self._past.get(origin)
            if known is None or known.shape[1] < horizon:
                known = self._past[origin] = np.maximum(self._point.predict(history[:, :origin], horizon), 0.0)
            expected[row] = known[:, :horizon]
            came = history[:, origin : origin + horizon]
            met[row, :, : came.shape[1]] = came
        return expected, met
