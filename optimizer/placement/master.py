"""The linear programme over contents of nodes: how many nodes of each type hold which content."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ortools.linear_solver import pywraplp

from optimizer.placement.problem import PlacementProblem

__all__ = ["Master", "MasterSolution"]


@dataclass(frozen=True)
class MasterSolution:
    """An optimum of the programme over the contents known so far.

    Attributes
    ----------
    cost
        Its value; an upper bound on that over all contents.
    nodes
        ``[content]`` nodes that hold it, with fractions.
    missing
        ``[class]`` replicas without a node.
    worth
        ``[class]`` dual price of a replica.
    scarce
        ``[node_type]`` dual price of a further node, at least 0.
    """

    cost: float
    nodes: np.ndarray
    missing: np.ndarray
    worth: np.ndarray
    scarce: np.ndarray


class Master:
    """Minimise price of nodes and of missing replicas; contents are added as they are found, demands change.

    Contents cover demands: a node may hold room for more than there is, since what fits with a replica fits without it.
    """

    def __init__(self, problem: PlacementProblem) -> None:
        self._problem = problem
        self._solver = pywraplp.Solver.CreateSolver("GLOP")
        self._infinity = self._solver.infinity()
        self._objective = self._solver.Objective()
        self._objective.SetMinimization()
        self._cover = [self._solver.Constraint(float(d), self._infinity) for d in problem.count]
        self._there = [self._solver.Constraint(-self._infinity, float(c)) for c in problem.node_count]
        self._missing = []
        for row in self._cover:
            missing = self._solver.NumVar(0.0, self._infinity, "")
            row.SetCoefficient(missing, 1.0)
            self._objective.SetCoefficient(missing, problem.unplaced_price)
            self._missing.append(missing)
        self._variables: list[pywraplp.Variable] = []
        self._known: set[tuple[int, bytes]] = set()
        self.types: list[int] = []
        """``types[content]``: node type."""
        self.copies: list[np.ndarray] = []
        """``copies[content][class]``."""

    def add(self, node_type: int, copies: np.ndarray) -> bool:
        """Make a content known; False where it was."""
        key = (node_type, copies.tobytes())
        if key in self._known:
            return False
        self._known.add(key)
        variable = self._solver.NumVar(0.0, self._infinity, "")
        self._objective.SetCoefficient(variable, float(self._problem.price[node_type]))
        self._there[node_type].SetCoefficient(variable, 1.0)
        for cls in np.flatnonzero(copies):
            self._cover[cls].SetCoefficient(variable, float(copies[cls]))
        self._variables.append(variable)
        self.types.append(node_type)
        self.copies.append(copies)
        return True

    def ask(self, count: np.ndarray, node_count: np.ndarray) -> None:
        """Change how many replicas and nodes there are."""
        for row, demand in zip(self._cover, count.tolist()):
            row.SetLb(float(demand))
        for row, there in zip(self._there, node_count.tolist()):
            row.SetUb(float(there))

    def solve(self) -> MasterSolution | None:
        """The optimum; None where the solver has none."""
        if self._solver.Solve() != pywraplp.Solver.OPTIMAL:
            return None
        return MasterSolution(
            cost=float(self._objective.Value()),
            nodes=np.array([v.solution_value() for v in self._variables]),
            missing=np.array([v.solution_value() for v in self._missing]),
            worth=np.clip([row.dual_value() for row in self._cover], 0.0, self._problem.unplaced_price),
            scarce=np.maximum([-row.dual_value() for row in self._there], 0.0),
        )
