"""The allocation problem in whole numbers, by OR-Tools (MathOpt with SCIP, HiGHS or CP-SAT).

The model counts nodes of a type and does not name them. Its capacity rows are sharpened by
`optimizer.fleet.packing.packing_cuts`, and its answer is placed: first fit, or spread where a reserve is asked for.
Where the placement needs more nodes than the model counted, those are bought; where there are none, the node type's
capacity rows are tightened. Then the model is solved again (`MAX_REPAIRS` times), and the best placed plan is kept.
With a reserve, models that allow so many replicas on a node follow as soon as some plan is placed. The bound is always
that of the first model, which every real placement satisfies. Small problems whose plan is not proved that way can be
solved node by node.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from optimizer.fleet.by_node import fits_by_node, solve_by_node
from optimizer.fleet.counted import Asked, CountedModel
from optimizer.fleet.greedy import solve_greedy
from optimizer.fleet.packing import first_fit
from optimizer.fleet.plan import FleetPlan, InvalidPlanError, validate_plan
from optimizer.fleet.priorities import by_priority
from optimizer.fleet.problem import FleetProblem
from optimizer.fleet.repair import within_budget
from optimizer.fleet.solvers import MipLimits, SolverTroubleError, solve_model

__all__ = ["MipLimits", "SolverTroubleError", "solve_fleet_mip"]

MAX_REPAIRS = 3
"""Further solves when a model's answer cannot be placed on the nodes it counted."""

QUOTAS = (1.0, 0.5, 1 / 3, 0.25, 1 / 6, 0.125)
"""Parts of its reserve that a stage may have on one node, each tried."""


def solve_fleet_mip(problem: FleetProblem, limits: MipLimits | None = None) -> FleetPlan:
    """Best whole-number plan found within the limits, checked and placed.

    Returns
    -------
    FleetPlan
        ``optimal`` if its value is within ``limits.gap`` of the bound, else ``feasible``. With classes of priority both
        are those of the last class, given what higher ones got.

    Raises
    ------
    SolverTroubleError
        If the solver found nothing or returned something that fails the check.
    """
    chosen = limits or MipLimits()
    if problem.service_priority is None:
        return _solve(problem, chosen)
    return by_priority(problem, lambda plain, start: _solve(plain, chosen, start))


def _solve(problem: FleetProblem, limits: MipLimits, start: np.ndarray | None = None) -> FleetPlan:
    """The plan of one class; from ``start``, which keeps the limits, by the greedy where no other is placed."""
    if not (problem.required_rps > 0.0).any() and not problem.replicas_now.any():
        nothing = np.zeros_like(problem.replicas_now)
        return validate_plan(problem, nothing, status="optimal", bound=0.0, note="no demand")
    wanted = problem.reserve_rps is not None if limits.by_node is None else limits.by_node
    by_node = wanted and fits_by_node(problem)
    plans, bound, trouble = _counted(
        problem, limits, repairs=0 if by_node and problem.reserve_rps is not None else None
    )
    within = limits.gap * _price_scale(problem) + 1e-6
    best = min(plans, key=lambda p: p.objective_usd_per_hour, default=None)
    note = "" if len(plans) <= 1 else f"placed after {len(plans) - 1} repairs"
    if problem.reserve_rps is not None:
        note = f"best of {len(plans)} placed with a reserve"
    proved = best is not None and best.objective_usd_per_hour - bound <= within
    if not proved and by_node:
        exact, sharper = solve_by_node(problem, limits, _price_scale(problem))
        bound = max(bound, sharper)
        if exact is not None and (best is None or exact.objective_usd_per_hour < best.objective_usd_per_hour):
            best, note = exact, "placed node by node"
    if best is None and start is not None:
        best, note = solve_greedy(problem, start), f"greedy from the class before, for {trouble}"
    if best is None:
        raise SolverTroubleError(trouble)
    proved = best.objective_usd_per_hour - bound <= within
    return replace(best, status="optimal" if proved else "feasible", bound_usd_per_hour=bound, note=note)


