"""Ending a simulation once its verdict is known: an error budget that is spent stays spent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["BudgetWatch"]


@dataclass(frozen=True)
class BudgetWatch:
    """A `simulator.engine.Stop`: yes, once a service cannot reach its quantile any more, whatever is still to come.

    Of the ``arriving[service]`` requests of the whole run, those that have missed the objective by now (late, rejected
    or failed) have missed it for good. Attainment over the run is thus at most ``(arriving - missed) / arriving``, and
    where that lies below the quantile the run misses the objective. The arithmetic is that of the verdict itself
    (one division, one difference, both monotone), so that rounding cannot part the two.
    """

    arriving: np.ndarray
    quantile: np.ndarray

    def __call__(self, services: np.ndarray) -> bool:
        """Whether the run may end."""
        return bool((self.most_attained(services) - self.quantile < 0.0).any())

    def most_attained(self, services: np.ndarray) -> np.ndarray:
        """``[service]`` what attainment over the run can still be; 1 where no request arrives."""
        missed = services["completed"] - services["slo_met"] + services["rejected"] + services["failed"]
        return np.where(self.arriving > 0, (self.arriving - missed) / np.maximum(self.arriving, 1), 1.0)

    def first_spent(self, services: np.ndarray) -> int:
        """The service that has overspent its budget by most."""
        budget = np.maximum(1.0 - self.quantile, 1e-9)
        return int(((1.0 - self.most_attained(services)) / budget).argmax())
