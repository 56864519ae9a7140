"""Several forecasts made into one, level by level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from optimizer.forecasting.forecast import Forecast, as_history, make_forecast
from optimizer.forecasting.residuals import EmpiricalQuantiles

__all__ = ["Ensemble"]


class Ensemble:
    """Means and quantiles of its members, combined at each level (Vincent averaging: Lichtendahl and others 2013).

    ``inverse_loss`` weighs a member by the inverse of its mean absolute error over the errors it remembers (the last
    day), for each service and step; ``median`` takes the member in the middle.
    """

    def __init__(
        self, members: Sequence[EmpiricalQuantiles], combine: Literal["inverse_loss", "median"] = "inverse_loss"
    ) -> None:
        self._members = tuple(members)
        self._combine = combine

    def forecast(self, history_rps: np.ndarray, horizon: int, levels: Sequence[float]) -> Forecast:
        """See `optimizer.forecasting.forecast.Forecaster`."""
        history = as_history(history_rps)
        each = [member.forecast(history, horizon, levels) for member in self._members]
        means = np.stack([one.mean_rps for one in each])
        quantiles = np.stack([one.quantile_rps for one in each])
        if self._combine == "median":
            return make_forecast(np.median(means, axis=0), levels, np.median(quantiles, axis=0))
        weights = self.weights(history, horizon)
        mean = (weights * means).sum(axis=0)
        return make_forecast(mean, levels, (weights[:, None] * quantiles).sum(axis=0))

    def weights(self, history: np.ndarray, horizon: int) -> np.ndarray:
        """``[member, service, step]``, of sum 1 over members; equal where no error is known yet."""
        loss = np.stack([member.mean_absolute_error(history, horizon) for member in self._members])
        # A thousandth of the mean rate below the loss keeps a member without error from a weight of infinity.
        floor = 1e-3 * history.mean(axis=1)[None, :, None] + 1e-12
        inverse = np.where(np.isfinite(loss), 1.0 / (np.nan_to_num(loss) + floor), 1.0)
        share: np.ndarray = inverse / inverse.sum(axis=0)
        return share
