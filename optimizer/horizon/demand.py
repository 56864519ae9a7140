"""The demand of each slot of a horizon that a plan prepares for: a quantile of what any forecaster says."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from optimizer.forecasting.demand import DEFAULT
from optimizer.forecasting.methods import Setting, make_forecaster
from optimizer.forecasting.peak import peak_and_trend

if TYPE_CHECKING:
    from optimizer.policies.reactive import ReactiveOptions

__all__ = ["DemandPath"]


class DemandPath:
    """From the history of rates to the rate to prepare for in each slot to come.

    Rows that are alike (the stages of one service behind one cache) are forecast once.

    Parameters
    ----------
    name
        ``peak_and_trend``, whose rate at the end of the lead then stays, or a method of
        `optimizer.forecasting.methods`.
    slots
        How far to look.
    lead, window, trend_slots
        Of ``peak_and_trend``, as in `optimizer.forecasting.demand.ExpectedDemand`.
    setting, level
        Of the other methods: interval and season, and the quantile taken.
    """

    def __init__(
        self,
        name: str,
        slots: int,
        lead: np.ndarray,
        window: int,
        trend_slots: int,
        setting: Setting,
        level: float,
    ) -> None:
        self._slots, self._lead, self._window, self._trend_slots = slots, lead, window, trend_slots
        self._level, self._name, self._setting = level, name, setting
        self._planned = name == DEFAULT
        self._group: np.ndarray | None = None

    @classmethod
    def of(cls, options: ReactiveOptions, interval_s: float, slots: int, lead: np.ndarray) -> DemandPath:
        """By the options of a policy."""

        def intervals(seconds: float) -> int:
            return max(3, math.ceil(seconds / interval_s - 1e-9))

        trend = intervals(options.trend_s) if options.trend else 0
        setting = Setting(interval_s, options.forecast_period_s)
        return cls(options.forecast, slots, lead, intervals(options.window_s), trend, setting, options.forecast_level)

    def __call__(self, history_rps: np.ndarray) -> np.ndarray:
        """``[series, slot]`` from ``history_rps[series, interval]``; slot 0 begins now."""
        if self._planned:
            rate = peak_and_trend(history_rps, self._window, self._lead, self._trend_slots)
            return np.repeat(rate[:, None], self._slots, axis=1)
        if self._group is None or (history_rps[:, -1] != history_rps[self._group, -1]).any():
            self._group = _alike(history_rps)
            self._forecaster = make_forecaster(self._name, self._setting)
        first, row = np.unique(self._group, return_inverse=True)
        found = self._forecaster.forecast(history_rps[first], self._slots, (self._level,))
        return np.asarray(found.quantile_rps[0][row])


def _alike(history_rps: np.ndarray) -> np.ndarray:
    """``[series]`` the first series with the same history as each."""
    same = (history_rps[:, None, :] == history_rps[None, :, :]).all(axis=2)
    return np.asarray(same.argmax(axis=1))
