"""What is paid for, claimed and held, integrated over time."""

from __future__ import annotations

import numpy as np

from simulator.cluster import RESOURCES
from simulator.policy import FleetFacts

__all__ = ["Ledger"]

_RESIDENT = np.array([r in ("gpu_memory", "memory") for r in RESOURCES])


class Ledger:
    """Running integrals since time 0; `settle` brings them up to now before any count changes.

    Attributes
    ----------
    open_nodes
        ``[node_type]`` nodes paid for.
    claimed, loaded
        ``[variant, node_type]`` replicas in any state; replicas whose weights are loaded (ready or draining).
    borrowed
        ``[resource]`` claimed beyond that, by replicas with two copies of their weights and by jobs on nodes of their
        own.
    training_gpus
        GPUs at work for jobs beside serving. They are no part of what serving uses.
    training_gpu_s
        Their integral.
    provisioned, allocated, resident
        ``[resource]`` resource-seconds of open nodes, of claims, and of memory held by loaded replicas.
    loaded_s
        ``[variant, node_type]`` seconds of ready or draining replicas.
    cost_usd
        Paid so far.
    """

    def __init__(self, facts: FleetFacts) -> None:
        shape = facts.throughput_rps.shape
        self._facts = facts
        self.now_s = 0.0
        self.open_nodes = np.zeros(shape[1], np.int64)
        self.claimed = np.zeros(shape, np.int64)
        self.loaded = np.zeros(shape, np.int64)
        self.borrowed = np.zeros(len(RESOURCES))
        self.training_gpus = 0
        self.training_gpu_s = 0.0
        self.provisioned = np.zeros(len(RESOURCES))
        self.allocated = np.zeros(len(RESOURCES))
        self.resident = np.zeros(len(RESOURCES))
        self.loaded_s = np.zeros(shape)
        self.cost_usd = 0.0

    def settle(self, now_s: float) -> None:
        """Integrate up to ``now_s``."""
        elapsed = now_s - self.now_s
        if elapsed <= 0.0:
            return
        facts = self._facts
        self.provisioned += elapsed * (self.open_nodes @ facts.capacity)
        self.allocated += elapsed * (np.tensordot(self.claimed, facts.need, 2) + self.borrowed)
        self.training_gpu_s += elapsed * self.training_gpus
        self.resident += elapsed * np.tensordot(self.loaded, facts.need, 2) * _RESIDENT
        self.loaded_s += elapsed * self.loaded
        self.cost_usd += elapsed / 3600.0 * float(self.open_nodes @ facts.price_usd_per_hour)
        self.now_s = now_s
