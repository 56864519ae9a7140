"""Seeded allocation problems of the sizes that solvers are compared on. Every number here is made up.

Node types resemble what clouds rent: one to eight GPUs of one of five kinds, or none, with CPU, memory and network in
the proportions, and prices of the order, of public lists. Each service is one stage with one or two variants, the
second compressed (less memory, faster). A replica claims a quarter, half or a whole of a GPU, so much that its model
fits in that part of 24 GB, and more memory where it does not; CPU in proportion; host memory for its model; and the
network that its rate needs. Its throughput follows the kind of GPU. Small models also run on nodes without GPU.
Demand is lognormal: most services need a few replicas, some need tens.
Quotas on nodes bind for some of the best types, and leave room for all demand.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optimizer.fleet.problem import FleetProblem

__all__ = ["SIZES", "fleet_instance"]

SIZES = ((5, 3), (20, 6), (100, 8), (500, 20))
"""Services x node types."""

RESOURCES = ("gpu", "gpu_memory_gb", "cpu", "memory_gb", "network_gbps")


@dataclass(frozen=True)
class _Shape:
    """A node type: kind and number of GPUs, capacity by `RESOURCES`, price."""

    kind: str
    gpus: int
    gpu_memory_gb: float
    cpus: int
    memory_gb: float
    network_gbps: float
    usd_per_hour: float

    @property
    def capacity(self) -> list[float]:
        return [self.gpus, self.gpus * self.gpu_memory_gb, self.cpus, self.memory_gb, self.network_gbps]


_CATALOGUE = (
    _Shape("l", 1, 24.0, 8, 32.0, 10.0, 1.0),
    _Shape("cpu", 0, 0.0, 32, 128.0, 12.0, 1.5),
    _Shape("a", 8, 40.0, 96, 1152.0, 100.0, 30.0),
    _Shape("a10", 1, 24.0, 8, 32.0, 10.0, 1.2),
    _Shape("cpu", 0, 0.0, 96, 384.0, 37.0, 4.4),
    _Shape("l", 8, 24.0, 192, 768.0, 100.0, 13.0),
    _Shape("t", 4, 16.0, 48, 192.0, 50.0, 3.9),
    _Shape("h", 8, 80.0, 192, 2048.0, 400.0, 58.0),
    _Shape("a10", 4, 24.0, 48, 192.0, 40.0, 5.7),
    _Shape("t", 1, 16.0, 8, 32.0, 20.0, 0.75),
    _Shape("l", 4, 24.0, 48, 192.0, 40.0, 4.6),
    _Shape("cpu", 0, 0.0, 16, 32.0, 12.0, 0.7),
    _Shape("a10", 8, 24.0, 192, 768.0, 100.0, 16.3),
    _Shape("cpu", 0, 0.0, 32, 256.0, 12.0, 2.0),
    _Shape("a", 1, 40.0, 12, 144.0, 12.0, 3.9),
    _Shape("h", 1, 80.0, 24, 256.0, 50.0, 7.0),
    _Shape("cpu", 0, 0.0, 64, 128.0, 25.0, 2.8),
    _Shape("t", 8, 16.0, 96, 384.0, 100.0, 7.8),
    _Shape("l", 2, 24.0, 24, 96.0, 20.0, 2.3),
    _Shape("cpu", 0, 0.0, 96, 768.0, 37.0, 6.0),
)

_SPEED = {"t": 1.0, "l": 1.5, "a10": 1.8, "a": 5.2, "h": 9.5, "cpu": 0.25}
"""Throughput of a GPU, or of four cores, relative to the slowest kind of GPU."""


def fleet_instance(services: int, node_types: int, seed: int = 0) -> FleetProblem:
    """One allocation problem; the same for the same arguments on every machine.

    Raises
    ------
    ValueError
        For more node types than the catalogue has, 20.
    """
    if not 1 <= node_types <= len(_CATALOGUE):
        raise ValueError(f"node_types={node_types}: the catalogue has {len(_CATALOGUE)}")
    rng = np.random.default_rng([services, node_types, seed])
    shapes = _CATALOGUE[:node_types]
    price = np.array([s.usd_per_hour for s in shapes]) * rng.uniform(0.9, 1.1, node_types)
    variant_stage, need, throughput = _variants(rng, services, shapes)
    demand = rng.lognormal(np.log(600.0), 1.0, services)
    capacity = np.array([s.capacity for s in shapes])
    return FleetProblem(
        demand_rps=demand,
        stage_service=np.arange(services),
        variant_stage=variant_stage,
        throughput_rps=throughput,
        need=need,
        capacity=capacity,
        node_count=_quotas(rng, demand, variant_stage, throughput, need, capacity),
        price_usd_per_hour=price,
        replicas_now=np.zeros(throughput.shape, dtype=np.int64),
        churn_usd_per_hour=np.zeros(throughput.shape),
        unserved_usd_per_request=0.001,
        headroom=0.1,
    )


def _variants(
    rng: np.random.Generator, services: int, shapes: tuple[_Shape, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``variant_stage[variant]``, ``need[variant, node_type, resource]`` and ``throughput_rps[variant, node_type]``."""
    stages, needs, rates = [], [], []
    for service in range(services):
        model_gb = float(np.clip(rng.lognormal(np.log(5.0), 0.8), 0.5, 60.0))
        base_rps = 150.0 * rng.lognormal(0.0, 0.5) * (5.0 / model_gb) ** 0.3
        mbit_per_request = rng.lognormal(np.log(0.1), 0.7)
        liking = {kind: rng.lognormal(0.0, 0.3) for kind in _SPEED}
        for compressed in range(int(rng.integers(1, 3))):
            size_gb = model_gb * (0.5 if compressed else 1.0)
            gain = rng.uniform(1.1, 1.6) if compressed else 1.0
            gpu_part = next((part for part in (0.25, 0.5) if size_gb + 1.5 <= part * 24.0), 1.0)
            need, rate = np.zeros((len(shapes), len(RESOURCES))), np.zeros(len(shapes))
            for n, shape in enumerate(shapes):
                on_gpu = shape.gpus > 0
                if not on_gpu and size_gb > 8.0:
                    continue
                size_of_part = gpu_part**0.8 if on_gpu else 1.0
                per_replica = base_rps * gain * liking[shape.kind] * _SPEED[shape.kind] * size_of_part
                gbps = per_replica * mbit_per_request / 1000.0
                gpu = [gpu_part, size_gb + 1.5] if on_gpu else [0.0, 0.0]
                need[n] = [*gpu, 4.0 * gpu_part if on_gpu else 4.0, size_gb + 2.0, gbps]
                fits = (need[n] <= np.array(shape.capacity)).all() and size_gb + 1.5 <= (
                    shape.gpu_memory_gb if on_gpu else 9.5
                )
                rate[n] = per_replica if fits else 0.0
            stages.append(service)
            needs.append(need)
            rates.append(rate)
    return np.array(stages), np.array(needs), np.array(rates)


def _quotas(
    rng: np.random.Generator,
    demand: np.ndarray,
    variant_stage: np.ndarray,
    throughput: np.ndarray,
    need: np.ndarray,
    capacity: np.ndarray,
) -> np.ndarray:
    """``[node_type]`` nodes: a third to one and a half times what all demand that the type can serve would take."""
    share = np.where(capacity > 0.0, need / np.where(capacity > 0.0, capacity, 1.0), 0.0).max(axis=2)
    per_rps = np.where(throughput > 0.0, share / np.where(throughput > 0.0, throughput, 1.0), np.inf)
    least = np.full((len(demand), len(capacity)), np.inf)
    np.minimum.at(least, variant_stage, per_rps)
    whole = (np.where(np.isfinite(least), least, 0.0) * demand[:, None]).sum(axis=0)
    return np.maximum(2, np.ceil(whole * rng.uniform(0.33, 1.5, len(capacity)))).astype(np.int64)
