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
        self.cost_usd = 0.0
        self._claimed_rate = np.zeros(len(RESOURCES))
        self._usd_per_s = 0.0
        # All integrals of arrays lie in one, and so do their rates: `settle` comes twice in every control interval.
        self._integrals, parts = _row_of_parts(shape)
        self.provisioned, self.allocated, self.resident, self.loaded_s = parts
        self._rates, parts = _row_of_parts(shape)
        self._provisioned_rate, self._allocated_rate, self._resident_rate, self._loaded_rate = parts

    def stand(
        self, open_nodes: np.ndarray, claimed: np.ndarray | None = None, loaded: np.ndarray | None = None
    ) -> None:
        """From now on so many nodes are open, and so many replicas there; None leaves a count as it is."""
        facts = self._facts
        if not np.array_equal(open_nodes, self.open_nodes):
            self.open_nodes = open_nodes
            self._provisioned_rate[:] = open_nodes @ facts.capacity
            self._usd_per_s = float(open_nodes @ facts.price_usd_per_hour) / 3600.0
        if claimed is not None and not np.array_equal(claimed, self.claimed):
            self.claimed = claimed
            self._claimed_rate = np.tensordot(claimed, facts.need, 2)
        if loaded is not None and not np.array_equal(loaded, self.loaded):
            self.loaded = loaded
            self._resident_rate[:] = np.tensordot(loaded, facts.need, 2) * _RESIDENT
            self._loaded_rate[:] = loaded

    def settle(self, now_s: float) -> None:
        """Integrate up to ``now_s``."""
        elapsed = now_s - self.now_s
        if elapsed <= 0.0:
            return
        np.add(self._claimed_rate, self.borrowed, out=self._allocated_rate)
        self._integrals += elapsed * self._rates
        self.training_gpu_s += elapsed * self.training_gpus
        self.cost_usd += elapsed * self._usd_per_s
        self.now_s = now_s


def _row_of_parts(shape: tuple[int, ...]) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """A row of zeros, and its parts: three by resource, one of this shape."""
    resources = len(RESOURCES)
    row = np.zeros(3 * resources + shape[0] * shape[1])
    return row, (*row[: 3 * resources].reshape(3, resources), row[3 * resources :].reshape(shape))
