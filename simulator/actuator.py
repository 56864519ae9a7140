"""Carries out allocations: containers start, weights load, replicas drain, nodes open and close.

Every change takes the time it takes: a replica starts (`simulator.starting`); one that drains finishes what it holds
and is looked at every `DRAIN_POLL_S`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
import simpy

from simulator.cluster import resource_index
from simulator.fleet import Fleet
from simulator.fleet_plan import Numbering
from simulator.kernel.state import ABSENT, DRAINING, READY, STARTING
from simulator.ledger import Ledger
from simulator.life.events import EventLog
from simulator.life.eviction import victims
from simulator.life.fairness import Place, Standing, place_all, place_fairly
from simulator.life.plan import Life
from simulator.placement import Placement, Seat
from simulator.policy import FleetFacts
from simulator.replica_counts import ReplicaCounts
from simulator.roster import Replica, Roster
from simulator.spread import Spread
from simulator.starting import Starter
from simulator.storage import WeightStore

__all__ = ["DRAIN_POLL_S", "Actuator", "Applied"]

DRAIN_POLL_S = 1.0
_GPU = resource_index("gpu")


@dataclass(frozen=True)
class Applied:
    """What an allocation led to: replicas started and drained, and ``unplaced[variant, node_type]``."""

    started: int
    drained: int
    unplaced: np.ndarray


class Actuator:
    """Brings the fleet to the replicas that a policy wants.

    Attributes
    ----------
    cold_starts
        Replicas started after time 0.
    wanted, unplaced
        ``[variant, node_type]`` what the last decision asked for, and what of it found no room.
    most_per_node, batch_caps
        ``[variant, node_type]`` of replicas that come from now on: most on one node, and largest batch; None
        for anywhere, and for what variants state.
    version
        ``[variant]`` of the weights that replicas load from now on.
    slowness
        ``[node]`` times as long as batches on it take.
    lost
        ``[variant, node_type]`` replicas that failed so far.
    on_change
        Called whenever replicas have come or gone.
    """

    def __init__(
        self,
        env: simpy.Environment,
        fleet: Fleet,
        numbering: Numbering,
        facts: FleetFacts,
        store_rate: float,
        life: Life | None = None,
        log: EventLog | None = None,
    ) -> None:
        self.cold_starts = 0
        self.ledger = Ledger(facts)
        self.placement = Placement(
            facts.capacity, facts.node_count, resource_index("gpu"), resource_index("gpu_memory")
        )
        node_rate = facts.capacity[self.placement.node_type, resource_index("storage")]
        self.store = WeightStore(env, store_rate, dict(enumerate(node_rate.tolist())))
        self.roster = Roster()
        self.log = log or EventLog()
        self.life = life or Life()
        self.wanted = np.zeros(facts.throughput_rps.shape, np.int64)
        self.most_per_node: np.ndarray | None = None
        self.batch_caps: np.ndarray | None = None
        self.unplaced = np.zeros_like(self.wanted)
        self.lost = np.zeros_like(self.wanted)
        self.version = np.zeros(len(facts.variants), np.int64)
        self.slowness = np.ones(len(self.placement.node_type))
        self.on_change: list[Callable[[], None]] = []
        self.facts = facts
        self._standing = Standing(facts.service_weight, facts.service_priority)
        self._env = env
        self._fleet = fleet
        self._numbering = numbering
        self._counts = ReplicaCounts(fleet, numbering)
        self._starter = Starter(env, len(node_rate), self.store, numbering, self.life, self._activate)
        self._started = 0

    def counts(self) -> np.ndarray:
        """``[state, variant, node_type]`` replicas, by the states of `simulator.kernel.state`; read-only."""
        return self._counts.by_state()

    def count(self, state: int) -> np.ndarray:
        """``[variant, node_type]`` replicas in a state."""
        return self.counts()[state].copy()

    def starting(self) -> np.ndarray:
        """``[variant, node_type]`` replicas that are starting, without those that come to replace another."""
        return self._less_replacing(self.count(STARTING))

    def _present(self) -> np.ndarray:
        """``[variant, node_type]`` replicas that are starting or ready, without those that come to replace another."""
        counts = self.counts()
        return self._less_replacing(counts[STARTING] + counts[READY])

    def _less_replacing(self, counts: np.ndarray) -> np.ndarray:
        for replica in self.roster.replacing.values():
            counts[replica.variant, replica.node_type] -= 1
        return counts

    def apply(self, wanted: np.ndarray, *, at_once: bool = False) -> Applied:
        """Start and drain the difference to ``wanted[variant, node_type]`` starting or ready replicas.

        Replicas leave before others come, so that their claims can be taken over where they end at once. ``at_once``
        skips all delays (the fleet as it stands before the run, and before a request that arrives at 0).
        """
        if not at_once:
            self.catch_up()
        self.wanted = wanted
        change = wanted - self._present()
        if not change.any() and not at_once:
            self.unplaced = np.zeros_like(change)
            return Applied(0, 0, self.unplaced.copy())
        drained = self._shrink(change)
        started = self._grow(at_once)
        if self.life.evicts and self.unplaced.any() and not at_once:
            started += self._make_room()
        self.count_up()
        return Applied(started, drained, self.unplaced.copy())

    def top_up(self) -> None:
        """Place what is missing of what was wanted last."""
        self.catch_up()
        self._grow(False)
        self.count_up()

    def settle(self) -> None:
        """Bring requests, storage and ledger up to now."""
        self.catch_up()
        self.store.settle()

    # --- coming ----------------------------------------------------------------------------------------

    def _grow(self, at_once: bool) -> int:
        """Place what is missing, fairly where not all fits; how many came."""
        present = self._present()
        missing = np.maximum(self.wanted - present, 0)
        self.unplaced = missing
        if not missing.any():
            return 0
        was_open = self.placement.hosted > 0
        placer = self._placer if self.most_per_node is not None else None
        placed = place_all(self.placement, self.facts, missing, placer)
        if placed is None:
            place = placer and placer()
            placed = place_fairly(self.placement, self.facts, missing, present, self._standing, place)
        for v, n, _ in placed:
            missing[v, n] -= 1
        free = np.flatnonzero(self._fleet.replicas["state"] == ABSENT)[: len(placed)].tolist()
        slots = [*free, *[None] * (len(placed) - len(free))]
        replicas = [
            self._join(v, n, seat, slot, bool(was_open[seat.node]), at_once)
            for (v, n, seat), slot in zip(placed, slots)
        ]
        if at_once:
            self._fleet.activate(*(r.slot for r in replicas))
        else:
            self._begin(replicas)
        return len(replicas)

    def _placer(self) -> Place:
        """How replicas are placed where the last decision wants them spread."""
        assert self.most_per_node is not None
        spread = Spread(self.placement, self.roster, self.most_per_node)
        return lambda v, n, count: spread.place(v, n, self.facts.need[v, n], count)

    def _join(
        self, variant: int, node_type: int, seat: Seat, slot: int | None, was_open: bool, at_once: bool = False
    ) -> Replica:
        """Give a replica its slot: the lowest free one if that is None."""
        if not was_open:
            self._starter.open(seat.node, 0.0 if at_once else float(self.facts.boot_s[node_type]))
        slot = self._add(variant, node_type, seat, slot)
        self._started += 1
        events = self._env.event(), self._env.event()
        replica = Replica(variant, node_type, slot, seat, self._started, *events, int(self.version[variant]))
        self.roster.join(replica)
        if at_once:
            self._starter.stand(replica)
        return replica

    def _add(self, variant: int, node_type: int, seat: Seat, slot: int | None) -> int:
        """The replica's slot in the fleet; one that shares its GPU says which it is."""
        table = int(self._numbering.table_of[variant, node_type])
        shares = 0.0 < self.facts.need[variant, node_type, _GPU] < 1.0
        device = {"device": self.placement.device(seat)} if shares else {}
        cap = {"max_batch": int(self.batch_caps[variant, node_type])} if self.batch_caps is not None else {}
        slot = self._fleet.add_replica(variant, table, seat.node, slot, **device, **cap)
        if self.slowness[seat.node] != 1.0:
            self._fleet.set_slowness(slot, float(self.slowness[seat.node]))
        return slot

    def _begin(self, replicas: list[Replica]) -> None:
        self.cold_starts += len(replicas)
        for replica in replicas:
            self._starter.begin(replica)

    def _activate(self, ready: list[Replica]) -> None:
        """Replicas are ready: they serve, and those that they replace leave."""
        self.catch_up()
        self._fleet.activate(*(replica.slot for replica in ready))
        replaced = [replica.replaces for replica in ready if replica.replaces is not None]
        for replica in ready:
            self.roster.part(replica)
            replica.ready.succeed()
        self.drain(replaced)
        self.count_up()

    def replace(self, old: Replica) -> Replica | None:
        """Start a replica that takes the place of a ready one when it is ready itself; None where there is no room."""
        self.catch_up()
        was_open = self.placement.hosted > 0
        seats = self.placement.place(old.node_type, self.facts.need[old.variant, old.node_type])
        if not seats:
            return None
        new = self._join(old.variant, old.node_type, seats[0], None, bool(was_open[seats[0].node]))
        new.replaces, old.replaced_by = old, new
        self.roster.replacing[new.slot] = new
        self._begin([new])
        self.count_up()
        return new

    def borrow(self, replica: Replica, more: np.ndarray) -> bool:
        """Claim ``more[resource]`` beside what a replica needs; False where its node or GPU has no room."""
        self.catch_up()
        if not self.placement.borrow(replica.seat, more):
            return False
        replica.borrowed = more
        self.ledger.borrowed += more
        self.count_up()
        return True

    def give_back(self, replica: Replica) -> None:
        """End what a replica has borrowed, if it has."""
        if replica.borrowed is not None:
            self.catch_up()
            self.placement.return_borrowed(replica.seat, replica.borrowed)
            self.ledger.borrowed -= replica.borrowed
            replica.borrowed = None

    # --- leaving ---------------------------------------------------------------------------------------

    def _shrink(self, change: np.ndarray) -> int:
        """Let ``-change[variant, node_type]`` replicas go where it is below 0; how many go."""
        hosted = self.placement.hosted.copy()
        leaving: list[Replica] = []
        gone = 0
        for v, n in np.argwhere(change < 0).tolist():
            starting, ready = self.roster.to_leave((v, n), -int(change[v, n]), self._fleet.replicas, hosted)
            for replica in starting:
                self.cancel(replica)
            for replica in ready:
                if replica.replaced_by is not None:
                    self.cancel(replica.replaced_by)
            leaving += ready
            gone += len(starting) + len(ready)
        self.drain(leaving)
        return gone

    def cancel(self, replica: Replica) -> None:
        """Give up a start."""
        self._starter.cancel(replica)
        self._fleet.remove(replica.slot)
        self._forget(replica)

    def drain(self, replicas: list[Replica]) -> None:
        """Let ready replicas finish what they hold and go."""
        if not replicas:
            return
        self._fleet.drain(*(replica.slot for replica in replicas))
        held = self._let_go(replicas)
        if held:
            self._env.process(self._await_drains(held))

    def _await_drains(self, held: list[Replica]) -> Generator[simpy.Event, Any, None]:
        while held:
            yield self._env.timeout(DRAIN_POLL_S)
            self._fleet.advance(self._env.now)
            held = [replica for replica in held if not replica.is_gone]
            if any(self._fleet.is_released(replica.slot) for replica in held):
                self.catch_up()
                held = self._let_go(held)
                if self.life.evicts and self.unplaced.any():
                    self._grow(False)
                self.count_up()

    def _let_go(self, replicas: list[Replica]) -> list[Replica]:
        """Take out those that hold nothing any more; the others."""
        held = []
        for replica in replicas:
            if self._fleet.is_released(replica.slot):
                self._fleet.remove(replica.slot)
                self._forget(replica)
            else:
                held.append(replica)
        return held

    def fail(self, replicas: list[Replica]) -> None:
        """Replicas are lost now, with what they hold."""
        self.catch_up()
        states = self._fleet.replicas["state"]
        serving = [replica for replica in replicas if states[replica.slot] != STARTING]
        for replica in replicas:
            self.lost[replica.variant, replica.node_type] += 1
            if states[replica.slot] == STARTING:
                self.cancel(replica)
        if serving:
            self._fleet.fail(*(replica.slot for replica in serving))
        for replica in serving:
            self._forget(replica)
        self.count_up()

    def _forget(self, replica: Replica) -> None:
        self.give_back(replica)
        self.roster.leave(replica)
        self._release(replica.seat, self.facts.need[replica.variant, replica.node_type])

    def _release(self, seat: Seat, need: np.ndarray) -> None:
        """Free what a seat claims; a node that closes with it forgets its images."""
        self.placement.release(seat, need)
        if self.placement.hosted[seat.node] == 0:
            self._starter.close(seat.node)

    def _make_room(self) -> int:
        """Drain replicas of lower priority where those of higher found no room; how many of these came at once.

        The others come when room is made: whenever a drain has ended.
        """
        draining = self._fleet.replicas["state"] == DRAINING
        leaving = victims(self.placement, self.roster, self.facts, self.unplaced, self._standing, draining)
        by_variant = np.bincount([replica.variant for replica in leaving], minlength=len(self.facts.variants))
        for variant in np.flatnonzero(by_variant).tolist():
            count = int(by_variant[variant])
            self.log.add(self._env.now, "evicted", self.facts.variants[variant], f"{count} replicas drain", count)
        self.withdraw(leaving)
        return self._grow(False) if any(replica.is_gone for replica in leaving) else 0

    def withdraw(self, replicas: list[Replica]) -> None:
        """Replicas in any state are to go: starts are given up, ready ones drain."""
        for replica in replicas:
            if replica.replaced_by is not None:
                self.cancel(replica.replaced_by)
        states = self._fleet.replicas["state"]
        there = [replica for replica in replicas if not replica.is_gone]
        ready = [replica for replica in there if states[replica.slot] == READY]
        for replica in there:
            if states[replica.slot] == STARTING:
                self.cancel(replica)
        self.drain(ready)
        self.count_up()

    # --- nodes for other work --------------------------------------------------------------------------

    def open_node(self, node_type: int, need: np.ndarray) -> Seat | None:
        """Open a node for something that is no replica and claims ``need[resource]``; None where none is left."""
        node = self.placement.first_closed(node_type)
        if node is None or not self.placement.fits(node, need):
            return None
        self.catch_up()
        self._starter.open(node, float(self.facts.boot_s[node_type]))
        seat = self.placement.take(node, need)
        self.ledger.borrowed += need
        self.ledger.stand(self.placement.open_nodes())
        return seat

    def close_node(self, seat: Seat, need: np.ndarray) -> None:
        """Undo `open_node`; the node stays open while it hosts replicas."""
        self.catch_up()
        self._release(seat, need)
        self.ledger.borrowed -= need
        self.ledger.stand(self.placement.open_nodes())

    def boot_left_s(self, node: int) -> float:
        """Until the node has booted."""
        return self._starter.boot_left_s(node)

    # --- bookkeeping -----------------------------------------------------------------------------------

    def slow_down(self, node: int, factor: float) -> None:
        """Batches on a node take ``factor`` times as long from now on."""
        self.catch_up()
        self.slowness[node] = factor
        for replica in self.roster.on(node):
            self._fleet.set_slowness(replica.slot, factor)

    def catch_up(self) -> None:
        """Serve requests and integrate the ledger up to now, before anything changes."""
        self._fleet.advance(self._env.now)
        self.ledger.settle(self._env.now)

    def count_up(self) -> None:
        """Write the changed counts into the ledger."""
        for watcher in self.on_change:
            watcher()
        counts = self.counts()
        loaded = counts[READY] + counts[DRAINING]
        self.ledger.stand(self.placement.open_nodes(), loaded + counts[STARTING], loaded)
