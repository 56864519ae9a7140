"""A control plane without requests: a fleet that only keeps its books, on a cluster small enough to follow by hand.

Node types: ``box``, of which two of service a's replicas fill one, and ``gpu`` with two GPUs. A replica of ``b/gpu``
claims a GPU, one of ``b/half`` half a one. A start takes 2 s for the container, 1 GB at up to 0.5 GB/s, 1 s to warm up.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import simpy

from simulator.actuator import Actuator
from simulator.cluster import RESOURCES
from simulator.fleet_plan import Numbering
from simulator.kernel.state import ABSENT, DRAINING, READY, REPLICA, STARTING
from simulator.life.events import EventLog
from simulator.life.failures import Names
from simulator.life.living import FleetLife
from simulator.life.plan import Life
from simulator.policy import FleetFacts

BOX, GPU = 0, 1
A, B, HALF = 0, 1, 2
GB = 1e9
START_S = 2.0 + 2.0 + 1.0


class BookFleet:
    """The fleet's methods, and what they were called with; ``busy`` are slots that hold something."""

    def __init__(self, slots: int = 64) -> None:
        self.replicas = np.zeros(slots, REPLICA)
        self.device = np.full(slots, -1)
        self.slowness = np.ones(slots)
        self.busy: set[int] = set()
        self.now_s = 0.0
        self.calls: list[tuple[Any, ...]] = []
        self.plan = SimpleNamespace(tiers=(SimpleNamespace(bytes_per_s=4.0), SimpleNamespace(bytes_per_s=8.0)))

    def advance(self, until_s: float) -> None:
        assert until_s >= self.now_s
        self.now_s = until_s

    def add_replica(self, rule: int, table: int, node: int, slot: int | None = None, device: int = -1) -> int:
        slot = int(np.argmin(self.replicas["state"])) if slot is None else slot
        assert self.replicas["state"][slot] == ABSENT
        self.replicas["state"][slot], self.replicas["table"][slot], self.replicas["node"][slot] = STARTING, table, node
        self.replicas["outstanding"][slot] = 0
        self.device[slot], self.slowness[slot] = device, 1.0
        return slot

    def _change(self, slots: tuple[int, ...], before: tuple[int, ...], after: int) -> None:
        for slot in slots:
            assert self.replicas["state"][slot] in before, (slot, self.replicas["state"][slot], before)
            self.replicas["state"][slot] = after

    def activate(self, *slots: int) -> None:
        self._change(slots, (STARTING,), READY)

    def drain(self, *slots: int) -> None:
        self._change(slots, (READY,), DRAINING)

    def is_released(self, slot: int) -> bool:
        assert self.replicas["state"][slot] == DRAINING
        return slot not in self.busy

    def remove(self, slot: int) -> None:
        assert slot not in self.busy
        self._change((slot,), (STARTING, DRAINING), ABSENT)

    def fail(self, *slots: int) -> None:
        self.calls.append(("fail", self.now_s, slots))
        self.busy -= set(slots)
        self._change(slots, (READY, DRAINING), ABSENT)

    def set_slowness(self, slot: int, factor: float) -> None:
        assert self.replicas["state"][slot] != ABSENT
        self.slowness[slot] = factor

    def set_link(self, from_site: int, to_site: int, is_up: bool) -> None:
        self.calls.append(("link", self.now_s, from_site, to_site, is_up))

    def set_access(self, site: int, way: str, is_up: bool) -> None:
        self.calls.append(("access", self.now_s, site, way, is_up))

    def clear_caches(self, site: int | None = None) -> None:
        self.calls.append(("cache", self.now_s, site))

    def set_tier_rate(self, tier: int, bytes_per_s: float, node: int | None = None) -> None:
        self.calls.append(("tier", self.now_s, tier, bytes_per_s))


