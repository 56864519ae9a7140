"""The worked case: 24 slots, demand N(500, 100), capacity 600, and how often it has a solution."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

__all__ = ["CAPACITY", "MEAN", "SLOTS", "SPREAD", "feasibility_probability", "worked_case_demand"]

SLOTS, MEAN, SPREAD, CAPACITY = 24, 500.0, 100.0, 600.0


def worked_case_demand(rng: np.random.Generator, slots: int = SLOTS) -> np.ndarray:
    """``demand[slot]`` drawn from N(500, 100), at least 0 (a draw below 0 has probability 3e-7)."""
    return np.maximum(rng.normal(MEAN, SPREAD, slots), 0.0)


def feasibility_probability(
    slots: int = SLOTS, mean: float = MEAN, spread: float = SPREAD, capacity: float = CAPACITY
) -> float:
    """Probability that no slot's demand exceeds the capacity, ``Phi((capacity - mean) / spread) ** slots``.

    The problem has a solution exactly then (see `optimizer.document_lp`), whatever ``ramp_down``.

    Examples
    --------
    The worked case has a solution once in 63 draws:

    >>> round(feasibility_probability(), 5), round(1.0 / feasibility_probability())
    (0.01583, 63)
    """
    return NormalDist(mean, spread).cdf(capacity) ** slots
