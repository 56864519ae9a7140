"""Marginal-cost greedy: add the replica whose served request costs least, node by node, then trim.

Room on a node that is already open costs nothing more, so it is filled first, by the replica that serves
most per part of a node. Otherwise a node is opened: the type and variant whose price per request/s actually
served is least. What that price is depends on what else will fill the node, which a greedy cannot know. So
it runs twice, once charging the first replicas with the whole node and once with their part of it, and
keeps the cheaper plan. No solver is involved.

A replica below its stage's accuracy floor is added only where those above it leave room for it in the mean, and lost
accuracy that has a price counts as a cost of the replica. No node is opened that the budget does not cover. Classes of
priority are filled one after the other (`optimizer.fleet.priorities`), and a reserve is kept by asking for more
(`optimizer.fleet.reserve`).
"""

from __future__ import annotations

import numpy as np

from optimizer.fleet.packing import Packing, Room, first_fit, per_node
from optimizer.fleet.priorities import by_priority
from optimizer.fleet.problem import FleetPlan, FleetProblem, InvalidPlanError, validate_plan
from optimizer.fleet.repair import within_budget
from optimizer.fleet.reserve import with_reserve

__all__ = ["solve_greedy"]


def solve_greedy(problem: FleetProblem, start: np.ndarray | None = None) -> FleetPlan:
    """A feasible plan without a bound.

    Parameters
    ----------
    start
        ``[variant, node_type]`` whole replicas to begin from (they are placed as far as they fit); none by
        default.
    """
    return by_priority(problem, _plain, start)


def _plain(problem: FleetProblem, start: np.ndarray | None) -> FleetPlan:
    if problem.reserve_rps is None:
        return _cheaper(problem, start)
    return with_reserve(problem, lambda without: _cheaper(without, start))


def _cheaper(problem: FleetProblem, start: np.ndarray | None) -> FleetPlan:
    plans, trouble = [], None
    for whole in (False, True):
        try:
            plans.append(_one_pass(problem, start, whole_node=whole))
        except InvalidPlanError as error:  # a limit on what is unserved, which one order of filling may miss
            trouble = error
    if not plans:
        assert trouble is not None
        raise trouble
    return min(plans, key=lambda plan: plan.objective_usd_per_hour)


def _one_pass(problem: FleetProblem, start: np.ndarray | None, *, whole_node: bool) -> FleetPlan:
    room = Room(problem.share, problem.node_count)
    replicas = np.zeros(problem.throughput_rps.shape, dtype=np.int64)
    if start is not None:
        start = within_budget(problem, problem.brought_to_floor(start))
        for v, n in np.argwhere(start > 0):
            replicas[v, n] = room.take(int(v), int(n), int(start[v, n]))
    _fill(problem, room, replicas, whole_node=whole_node)
    # The order of filling may have packed tighter than first fit does; what that cannot place is left out.
    replicas = problem.brought_to_floor(np.stack([p.placed for p in _packed(problem, replicas)], axis=1))
    replicas = within_budget(problem, replicas)
    _trim(problem, replicas)
    return validate_plan(problem, replicas, status="feasible", note="marginal greedy")


