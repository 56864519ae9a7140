"""From a solver's answer, which keeps constraints to a tolerance, to one that keeps them."""

from __future__ import annotations

import numpy as np

from optimizer.document.envelopes import least_allocation
from optimizer.document.problem import DocumentProblem
from optimizer.document.scaling import unit_of

__all__ = ["without_noise"]


def without_noise(problem: DocumentProblem, solved: np.ndarray, unit: np.ndarray | None = None) -> np.ndarray:
    """``allocation[resource, slot]`` that keeps capacities, ramps and (where served) demands exactly.

    The solver keeps them to its tolerance: an allocation that is below the demand by less was meant to cover
    it, and one above what the constraints ask for by less was meant to be that. (A budget is kept to a millionth.)
    """
    if problem.whole:
        solved = np.rint(solved)
        asked = solved if problem.penalty is not None else np.maximum(solved, problem.need)
        return np.minimum(_kept(problem, asked), problem.most)
    slack = 1e-6 * (unit_of(problem) if unit is None else unit)[:, None]
    most = problem.most
    short = (problem.demand - solved > slack) & (problem.penalty is not None)
    full = np.maximum(most - solved, 0.0) <= slack
    asked = np.where(short, np.where(full, most, solved), problem.demand)
    solved = np.maximum(solved, asked)
    least = _kept(problem, asked)
    return np.minimum(_kept(problem, np.where(solved - least <= slack, least, solved)), most)


def _kept(problem: DocumentProblem, asked: np.ndarray) -> np.ndarray:
    return least_allocation(asked, problem.ramp_down, problem.initial, problem.ramp_up)
