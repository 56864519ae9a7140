"""What a given set of nodes can serve at most: replicas that make its weakest stage as strong as can be.

In whole numbers (SCIP) for a fleet, and as a fluid (GLOP), whose duals say which resource of which node type binds.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from ortools.math_opt.python import mathopt

from optimizer.fleet.packing import first_fit, packing_cuts, shares
from optimizer.fleet.problem import FleetProblem

__all__ = ["Binding", "binding_resources", "strongest_replicas"]

PER_REPLICA = 1e-6
"""What a replica is worth less than strength: none is wanted that adds nothing."""
REPAIRS = 3
LIMIT_NODES = 2000
NODE_BY_NODE = 16
"""Where replicas found no room on the nodes that a model counted, so many nodes of a type at most are modelled each for
itself; of more, the capacity is tightened."""


@dataclass(frozen=True)
class Binding:
    """What limits the load that a set of nodes can serve.

    Attributes
    ----------
    strength
        Largest factor on the demand, of replicas and nodes as fluids.
    resource_share
        ``[node_type, resource]`` by what part of itself the largest load would grow if the fleet had as much again of
        the resource; they add up to 1 where nothing else binds and nothing stands beside.
    stage_share
        ``[stage]`` by what part of itself it would grow if the stage had no demand growth to serve; they add up to 1.
    """

    strength: float
    resource_share: np.ndarray
    stage_share: np.ndarray


def strongest_replicas(
    problem: FleetProblem,
    nodes: np.ndarray,
    peak_rps: np.ndarray,
    fallback: np.ndarray,
    standing_rps: np.ndarray | None = None,
) -> np.ndarray:
    """``[variant, node_type]`` whole replicas on ``nodes[node_type]`` with the largest ``min_stage served / peak``.

    ``standing_rps[stage]`` is what others serve beside them, on nodes of their own.

    Where lost accuracy has a price, only replicas beyond ``fallback`` are added, so that a fast and poor variant is
    not taken for the one that the price asks for; likewise where there is a reserve.
    """
    some = np.flatnonzero(peak_rps > 0.0)
    if len(some) == 0:
        return fallback
    priced = problem.lost_usd_per_hour is not None and bool(problem.lost_usd_per_hour.any())
    least = fallback if priced or problem.reserve_rps is not None else 0 * fallback
    beside = np.zeros(len(peak_rps)) if standing_rps is None else standing_rps
    tightness = np.ones(len(nodes))
    each: set[int] = set()
    for _ in range(1 + REPAIRS):
        found = _solve(problem, nodes, peak_rps, some, least, tightness, each, beside)
        if found is None:
            return fallback
        crowded = False
        for n in range(len(nodes)):
            packing = first_fit(problem.share[:, n], found[:, n], int(nodes[n]))
            if packing.complete < found[:, n].sum():
                crowded = True
                if nodes[n] <= NODE_BY_NODE and n not in each:
                    each.add(n)
                else:
                    tightness[n] *= 0.97
        if not crowded:
            strength, before = (
                float(((problem.served_rps(x) + beside)[some] / peak_rps[some]).min()) for x in (found, fallback)
            )
            return found if strength >= before and problem.keeps_floor(found) else fallback
    return fallback


def _solve(
    problem: FleetProblem,
    nodes: np.ndarray,
    peak_rps: np.ndarray,
    some: np.ndarray,
    least: np.ndarray,
    tightness: np.ndarray,
    each: set[int],
    beside: np.ndarray,
) -> np.ndarray | None:
    model = mathopt.Model(name="strongest fleet")
    runs = (problem.throughput_rps > 0.0) & np.isfinite(problem.share).all(axis=2) & (nodes > 0)
    x = {(int(v), int(n)): model.add_integer_variable(lb=float(least[v, n])) for v, n in np.argwhere(runs)}
    factor = model.add_variable(lb=0.0)
    _serve(model, problem, x, factor, peak_rps, some, beside)
    for n in range(len(nodes)):
        variants = [v for v, m in x if m == n]
        if not variants:
            continue
        share = problem.share[variants, n]
        for row in [*(r for r in share.T if r.any()), *packing_cuts(share)]:
            used = mathopt.fast_sum([float(a) * x[v, n] for v, a in zip(variants, row) if a > 0.0])
            model.add_linear_constraint(used <= float(tightness[n] * nodes[n]))
        if n in each:
            _place_each(model, share, [x[v, n] for v in variants], int(nodes[n]))
    _keep_floors(model, problem, x)
    model.maximize(factor - PER_REPLICA * mathopt.fast_sum(list(x.values())))
    limits = mathopt.SolveParameters(threads=1, random_seed=1, node_limit=LIMIT_NODES, relative_gap_tolerance=1e-4)
    result = mathopt.solve(model, mathopt.SolverType.GSCIP, params=limits)
    if not result.has_primal_feasible_solution():
        return None
    value, replicas = result.variable_values(), np.zeros(problem.throughput_rps.shape, dtype=np.int64)
    for pair, variable in x.items():
        replicas[pair] = round(value[variable])
    return replicas


def _place_each(model: mathopt.Model, share: np.ndarray, total: list[mathopt.Variable], nodes: int) -> None:
    """Every node of a type for itself: ``total[variant]`` replicas are divided among them."""
    placed = [[model.add_integer_variable(lb=0.0) for _ in total] for _ in range(nodes)]
    for on_node in placed:
        for claim in share.T:
            used = mathopt.fast_sum([float(a) * z for a, z in zip(claim, on_node) if a > 0.0])
            model.add_linear_constraint(used <= 1.0)
    for v, variable in enumerate(total):
        model.add_linear_constraint(mathopt.fast_sum([on_node[v] for on_node in placed]) - variable == 0.0)
    for one, other in pairwise(placed):  # nodes are alike: the fullest by the first variant comes first
        model.add_linear_constraint(one[0] - other[0] >= 0.0)


def _serve(
    model: mathopt.Model,
    problem: FleetProblem,
    x: dict[tuple[int, int], mathopt.Variable],
    factor: mathopt.Variable,
    peak_rps: np.ndarray,
    some: np.ndarray,
    beside: np.ndarray,
) -> list[mathopt.LinearConstraint]:
    """Rows ``(sum throughput x + beside) / peak >= factor``, one a stage with demand."""
    rows = []
    for s in some:
        rates = [float(problem.throughput_rps[p] / peak_rps[s]) * x[p] for p in x if problem.variant_stage[p[0]] == s]
        least = -float(beside[s] / peak_rps[s])
        rows.append(model.add_linear_constraint(mathopt.fast_sum(rates) - factor >= least))
    return rows


def _keep_floors(model: mathopt.Model, problem: FleetProblem, x: dict[tuple[int, int], mathopt.Variable]) -> None:
    for s in problem.floored_stages:
        assert problem.floor_credit is not None
        credit = [
            float(problem.floor_credit[p] / problem.credit_scale[s]) * x[p]
            for p in x
            if problem.variant_stage[p[0]] == s
        ]
        model.add_linear_constraint(mathopt.fast_sum(credit) >= 0.0)


def binding_resources(
    problem: FleetProblem, nodes: np.ndarray, peak_rps: np.ndarray, standing_rps: np.ndarray | None = None
) -> Binding:
    """The linear programme ``max factor`` of the same nodes with fractional replicas, and its duals.

    By strong duality ``factor = sum nodes price`` over capacity rows (and accuracy floors, whose right side is 0), so
    ``nodes price / factor`` are shares that add up to 1; to less where ``standing_rps[stage]``, which others serve
    beside, carries the rest.
    """
    beside = np.zeros(len(peak_rps)) if standing_rps is None else standing_rps
    model = mathopt.Model(name="what binds")
    runs = (problem.throughput_rps > 0.0) & np.isfinite(problem.share).all(axis=2)
    x = {(int(v), int(n)): model.add_variable(lb=0.0) for v, n in np.argwhere(runs)}
    factor = model.add_variable(lb=0.0)
    some = np.flatnonzero(peak_rps > 0.0)
    stage_rows = _serve(model, problem, x, factor, peak_rps, some, beside)
    claim = shares(problem.need, problem.capacity)
    types, resources = claim.shape[1:]
    capacity = {
        (n, r): model.add_linear_constraint(
            mathopt.fast_sum([float(claim[p][r]) * x[p] for p in x if p[1] == n]) <= float(nodes[n])
        )
        for n in range(types)
        for r in range(resources)
    }
    _keep_floors(model, problem, x)
    model.maximize(factor)
    result = mathopt.solve(model, mathopt.SolverType.GLOP)
    share, stages = np.zeros((types, resources)), np.zeros(len(peak_rps))
    if result.termination.reason != mathopt.TerminationReason.OPTIMAL:
        return Binding(0.0, share, stages)
    dual, largest = result.dual_values(), float(result.objective_value())
    for (n, r), row in capacity.items():
        share[n, r] = dual[row] * float(nodes[n]) / largest if largest > 0.0 else 0.0
    for s, row in zip(some, stage_rows):
        stages[s] = -dual[row]
    return Binding(largest, share, stages)
