"""The allocation problem in whole numbers, by OR-Tools (MathOpt with SCIP).

The model counts nodes of a type and does not name them. Its capacity rows are sharpened by
`optimizer.fleet.packing.packing_cuts`, and its answer is placed first fit. Where the placement needs more nodes
than the model counted, those are bought; where there are none, the node type's capacity rows are tightened
and the model solved again (`MAX_REPAIRS` times), and the best placed plan is kept. The bound is always that
of the first model, which every real placement satisfies.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from ortools.math_opt.python import mathopt

from optimizer.fleet.packing import first_fit, packing_cuts
from optimizer.fleet.problem import FleetPlan, FleetProblem, validate_plan

__all__ = ["MipLimits", "SolverTroubleError", "solve_fleet_mip"]

MAX_REPAIRS = 3
"""Further solves when a model's answer cannot be placed on the nodes it counted."""


class SolverTroubleError(RuntimeError):
    """The solver returned no usable solution; the message says why."""


@dataclass(frozen=True)
class MipLimits:
    """When the search stops. Work is counted, not seconds, so that a run is the same on every machine.

    Attributes
    ----------
    gap
        A solution is good enough if its value is within this fraction of the scale of `_price_scale` from the bound.
        The objective itself is no scale: where demand exceeds the cluster, it is nearly all unavoidable penalty.
    nodes
        Branch-and-bound nodes at most.
    thorough
        Use SCIP's cuts and presolve in full: slower on the small problems of a control loop, better on
        large ones.
    """

    gap: float = 0.01
    nodes: int = 500
    thorough: bool = False

    def parameters(self, price_scale: float) -> mathopt.SolveParameters:
        """Parameters of MathOpt: one thread, fixed seed."""
        effort = mathopt.Emphasis.MEDIUM if self.thorough else mathopt.Emphasis.LOW
        return mathopt.SolveParameters(
            threads=1,
            random_seed=1,
            relative_gap_tolerance=0.0,
            absolute_gap_tolerance=self.gap * price_scale,
            node_limit=self.nodes,
            presolve=effort,
            heuristics=effort,
            cuts=mathopt.Emphasis.MEDIUM if self.thorough else mathopt.Emphasis.OFF,
        )


def solve_fleet_mip(problem: FleetProblem, limits: MipLimits | None = None) -> FleetPlan:
    """Best whole-number plan found within the limits, checked and placed.

    Returns
    -------
    FleetPlan
        ``optimal`` if its value is within ``limits.gap`` of the bound, else ``feasible``.

    Raises
    ------
    SolverTroubleError
        If the solver found nothing or returned something that fails the check.
    """
    limits = limits or MipLimits()
    if not (problem.required_rps > 0.0).any() and not problem.replicas_now.any():
        return validate_plan(
            problem, np.zeros_like(problem.replicas_now), status="optimal", bound=0.0, note="no demand"
        )
    tightness = np.ones(len(problem.node_count))
    bound = -np.inf
    plans: list[FleetPlan] = []
    for attempt in range(1 + MAX_REPAIRS):
        replicas, nodes, dual = _solve_once(problem, limits, tightness)
        bound = dual if attempt == 0 else bound
        placed, crowded = _place(problem, replicas, nodes, tightness)
        placed = problem.brought_to_floor(placed)
        plans.append(validate_plan(problem, placed, status="feasible", bound=max(0.0, bound)))
        if not crowded:
            break
    best = min(plans, key=lambda p: p.objective_usd_per_hour)
    within = best.objective_usd_per_hour - max(0.0, bound) <= limits.gap * _price_scale(problem) + 1e-6
    note = "" if len(plans) == 1 else f"placed after {len(plans) - 1} repairs"
    return replace(best, status="optimal" if within else "feasible", note=note)


def _price_scale(problem: FleetProblem) -> float:
    """What covering demand costs at least, USD per hour: each stage by its cheapest pair, whole nodes ignored.

    At most the price of the whole cluster, at least that of its cheapest node.
    """
    runs = problem.most > 0
    part = np.where(runs, problem.share.max(axis=2), 0.0) * problem.price_usd_per_hour
    per_rps = np.where(runs, part / np.where(runs, problem.throughput_rps, 1.0), np.inf).min(axis=1, initial=np.inf)
    cheapest = np.full(len(problem.demand_rps), np.inf)
    np.minimum.at(cheapest, problem.variant_stage, per_rps)
    cost = float((problem.required_rps * np.where(np.isfinite(cheapest), cheapest, 0.0)).sum())
    least = float(np.min(problem.price_usd_per_hour, initial=np.inf))
    return max(least, min(cost, float(np.dot(problem.price_usd_per_hour, problem.node_count))))


def _place(
    problem: FleetProblem, replicas: np.ndarray, nodes: np.ndarray, tightness: np.ndarray
) -> tuple[np.ndarray, bool]:
    """Replicas that a placement holds, and whether some type was crowded; tightens such types in place."""
    placed = replicas.copy()
    crowded = False
    for n, count in enumerate(problem.node_count):
        packing = first_fit(problem.share[:, n], replicas[:, n], int(count))
        placed[:, n] = packing.placed
        if packing.complete < replicas[:, n].sum() or packing.nodes > nodes[n]:
            crowded = True
            used = np.where(replicas[:, n, None] > 0, problem.share[:, n] * replicas[:, n, None], 0.0).sum(axis=0)
            tightness[n] = 0.97 * min(float(tightness[n]), float(used.max()) / max(1, int(nodes[n])))
    return placed, crowded


