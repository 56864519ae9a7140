"""Whole nodes from the linear programme over contents: diving, and the programme in whole numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from ortools.linear_solver import pywraplp

from optimizer.placement.contents import Content
from optimizer.placement.generation import Generator

__all__ = ["dive", "solve_known"]

WHOLE = 1e-6


def dive(
    generator: Generator,
    count: np.ndarray,
    node_count: np.ndarray,
    *,
    over: Callable[[], bool] = lambda: False,
) -> list[Content]:
    """Fix nodes of the programme's solution, solve it for the rest, and again until nothing is left to place.

    What the solution holds in whole nodes is fixed at once, else the largest fraction is rounded up. New contents are
    priced for what is left, for which those of the whole problem are a poor fit.
    """
    master = generator.master
    chosen: list[Content] = []
    left, there = count.copy(), node_count.copy()
    while left.any() and not over():
        master.ask(left, there)
        solution = master.solve()
        if solution is None:
            break
        if generator.enrich(solution):
            solution = master.solve()
            if solution is None:
                break
        whole = np.floor(solution.nodes + WHOLE).astype(np.int64)
        if not whole.any():
            part = solution.nodes
            if part.max(initial=0.0) <= WHOLE:
                break
            whole = np.zeros_like(whole)
            whole[int(np.argmax(part))] = 1
        for content in np.flatnonzero(whole).tolist():
            node_type, copies = master.types[content], master.copies[content]
            for _ in range(int(whole[content])):
                if there[node_type] and (np.minimum(copies, left) > 0).any():
                    chosen.append(Content(node_type, np.minimum(copies, left)))
                    left = np.maximum(left - copies, 0)
                    there[node_type] -= 1
    master.ask(generator.problem.count, generator.problem.node_count)
    return chosen


def solve_known(
    generator: Generator,
    count: np.ndarray,
    node_count: np.ndarray,
    *,
    gap: float,
    search_nodes: int,
    seconds: float | None = None,
) -> list[Content] | None:
    """The best whole numbers of nodes among the contents known so far (SCIP); None where nothing was found.

    Parameters
    ----------
    search_nodes
        Branch-and-bound nodes at most.
    seconds
        Wall-clock limit besides; None keeps the search the same on every machine.
    """
    problem, master = generator.problem, generator.master
    solver = pywraplp.Solver.CreateSolver("SCIP")
    covers = [np.minimum(copies, count) for copies in master.copies]
    useful = [j for j, copies in enumerate(covers) if copies.any() and node_count[master.types[j]] > 0]
    objective = solver.Objective()
    rows = [solver.Constraint(float(d), solver.infinity()) for d in count]
    there = [solver.Constraint(0.0, float(c)) for c in node_count]
    nodes = {j: solver.IntVar(0.0, float(node_count[master.types[j]]), "") for j in useful}
    for j, variable in nodes.items():
        objective.SetCoefficient(variable, float(problem.price[master.types[j]]))
        there[master.types[j]].SetCoefficient(variable, 1.0)
        for cls in np.flatnonzero(covers[j]).tolist():
            rows[cls].SetCoefficient(variable, float(covers[j][cls]))
    for row, demand in zip(rows, count.tolist()):
        missing = solver.IntVar(0.0, float(demand), "")
        row.SetCoefficient(missing, 1.0)
        objective.SetCoefficient(missing, problem.unplaced_price)
    objective.SetMinimization()
    solver.SetSolverSpecificParametersAsString(f"limits/nodes = {search_nodes}\nlimits/gap = {gap}\n")
    if seconds is not None:
        solver.SetTimeLimit(max(1, round(1000 * seconds)))
    if solver.Solve() not in (pywraplp.Solver.OPTIMAL, pywraplp.Solver.FEASIBLE):
        return None
    found: list[Content] = []
    left = count.copy()
    for j, variable in nodes.items():
        for _ in range(round(variable.solution_value())):
            found.append(Content(master.types[j], np.minimum(covers[j], left)))
            left = np.maximum(left - covers[j], 0)
    return [content for content in found if content.copies.any()]
