"""Small placement problems, and their optima by trying everything."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from optimizer.placement.cards import pack_cards
from optimizer.placement.problem import PlacementProblem

__all__ = ["brute_force_cost", "single_resource", "small_problem"]


def small_problem(seed: int, *, replicas: int = 6, nodes: int = 4) -> PlacementProblem:
    """A random problem with two node types, shares of GPUs, whole GPUs and group limits."""
    rng = np.random.default_rng(seed)
    classes = int(rng.integers(1, 5))
    kind = rng.integers(0, 3, size=classes)
    gpus = np.where(kind == 0, 0.0, np.where(kind == 1, rng.choice([0.25, 0.4, 0.5, 0.6], classes), 1.0))
    gpus[rng.random(classes) < 0.1] = 2.0
    memory = np.where(gpus > 0.0, rng.choice([0.0, 4.0, 10.0], classes), 0.0)
    group = np.where(rng.random(classes) < 0.4, 0, -1)
    first = int(rng.integers(1, nodes))
    return PlacementProblem(
        resources=("cpu", "memory"),
        need=np.column_stack([rng.choice([1.0, 2.0, 3.0, 5.0], classes), rng.choice([0.0, 4.0, 8.0, 14.0], classes)]),
        gpus=gpus,
        gpu_memory_gib=memory,
        count=rng.multinomial(replicas, np.ones(classes) / classes),
        capacity=np.array([[8.0, 16.0], [6.0, 32.0]]),
        node_gpus=np.array([2, 1]),
        gpu_capacity_gib=np.array([16.0, 24.0]),
        node_count=np.array([first, nodes - first]),
        price=np.array([1.0, float(rng.choice([1.0, 0.7]))]),
        group=group,
        group_limit=np.array([int(rng.integers(1, 3))]),
    )


def single_resource(sizes: list[float], counts: list[int], capacity: float = 1.0, nodes: int = 50) -> PlacementProblem:
    """Plain bin packing."""
    classes = len(sizes)
    return PlacementProblem(
        resources=("cpu",),
        need=np.array(sizes)[:, None],
        gpus=np.zeros(classes),
        gpu_memory_gib=np.zeros(classes),
        count=np.array(counts),
        capacity=np.array([[capacity]]),
        node_gpus=np.zeros(1, dtype=np.int64),
        gpu_capacity_gib=np.zeros(1),
        node_count=np.array([nodes]),
        price=np.ones(1),
        group=np.full(classes, -1),
    )


def _fits(problem: PlacementProblem, node_type: int, copies: tuple[int, ...]) -> bool:
    used = np.array(copies) @ problem.need
    if (used > problem.capacity[node_type] + 1e-9).any():
        return False
    for group, limit in enumerate(problem.group_limit):
        if sum(n for n, g in zip(copies, problem.group) if g == group) > limit:
            return False
    replicas = np.repeat(np.arange(problem.classes), copies).tolist()
    return pack_cards(problem, node_type, replicas) is not None


def _below(left: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    if not left:
        yield ()
        return
    for rest in _below(left[1:]):
        for here in range(left[0] + 1):
            yield (here, *rest)


def brute_force_cost(problem: PlacementProblem) -> float:
    """Least cost: every content of every node in turn, remembered by what is left to place."""
    kinds = problem.node_type.tolist()
    known: dict[tuple[int, tuple[int, ...]], float] = {}

    def least(node: int, left: tuple[int, ...]) -> float:
        if node == len(kinds) or not any(left):
            return problem.unplaced_price * sum(left)
        if (node, left) not in known:
            costs = []
            for copies in _below(left):
                if any(copies) and not _fits(problem, kinds[node], copies):
                    continue
                price = problem.price[kinds[node]] if any(copies) else 0.0
                costs.append(price + least(node + 1, tuple(a - b for a, b in zip(left, copies))))
            known[node, left] = min(costs)
        return known[node, left]

    return float(least(0, tuple(problem.count.tolist())))
