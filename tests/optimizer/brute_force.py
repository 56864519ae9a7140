"""The allocation problem by enumeration, with an exact placement: obvious, and independent of the solver."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations_with_replacement, product

import numpy as np

from optimizer.fleet.problem import FleetProblem


@dataclass(frozen=True)
class Options:
    """All that can stand on the nodes of one type: rows of replicas, nodes in use, and most of each stage on a node."""

    replicas: np.ndarray
    nodes: np.ndarray
    lost_rps: np.ndarray


def optimum(problem: FleetProblem) -> float:
    """Least objective over all whole, placeable replicas, by priority where there are classes.

    A class is planned without those below it; what its services leave unserved then limits all later plans. Where
    several plans of a class are equally good, the one that leaves least unserved counts.
    """
    services = int(problem.stage_service.max()) + 1
    priority = problem.service_priority
    limit = np.full(services, np.inf)
    asked = np.array([(problem.demand_rps[problem.stage_service == s] > 0).any() for s in range(services)])
    if priority is None or not asked.any():
        return _of_class(problem, np.ones(services, dtype=bool), limit)[0]
    classes = sorted({int(p) for p in priority[asked]})
    for level in classes:
        taken = np.ones(services, dtype=bool) if level == classes[-1] else np.asarray(priority) <= level
        value, unserved = _of_class(problem, taken, limit)
        limit = np.where((np.asarray(priority) == level) & asked, unserved, limit)
    return value


def _of_class(problem: FleetProblem, taken: np.ndarray, limit: np.ndarray) -> tuple[float, np.ndarray]:
    """Least objective, and ``[service]`` what is unserved there, for the services with ``taken[service]``: the others
    have nothing and ask for nothing."""
    stage = taken[problem.stage_service]
    sets = [_options(problem, n, stage) for n in range(len(problem.node_count))]
    best, left = np.inf, np.full(len(taken), np.inf)
    # Every option of the last type at once, beside each choice of the others.
    for choice in product(*[range(len(o.nodes)) for o in sets[:-1]]):
        picked = [Options(o.replicas[i], o.nodes[i], o.lost_rps[i]) for o, i in zip(sets, choice)]
        many = len(sets[-1].nodes)
        replicas = np.stack([*[np.tile(p.replicas, (many, 1)) for p in picked], sets[-1].replicas], axis=2)
        nodes = np.stack([*[np.full(many, p.nodes) for p in picked], sets[-1].nodes], axis=1)
        lost = sets[-1].lost_rps
        for p in picked:
            lost = np.maximum(lost, p.lost_rps)
        value, unserved = _values(problem, stage, replicas, nodes, lost)
        allowed = (nodes @ problem.price_usd_per_hour <= problem.budget_usd_per_hour * (1.0 + 1e-9)) & (
            unserved <= limit + 1e-9
        ).all(axis=1)
        if problem.floor_credit is not None:
            allowed &= np.array([not floor_breaks(problem, r) for r in replicas])
        value = np.where(allowed, value, np.inf)
        least = value.min()
        if not np.isfinite(least) or least > best + 1e-9:
            continue
        ties = np.flatnonzero(value <= least + 1e-9)
        mine = unserved[ties[unserved[ties].sum(axis=1).argmin()]]
        if least < best - 1e-9 or mine.sum() < left.sum():
            best, left = least, mine
    return float(best), left


def _values(
    problem: FleetProblem, stage: np.ndarray, replicas: np.ndarray, nodes: np.ndarray, lost: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The objective written out for each row, and ``[row, service]`` what is unserved."""
    demand = np.where(stage, problem.demand_rps, 0.0)
    of = np.arange(len(demand)) == problem.variant_stage[:, None]
    served = (problem.throughput_rps * replicas).sum(axis=2) @ of
    count = replicas.sum(axis=2) @ of
    short = np.maximum(demand * (1.0 + problem.headroom) - served, 0.0)
    if problem.reserve_rps is not None:
        short = np.maximum(short, np.where(stage, problem.reserve_rps, 0.0) - (served - lost))
    services = int(problem.stage_service.max()) + 1
    unserved = np.stack(
        [short[:, problem.stage_service == s].max(axis=1, initial=0.0) for s in range(services)], axis=1
    )
    weight = np.ones(services) if problem.service_weight is None else problem.service_weight
    absent = ((demand > 0.0) & (count == 0)).sum(axis=1)
    now = np.where(stage[problem.variant_stage][:, None], problem.replicas_now, 0)
    value = (
        nodes @ problem.price_usd_per_hour
        + (problem.churn_usd_per_hour * np.abs(replicas - now)).sum(axis=(1, 2))
        + 3600.0 * problem.unserved_usd_per_request * unserved @ weight
        + problem.absent_usd_per_hour * absent
    )
    if problem.lost_usd_per_hour is not None:
        value = value + (problem.lost_usd_per_hour * replicas).sum(axis=(1, 2))
    return value, unserved


