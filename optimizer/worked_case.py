"""The worked case: 24 slots, demand N(500, 100), capacity 600, and how often it has a solution."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from optimizer.document.envelopes import most_allocation

__all__ = [
    "CAPACITY",
    "MEAN",
    "SLOTS",
    "SPREAD",
    "SimulatedShare",
    "feasibility_probability",
    "simulated_feasibility",
    "worked_case_demand",
]

SLOTS, MEAN, SPREAD, CAPACITY = 24, 500.0, 100.0, 600.0


def worked_case_demand(rng: np.random.Generator, slots: int = SLOTS) -> np.ndarray:
    """``demand[slot]`` drawn from N(500, 100), at least 0 (a draw below 0 has probability 3e-7)."""
    return np.maximum(rng.normal(MEAN, SPREAD, slots), 0.0)


def feasibility_probability(
    slots: int = SLOTS, mean: float = MEAN, spread: float = SPREAD, capacity: float = CAPACITY
) -> float:
    """Probability that no slot's demand exceeds the capacity, ``Phi((capacity - mean) / spread) ** slots``.

    The problem has a solution exactly then (see `optimizer.document_lp`), whatever ``ramp_down`` and ``ramp_up``:
    without an earlier allocation any plan may start high enough.

    Examples
    --------
    The worked case has a solution once in 63 draws:

    >>> round(feasibility_probability(), 5), round(1.0 / feasibility_probability())
    (0.01583, 63)
    """
    return NormalDist(mean, spread).cdf(capacity) ** slots


@dataclass(frozen=True)
class SimulatedShare:
    """A share of simulated draws, with the exact (Clopper-Pearson) interval of ``level`` confidence.

    Attributes
    ----------
    share, low, high
        Of all draws, 0 to 1.
    draws
        How many there were.
    level
        0.95 says that 95 of 100 such intervals hold the true probability.
    """

    share: float
    low: float
    high: float
    draws: int
    level: float


def simulated_feasibility(
    rng: np.random.Generator,
    draws: int = 100_000,
    slots: int = SLOTS,
    capacity: float = CAPACITY,
    *,
    ramp_down: float = 0.0,
    ramp_up: float = math.inf,
    initial: float | None = None,
    level: float = 0.95,
) -> SimulatedShare:
    """Share of draws of the worked case that have a solution; with an initial allocation it has no closed form.

    A draw has one exactly where no slot's demand exceeds `most_allocation`.

    Examples
    --------
    >>> found = simulated_feasibility(np.random.default_rng(0), draws=20_000)
    >>> found.low < feasibility_probability() < found.high
    True
    """
    from scipy.stats import binomtest

    most = most_allocation(np.full(slots, capacity), ramp_down, initial, ramp_up)
    count = 0
    for start in range(0, draws, 10_000):
        demand = np.maximum(rng.normal(MEAN, SPREAD, (min(10_000, draws - start), slots)), 0.0)
        count += int((demand <= most).all(axis=1).sum())
    interval = binomtest(count, draws).proportion_ci(level, method="exact")
    return SimulatedShare(count / draws, float(interval.low), float(interval.high), draws, level)
