"""Carries out allocations: containers start, weights load, replicas drain, nodes open and close.

Every change takes the time it takes: a node that must be opened boots, a container starts, weights are read over the
shared store, the model warms up; a draining replica finishes what it holds and is looked at every `DRAIN_POLL_S`.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
import simpy

from simulator.cluster import resource_index
from simulator.fleet import Fleet
from simulator.fleet_plan import Numbering
from simulator.kernel.state import DRAINING, READY, STARTING
from simulator.ledger import Ledger
from simulator.placement import Placement
from simulator.policy import FleetFacts
from simulator.storage import WeightStore

__all__ = ["DRAIN_POLL_S", "Actuator", "Applied"]

DRAIN_POLL_S = 1.0


@dataclass(frozen=True)
class Applied:
    """What an allocation led to: replicas started and drained, and ``unplaced[variant, node_type]``."""

    started: int
    drained: int
    unplaced: np.ndarray


@dataclass
class _Replica:
    variant: int
    node_type: int
    node: int
    order: int
    process: simpy.Process | None = None


class Actuator:
    """Brings the fleet to the replicas that a policy wants.

    Attributes
    ----------
    cold_starts
        Replicas started after time 0.
    """

    def __init__(
        self, env: simpy.Environment, fleet: Fleet, numbering: Numbering, facts: FleetFacts, store_rate: float
    ) -> None:
        self.cold_starts = 0
        self.ledger = Ledger(facts)
        self.placement = Placement(facts.capacity, facts.node_count)
        node_rate = facts.capacity[self.placement.node_type, resource_index("storage")]
        self.store = WeightStore(env, store_rate, dict(enumerate(node_rate.tolist())))
        self._env = env
        self._fleet = fleet
        self._numbering = numbering
        self._facts = facts
        self._replicas: dict[int, _Replica] = {}
        self._booted_s = np.zeros(len(self.placement.node_type))
        self._started = 0

    def count(self, state: int) -> np.ndarray:
        """``[variant, node_type]`` replicas in a state of `simulator.kernel.state`."""
        slots = self._fleet.replicas
        counts = np.zeros(self._facts.throughput_rps.shape, np.int64)
        per_table = np.bincount(slots["table"][slots["state"] == state], minlength=len(self._numbering.runs))
        for (variant, node_type), replicas in zip(self._numbering.runs, per_table):
            counts[variant, node_type] = replicas
        return counts

    def apply(self, wanted: np.ndarray, *, at_once: bool = False) -> Applied:
        """Start and drain the difference to ``wanted[variant, node_type]`` starting or ready replicas.

        Replicas leave before others come, so that their claims can be taken over where they end at once. ``at_once``
        skips all delays (the fleet as it stands before the run, and before a request that arrives at 0).
        """
        if not at_once:
            self._catch_up()
        change = wanted - self.count(STARTING) - self.count(READY)
        drained = 0
        for v, n in np.argwhere(change < 0):
            for _ in range(-change[v, n]):
                self._remove_one(int(v), int(n))
                drained += 1
        unplaced = np.zeros_like(change)
        fresh = []
        for v, n in np.argwhere(change > 0):
            for i in range(change[v, n]):
                slot = self._place(int(v), int(n), at_once)
                if slot is None:
                    unplaced[v, n] = change[v, n] - i
                    break
                fresh.append(slot)
        if at_once:
            self._fleet.activate(*fresh)
        else:
            self.cold_starts += len(fresh)
            for slot in fresh:
                self._replicas[slot].process = self._env.process(self._start(slot))
        self._count_up()
        return Applied(len(fresh), drained, unplaced)

    def settle(self) -> None:
        """Bring requests, storage and ledger up to now."""
        self._catch_up()
        self.store.settle()

    # --- coming ----------------------------------------------------------------------------------------

    def _place(self, variant: int, node_type: int, at_once: bool) -> int | None:
        node = self.placement.place(node_type, self._facts.need[variant, node_type])
        if node is None:
            return None
        if self.placement.hosted[node] == 1:
            self._booted_s[node] = self._env.now + (0.0 if at_once else self._facts.boot_s[node_type])
        slot = self._fleet.add_replica(variant, int(self._numbering.table_of[variant, node_type]), node)
        self._started += 1
        self._replicas[slot] = _Replica(variant, node_type, node, self._started)
        return slot

    def _start(self, slot: int) -> Generator[simpy.Event, Any, None]:
        replica = self._replicas[slot]
        variant = self._numbering.variants[replica.variant][1]
        try:
            boot_s = max(0.0, self._booted_s[replica.node] - self._env.now)
            yield self._env.timeout(boot_s + variant.container_start_s)
            yield from self.store.load(replica.node, float(variant.profile.weights_bytes))
            yield self._env.timeout(variant.warm_up_s)
        except simpy.Interrupt:
            return
        replica.process = None
        self._catch_up()
        self._fleet.activate(slot)
        self._count_up()

    # --- leaving ---------------------------------------------------------------------------------------

    def _remove_one(self, variant: int, node_type: int) -> None:
        """Cancel the youngest start, else drain the replica whose node hosts fewest."""
        states = self._fleet.replicas["state"]
        mine = [s for s, r in self._replicas.items() if (r.variant, r.node_type) == (variant, node_type)]
        starting = [s for s in mine if states[s] == STARTING]
        if starting:
            slot = max(starting, key=lambda s: self._replicas[s].order)
            process = self._replicas[slot].process
            if process is not None:
                process.interrupt()
            self._release(slot)
            return
        ready = [s for s in mine if states[s] == READY]
        slot = min(ready, key=lambda s: (self.placement.hosted[self._replicas[s].node], -s))
        self._fleet.drain(slot)
        if self._fleet.is_released(slot):
            self._release(slot)
        else:
            self._env.process(self._await_drain(slot))

    def _await_drain(self, slot: int) -> Generator[simpy.Event, Any, None]:
        while not self._fleet.is_released(slot):
            yield self._env.timeout(DRAIN_POLL_S)
            self._fleet.advance(self._env.now)
        self._catch_up()
        self._release(slot)
        self._count_up()

    def _release(self, slot: int) -> None:
        replica = self._replicas.pop(slot)
        self.placement.release(replica.node, self._facts.need[replica.variant, replica.node_type])
        self._fleet.remove(slot)

    # --- bookkeeping -----------------------------------------------------------------------------------

    def _catch_up(self) -> None:
        """Serve requests and integrate the ledger up to now, before anything changes."""
        self._fleet.advance(self._env.now)
        self.ledger.settle(self._env.now)

    def _count_up(self) -> None:
        """Write the changed counts into the ledger."""
        self.ledger.open_nodes = self.placement.open_nodes()
        self.ledger.loaded = self.count(READY) + self.count(DRAINING)
        self.ledger.claimed = self.ledger.loaded + self.count(STARTING)