def _options(problem: FleetProblem, n: int, stage: np.ndarray) -> Options:
    """Every way to fill the nodes of a type, without those beaten by another with the same replicas."""
    variants = len(problem.variant_stage)
    most = np.array([_most(problem, v, n) if stage[problem.variant_stage[v]] else 0 for v in range(variants)])
    fits = [
        content
        for content in product(*[range(m + 1) for m in most])
        if (np.array(content) @ problem.need[:, n] <= problem.capacity[n] + 1e-9).all()
    ]
    content = np.array(fits)
    ways = np.array(list(combinations_with_replacement(range(len(content)), int(problem.node_count[n]))))
    replicas = content[ways].sum(axis=1)
    kept = (replicas <= most).all(axis=1)
    ways, replicas = ways[kept], replicas[kept]
    nodes = np.array([any(c) for c in fits])[ways].sum(axis=1)
    of = np.arange(len(problem.demand_rps)) == problem.variant_stage[:, None]
    lost = ((content * problem.throughput_rps[:, n]) @ of)[ways].max(axis=1)
    if problem.reserve_rps is None:
        lost = np.zeros_like(lost)
    rows = np.unique(np.hstack([replicas, nodes[:, None], lost]), axis=0)
    groups: dict[tuple[float, ...], list[np.ndarray]] = {}
    for row in rows:  # in order of nodes, so that only those before can beat one
        mine = groups.setdefault(tuple(row[:variants]), [])
        if not any((other[variants:] <= row[variants:]).all() for other in mine):
            mine.append(row)
    table = np.array([row for mine in groups.values() for row in mine])
    return Options(table[:, :variants].astype(int), table[:, variants].astype(int), table[:, variants + 1 :])


def floor_breaks(problem: FleetProblem, replicas: np.ndarray) -> bool:
    """Whether some stage's credits sum to less than nothing (but for a millionth of one replica's)."""
    if problem.floor_credit is None:
        return False
    for stage in range(len(problem.demand_rps)):
        credits = problem.floor_credit[problem.variant_stage == stage]
        total = (credits * replicas[problem.variant_stage == stage]).sum()
        if total < -1e-6 * np.abs(credits).max(initial=0.0):
            return True
    return False


def _most(problem: FleetProblem, variant: int, node_type: int) -> int:
    """Replicas beyond which demand is covered by this pair alone, whatever node is lost, and none runs already."""
    rate = problem.throughput_rps[variant, node_type]
    if rate <= 0.0:
        return 0
    stage = problem.variant_stage[variant]
    need, capacity = problem.need[variant, node_type], problem.capacity[node_type]
    one_node = int(min(capacity[need > 0] // need[need > 0]))
    enough = int(np.ceil(problem.demand_rps[stage] * (1.0 + problem.headroom) / rate - 1e-9))
    if problem.reserve_rps is not None and problem.reserve_rps[stage] > 0.0:
        enough = max(enough, int(np.ceil(problem.reserve_rps[stage] / rate - 1e-9)) + one_node)
    room = one_node * int(problem.node_count[node_type])
    limit = room if problem.replica_limit is None else int(problem.replica_limit[variant, node_type])
    return min(room, limit, max(enough, int(problem.replicas_now[variant, node_type])))
