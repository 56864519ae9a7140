"""Rolling refresh of a variant's weights: replica after replica, while the others serve."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import simpy

from simulator.actuator import Actuator
from simulator.cluster import resource_index
from simulator.kernel.state import READY
from simulator.life.plan import Refresh
from simulator.roster import Replica

__all__ = ["Refresher"]


class Refresher:
    """Brings new weights to a variant every period.

    Replicas that come after a refresh has begun have the new weights already. A refresh that is not through when the
    next begins goes over to the newer weights.

    Attributes
    ----------
    refreshed
        Replicas that have got new weights, in place or by another in their place.
    """

    def __init__(
        self, env: simpy.Environment, fleet: Any, actuator: Actuator, refresh: Refresh, weights_bytes: float
    ) -> None:
        self.refreshed = 0
        self._env = env
        self._fleet = fleet
        self._actuator = actuator
        self._refresh = refresh
        self._weights_bytes = weights_bytes
        self._where = actuator.facts.variants[refresh.variant]
        self._is_rolling = False
        env.process(self._every_period())

    def _every_period(self) -> Generator[simpy.Event, Any, None]:
        yield self._env.timeout(self._refresh.first_s)
        while True:
            self._actuator.version[self._refresh.variant] += 1
            old = self._old()
            self._log("refresh_began", f"{len(old)} replicas to refresh", len(old))
            if not self._is_rolling:
                self._env.process(self._roll())
            yield self._env.timeout(self._refresh.period_s)

    def _roll(self) -> Generator[simpy.Event, Any, None]:
        """Start on the next as long as fewer than the most are under way; each attempt takes time."""
        self._is_rolling = True
        under_way: dict[simpy.Process, Replica] = {}
        count = 0
        while True:
            busy = set(under_way.values())
            for replica in [r for r in self._old() if r not in busy][: self._refresh.max_unavailable - len(under_way)]:
                under_way[self._env.process(self._refresh_one(replica))] = replica
            if not under_way:
                break
            yield self._env.any_of(under_way)
            for process in [process for process in under_way if not process.is_alive]:
                count += bool(process.value)
                del under_way[process]
        self._is_rolling = False
        self._log("refresh_ended", f"{count} replicas refreshed", count)

    def _old(self) -> list[Replica]:
        """Ready replicas with old weights, in order of their coming."""
        actuator, variant = self._actuator, self._refresh.variant
        states = self._fleet.replicas["state"]
        mine = actuator.roster.of(variant, range(len(actuator.facts.node_types)))
        old = [r for r in mine if states[r.slot] == READY and r.version < actuator.version[variant]]
        return sorted((r for r in old if r.replaced_by is None), key=lambda r: r.order)

    def _refresh_one(self, old: Replica) -> Generator[simpy.Event, Any, bool]:
        """One replica, by the best way there is room for; True if the new weights serve."""
        if self._refresh.in_place and (yield from self._in_place(old)):
            return True
        if old.is_gone or self._fleet.replicas["state"][old.slot] != READY:
            return False
        new = self._actuator.replace(old)
        if new is not None:
            yield self._env.any_of([new.ready, new.left])
            done = bool(new.ready.triggered)
            if done and not old.left.triggered:
                yield old.left
        else:
            # No room beside it: it leaves first, and what is missing then is placed anew, with the new weights.
            self._actuator.catch_up()
            self._actuator.drain([old])
            self._actuator.count_up()
            if not old.left.triggered:
                yield old.left
            self._actuator.top_up()
            yield from self._until_there_again(old)
            done = True
        self.refreshed += done
        return done

    def _until_there_again(self, old: Replica) -> Generator[simpy.Event, Any, None]:
        """Wait for the youngest start of the kind, which took the place of the old one."""
        starting = [r for r in self._actuator.roster.of(old.variant, range(old.node_type, old.node_type + 1))
                    if r.process is not None and r.order > old.order]  # fmt: skip
        if starting:
            new = max(starting, key=lambda r: r.order)
            yield self._env.any_of([new.ready, new.left])

    def _in_place(self, old: Replica) -> Generator[simpy.Event, Any, bool]:
        """Read the new weights beside the old ones, which serve meanwhile; False where there is no room for both."""
        actuator = self._actuator
        more = np.zeros(actuator.facts.need.shape[2])
        kind = "gpu_memory" if old.seat.gpus else "memory"
        more[resource_index(kind)] = self._weights_bytes
        version = int(actuator.version[old.variant])
        if not actuator.borrow(old, more):
            return False
        yield from actuator.store.load(old.seat.node, self._weights_bytes, "refresh", until=old.left)
        if old.is_gone:
            return False
        actuator.give_back(old)
        actuator.count_up()
        old.version = version
        self.refreshed += 1
        return True

    def _log(self, what: str, consequence: str, replicas: int) -> None:
        self._actuator.log.add(self._env.now, what, self._where, consequence, replicas)