def _fill(problem: FleetProblem, room: Room, replicas: np.ndarray, *, whole_node: bool) -> None:
    """Add replicas until demand is covered, nothing fits, or serving costs more than the penalty."""
    pairs = [(int(v), int(n)) for v, n in np.argwhere((problem.throughput_rps > 0.0) & (problem.most > 0))]
    dominant = np.maximum(problem.share.max(axis=2), 1e-12)
    copies = per_node(problem.share)
    lost = np.zeros(replicas.shape) if problem.lost_usd_per_hour is None else problem.lost_usd_per_hour
    is_limited, types = np.isfinite(problem.budget_usd_per_hour), np.arange(len(problem.node_count))
    while True:
        allowed = _allowed(problem, replicas)
        left = problem.required_rps - problem.served_rps(replicas)
        absent = (problem.required_rps > 0.0) & (problem.stage_replicas(replicas) == 0)
        choice: tuple[float, float, int, int, bool] | None = None
        for v, n in pairs:
            stage = problem.variant_stage[v]
            if left[stage] <= 1e-9 or allowed[v, n] <= 0 or not room.fits(v, n).any():
                continue
            rate = float(problem.throughput_rps[v, n])
            gain = min(rate, left[stage])
            heavy = float(problem.weight[problem.stage_service[stage]])
            if room.fits(v, n, open_only=True).any():
                candidate = (lost[v, n] / (heavy * gain), dominant[v, n] / (heavy * gain), v, n, True)
            else:
                price = float(problem.price_usd_per_hour[n])
                if is_limited and not problem.keeps_budget(room.open_nodes() + (types == n)):
                    continue
                served = min(left[stage], rate * copies[v, n])
                worth = problem.unserved_usd_per_hour_rps[problem.stage_service[stage]] * served
                if price > worth + problem.absent_usd_per_hour * absent[stage]:
                    continue
                part = 1.0 if whole_node else min(1.0, dominant[v, n] * np.ceil(served / rate))
                usd = price * part / served + lost[v, n] / gain
                candidate = (usd / heavy, dominant[v, n] / (heavy * gain), v, n, False)
            choice = candidate if choice is None or candidate < choice else choice
        if choice is None:
            return
        _, _, v, n, in_open = choice
        wanted = int(np.ceil(left[problem.variant_stage[v]] / problem.throughput_rps[v, n] - 1e-9))
        wanted = min(wanted, int(allowed[v, n]))
        wanted = max(1, wanted) if in_open else max(1, min(wanted, int(copies[v, n])))
        taken = room.take(v, n, wanted, open_only=in_open)
        if taken == 0:
            return
        replicas[v, n] += taken


def _allowed(problem: FleetProblem, replicas: np.ndarray) -> np.ndarray:
    """``[variant, node_type]`` further replicas that the limit allows, and the accuracy floor as things stand."""
    limit = np.iinfo(np.int32).max if problem.replica_limit is None else problem.replica_limit
    allowed = np.asarray(limit - replicas, dtype=np.int64)
    if problem.floor_credit is None:
        return allowed
    room = problem.credit(replicas)[problem.variant_stage][:, None]
    below = problem.floor_credit < 0.0
    copies = np.floor(np.maximum(room, 0.0) / np.where(below, -problem.floor_credit, 1.0) + 1e-9)
    return np.where(below, np.minimum(allowed, copies), allowed).astype(np.int64)


def _trim(problem: FleetProblem, replicas: np.ndarray) -> None:
    """Drop replicas whose absence does not raise the objective, dearest per request first."""
    nodes = np.array([p.nodes for p in _packed(problem, replicas)], dtype=np.int64)
    value = problem.objective_usd_per_hour(replicas, nodes)
    dominant = problem.share.max(axis=2) * problem.price_usd_per_hour
    order = sorted(
        ((int(v), int(n)) for v, n in np.argwhere(replicas > 0)),
        key=lambda p: (-dominant[p] / problem.throughput_rps[p], p),
    )
    for v, n in order:
        while replicas[v, n] > 0:
            replicas[v, n] -= 1
            fewer = nodes.copy()
            packing = first_fit(problem.share[:, n], replicas[:, n], int(problem.node_count[n]))
            fewer[n] = packing.nodes
            lower = problem.objective_usd_per_hour(replicas, fewer)
            worse = lower > value + 1e-9 or not problem.keeps_floor(replicas) or not _keeps_limits(problem, replicas)
            if packing.complete < replicas[:, n].sum() or worse:
                replicas[v, n] += 1
                break
            nodes, value = fewer, lower


def _keeps_limits(problem: FleetProblem, replicas: np.ndarray) -> bool:
    return problem.unserved_limit_rps is None or problem.keeps_limits(problem.unserved_by_service_rps(replicas))


def _packed(problem: FleetProblem, replicas: np.ndarray) -> list[Packing]:
    """A placement on each node type."""
    return [first_fit(problem.share[:, n], replicas[:, n], int(c)) for n, c in enumerate(problem.node_count)]
