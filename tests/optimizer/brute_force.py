"""The allocation problem by enumeration, with an exact placement: slow, obvious, and independent of the solver."""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np

from optimizer.fleet.problem import FleetProblem


def fewest_nodes(need: np.ndarray, capacity: np.ndarray, replicas: tuple[int, ...], most: int) -> int | None:
    """Fewest of ``most`` equal nodes that hold the replicas, every node tried for every replica; None if none do."""
    items = [need[v] for v, k in enumerate(replicas) for _ in range(k)]

    @cache
    def place(item: int, loads: tuple[tuple[float, ...], ...]) -> int | None:
        if item == len(items):
            return len(loads)
        best: int | None = None
        for node in range(min(len(loads) + 1, most)):
            old = loads[node] if node < len(loads) else tuple(np.zeros(len(capacity)))
            new = tuple(np.asarray(old) + items[item])
            if all(a <= c + 1e-9 for a, c in zip(new, capacity)):
                after = tuple(sorted((*loads[:node], new, *loads[node + 1 :])))
                found = place(item + 1, after)
                best = found if best is None or (found is not None and found < best) else best
        return best

    return place(0, ())


def optimum(problem: FleetProblem) -> float:
    """Least objective over all whole, placeable replicas that keep the accuracy floors."""
    types = len(problem.node_count)
    ranges = [[range(_most(problem, v, n) + 1) for v in range(len(problem.variant_stage))] for n in range(types)]
    options = []
    for n in range(types):
        placeable = []
        for replicas in product(*ranges[n]):
            nodes = fewest_nodes(problem.need[:, n], problem.capacity[n], replicas, int(problem.node_count[n]))
            if nodes is not None:
                placeable.append((np.array(replicas), nodes))
        options.append(placeable)
    best = np.inf
    for choice in product(*options):
        replicas = np.stack([c[0] for c in choice], axis=1)
        nodes = np.array([c[1] for c in choice])
        if floor_breaks(problem, replicas):
            continue
        best = min(best, problem.objective_usd_per_hour(replicas, nodes))
    return float(best)


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
    """Replicas beyond which demand is covered by this pair alone and none runs already."""
    rate = problem.throughput_rps[variant, node_type]
    if rate <= 0.0:
        return 0
    stage = problem.variant_stage[variant]
    enough = int(np.ceil(problem.demand_rps[stage] * (1.0 + problem.headroom) / rate - 1e-9))
    return max(enough, int(problem.replicas_now[variant, node_type]))
