"""Lower bounds on the cost of a placement from linear programmes over how many replicas go to each node type."""

from __future__ import annotations

import numpy as np
from ortools.linear_solver import pywraplp

from optimizer.placement.plan import round_up_to_prices
from optimizer.placement.problem import PlacementProblem
from optimizer.placement.rows import NodeRows, node_rows

__all__ = ["fluid_bound", "sharpened_bound", "sharpened_prices"]


def fluid_bound(problem: PlacementProblem, *, whole: bool = True) -> float:
    """Replicas and nodes may be split at will; only capacities count. No placement costs less.

    Parameters
    ----------
    whole
        Round up to what costs can be (`round_up_to_prices`).
    """
    return _solve(problem, cuts=False, whole=whole)[0]


def sharpened_bound(problem: PlacementProblem, *, whole: bool = True) -> float:
    """The same with rows that hold for whole replicas on whole nodes and GPUs: dual feasible functions, group limits.

    The many-dimensional form of the bound L2 of Martello and Toth (1990), as an LP over all resources and functions at
    once. At least `fluid_bound`, at most the bound of the patterns (`optimizer.placement.columns`).
    """
    return _solve(problem, cuts=True, whole=whole)[0]


def sharpened_prices(problem: PlacementProblem) -> tuple[float, np.ndarray]:
    """`sharpened_bound`, and ``[class]`` what one more replica costs there: prices to begin pricing with."""
    return _solve(problem, cuts=True, whole=True)


def _solve(problem: PlacementProblem, *, cuts: bool, whole: bool) -> tuple[float, np.ndarray]:
    solver = pywraplp.Solver.CreateSolver("GLOP")
    infinity = solver.infinity()
    objective = solver.Objective()
    cover = [solver.Constraint(float(count), infinity) for count in problem.count]
    for row in cover:
        missing = solver.NumVar(0.0, infinity, "")
        row.SetCoefficient(missing, 1.0)
        objective.SetCoefficient(missing, problem.unplaced_price)
    for node_type in range(len(problem.node_count)):
        rows = node_rows(problem, node_type, cuts=cuts)
        nodes = solver.NumVar(0.0, float(problem.node_count[node_type]), "")
        objective.SetCoefficient(nodes, float(problem.price[node_type]))
        _add_rows(solver, nodes, rows, cover, cuts=cuts)
    objective.SetMinimization()
    if solver.Solve() != pywraplp.Solver.OPTIMAL:
        return 0.0, np.zeros(problem.classes)
    value = float(objective.Value())
    worth = np.clip([row.dual_value() for row in cover], 0.0, problem.unplaced_price)
    bound = round_up_to_prices(problem, value) if whole else max(0.0, value - 1e-6 * max(1.0, value))
    return bound, worth


def _add_rows(
    solver: pywraplp.Solver,
    nodes: pywraplp.Variable,
    rows: NodeRows,
    cover: list[pywraplp.Constraint],
    *,
    cuts: bool,
) -> None:
    """``share.T @ replicas <= nodes``; the replicas count for their classes."""
    infinity = solver.infinity()
    replicas = [solver.NumVar(0.0, infinity, "") for _ in rows.classes]
    for cls, variable in zip(rows.classes.tolist(), replicas):
        cover[cls].SetCoefficient(variable, 1.0)
    for share in rows.share.T:
        row = solver.Constraint(-infinity, 0.0)
        row.SetCoefficient(nodes, -1.0)
        for place in np.flatnonzero(share).tolist():
            row.SetCoefficient(replicas[place], float(share[place]))
    if not cuts:
        return
    for group in np.unique(rows.group[rows.group >= 0]):
        members = np.flatnonzero(rows.group == group).tolist()
        row = solver.Constraint(-infinity, 0.0)
        row.SetCoefficient(nodes, -float(rows.limit[members[0]]))
        for place in members:
            row.SetCoefficient(replicas[place], 1.0)
    for place, most in enumerate(rows.most.tolist()):
        row = solver.Constraint(-infinity, 0.0)
        row.SetCoefficient(nodes, -float(most))
        row.SetCoefficient(replicas[place], 1.0)
