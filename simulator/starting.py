"""How a replica comes: its node boots, its image is pulled, its container starts, its weights load, it warms up."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import numpy as np
import simpy

from simulator.fleet_plan import Numbering
from simulator.life.images import ImageCache
from simulator.life.plan import Life
from simulator.roster import Replica
from simulator.storage import WeightStore

__all__ = ["Starter"]


class Starter:
    """Starts replicas, and says which became ready at an instant.

    Parameters
    ----------
    nodes
        How many there are.
    on_ready
        Called once for all replicas that become ready at one instant, so that they join their pools together.
    """

    def __init__(
        self,
        env: simpy.Environment,
        nodes: int,
        store: WeightStore,
        numbering: Numbering,
        life: Life,
        on_ready: Callable[[list[Replica]], None],
    ) -> None:
        self._env = env
        self._store = store
        self._images = ImageCache(env, store)
        self._variants = [variant for _, variant in numbering.variants]
        self._life = life
        self._on_ready = on_ready
        self._booted_s = np.zeros(nodes)
        self._ready: list[Replica] = []

    def open(self, node: int, boot_s: float) -> None:
        """A node is opened now, and boots."""
        self._booted_s[node] = self._env.now + boot_s

    def close(self, node: int) -> None:
        """A node is closed or lost, with all that it held."""
        self._images.forget(node)

    def boot_left_s(self, node: int) -> float:
        """Until the node has booted."""
        return max(0.0, float(self._booted_s[node]) - self._env.now)

    def begin(self, replica: Replica) -> None:
        """Let a replica come."""
        replica.process = self._env.process(self._start(replica))

    def stand(self, replica: Replica) -> None:
        """A replica is there without a start, and its node has its image."""
        image = self._life.image_of(replica.variant)
        if image is not None:
            self._images.have(replica.seat.node, image)

    def cancel(self, replica: Replica) -> None:
        """Give up a start, if it goes on."""
        if replica.process is not None:
            replica.process.interrupt()
            replica.process = None

    def _start(self, replica: Replica) -> Generator[simpy.Event, Any, None]:
        node = replica.seat.node
        variant, image = self._variants[replica.variant], self._life.image_of(replica.variant)
        before_s = self.boot_left_s(node)
        try:
            if image is not None:
                yield self._env.timeout(before_s)
                yield from self._images.pull(node, image)
                before_s = 0.0
            yield self._env.timeout(before_s + variant.container_start_s)
            purpose = "weights" if replica.replaces is None else "refresh"
            yield from self._store.load(node, variant.load_bytes, purpose)
            yield self._env.timeout(variant.warm_up_s)
        except simpy.Interrupt:
            return
        replica.process = None
        self._ready.append(replica)
        if len(self._ready) == 1:
            event = self._env.event()
            event.callbacks.append(lambda _: self._tell())
            event.succeed()

    def _tell(self) -> None:
        ready = [replica for replica in self._ready if not replica.is_gone]
        self._ready.clear()
        self._on_ready(ready)
