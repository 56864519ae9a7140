"""The naive point forecasts that anything better has to beat."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from optimizer.forecasting.forecast import as_history

__all__ = ["DAY_S", "WEEK_S", "LastValue", "SeasonalNaive", "periods_of"]

DAY_S, WEEK_S = 86_400.0, 604_800.0


def periods_of(interval_s: float, period_s: float | None = None) -> tuple[int, ...]:
    """Periods in intervals, the longest first: the one given, else the week and the day.

    A period that is no whole number of intervals is rounded to one; one of less than two intervals is none.

    Examples
    --------
    >>> periods_of(60.0), periods_of(60.0, 3600.0), periods_of(86_400.0)
    ((10080, 1440), (60,), (7,))
    """
    wanted = (WEEK_S, DAY_S) if period_s is None else (period_s,)
    return tuple(slots for period in wanted if (slots := round(period / interval_s)) >= 2)


class LastValue:
    """The rate of the last interval, for all to come."""

    def predict(self, history_rps: np.ndarray, horizon: int) -> np.ndarray:
        """``[service, step]``."""
        return np.repeat(as_history(history_rps)[:, -1:], horizon, axis=1)


class SeasonalNaive:
    """The rate one period earlier, by the longest of ``periods`` (in intervals) that the history covers.

    Before the shortest is covered it is the last value.
    """

    def __init__(self, periods: Sequence[int]) -> None:
        self._periods = sorted(periods, reverse=True)

    def predict(self, history_rps: np.ndarray, horizon: int) -> np.ndarray:
        """``[service, step]``; beyond one period, the same period again."""
        history = as_history(history_rps)
        period = next((p for p in self._periods if p <= history.shape[1]), 1)
        return history[:, history.shape[1] - period + np.arange(horizon) % period]
