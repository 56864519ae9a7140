"""Marginal-cost greedy: add the replica whose served request costs least, node by node, then trim.

Room on a node that is already open costs nothing more, so it is filled first, by the replica that serves
most per part of a node. Otherwise a node is opened: the type and variant whose price per request/s actually
served is least. What that price is depends on what else will fill the node, which a greedy cannot know. So
it runs twice, once charging the first replicas with the whole node and once with their part of it, and
keeps the cheaper plan. No solver is involved.
"""

from __future__ import annotations

import numpy as np

from optimizer.fleet_problem import FleetPlan, FleetProblem, validate_plan
from optimizer.packing import Packing, Room, first_fit, per_node

__all__ = ["solve_greedy"]


def solve_greedy(problem: FleetProblem, start: np.ndarray | None = None) -> FleetPlan:
    """A feasible plan without a bound.

    Parameters
    ----------
    start
        ``[variant, node_type]`` whole replicas to begin from (they are placed as far as they fit); none by
        default.
    """
    plans = [_one_pass(problem, start, whole_node=whole) for whole in (False, True)]
    return min(plans, key=lambda plan: plan.objective_usd_per_hour)


def _one_pass(problem: FleetProblem, start: np.ndarray | None, *, whole_node: bool) -> FleetPlan:
    room = Room(problem.share, problem.node_count)
    replicas = np.zeros(problem.throughput_rps.shape, dtype=np.int64)
    if start is not None:
        for v, n in np.argwhere(start > 0):
            replicas[v, n] = room.take(int(v), int(n), int(start[v, n]))
    _fill(problem, room, replicas, whole_node=whole_node)
    # The order of filling may have packed tighter than first fit does; what that cannot place is left out.
    replicas = np.stack([p.placed for p in _packed(problem, replicas)], axis=1)
    _trim(problem, replicas)
    return validate_plan(problem, replicas, status="feasible", note="marginal greedy")


def _fill(problem: FleetProblem, room: Room, replicas: np.ndarray, *, whole_node: bool) -> None:
    """Add replicas until demand is covered, nothing fits, or serving costs more than the penalty."""
    pairs = [(int(v), int(n)) for v, n in np.argwhere((problem.throughput_rps > 0.0) & (problem.most > 0))]
    dominant = np.maximum(problem.share.max(axis=2), 1e-12)
    copies = per_node(problem.share)
    while True:
        left = problem.required_rps - problem.served_rps(replicas)
        absent = (problem.required_rps > 0.0) & (problem.stage_replicas(replicas) == 0)
        choice: tuple[float, float, int, int, bool] | None = None
        for v, n in pairs:
            stage = problem.variant_stage[v]
            limited = problem.replica_limit is not None and replicas[v, n] >= problem.replica_limit[v, n]
            if left[stage] <= 1e-9 or limited or not room.fits(v, n).any():
                continue
            rate = float(problem.throughput_rps[v, n])
            gain = min(rate, left[stage])
            if room.fits(v, n, open_only=True).any():
                candidate = (0.0, dominant[v, n] / gain, v, n, True)
            else:
                price = float(problem.price_usd_per_hour[n])
                served = min(left[stage], rate * copies[v, n])
                worth = 3600.0 * problem.unserved_usd_per_request * served
                if price > worth + problem.absent_usd_per_hour * absent[stage]:
                    continue
                part = 1.0 if whole_node else min(1.0, dominant[v, n] * np.ceil(served / rate))
                candidate = (price * part / served, dominant[v, n] / gain, v, n, False)
            choice = candidate if choice is None or candidate < choice else choice
        if choice is None:
            return
        _, _, v, n, in_open = choice
        wanted = int(np.ceil(left[problem.variant_stage[v]] / problem.throughput_rps[v, n] - 1e-9))
        if problem.replica_limit is not None:
            wanted = min(wanted, int(problem.replica_limit[v, n] - replicas[v, n]))
        wanted = max(1, wanted) if in_open else max(1, min(wanted, int(copies[v, n])))
        taken = room.take(v, n, wanted, open_only=in_open)
        if taken == 0:
            return
        replicas[v, n] += taken


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
            if packing.complete < replicas[:, n].sum() or lower > value + 1e-9:
                replicas[v, n] += 1
                break
            nodes, value = fewer, lower


def _packed(problem: FleetProblem, replicas: np.ndarray) -> list[Packing]:
    """A placement on each node type."""
    return [first_fit(problem.share[:, n], replicas[:, n], int(c)) for n, c in enumerate(problem.node_count)]
