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

from optimizer.fleet.packing import FirstFits, Packing, Room, first_fit, nodes_at_least, per_node
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
    v, n = np.nonzero((problem.throughput_rps > 0.0) & (problem.most > 0))
    if len(v) == 0:
        return
    stage, rate = problem.variant_stage[v], problem.throughput_rps[v, n]
    service = problem.stage_service[stage]
    heavy = problem.weight[service]
    dominant = np.maximum(problem.share.max(axis=2), 1e-12)[v, n]
    copies = per_node(problem.share)[v, n]
    lost = np.zeros(len(v)) if problem.lost_usd_per_hour is None else problem.lost_usd_per_hour[v, n]
    price, types = problem.price_usd_per_hour[n], np.arange(len(problem.node_count))
    is_limited = np.isfinite(problem.budget_usd_per_hour)
    first = FirstFits(room, problem.share)
    while True:
        allowed = _allowed(problem, replicas)
        short = problem.required_rps - problem.served_rps(replicas)
        left = short[stage]
        absent = ((problem.required_rps > 0.0) & (problem.stage_replicas(replicas) == 0))[stage]
        may = (left > 1e-9) & (allowed[v, n] > 0) & first.anywhere[v, n]
        in_open = may & first.in_open[v, n]
        gain = np.where(may, np.minimum(rate, left), 1.0)
        served = np.where(may, np.minimum(left, rate * copies), 1.0)
        worth = problem.unserved_usd_per_hour_rps[service] * served + problem.absent_usd_per_hour * absent
        opens = may & ~in_open & (price <= worth)
        if is_limited and opens.any():
            open_nodes = room.open_nodes()
            opens &= np.array([problem.keeps_budget(open_nodes + (types == one)) for one in types])[n]
        part = 1.0 if whole_node else np.minimum(1.0, dominant * np.ceil(served / rate))
        opening = (price * part / served + lost / gain) / heavy
        usd = np.where(in_open, lost / (heavy * gain), np.where(opens, opening, np.inf))
        cheapest = np.flatnonzero((usd == usd.min()) & (in_open | opens))
        if len(cheapest) == 0:
            return
        one = int(cheapest[np.argmin((dominant / (heavy * gain))[cheapest])])
        wanted = int(np.ceil(left[one] / rate[one] - 1e-9))
        wanted = min(wanted, int(allowed[v[one], n[one]]))
        wanted = max(1, wanted) if in_open[one] else max(1, min(wanted, int(copies[one])))
        taken = room.take(int(v[one]), int(n[one]), wanted, open_only=bool(in_open[one]))
        if taken == 0:
            return
        first.look_again(int(n[one]))
        replicas[v[one], n[one]] += taken


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
            fewer[n] = nodes_at_least(problem.share[:, n], replicas[:, n])
            if problem.objective_usd_per_hour(replicas, fewer) > value + 1e-9:
                replicas[v, n] += 1
                break
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