def _solve_once(
    problem: FleetProblem, limits: MipLimits, tightness: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """Build and solve one model: ``replicas[variant, node_type]``, ``nodes[node_type]`` and the bound."""
    model, x, y = _build(problem, tightness)
    result = mathopt.solve(model, mathopt.SolverType.GSCIP, params=limits.parameters(_price_scale(problem)))
    if not result.has_primal_feasible_solution():
        raise SolverTroubleError(f"SCIP found no solution ({result.termination.reason.name.lower()})")
    value = result.variable_values()
    replicas = np.zeros(problem.throughput_rps.shape, dtype=np.int64)
    for pair, variable in x.items():
        replicas[pair] = round(value[variable])
    nodes = np.array([round(value[v]) for v in y], dtype=np.int64)
    return replicas, nodes, float(result.termination.objective_bounds.dual_bound)


def _build(
    problem: FleetProblem, tightness: np.ndarray
) -> tuple[mathopt.Model, dict[tuple[int, int], mathopt.Variable], list[mathopt.Variable]]:
    model = mathopt.Model(name="fleet")
    runs = problem.throughput_rps > 0.0
    pairs = [(int(v), int(n)) for v, n in np.argwhere(runs & (_upper(problem) > 0))]
    upper = _upper(problem)
    x = {p: model.add_integer_variable(lb=0.0, ub=float(upper[p])) for p in pairs}
    y = [model.add_integer_variable(lb=0.0, ub=float(c)) for c in problem.node_count]
    cost = [float(problem.price_usd_per_hour[n]) * node for n, node in enumerate(y)]
    cost += _cover_demand(model, problem, x)
    cost += _count_changes(model, problem, x)
    cost += _keep_accuracy(model, problem, x)
    _fit_nodes(model, problem, x, y, tightness)
    model.minimize(mathopt.fast_sum(cost))
    return model, x, y


def _upper(problem: FleetProblem) -> np.ndarray:
    """``[variant, node_type]`` replicas that can help at most: what demand can use, or what runs."""
    if problem.replica_limit is None:
        return np.maximum(problem.most, np.where(problem.throughput_rps > 0.0, problem.replicas_now, 0))
    return problem.most


def _cover_demand(
    model: mathopt.Model, problem: FleetProblem, x: dict[tuple[int, int], mathopt.Variable]
) -> list[mathopt.LinearTerm]:
    """Rows for each stage with demand, in fractions of it: served or unserved, and at least one replica."""
    largest = float(problem.required_rps.max(initial=0.0)) or 1.0
    unserved = [model.add_variable(lb=0.0) for _ in range(int(problem.stage_service.max(initial=-1)) + 1)]
    penalty = 3600.0 * problem.unserved_usd_per_request * largest
    cost: list[mathopt.LinearTerm] = [penalty * u for u in unserved]
    for stage in np.flatnonzero(problem.required_rps > 0.0):
        required = float(problem.required_rps[stage])
        pairs = [p for p in x if problem.variant_stage[p[0]] == stage]
        absent = model.add_variable(lb=0.0)
        served = [float(problem.throughput_rps[p]) / required * x[p] for p in pairs]
        model.add_linear_constraint(
            mathopt.fast_sum([*served, largest / required * unserved[problem.stage_service[stage]]]) >= 1.0
        )
        model.add_linear_constraint(mathopt.fast_sum([*[1.0 * x[p] for p in pairs], 1.0 * absent]) >= 1.0)
        cost.append(problem.absent_usd_per_hour * absent)
    return cost


def _count_changes(
    model: mathopt.Model, problem: FleetProblem, x: dict[tuple[int, int], mathopt.Variable]
) -> list[mathopt.LinearTerm]:
    """Priced differences from the replicas that run now."""
    cost: list[mathopt.LinearTerm] = []
    for pair, variable in x.items():
        churn, now = float(problem.churn_usd_per_hour[pair]), float(problem.replicas_now[pair])
        if churn <= 0.0:
            continue
        if now == 0.0:
            cost.append(churn * variable)
            continue
        change = model.add_variable(lb=0.0)
        model.add_linear_constraint(change - variable >= -now)
        model.add_linear_constraint(change + variable >= now)
        cost.append(churn * change)
    return cost


def _keep_accuracy(
    model: mathopt.Model, problem: FleetProblem, x: dict[tuple[int, int], mathopt.Variable]
) -> list[mathopt.LinearTerm]:
    """Rows of the accuracy floors, in parts of the largest coefficient, and the price of accuracy lost."""
    for stage in problem.floored_stages:
        pairs = [p for p in x if problem.variant_stage[p[0]] == stage]
        assert problem.floor_credit is not None
        terms = [float(problem.floor_credit[p] / problem.credit_scale[stage]) * x[p] for p in pairs]
        model.add_linear_constraint(mathopt.fast_sum(terms) >= 0.0)
    if problem.lost_usd_per_hour is None:
        return []
    return [float(problem.lost_usd_per_hour[p]) * variable for p, variable in x.items()]


def _fit_nodes(
    model: mathopt.Model,
    problem: FleetProblem,
    x: dict[tuple[int, int], mathopt.Variable],
    y: list[mathopt.Variable],
    tightness: np.ndarray,
) -> None:
    """Capacity rows in fractions of a node, and the cuts of whole replicas on whole nodes."""
    for n, node in enumerate(y):
        variants = [v for v, m in x if m == n]
        if not variants:
            continue
        share = problem.share[variants, n]
        for row in [*(r for r in share.T if r.any()), *packing_cuts(share)]:
            terms = [float(a) * x[v, n] for v, a in zip(variants, row) if a > 0.0]
            model.add_linear_constraint(mathopt.fast_sum(terms) <= float(tightness[n]) * node)
