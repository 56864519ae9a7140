"""The allocation problem with every node named: exact for packing and for the reserve, for small problems.

To the model that counts nodes come ``x[variant, node]`` and ``open[node]``. Capacity holds on each node, and the loss
that a reserve allows for is at least what each node serves. Nodes of a type are alike, so they are ordered by how full
they are: without that a solver would try each of their permutations.
"""

from __future__ import annotations

import numpy as np
from ortools.math_opt.python import mathopt

from optimizer.fleet.counted import Asked, CountedModel
from optimizer.fleet.packing import per_node
from optimizer.fleet.plan import FleetPlan, InvalidPlanError, validate_plan
from optimizer.fleet.problem import FleetProblem
from optimizer.fleet.solvers import MipLimits, SolverTroubleError, solve_model

__all__ = ["MOST_CELLS", "fits_by_node", "solve_by_node"]

MOST_CELLS = 120
"""Pairs of a variant and a node up to which a problem is small."""


def fits_by_node(problem: FleetProblem) -> bool:
    """Whether the problem is small enough."""
    return int(((problem.throughput_rps > 0.0).sum(axis=0) * problem.node_count).sum()) <= MOST_CELLS


def solve_by_node(problem: FleetProblem, limits: MipLimits, price_scale: float) -> tuple[FleetPlan | None, float]:
    """The plan with its placement, None without one, and a bound for every plan (``-inf`` without one)."""
    counted = CountedModel(problem, Asked.of(problem), whole=limits.solver == "cp_sat")
    on = [_named(counted, problem, n) for n in range(len(problem.node_count))]
    try:
        solved = solve_model(counted.model, limits, price_scale)
    except SolverTroubleError:
        return None, -np.inf
    bound = solved.bound - counted.rounding_usd_per_hour
    replicas, _ = counted.read(solved)
    placed = []
    for nodes in on:
        here = np.zeros((len(nodes), len(replicas)), dtype=np.int64)
        for j, node in enumerate(nodes):
            for v, variable in node.items():
                here[j, v] = round(solved.value(variable))
        placed.append(here)
    try:
        return validate_plan(problem, replicas, status="feasible", on_nodes=placed), bound
    except InvalidPlanError:
        return None, bound


def _named(counted: CountedModel, problem: FleetProblem, n: int) -> list[dict[int, mathopt.Variable]]:
    """Variables and rows of the nodes of a type: for each node its variants' replicas."""
    model = counted.model
    copies = per_node(problem.share)
    variants = [v for v, m in counted.x if m == n]
    nodes: list[dict[int, mathopt.Variable]] = []
    opened = []
    for _ in range(int(problem.node_count[n]) if variants else 0):
        is_open = model.add_integer_variable(lb=0.0, ub=1.0)
        most = {v: float(min(copies[v, n], counted.upper[v, n])) for v in variants}
        node = {v: model.add_integer_variable(lb=0.0, ub=most[v]) for v in variants}
        for row in problem.share[variants, n].T:
            counted.within([(float(a), node[v]) for v, a in zip(variants, row) if a > 0.0], 1.0, is_open)
        for stage, loss in counted.loss.items():
            serves = [
                (-float(problem.throughput_rps[v, n]), node[v]) for v in variants if problem.variant_stage[v] == stage
            ]
            if serves:
                counted.at_least(serves, [(1.0, loss)], 0.0, counted.largest)
        if nodes:
            filled = mathopt.fast_sum([(1.0 + v) * (nodes[-1][v] - node[v]) for v in variants])
            model.add_linear_constraint(filled >= 0.0)
        nodes.append(node)
        opened.append(is_open)
    for v in variants:
        model.add_linear_constraint(mathopt.fast_sum([node[v] for node in nodes]) == counted.x[v, n])
    if opened:
        model.add_linear_constraint(mathopt.fast_sum(opened) <= counted.y[n])
    return nodes
