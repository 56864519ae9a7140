"""The yardstick: the true future. It cannot be had in practice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from optimizer.forecasting.forecast import Forecast, as_history, make_forecast

__all__ = ["Oracle"]


class Oracle:
    """Clairvoyant: reads the truth, and is sure of it. Beyond the truth's end the last interval goes on.

    Parameters
    ----------
    truth_rps
        ``truth_rps[service, interval]`` of the whole run, which histories are the beginning of.
    """

    def __init__(self, truth_rps: np.ndarray) -> None:
        self._truth = as_history(truth_rps)

    def forecast(self, history_rps: np.ndarray, horizon: int, levels: Sequence[float]) -> Forecast:
        """The next intervals of the truth, at every level."""
        begin = as_history(history_rps).shape[1]
        future = self._truth[:, np.minimum(begin + np.arange(horizon), self._truth.shape[1] - 1)]
        return make_forecast(future, levels, np.repeat(future[None], len(levels), axis=0))
