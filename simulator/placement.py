"""Which node each replica is on, and which nodes are paid for."""

from __future__ import annotations

import numpy as np

__all__ = ["Placement"]

SLACK = 1e-9


class Placement:
    """Free capacity of every node; packs replicas best-fit so that whole nodes stay closed.

    A node is *open* (paid for) while it hosts a replica in any state.

    Parameters
    ----------
    capacity
        ``[node_type, resource]``.
    count
        ``[node_type]`` nodes at hand. Nodes are numbered type by type.
    """

    def __init__(self, capacity: np.ndarray, count: np.ndarray) -> None:
        self._capacity = capacity
        self._first = np.cumsum(count) - count
        self._last = np.cumsum(count)
        self.node_type = np.repeat(np.arange(len(count)), count)
        self.free = capacity[self.node_type].copy()
        self.hosted = np.zeros(len(self.node_type), np.int64)

    def place(self, node_type: int, need: np.ndarray) -> int | None:
        """Put a replica that needs ``need[resource]`` on a node of the type; the node, or None where none has room.

        The open node that is left with least free capacity is taken, else the first closed one.
        """
        first, last = int(self._first[node_type]), int(self._last[node_type])
        capacity = self._capacity[node_type]
        left = self.free[first:last] - need
        fits = (left >= -SLACK * capacity).all(axis=1)
        if not fits.any():
            return None
        share = (left / np.where(capacity > 0, capacity, 1.0)).sum(axis=1)
        # All open nodes rank before all closed ones; closed ones are alike, so the first is taken.
        rank = np.where(self.hosted[first:last] > 0, share, np.inf)
        candidates = np.flatnonzero(fits)
        node = int(candidates[np.argmin(rank[candidates])])
        self.free[first + node] -= need
        self.hosted[first + node] += 1
        return first + node

    def release(self, node: int, need: np.ndarray) -> None:
        """Take a replica off its node."""
        self.hosted[node] -= 1
        if self.hosted[node] == 0:
            self.free[node] = self._capacity[self.node_type[node]]
        else:
            self.free[node] += need

    def open_nodes(self) -> np.ndarray:
        """``[node_type]`` nodes that host a replica."""
        return np.bincount(self.node_type[self.hosted > 0], minlength=len(self._first))
