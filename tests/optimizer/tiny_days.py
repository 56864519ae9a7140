"""Days of a few slots on a few nodes, and their clairvoyant optimum by enumeration: slow, obvious, without a solver."""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import Any

import numpy as np

from simulator.cluster import RESOURCES
from simulator.policy import FleetFacts
from tests.optimizer.factory import facts

INTERVAL_S = 60.0


def tiny_day(rng: np.random.Generator) -> tuple[FleetFacts, np.ndarray, np.ndarray]:
    """A fleet of at most two stages, three variants and two node types; ``demand_rps[slot, stage]``; ``length_s``."""
    stages, types = int(rng.integers(1, 3)), int(rng.integers(1, 3))
    variants = stages + int(rng.integers(0, 2))
    variant_stage = np.sort(np.concatenate([np.arange(stages), rng.integers(0, stages, variants - stages)]))
    capacity, need = np.ones((types, len(RESOURCES))), np.zeros((variants, types, len(RESOURCES)))
    capacity[:, :2] = rng.choice([4.0, 8.0], (types, 2))
    need[:, :, :2] = rng.integers(0, 5, (variants, types, 2)) + np.array([1.0, 0.0])
    rate = np.where(rng.random((variants, types)) < 0.85, rng.integers(10, 40, (variants, types)), 0).astype(float)
    rate[(need > capacity).any(axis=2)] = 0.0
    slots = int(rng.integers(2, 5))
    values: dict[str, Any] = {
        "services": ("s",),
        "stages": tuple(f"s/{k}" for k in range(stages)),
        "variants": tuple(f"s/{k}/{v}" for v, k in enumerate(variant_stage)),
        "node_types": tuple(f"n{n}" for n in range(types)),
        "stage_service": np.zeros(stages, dtype=np.int64),
        "variant_stage": variant_stage,
        "throughput_rps": rate,
        "best_throughput_rps": 1.5 * rate,
        "need": need,
        "capacity": capacity,
        "node_count": rng.integers(1, 4, types),
        "price_usd_per_hour": rng.integers(1, 20, types).astype(float),
        "start_delay_s": rng.choice([0.0, 20.0, 60.0, 80.0], (variants, types)),
        "boot_s": rng.choice([0.0, 30.0, 100.0], types),
        "slo_s": np.array([0.1]),
        "slo_quantile": np.array([0.99]),
        "control_interval_s": INTERVAL_S,
        "duration_s": slots * INTERVAL_S - 20.0,
        "headroom": 0.0,
    }
    length_s = np.full(slots, INTERVAL_S)
    length_s[-1] -= 20.0
    demand = rng.integers(0, 60, (slots, 1)) + np.zeros((1, stages))
    return facts(**values), demand, length_s


def fleets_that_serve(fleet: FleetFacts, demand_rps: np.ndarray) -> list[np.ndarray]:
    """Placeable fleets that serve a demand and would not without any one of their replicas."""
    rate = fleet.throughput_rps
    peak = demand_rps[fleet.variant_stage][:, None]
    most = np.where(rate > 0.0, np.ceil(peak / np.where(rate > 0.0, rate, 1.0) - 1e-9), 0).astype(int)
    found = []
    for counts in product(*(range(m + 1) for m in most.ravel())):
        x = np.array(counts).reshape(rate.shape)
        spare = fleet.served_rps(x) - demand_rps
        if (spare < -1e-9).any() or nodes_of(fleet, x) is None:
            continue
        useful = spare[fleet.variant_stage][:, None] < rate - 1e-9
        if (useful | (x == 0)).all():
            found.append(x)
    return found


def nodes_of(fleet: FleetFacts, x: np.ndarray) -> np.ndarray | None:
    """``[node_type]`` fewest nodes for replicas; None where they find no room."""
    columns = [tuple(int(k) for k in x[:, n]) for n in range(x.shape[1])]
    nodes = [_fewest(_Type(fleet, n), column) for n, column in enumerate(columns)]
    return None if None in nodes else np.array(nodes)


class _Type:
    """A node type as a key of the cache."""

    def __init__(self, fleet: FleetFacts, n: int) -> None:
        self.need, self.capacity, self.count = fleet.need[:, n], fleet.capacity[n], int(fleet.node_count[n])
        self.key = (self.need.tobytes(), self.capacity.tobytes(), self.count)

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Type) and self.key == other.key


@cache
def _fewest(node_type: _Type, replicas: tuple[int, ...]) -> int | None:
    return fewest_nodes(node_type.need, node_type.capacity, replicas, node_type.count)


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
                found = place(item + 1, tuple(sorted((*loads[:node], new, *loads[node + 1 :]))))
                best = found if best is None or (found is not None and found < best) else best
        return best

    return place(0, ())


def optimum_usd(fleet: FleetFacts, demand_rps: np.ndarray, length_s: np.ndarray) -> float:
    """Least cost of a sequence of fleets; ``inf`` where there is none.

    Written from the definition alone: whoever serves slot ``s`` is present from ``k`` slots before, and a node is paid
    for from ``b`` slots before it first holds somebody.
    """
    slots = len(demand_rps)
    choices = [fleets_that_serve(fleet, d) for d in demand_rps]
    pairs = list(zip(*np.nonzero(fleet.throughput_rps > 0.0)))
    k = {p: int(np.ceil(fleet.start_delay_s[p] / INTERVAL_S)) for p in pairs}
    b = {}
    for n in range(len(fleet.node_types)):
        both = [
            int(np.ceil((fleet.boot_s[n] + fleet.start_delay_s[p]) / INTERVAL_S)) - k[p] for p in pairs if p[1] == n
        ]
        b[n] = min(both, default=0)
    best = np.inf
    for sequence in product(*choices):
        hosting = []
        for t in range(slots):
            present = np.zeros_like(sequence[0])
            for p in pairs:
                present[p] = max(int(sequence[s][p]) for s in range(t, min(slots, t + k[p] + 1)))
            hosting.append(nodes_of(fleet, present))
        if any(nodes is None for nodes in hosting):
            continue
        usd = 0.0
        for t in range(slots):
            for n, price in enumerate(fleet.price_usd_per_hour):
                paid = max(int(hosting[s][n]) for s in range(t, min(slots, t + b[n] + 1)))  # type: ignore[index]
                usd += paid * float(price) * float(length_s[t]) / 3600.0
        best = min(best, usd)
    return float(best)
