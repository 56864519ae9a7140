"""Replicas brought within the budget: some are left out, so that fewer nodes are needed."""

from __future__ import annotations

import numpy as np

from optimizer.fleet.packing import first_fit
from optimizer.fleet.problem import FleetProblem

__all__ = ["within_budget"]


def within_budget(problem: FleetProblem, replicas: np.ndarray) -> np.ndarray:
    """The same replicas without as many as it takes for their nodes, placed first fit, to cost no more than the budget.

    One node after the other is given up: of the type where that leaves least unserved of the highest class, and so on
    down, and then the least objective. The accuracy floor is kept where it was kept.
    """
    if not np.isfinite(problem.budget_usd_per_hour):
        return replicas
    kept, nodes = _packed(problem, np.asarray(replicas, dtype=np.int64), problem.node_count)
    if problem.keeps_budget(nodes):
        return replicas
    while not problem.keeps_budget(nodes):
        choices = []
        for n in np.flatnonzero(nodes):
            count = nodes.copy()
            # As many of the type as the excess is worth, but at least one and no more than half of them at a time.
            excess = np.dot(problem.price_usd_per_hour, nodes) - problem.budget_usd_per_hour
            count[n] -= max(1, min(int(excess / problem.price_usd_per_hour[n]), int(nodes[n]) // 8))
            fewer, left = _packed(problem, kept, count)
            fewer = problem.brought_to_floor(fewer)
            choices.append((_worth(problem, fewer, left), int(n), fewer))
        _, _, kept = min(choices, key=lambda choice: choice[:2])
        kept, nodes = _packed(problem, kept, nodes)
    return kept


def _packed(problem: FleetProblem, replicas: np.ndarray, node_count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What first fit places on so many nodes, and on how many of them."""
    packed = [first_fit(problem.share[:, n], replicas[:, n], int(c)) for n, c in enumerate(node_count)]
    return np.stack([p.placed for p in packed], axis=1), np.array([p.nodes for p in packed], dtype=np.int64)


def _worth(problem: FleetProblem, replicas: np.ndarray, nodes: np.ndarray) -> tuple[float, ...]:
    """What is unserved by class of priority, highest first, and the objective.

    Without the reserve, whose loss depends on a placement that is not made here.
    """
    lost = None if problem.reserve_rps is None else np.zeros(len(problem.demand_rps))
    objective = problem.objective_usd_per_hour(replicas, nodes, lost)
    if problem.service_priority is None:
        return (objective,)
    unserved = problem.weight * problem.unserved_by_service_rps(replicas, lost)
    of = np.asarray(problem.service_priority)[: problem.services]
    return (*(float(unserved[of == level].sum()) for level in np.unique(of)), objective)
