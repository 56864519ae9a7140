"""Synthetic placements of any size: classes, needs and node types drawn from a seed, in the form of the real ones.

Six node types, forty classes: a third of them on CPUs alone, a third on shares of a GPU, a third on whole GPUs; a
third with a limit of two or four on a node. Prices are assumed, in round numbers.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from optimizer.placement.bounds import sharpened_bound
from optimizer.placement.problem import PlacementProblem

__all__ = ["synthetic"]

CAPACITY = np.array(
    [
        [32, 262, 100, 2000],
        [104, 512, 100, 4000],
        [96, 384, 100, 4000],
        [128, 768, 100, 4000],
        [64, 256, 100, 2000],
        [16, 120, 100, 1000],
    ],
    dtype=np.float64,
)
GPUS = np.array([0, 2, 8, 8, 2, 2])
GPU_GIB = np.array([0.0, 16.0, 24.0, 80.0, 16.0, 16.0])
PRICE = np.array([1.0, 2.6, 9.0, 20.0, 2.2, 1.2])
PART = np.array([0.30, 0.25, 0.20, 0.10, 0.10, 0.05])
REPLICAS_PER_NODE = 3.0
KEPT_FREE = 0.15
"""Of the nodes of each type: demand is cut until it fits, by the sharpened linear programme, on the others."""


def synthetic(nodes: int, seed: int = 0, classes: int = 40) -> PlacementProblem:
    """A problem on about so many nodes that has room for all replicas."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(3, size=classes)
    need, gpus, memory, group, limit = [], [], [], [], []
    for k in kind:
        if k == 0:
            cpu = float(rng.choice([4, 8, 16, 24, 32, 48, 64]))
            card = (0.0, 0.0)
            amounts = cpu, cpu * rng.choice([3, 4, 5, 6]), rng.choice([1, 5, 10, 25]), rng.choice([50, 100, 255, 400])
        elif k == 1:
            card = float(rng.choice([0.2, 0.25, 0.3, 0.5, 0.6])), float(rng.choice([2, 4, 6, 8]))
            amounts = (
                rng.choice([2, 4, 6, 8]),
                rng.choice([8, 16, 24, 32]),
                rng.choice([5, 10, 25]),
                rng.choice([50, 100]),
            )
        else:
            whole = float(rng.choice([1, 1, 1, 2, 4]))
            card = whole, whole * float(rng.choice([8, 12, 20]))
            cpu = whole * rng.choice([6, 8, 12])
            amounts = cpu, whole * rng.choice([16, 40, 60]), rng.choice([10, 25, 50]), rng.choice([100, 200])
        need.append(amounts)
        gpus.append(card[0])
        memory.append(card[1])
        group.append(len(limit) if rng.random() < 0.3 else -1)
        limit += [int(rng.choice([2, 4]))] if group[-1] >= 0 else []
    weight = rng.dirichlet(np.full(classes, 0.7))
    problem = PlacementProblem(
        resources=("cpu_vcpu", "memory_gib", "nic_pct", "disk_gib"),
        need=np.array(need, dtype=np.float64),
        gpus=np.array(gpus),
        gpu_memory_gib=np.array(memory),
        count=np.zeros(classes, dtype=np.int64),
        capacity=CAPACITY,
        node_gpus=GPUS,
        gpu_capacity_gib=GPU_GIB,
        node_count=np.round(nodes * PART).astype(np.int64),
        price=PRICE,
        group=np.array(group),
        group_limit=np.array(limit, dtype=np.int64),
    )
    fits = problem.fits_alone.any(axis=1)
    replicas = REPLICAS_PER_NODE * nodes
    while True:
        count = np.where(fits, np.maximum(1, np.round(weight * replicas)), 0).astype(np.int64)
        tried = replace(
            problem,
            count=count,
            node_count=np.floor(problem.node_count * (1.0 - KEPT_FREE)).astype(np.int64),
            unplaced_price=1e6,
        )
        if sharpened_bound(tried) < 1e5:
            return replace(problem, count=count)
        replicas *= 0.9
