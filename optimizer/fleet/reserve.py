"""Reserve for the loss of any one node: what a placement may lose, and placements that lose little.

A fleet survives the loss of a node if, for every node ``j`` that it uses and every stage,

    sum throughput x - (what j serves of the stage) >= reserve

so it is the *worst* node of the placement that counts, stage by stage (all of its stages are lost at once, but each has
its own row). Two things lower that loss: spreading the replicas of a stage over the nodes there are, and paying for
more nodes. `spread` does both, as far as they pay.

`with_reserve` makes a planner that knows no reserve keep one: it asks for ``reserve + loss`` instead of ``demand``.
The loss is that of some even spreads to begin with, then the one that the last placement had.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from optimizer.fleet.packing import FIT_TOLERANCE, first_fit, orders
from optimizer.fleet.plan import FleetPlan, InvalidPlanError, validate_plan
from optimizer.fleet.problem import FleetProblem

__all__ = ["place_evenly", "spread", "with_reserve", "worst_loss_rps"]

SPREAD_OVER = (np.inf, 2.0, 3.0, 5.0)
"""Nodes over which `with_reserve` takes a stage to be spread evenly when it asks first: what it loses then."""

ROUNDS = 3
"""How often it asks for each of those, with the loss that the last placement had."""


def worst_loss_rps(problem: FleetProblem, on_nodes: Sequence[np.ndarray]) -> np.ndarray:
    """``[stage]`` most that one node of the placement serves; ``on_nodes[node_type][node, variant]``."""
    worst = np.zeros(len(problem.demand_rps))
    for n, on in enumerate(on_nodes):
        if len(on):
            np.maximum(worst, _stage_load(problem, n, on).max(axis=0), out=worst)
    return worst


def spread(problem: FleetProblem, replicas: np.ndarray, nodes: np.ndarray | None = None) -> tuple[np.ndarray, ...]:
    """A placement ``[node, variant]`` for each node type that leaves as little to lose as pays.

    From the fewest nodes that first fit needs (or ``nodes``, if that is more) one node of a type, or of all types in
    use, is added or taken away while that lowers the objective.

    Raises
    ------
    InvalidPlanError
        If no placement of all replicas is found.
    """
    types = range(len(problem.node_count))
    least = [_fewest(problem, n, replicas[:, n]) for n in types]
    most = [int(min(problem.node_count[n], replicas[:, n].sum())) for n in types]
    hint = least if nodes is None else [max(least[n], min(most[n], int(nodes[n]))) for n in types]
    known: dict[tuple[int, int], np.ndarray | None] = {}

    def placed(counts: Sequence[int]) -> tuple[float, tuple[np.ndarray, ...]] | None:
        for n, count in enumerate(counts):
            if (n, count) not in known:
                known[n, count] = place_evenly(problem, n, replicas[:, n], count)
        found = tuple(on for n, c in enumerate(counts) if (on := known[n, c]) is not None)
        if len(found) < len(counts):
            return None
        used = np.array([int(on.any(axis=1).sum()) for on in found])
        if not problem.keeps_budget(used):
            return None
        return problem.objective_usd_per_hour(replicas, used, worst_loss_rps(problem, found)), found

    # An even placement may need more nodes than first fit does.
    more = [[min(most[n], least[n] + k) if least[n] else 0 for n in types] for k in range(1, 4)]
    best = None
    for counts in (hint, least, *more):
        best = placed(counts)
        if best is not None:
            break
    if best is None:
        raise InvalidPlanError("no placement found for all replicas within the budget")
    while True:
        steps = [[c + d if n == m else c for n, c in enumerate(counts)] for m in types for d in (1, -1)]
        steps.append([c + 1 if least[n] else c for n, c in enumerate(counts)])
        steps = [s for s in steps if all(least[n] <= s[n] <= most[n] for n in types)]
        tried = [(answer, step) for step in steps if (answer := placed(step)) is not None]
        better = [(answer, step) for answer, step in tried if answer[0] < best[0] - 1e-9]
        if not better:
            return best[1]
        best, counts = min(better, key=lambda found: found[0][0])


def place_evenly(problem: FleetProblem, node_type: int, replicas: np.ndarray, nodes: int) -> np.ndarray | None:
    """``[node, variant]`` replicas on at most so many nodes, each stage spread over them; None where they do not fit.

    Largest replicas first, each on the node with room that serves least of its stage, and of those the fullest. Where
    that does not fit, each order of first fit decreasing is tried, so that what `first_fit` places finds room here too.
    """
    if replicas.sum() == 0:
        return np.zeros((nodes, len(replicas)), dtype=np.int64)
    if nodes == 0:
        return None
    share = problem.share[:, node_type]
    by_size = orders(share, replicas)
    for even, order in [(True, by_size[0]), *((False, order) for order in by_size)]:
        on = np.zeros((nodes, len(replicas)), dtype=np.int64)
        left = np.ones((nodes, share.shape[1]))
        load = np.zeros((nodes, len(problem.demand_rps)))
        if all(_put(problem, node_type, v, int(replicas[v]), on, left, load, even) for v in order):
            return on
    return None


def _put(
    problem: FleetProblem,
    n: int,
    variant: int,
    copies: int,
    on: np.ndarray,
    left: np.ndarray,
    load: np.ndarray,
    even: bool,
) -> bool:
    """Place copies of a variant one by one; false where one finds no room."""
    claim, stage = problem.share[variant, n], problem.variant_stage[variant]
    for _ in range(copies):
        room = np.flatnonzero((left + FIT_TOLERANCE >= claim).all(axis=1))
        if room.size == 0:
            return False
        first = np.lexsort((left[room].sum(axis=1), load[room, stage]))[0] if even else 0
        node = room[first]
        on[node, variant] += 1
        left[node] -= claim
        load[node, stage] += problem.throughput_rps[variant, n]
    return True


def with_reserve(problem: FleetProblem, solve: Callable[[FleetProblem], FleetPlan]) -> FleetPlan:
    """The best of some rounds of a planner that knows no reserve, each told what a placement may lose.

    Raises
    ------
    InvalidPlanError
        If none of the rounds yields a plan.
    """
    assert problem.reserve_rps is not None
    reserve, best = problem.reserve_rps, None
    for nodes in SPREAD_OVER:
        loss = reserve / (nodes - 1.0)
        for attempt in range(ROUNDS):
            plan = _asked_for(problem, solve, loss)
            assert plan.lost_rps is not None
            is_kept = problem.keeps_limits(problem.unserved_by_service_rps(plan.replicas, plan.lost_rps))
            if is_kept and (best is None or plan.objective_usd_per_hour < best.objective_usd_per_hour):
                best = plan
            told = plan.lost_rps if attempt == 0 else np.maximum(loss, plan.lost_rps)
            if np.allclose(told, loss, rtol=1e-9, atol=1e-9):
                break
            loss = told
    if best is None:
        raise InvalidPlanError("no plan with a reserve keeps the limits on what is unserved")
    return best


def _asked_for(problem: FleetProblem, solve: Callable[[FleetProblem], FleetPlan], loss_rps: np.ndarray) -> FleetPlan:
    """The plan of a planner that is asked for the reserve and a loss beyond it, with its placement."""
    assert problem.reserve_rps is not None
    free = replace(problem, unserved_limit_rps=None)
    with_loss = np.where(problem.reserve_rps > 0.0, problem.reserve_rps + loss_rps, 0.0)
    asked = np.maximum(problem.required_rps, with_loss)
    found = solve(replace(free, demand_rps=asked, headroom=0.0, reserve_rps=None))
    return validate_plan(free, found.replicas, status="feasible", note=found.note)


def _stage_load(problem: FleetProblem, node_type: int, on: np.ndarray) -> np.ndarray:
    """``[node, stage]`` rate that each node serves."""
    load = np.zeros((len(on), len(problem.demand_rps)))
    np.add.at(load.T, problem.variant_stage, (on * problem.throughput_rps[:, node_type]).T)
    return load


def _fewest(problem: FleetProblem, node_type: int, replicas: np.ndarray) -> int:
    packing = first_fit(problem.share[:, node_type], replicas, int(problem.node_count[node_type]))
    if packing.complete < replicas.sum():
        raise InvalidPlanError("no placement found for all replicas")
    return packing.nodes
