"""Replicas brought within the budget: some are left out, so that fewer nodes are needed."""

from __future__ import annotations

import numpy as np

from optimizer.fleet.packing import first_fit
from optimizer.fleet.problem import FleetProblem

__all__ = ["within_budget"]


def within_budget(problem: FleetProblem, replicas: np.ndarray) -> np.ndarray:
    """The same replicas without as many as it takes for their nodes, placed first fit, to cost no more than the budget.

    Services of the lowest priority give theirs up first, as many as it takes; those of the next follow only when none
    of them are left. Within a class, one node after the other is given up: of the type where that leaves the least
    objective. The accuracy floor is kept where it was kept.
    """
    if not np.isfinite(problem.budget_usd_per_hour):
        return replicas
    kept, nodes = _packed(problem, np.asarray(replicas, dtype=np.int64), problem.node_count)
    if problem.keeps_budget(nodes):
        return replicas
    if problem.service_priority is None:
        return _fewer_nodes(problem, kept, nodes)
    class_of = np.asarray(problem.service_priority)[problem.stage_service[problem.variant_stage]]
    for level in np.unique(class_of)[::-1]:
        mine = (class_of == level)[:, None]
        without = np.where(mine, 0, kept)
        if problem.keeps_budget(_packed(problem, without, problem.node_count)[1]):
            return _largest_part(problem, kept, mine)
        kept = without
    return kept


def _largest_part(problem: FleetProblem, replicas: np.ndarray, mine: np.ndarray, steps: int = 12) -> np.ndarray:
    """With the largest common part of the replicas where ``mine`` is true that the budget covers, by bisection."""
    low, high, best = 0.0, 1.0, np.where(mine, 0, replicas)
    for _ in range(steps):
        middle = 0.5 * (low + high)
        trial = problem.brought_to_floor(np.where(mine, np.floor(middle * replicas + 1e-9).astype(np.int64), replicas))
        placed, nodes = _packed(problem, trial, problem.node_count)
        if problem.keeps_budget(nodes) and placed.sum() == trial.sum():
            low, best = middle, trial
        else:
            high = middle
    return problem.brought_to_floor(best)


def _fewer_nodes(problem: FleetProblem, kept: np.ndarray, nodes: np.ndarray) -> np.ndarray:
    """What is placed when nodes are given up until the rest is within the budget."""
    while not problem.keeps_budget(nodes):
        choices = []
        for n in np.flatnonzero((nodes > 0) & (problem.price_usd_per_hour > 0.0)):
            count = nodes.copy()
            # As many of the type as the excess is worth, but at least one and at most an eighth of them at a time.
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


def _worth(problem: FleetProblem, replicas: np.ndarray, nodes: np.ndarray) -> float:
    """The objective without the reserve, whose loss depends on a placement that is not made here."""
    lost = None if problem.reserve_rps is None else np.zeros(len(problem.demand_rps))
    return problem.objective_usd_per_hour(replicas, nodes, lost)
