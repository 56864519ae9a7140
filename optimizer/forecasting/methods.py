"""Forecasters by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from optimizer.forecasting.ensemble import Ensemble
from optimizer.forecasting.forecast import Forecaster, PointForecaster
from optimizer.forecasting.holt_winters import HoltWinters
from optimizer.forecasting.naive import LastValue, SeasonalNaive, periods_of
from optimizer.forecasting.oracle import Oracle
from optimizer.forecasting.quantile_regression import QuantileRegression
from optimizer.forecasting.residuals import EmpiricalQuantiles
from optimizer.options import suggestion
from workloads.errors import InputError

__all__ = ["METHODS", "Setting", "make_forecaster"]

METHODS: Mapping[str, str] = {
    "last_value": "The rate of the last interval",
    "seasonal_naive": "The rate a period ago: the week's, else the day's, else the last value",
    "holt_winters": "Level, damped trend and daily season by exponential smoothing (statsmodels)",
    "quantile_regression": "Linear quantile regression on the recent past and a period ago (statsmodels)",
    "ensemble": "Last value, seasonal naive and Holt-Winters, weighed by the inverse of their last day's error",
    "ensemble_median": "The median of the same three",
    "oracle": "Yardstick, not for practice: the true future (clairvoyant)",
}
"""Name to one line."""


@dataclass(frozen=True)
class Setting:
    """What forecasters must know before the first history.

    Attributes
    ----------
    interval_s
        Length of an interval.
    period_s
        Season; the day and the week if not given.
    """

    interval_s: float
    period_s: float | None = None

    @property
    def periods(self) -> tuple[int, ...]:
        """Seasons in intervals."""
        return periods_of(self.interval_s, self.period_s)

    def with_quantiles(self, point: PointForecaster) -> EmpiricalQuantiles:
        """A point forecaster with the quantiles of its past errors."""
        return EmpiricalQuantiles(point, self.interval_s)


def _members(setting: Setting) -> list[EmpiricalQuantiles]:
    return [setting.with_quantiles(_POINTS[name](setting)) for name in _POINTS]


_POINTS: Mapping[str, Callable[[Setting], PointForecaster]] = {
    "last_value": lambda setting: LastValue(),
    "seasonal_naive": lambda setting: SeasonalNaive(setting.periods),
    "holt_winters": lambda setting: HoltWinters(setting.interval_s, setting.periods),
}


def make_forecaster(name: str, setting: Setting, truth_rps: np.ndarray | None = None) -> Forecaster:
    """A fresh forecaster for one run or trace.

    Parameters
    ----------
    name
        One of `METHODS`.
    setting
        Interval and season.
    truth_rps
        ``truth_rps[service, interval]`` of the whole run, for the oracle alone.

    Raises
    ------
    InputError
        There is no such forecaster, or the oracle is asked for where nobody knows the truth.

    Examples
    --------
    >>> hourly = make_forecaster("seasonal_naive", Setting(interval_s=3600.0))
    >>> hourly.forecast(np.arange(30.0)[None], horizon=3, levels=(0.5,)).mean_rps.tolist()
    [[6.0, 7.0, 8.0]]
    """
    if name in _POINTS:
        return setting.with_quantiles(_POINTS[name](setting))
    if name == "quantile_regression":
        return QuantileRegression(setting.interval_s, setting.periods)
    if name == "ensemble":
        return Ensemble(_members(setting))
    if name == "ensemble_median":
        return Ensemble(_members(setting), "median")
    if name != "oracle":
        raise InputError(f"forecast {name}", "there is no such method", suggestion(name, METHODS, "methods"))
    if truth_rps is None:
        raise InputError("forecast oracle", "the truth is known to a backtest only", "use the policy clairvoyant_mip")
    return Oracle(truth_rps)
