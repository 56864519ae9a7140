"""The GPUs of every node: which share of each is free, and how much of its memory."""

from __future__ import annotations

import math

import numpy as np

__all__ = ["Devices"]

SLACK = 1e-9


class Devices:
    """Hands out GPUs: a fraction of one, or several whole ones of a node.

    A replica that claims a fraction takes the fullest GPU that has room for it (best fit), so that others stay whole;
    one that claims whole GPUs takes the first that are empty. Its memory lies on its GPUs, in equal parts.

    Parameters
    ----------
    gpus
        ``[node]`` GPUs of each node.
    memory_bytes
        ``[node]`` of all its GPUs together.
    """

    def __init__(self, gpus: np.ndarray, memory_bytes: np.ndarray) -> None:
        count = np.floor(gpus + SLACK).astype(np.int64)
        width = int(count.max(initial=0))
        self.first = np.cumsum(count) - count
        """``[node]`` number of a node's first GPU, when all are numbered node by node."""
        there = np.arange(width) < count[:, None]
        self._memory_each = np.divide(memory_bytes, count, out=np.zeros(len(count)), where=count > 0)
        self._full_share = np.where(there, 1.0, -1.0)
        self._full_memory = np.where(there, self._memory_each[:, None], -1.0)
        self.share_free = self._full_share.copy()
        """``[node, gpu]``; -1 where the node has no such GPU."""
        self.memory_free = self._full_memory.copy()
        self._hosted = np.zeros(there.shape, np.int64)

    def fits(self, first: int, last: int, gpus: float, memory_bytes: float) -> np.ndarray:
        """``[node]`` of the nodes from ``first`` to before ``last``: true where a replica finds its GPUs."""
        if gpus <= 0.0:
            return np.ones(last - first, np.bool_)
        return self._has_room(slice(first, last), gpus, memory_bytes).sum(axis=1) >= _whole(gpus)

    def take(self, node: int, gpus: float, memory_bytes: float) -> tuple[int, ...] | None:
        """Claim GPUs of a node; their places on it, None where it has not enough."""
        if gpus <= 0.0:
            return ()
        count = _whole(gpus)
        share, memory = min(gpus, 1.0) - SLACK, memory_bytes / count - SLACK * max(float(self._memory_each[node]), 1.0)
        there = enumerate(zip(self.share_free[node].tolist(), self.memory_free[node].tolist()))
        room = [(s, m, place) for place, (s, m) in there if s >= share and m >= memory]
        if len(room) < count:
            return None
        places = (min(room)[2],) if gpus < 1.0 else tuple(place for _, _, place in room[:count])
        for place in places:
            self.share_free[node, place] -= gpus / count
            self.memory_free[node, place] -= memory_bytes / count
            self._hosted[node, place] += 1
        return places

    def give_back(self, node: int, places: tuple[int, ...], gpus: float, memory_bytes: float) -> None:
        """Undo a `take`."""
        for place in places:
            self._hosted[node, place] -= 1
            if self._hosted[node, place] == 0:
                self.share_free[node, place] = self._full_share[node, place]
                self.memory_free[node, place] = self._full_memory[node, place]
            else:
                self.share_free[node, place] += gpus / len(places)
                self.memory_free[node, place] += memory_bytes / len(places)

    def grow(self, node: int, places: tuple[int, ...], memory_bytes: float) -> bool:
        """Claim more memory of GPUs that a replica has; False, and nothing claimed, where they have not so much."""
        if not places:
            return True
        more = memory_bytes / len(places)
        if (self.memory_free[node, list(places)] - more < -SLACK * self._memory_each[node]).any():
            return False
        self.memory_free[node, list(places)] -= more
        return True

    def save(self, nodes: int | slice = slice(None)) -> tuple[np.ndarray, ...]:
        """All that changes, of all nodes or some, to `restore`."""
        return self.share_free[nodes].copy(), self.memory_free[nodes].copy(), self._hosted[nodes].copy()

    def restore(self, saved: tuple[np.ndarray, ...], nodes: int | slice = slice(None)) -> None:
        """Back to what was saved of the same nodes."""
        self.share_free[nodes], self.memory_free[nodes], self._hosted[nodes] = saved

    def empty(self, node: int) -> list[int]:
        """Places of a node's GPUs that nobody claims."""
        return np.flatnonzero((self._hosted[node] == 0) & (self._full_share[node] > 0.0)).tolist()

    def _has_room(self, nodes: int | slice, gpus: float, memory_bytes: float) -> np.ndarray:
        share, memory = min(gpus, 1.0), memory_bytes / _whole(gpus)
        slack = SLACK * np.maximum(self._full_memory[nodes], 1.0)
        return (self.share_free[nodes] >= share - SLACK) & (self.memory_free[nodes] >= memory - slack)


def _whole(gpus: float) -> int:
    return max(1, math.ceil(gpus - SLACK))
