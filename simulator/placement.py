"""Which node and GPU each replica is on, and which nodes are paid for."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from simulator.devices import Devices

__all__ = ["Placement", "Seat"]

SLACK = 1e-9


class Seat(NamedTuple):
    """Where a replica is: its node, and the places of its GPUs on it (empty where it claims none)."""

    node: int
    gpus: tuple[int, ...] = ()


class Placement:
    """Free capacity of every node; packs replicas best-fit so that whole nodes stay closed.

    A node is *open* (paid for) while it hosts a replica in any state.

    Parameters
    ----------
    capacity
        ``[node_type, resource]``.
    count
        ``[node_type]`` nodes at hand. Nodes are numbered type by type.
    gpu, gpu_memory
        Positions of these on the resource axis; without them no GPU is handed out, only amounts.
    """

    def __init__(
        self, capacity: np.ndarray, count: np.ndarray, gpu: int | None = None, gpu_memory: int | None = None
    ) -> None:
        self._capacity = capacity
        self._first = np.cumsum(count) - count
        self._last = np.cumsum(count)
        self.node_type = np.repeat(np.arange(len(count)), count)
        self.free = capacity[self.node_type].copy()
        self.hosted = np.zeros(len(self.node_type), np.int64)
        self.is_usable = np.ones(len(self.node_type), np.bool_)
        """``[node]``; nothing is placed where it is false."""
        self._gpu, self._gpu_memory = gpu, gpu_memory
        amounts = self.free if gpu is not None and gpu_memory is not None else np.zeros((len(self.node_type), 1))
        self.devices = Devices(amounts[:, gpu or 0], amounts[:, gpu_memory or 0])

    def nodes_of(self, node_type: int) -> range:
        """Nodes of a type."""
        return range(int(self._first[node_type]), int(self._last[node_type]))

    def place(self, node_type: int, need: np.ndarray, count: int = 1, most: np.ndarray | None = None) -> list[Seat]:
        """Put up to ``count`` replicas that each need ``need[resource]`` on nodes of the type; their seats.

        The open node that is left with least free capacity is taken, else the first closed one. A node that is taken
        is left with less still, so that like replicas fill node after node in one order. No node of the type takes more
        than ``most[node]``, where that is given.
        """
        first, last = int(self._first[node_type]), int(self._last[node_type])
        capacity = self._capacity[node_type]
        left = self.free[first:last] - need
        fits = (left >= -SLACK * capacity).all(axis=1) & self.is_usable[first:last]
        fits &= self.devices.fits(first, last, *self._gpus(need))
        if most is not None:
            fits &= most > 0
        candidates = np.flatnonzero(fits)
        share = (left[candidates] / np.where(capacity > 0, capacity, 1.0)).sum(axis=1)
        # All open nodes rank before all closed ones; closed ones are alike, so the first is taken.
        rank = np.where(self.hosted[first:last][candidates] > 0, share, np.inf)
        seats: list[Seat] = []
        for i in candidates[np.argsort(rank, kind="stable")][:count].tolist():
            wanted = count - len(seats)
            seats += self._fill(first + i, need, wanted if most is None else min(wanted, int(most[i])))
            if len(seats) == count:
                break
        return seats

    def _fill(self, node: int, need: np.ndarray, count: int) -> list[Seat]:
        """Put up to ``count`` replicas on a node."""
        slack = SLACK * self._capacity[self.node_type[node]]
        claimed = need > 0.0
        with np.errstate(over="ignore"):
            room = (self.free[node] + slack)[claimed] / need[claimed]
        most = min(count, int(room.min(initial=count)))
        gpus, gpu_memory = self._gpus(need)
        seats: list[Seat] = []
        while len(seats) < most:
            places = self.devices.take(node, gpus, gpu_memory)
            if places is None:
                break
            seats.append(Seat(node, places))
        self.free[node] -= len(seats) * need
        self.hosted[node] += len(seats)
        return seats

    def shares(self, node_type: int, need: np.ndarray) -> np.ndarray:
        """Part of an empty node of the type that ``need[..., resource]`` claims; 0 of a resource that it lacks."""
        capacity = np.broadcast_to(self._capacity[node_type], need.shape)
        return np.divide(need, capacity, out=np.zeros(need.shape), where=capacity > 0)

    def first_closed(self, node_type: int) -> int | None:
        """The first usable node of a type that is not open."""
        first, last = int(self._first[node_type]), int(self._last[node_type])
        closed = np.flatnonzero(self.is_usable[first:last] & (self.hosted[first:last] == 0))
        return first + int(closed[0]) if len(closed) else None

    def fits(self, node: int, need: np.ndarray) -> bool:
        """True where a node can take a replica now."""
        slack = SLACK * self._capacity[self.node_type[node]]
        if not self.is_usable[node] or not (self.free[node] - need >= -slack).all():
            return False
        return bool(self.devices.fits(node, node + 1, *self._gpus(need))[0])

    def take(self, node: int, need: np.ndarray) -> Seat:
        """Put a replica on a node that `fits` it."""
        places = self.devices.take(node, *self._gpus(need))
        assert places is not None
        self.free[node] -= need
        self.hosted[node] += 1
        return Seat(node, places)

    def release(self, seat: Seat, need: np.ndarray) -> None:
        """Take a replica off its node."""
        node = seat.node
        self.hosted[node] -= 1
        self.devices.give_back(node, seat.gpus, *self._gpus(need))
        if self.hosted[node] == 0:
            self.free[node] = self._capacity[self.node_type[node]]
        else:
            self.free[node] += need

    def borrow(self, seat: Seat, more: np.ndarray) -> bool:
        """Claim ``more[resource]`` for a replica that is there; False, and nothing claimed, where there is no room."""
        slack = SLACK * self._capacity[self.node_type[seat.node]]
        gpu_memory = self._gpus(more)[1]
        if (self.free[seat.node] - more < -slack).any() or not self.devices.grow(seat.node, seat.gpus, gpu_memory):
            return False
        self.free[seat.node] -= more
        return True

    def return_borrowed(self, seat: Seat, more: np.ndarray) -> None:
        """Undo a `borrow`, before the replica itself is released."""
        self.free[seat.node] += more
        self.devices.grow(seat.node, seat.gpus, -self._gpus(more)[1])

    def save(self, nodes: int | slice = slice(None)) -> tuple[np.ndarray, ...]:
        """All that changes when replicas come and go, of all nodes or some, to `restore`."""
        return (self.free[nodes].copy(), self.hosted[nodes].copy(), *self.devices.save(nodes))

    def restore(self, saved: tuple[np.ndarray, ...], nodes: int | slice = slice(None)) -> None:
        """Back to what was saved of the same nodes."""
        self.free[nodes], self.hosted[nodes] = saved[:2]
        self.devices.restore(saved[2:], nodes)

    def open_nodes(self) -> np.ndarray:
        """``[node_type]`` nodes that host a replica."""
        return np.bincount(self.node_type[self.hosted > 0], minlength=len(self._first))

    def usable_nodes(self) -> np.ndarray:
        """``[node_type]`` nodes that can take replicas, room permitting."""
        return np.bincount(self.node_type[self.is_usable], minlength=len(self._first))

    def device(self, seat: Seat) -> int:
        """Number of a seat's (first) GPU among all GPUs of all nodes; -1 where it has none."""
        return int(self.devices.first[seat.node]) + seat.gpus[0] if seat.gpus else -1

    def _gpus(self, need: np.ndarray) -> tuple[float, float]:
        if self._gpu is None or self._gpu_memory is None:
            return 0.0, 0.0
        return float(need[self._gpu]), float(need[self._gpu_memory])
