"""The demand that a planning policy prepares for, by the method that its options name."""

from __future__ import annotations

import numpy as np

from optimizer.forecasting.methods import METHODS, Setting, make_forecaster
from optimizer.forecasting.peak import peak_and_trend
from optimizer.options import suggestion
from workloads.errors import InputError

__all__ = ["DEFAULT", "ExpectedDemand", "check_method"]

DEFAULT = "peak_and_trend"


def check_method(where: str, name: object) -> str:
    """``name`` if a policy can forecast with it, else an `InputError`."""
    known = [DEFAULT, *(method for method in METHODS if method != "oracle")]
    if name not in known:
        raise InputError(where, f"there is no method {name!r} for policies", suggestion(str(name), known, "methods"))
    return str(name)


class ExpectedDemand:
    """From the history of rates to the rate to prepare for, ``[series]``.

    By default that of `peak_and_trend`. Otherwise the largest of the method's quantiles from the interval that begins
    now to the one in which replicas decided at the next instant would be ready: a peak that passes before is
    prepared for too, since what is short of it now can at least stay.

    Parameters
    ----------
    name
        A method that `check_method` accepts.
    lead
        ``lead[series]`` intervals from the middle of the last one until such replicas are ready.
    window, trend_slots
        Of `peak_and_trend`.
    setting, level
        Of the other methods: interval and season, and the quantile taken.
    """

    def __init__(
        self, name: str, lead: np.ndarray, window: int, trend_slots: int, setting: Setting, level: float
    ) -> None:
        self._lead, self._window, self._trend_slots, self._level = lead, window, trend_slots, level
        self._forecaster = None if name == DEFAULT else make_forecaster(name, setting)
        self._steps = np.maximum(1, np.ceil(lead - 1e-9).astype(np.int64))

    def __call__(self, history_rps: np.ndarray) -> np.ndarray:
        """``[series]`` from ``history_rps[series, interval]``."""
        if self._forecaster is None:
            return peak_and_trend(history_rps, self._window, self._lead, self._trend_slots)
        horizon = int(self._steps.max())
        rows = self._forecaster.forecast(history_rps, horizon, (self._level,)).quantile_rps[0]
        return np.array([row[:steps].max() for row, steps in zip(rows, self._steps)])
