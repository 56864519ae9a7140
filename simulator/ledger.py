"""What is paid for, claimed and held, integrated over time."""

from __future__ import annotations

import numpy as np

from simulator.cluster import RESOURCES
from simulator.policy import FleetFacts

__all__ = ["Ledger"]

_RESIDENT = np.array([r in ("gpu_memory", "memory") for r in RESOURCES])


class Ledger:
    """Running integrals since time 0; `settle` brings them up to now before any count changes, `stand` tells new ones.

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
        self._provisioned_rate = np.zeros(len(RESOURCES))
        self._allocated_rate = np.zeros(len(RESOURCES))
        self._resident_rate = np.zeros(len(RESOURCES))
        self._usd_per_s = 0.0

    def stand(
        self, open_nodes: np.ndarray, claimed: np.ndarray | None = None, loaded: np.ndarray | None = None
    ) -> None:
        """From now on so many nodes are open, and so many replicas there; None leaves a count as it is."""
        facts = self._facts
        if not np.array_equal(open_nodes, self.open_nodes):
            self.open_nodes = open_nodes
            self._provisioned_rate = open_nodes @ facts.capacity
            self._usd_per_s = float(open_nodes @ facts.price_usd_per_hour) / 3600.0
        if claimed is not None and not np.array_equal(claimed, self.claimed):
            self.claimed = claimed
            self._allocated_rate = np.tensordot(claimed, facts.need, 2)
        if loaded is not None and not np.array_equal(loaded, self.loaded):
            self.loaded = loaded
            self._resident_rate = np.tensordot(loaded, facts.need, 2) * _RESIDENT

    def settle(self, now_s: float) -> None:
        """Integrate up to ``now_s``."""
        elapsed = now_s - self.now_s
        if elapsed <= 0.0:
            return
        self.provisioned += elapsed * self._provisioned_rate
        self.allocated += elapsed * (self._allocated_rate + self.borrowed)
        self.training_gpu_s += elapsed * self.training_gpus
        self.resident += elapsed * self._resident_rate
        self.loaded_s += elapsed * self.loaded
        self.cost_usd += elapsed * self._usd_per_s
        self.now_s = now_s