def make_facts(**changes: Any) -> FleetFacts:
    """Facts of the cluster described above."""
    capacity = np.zeros((2, len(RESOURCES)))
    need = np.zeros((3, 2, len(RESOURCES)))
    box = {"cpu": 8.0, "memory": 16 * GB, "storage": 0.5 * GB, "network": GB}
    gpu = {"gpu": 2.0, "gpu_memory": 32 * GB, "cpu": 16.0, "memory": 64 * GB, "storage": 0.5 * GB, "network": GB}
    for r, name in enumerate(RESOURCES):
        capacity[0, r], capacity[1, r] = box.get(name, 0.0), gpu.get(name, 0.0)
        need[A, :, r] = {"cpu": 4.0, "memory": 4 * GB}.get(name, 0.0)
        need[B, GPU, r] = {"gpu": 1.0, "gpu_memory": 10 * GB, "cpu": 2.0, "memory": 2 * GB}.get(name, 0.0)
        need[HALF, GPU, r] = {"gpu": 0.5, "gpu_memory": 6 * GB, "cpu": 1.0, "memory": 1 * GB}.get(name, 0.0)
    runs = np.array([[1.0, 1.0], [0.0, 1.0], [0.0, 1.0]])
    values: dict[str, Any] = {
        "services": ("a", "b"), "stages": ("a/rank", "b/rank"), "variants": ("a/rank/cpu", "b/rank/gpu", "b/rank/half"),
        "node_types": ("box", "gpu"), "stage_service": np.array([0, 1]), "variant_stage": np.array([0, 1, 1]),
        "throughput_rps": 10.0 * runs, "best_throughput_rps": 20.0 * runs, "need": need, "capacity": capacity,
        "node_count": np.array([3, 2]), "price_usd_per_hour": np.array([3.6, 36.0]),
        "start_delay_s": START_S * runs, "boot_s": np.array([0.0, 0.0]), "slo_s": np.array([0.1, 0.1]),
        "slo_quantile": np.array([0.99, 0.99]), "control_interval_s": 10.0, "duration_s": 1000.0, "headroom": 0.0,
        "unserved_usd_per_request": 1.0,
    }  # fmt: skip
    return FleetFacts(**values | changes)


class World:
    """The actuator over a `BookFleet`, with a life."""

    def __init__(self, life: Life | None = None, seed: int = 0, slots: int = 64, **changes: Any) -> None:
        self.facts = make_facts(**changes)
        runs = [(v, n) for v, n in np.argwhere(self.facts.best_throughput_rps > 0).tolist()]
        table_of = np.full(self.facts.throughput_rps.shape, -1)
        for table, (v, n) in enumerate(runs):
            table_of[v, n] = table
        variant = SimpleNamespace(
            container_start_s=2.0, warm_up_s=1.0, load_bytes=GB, profile=SimpleNamespace(weights_bytes=GB)
        )
        count = self.facts.node_count
        numbering = Numbering(
            stages=(),
            variants=tuple((int(k), variant) for k in self.facts.variant_stage),  # type: ignore[misc]
            table_of=table_of,
            runs=tuple(runs),
            node_type_of=np.repeat(np.arange(len(count)), count),
        )
        self.env = simpy.Environment()
        self.fleet = BookFleet(slots)
        self.log = EventLog()
        fleet: Any = self.fleet
        self.actuator = Actuator(self.env, fleet, numbering, self.facts, 2 * GB, life, self.log)
        nodes = [f"{name}/{i}" for name, k in zip(self.facts.node_types, count.tolist()) for i in range(k)]
        names = Names(nodes, ("here", "there"))
        self.life = FleetLife(self.env, fleet, self.actuator, numbering, names, seed, self.facts.duration_s)

    def want(self, a: tuple[int, int] = (0, 0), b: int = 0, half: int = 0, *, at_once: bool = False) -> np.ndarray:
        """Apply an allocation: ``a`` on box and gpu, the others on gpu; what was not placed."""
        wanted = np.array([a, (0, b), (0, half)])
        return self.actuator.apply(wanted, at_once=at_once).unplaced

    def run(self, until_s: float) -> None:
        """Let time pass."""
        self.env.run(until=until_s)
        self.actuator.settle()

    def count(self, state: int) -> list[int]:
        """Replicas of a state, by variant."""
        return self.actuator.count(state).sum(axis=1).tolist()

    @property
    def ready(self) -> list[int]:
        return self.count(READY)

    @property
    def starting(self) -> list[int]:
        return self.count(STARTING)

    def nodes(self) -> list[int]:
        """Nodes of all replicas, by slot."""
        return self.fleet.replicas["node"][self.fleet.replicas["state"] != ABSENT].tolist()

    def events(self, *what: str) -> list[tuple[float, str, str]]:
        """Lines of the log: time, what, where."""
        return [event[:3] for event in self.log.all() if not what or event.what in what]

    def check_books(self) -> None:
        """Claims are those of the replicas that are there, to the last device."""
        placement, roster = self.actuator.placement, self.actuator.roster
        free = self.facts.capacity[placement.node_type].copy()
        share = np.where(placement.devices.share_free < 0, -1.0, 1.0)
        there = 0
        for node in range(len(free)):
            for replica in roster.on(node):
                need = self.facts.need[replica.variant, replica.node_type]
                free[node] -= need if replica.borrowed is None else need + replica.borrowed
                for gpu in replica.seat.gpus:
                    share[node, gpu] -= need[0] / len(replica.seat.gpus)
                assert self.fleet.replicas["node"][replica.slot] == node
                assert self.fleet.replicas["state"][replica.slot] != ABSENT
                there += 1
        assert there == (self.fleet.replicas["state"] != ABSENT).sum()
        np.testing.assert_allclose(placement.free, free, atol=1e-3)
        np.testing.assert_allclose(placement.devices.share_free, share, atol=1e-9)
