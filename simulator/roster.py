"""All replicas of a run, found by variant and node type, by node and by slot."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import simpy

from simulator.kernel.state import READY, STARTING
from simulator.placement import Seat

__all__ = ["Replica", "Roster"]


@dataclass(eq=False)
class Replica:
    """A replica in any state.

    Attributes
    ----------
    order
        Replicas are numbered in order of their coming.
    version
        Of the variant's weights: how many refreshes had begun when it came.
    ready, left
        Events: it became ready, it is gone (each may never come).
    process
        Its start, while that goes on.
    borrowed
        ``[resource]`` claimed beyond what a replica needs, while it has two copies of its weights.
    replaces, replaced_by
        In a rolling refresh: the one that leaves when this one is ready, and the reverse.
    """

    variant: int
    node_type: int
    slot: int
    seat: Seat
    order: int
    ready: simpy.Event
    left: simpy.Event
    version: int = 0
    process: simpy.Process | None = None
    borrowed: np.ndarray | None = None
    replaces: Replica | None = None
    replaced_by: Replica | None = None

    @property
    def is_gone(self) -> bool:
        """It has left, or failed."""
        return bool(self.left.triggered)


class Roster:
    """The replicas, by kind (variant and node type) and by node; joining and leaving cost the same however many."""

    def __init__(self) -> None:
        self._of_kind: dict[tuple[int, int], dict[int, Replica]] = defaultdict(dict)
        self._on_node: dict[int, dict[int, Replica]] = defaultdict(dict)
        self.replacing: dict[int, Replica] = {}
        """By slot: those that come to replace another, and do not count beside it."""

    def join(self, replica: Replica) -> None:
        """Add a replica."""
        self._of_kind[replica.variant, replica.node_type][replica.slot] = replica
        self._on_node[replica.seat.node][replica.slot] = replica
        if replica.replaces is not None:
            self.replacing[replica.slot] = replica

    def leave(self, replica: Replica) -> None:
        """Take a replica out; one that it was to replace, or that was to replace it, then stands for itself."""
        replica.left.succeed()
        del self._of_kind[replica.variant, replica.node_type][replica.slot]
        del self._on_node[replica.seat.node][replica.slot]
        self.part(replica)

    def part(self, replica: Replica) -> None:
        """End the bond between a replica and its replacement, seen from either."""
        self.replacing.pop(replica.slot, None)
        if replica.replaces is not None:
            replica.replaces.replaced_by = None
            replica.replaces = None
        if replica.replaced_by is not None:
            self.replacing.pop(replica.replaced_by.slot, None)
            replica.replaced_by.replaces = None
            replica.replaced_by = None

    def on(self, node: int) -> list[Replica]:
        """Replicas on a node, in order of their coming."""
        return list(self._on_node[node].values())

    def of(self, variant: int, node_types: Iterator[int] | range) -> list[Replica]:
        """Replicas of a variant on some node types, type by type, in order of their coming."""
        return [r for n in node_types for r in self._of_kind[variant, n].values()]

    def to_leave(
        self, kind: tuple[int, int], count: int, slots: np.ndarray, hosted: np.ndarray
    ) -> tuple[list[Replica], list[Replica]]:
        """Who goes first: the youngest that start, then of the ready ones those whose node hosts fewest.

        Parameters
        ----------
        slots
            The fleet's replica slots (`simulator.kernel.state.REPLICA`).
        hosted
            ``[node]`` replicas on each node; counted down here where one goes at once.

        Returns
        -------
        starting, ready
            ``count`` of them together, or all that there are.
        """
        members = self._of_kind[kind]
        at = np.fromiter(members, np.int64, len(members))
        states = slots["state"][at]
        starting = [members[s] for s in at[states == STARTING].tolist() if s not in self.replacing]
        starting = heapq.nlargest(count, starting, key=lambda r: r.order)
        for replica in starting:
            hosted[replica.seat.node] -= 1
        ready = sorted(at[states == READY].tolist())
        return starting, self._emptiest(members, ready, count - len(starting), slots["outstanding"], hosted)

    @staticmethod
    def _emptiest(
        members: dict[int, Replica], ready: list[int], count: int, outstanding: np.ndarray, hosted: np.ndarray
    ) -> list[Replica]:
        """The ready replicas on the nodes that host fewest, the highest slot first; a heap with an entry a node."""
        if count <= 0:
            return []
        on_node: dict[int, list[int]] = defaultdict(list)
        for slot in ready:
            on_node[members[slot].seat.node].append(slot)
        heap = [(int(hosted[node]), -slots[-1], node) for node, slots in on_node.items()]
        heapq.heapify(heap)
        chosen: list[Replica] = []
        while heap and len(chosen) < count:
            node = heap[0][2]
            slot = on_node[node].pop()
            chosen.append(members[slot])
            if outstanding[slot] == 0:
                hosted[node] -= 1
            if on_node[node]:
                heapq.heapreplace(heap, (int(hosted[node]), -on_node[node][-1], node))
            else:
                heapq.heappop(heap)
        return chosen
