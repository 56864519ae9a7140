"""The document's problem by enumeration of whole allocations: slow, obvious, independent of the solvers."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Instances:
    """Tiny random problems in whole numbers: arrays ``[instance, slot]``, ramps and initial ``[instance]``."""

    demand: np.ndarray
    capacity: np.ndarray
    price: np.ndarray
    penalty: np.ndarray
    down: np.ndarray
    up: np.ndarray
    initial: np.ndarray | None

    def arguments(self, i: int | slice) -> dict[str, Any]:
        """What `document_lp` takes for instance ``i``, or for several as rows, but for the form."""
        return {
            "demand": self.demand[i],
            "capacity": self.capacity[i],
            "price": self.price[i],
            "ramp_down": self.down[i],
            "ramp_up": self.up[i],
            "initial": None if self.initial is None else self.initial[i],
        }


def random_instances(rng: np.random.Generator, number: int, slots: int = 4, top: int = 5) -> Instances:
    """Capacities of ``top - 1`` or ``top``, demand that now and then exceeds them, ramps from 0 to none at all."""
    shape = (number, slots)
    return Instances(
        demand=np.minimum(rng.integers(0, top + 1, shape), rng.integers(0, top + 2, shape)).astype(float),
        capacity=rng.integers(top - 1, top + 1, shape).astype(float),
        price=rng.integers(1, 4, shape).astype(float),
        penalty=rng.integers(1, 12, shape).astype(float),
        down=rng.choice([0.0, 1.0, 2.0, np.inf], number),
        up=rng.choice([1.0, 2.0, 3.0, np.inf], number),
        initial=rng.integers(0, top, number).astype(float) if rng.random() < 0.5 else None,
    )


def grid(slots: int, top: int) -> np.ndarray:
    """``[point, slot]``, every allocation in whole numbers."""
    return np.array(list(product(range(top + 1), repeat=slots)), dtype=np.float64)


def feasible(given: Instances, points: np.ndarray) -> np.ndarray:
    """``[instance, point]``, whether capacity and ramps are kept; demand apart."""
    step = np.diff(points, axis=1)
    ok = (points[None] <= given.capacity[:, None]).all(axis=2)
    ok &= (step[None] >= -given.down[:, None, None]).all(axis=2) & (step[None] <= given.up[:, None, None]).all(axis=2)
    if given.initial is not None:
        first = points[None, :, 0] - given.initial[:, None]
        ok &= (first >= -given.down[:, None]) & (first <= given.up[:, None])
    return ok


def optima(given: Instances, points: np.ndarray, power: int, elastic: bool) -> np.ndarray:
    """``[instance]`` least objective, infinite where nothing is feasible."""
    over = points[None] - given.demand[:, None]
    waste, short = np.maximum(over, 0.0), np.maximum(-over, 0.0)
    cost = (given.price[:, None] * waste**power).sum(axis=2)
    cost += (given.penalty[:, None] * short).sum(axis=2) if elastic else np.where(short.any(axis=2), np.inf, 0.0)
    return np.where(feasible(given, points), cost, np.inf).min(axis=1)


def gaps_of_squares(given: Instances, points: np.ndarray, waste: np.ndarray, short: np.ndarray) -> np.ndarray:
    """``[instance]`` bound on how far ``sum p W^2 + penalty S`` of a fractional solution is from the least.

    A convex objective lies above its tangent at the solution, and a tangent, being linear, is least at a corner
    of the constraints, all of which are whole and so among ``points`` (the constraints are those of a network).
    """
    over = points[None] - given.demand[:, None]
    slope = 2.0 * given.price * waste
    tangent = (slope[:, None] * np.maximum(over, 0.0) + given.penalty[:, None] * np.maximum(-over, 0.0)).sum(axis=2)
    least = np.where(feasible(given, points), tangent, np.inf).min(axis=1)
    return (slope * waste + given.penalty * short).sum(axis=1) - least