def _counted(
    problem: FleetProblem, limits: MipLimits, repairs: int | None = None
) -> tuple[list[FleetPlan], float, str]:
    """Placed plans of a few models that count nodes, the first one's bound, and what the last broken plan broke.

    With 0 ``repairs`` only the first model is solved; by default there are `MAX_REPAIRS`, with a reserve
    only until some plan is placed, and then quotas.
    """
    asked = Asked.of(problem)
    plans: list[FleetPlan] = []
    bound, trouble = 0.0, "no plan could be placed"
    quotas = problem.reserve_rps is not None and repairs is None
    for attempt in range(1 + (MAX_REPAIRS if repairs is None else repairs)):
        try:
            replicas, nodes, dual = _solve_once(problem, limits, asked)
        except SolverTroubleError:
            if attempt == 0:
                raise
            break
        bound = max(0.0, dual) if attempt == 0 else bound
        placed, crowded = _place(problem, replicas, nodes, asked)
        try:
            plan = _finished(problem, placed, nodes, bound)
        except InvalidPlanError as error:
            trouble = str(error)
        else:
            plans.append(plan)
        if not crowded or (quotas and plans):
            break
    if quotas:
        plans += _with_quotas(problem, limits, bound)
    return plans, bound, trouble


def _solve_once(problem: FleetProblem, limits: MipLimits, asked: Asked) -> tuple[np.ndarray, np.ndarray, float]:
    """Build and solve one model: ``replicas[variant, node_type]``, ``nodes[node_type]`` and the bound."""
    counted = CountedModel(problem, asked, whole=limits.solver == "cp_sat")
    solved = solve_model(counted.model, limits, _price_scale(problem))
    return *counted.read(solved), solved.bound - counted.rounding_usd_per_hour


def _finished(problem: FleetProblem, placed: np.ndarray, nodes: np.ndarray, bound: float) -> FleetPlan:
    """The checked plan of replicas that a placement holds."""
    kept = within_budget(problem, problem.brought_to_floor(placed))
    return validate_plan(problem, kept, status="feasible", bound=bound, nodes=nodes)


def _with_quotas(problem: FleetProblem, limits: MipLimits, bound: float) -> list[FleetPlan]:
    """Plans in which no node holds more than some part of what a stage needs, for several parts."""
    reserve = problem.reserve_rps
    assert reserve is not None
    runs = problem.throughput_rps > 0.0
    alone = reserve[problem.variant_stage][:, None] / np.where(runs, problem.throughput_rps, 1.0)
    plans: list[FleetPlan] = []
    seen: set[bytes] = set()
    for part in QUOTAS:
        quota = np.where(runs, np.maximum(1, np.ceil(part * alone - 1e-9)), 0).astype(np.int64)
        if quota.tobytes() in seen:
            continue
        seen.add(quota.tobytes())
        asked = replace(Asked.of(problem), quota=quota)
        try:
            replicas, nodes, _ = _solve_once(problem, limits, asked)
            placed, _ = _place(problem, replicas, nodes, asked)
            plans.append(_finished(problem, placed, nodes, bound))
        except (SolverTroubleError, InvalidPlanError):
            continue
    return plans


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


def _place(problem: FleetProblem, replicas: np.ndarray, nodes: np.ndarray, asked: Asked) -> tuple[np.ndarray, bool]:
    """Replicas that a placement holds, and whether some type was crowded; tightens such types in place."""
    placed = replicas.copy()
    crowded = False
    for n, count in enumerate(problem.node_count):
        packing = first_fit(problem.share[:, n], replicas[:, n], int(count))
        placed[:, n] = packing.placed
        if packing.complete < replicas[:, n].sum() or packing.nodes > nodes[n]:
            crowded = True
            used = np.where(replicas[:, n, None] > 0, problem.share[:, n] * replicas[:, n, None], 0.0).sum(axis=0)
            tightness = asked.tightness
            tightness[n] = 0.97 * min(float(tightness[n]), float(used.max()) / max(1, int(nodes[n])))
    return placed, crowded
