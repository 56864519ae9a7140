"""Numbers of a size that solvers' absolute tolerances are made for, whatever the unit of the demand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optimizer.document.problem import DocumentProblem

__all__ = ["Scaled", "scaled", "unit_of"]


@dataclass(frozen=True)
class Scaled:
    """A problem in units of ``unit[resource]``, its objective divided by that of one unit at the largest price.

    Attributes
    ----------
    unit
        ``[resource]``.
    demand, low, high
        ``[resource, slot]``; allocations lie in ``[low, high]``.
    waste, short
        ``[resource, slot]``, objective of one unit of waste (squared where the objective is) and of shortfall;
        ``short`` is None where there may be none.
    down, up
        ``[resource]``.
    spend, budget
        ``[resource, slot]`` and ``[slot]``: ``sum_r spend C <= budget``; None without a budget.
    """

    unit: np.ndarray
    demand: np.ndarray
    low: np.ndarray
    high: np.ndarray
    waste: np.ndarray
    short: np.ndarray | None
    down: np.ndarray
    up: np.ndarray
    spend: np.ndarray
    budget: np.ndarray | None


def unit_of(problem: DocumentProblem) -> np.ndarray:
    """``[resource]`` largest need of each, of all where a budget ties them together, 1 where they are whole."""
    top = problem.largest if problem.budget is None else np.full(len(problem.demand), problem.largest.max())
    return np.where((top > 0.0) & (not problem.whole), top, 1.0)


def scaled(problem: DocumentProblem, unit: np.ndarray | None = None) -> Scaled:
    """``problem`` in units of ``unit`` (by default its own)."""
    unit = unit_of(problem) if unit is None else unit
    by_row, top = unit[:, None], problem.largest
    low = np.zeros_like(problem.demand)
    if problem.initial is not None:
        low[:, 0] = np.maximum(problem.initial - problem.ramp_down, 0.0) / unit
    price = (
        problem.price.max(axis=1, keepdims=True)
        if problem.budget is None
        else np.full_like(by_row, problem.price.max())
    )
    short = None
    if problem.penalty is not None:
        short = problem.penalty / price / (by_row if problem.objective == "quadratic" else 1.0)
    return Scaled(
        unit=unit,
        demand=problem.demand / by_row,
        low=low,
        high=np.maximum(np.minimum(problem.most, top[:, None]) / by_row, low),
        waste=problem.price / price,
        short=short,
        down=np.minimum(problem.ramp_down, top) / unit,
        up=np.where(np.isinf(problem.ramp_up), np.inf, np.minimum(problem.ramp_up, top) / unit),
        spend=problem.price / price,
        budget=None if problem.budget is None else problem.budget / problem.price.max() / unit[0],
    )
