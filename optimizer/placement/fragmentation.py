"""Expected GPU capacity that the next task could not use: the measure, and the descent, of FGD.

Weng, Yang, Yu, Wang, Tang, Yang and Zhang, *Beware of Fragmentation: Scheduling GPU-Sharing Workloads with
Fragmentation Gradient Descent* (USENIX ATC 2023). A node's fragmentation for a task is all its free GPU share where
the task cannot run there or needs no GPU, and otherwise the free share of those GPUs that have too little for it;
expected over the mix of tasks. Two things differ: "can run" covers every resource and the GPUs' memory, not CPU and
GPU alone; and a share goes to the GPU that the simulator's rule gives (the fullest with room), where the paper tries
each.
"""

from __future__ import annotations

import numpy as np

from optimizer.fleet.packing import FIT_TOLERANCE
from optimizer.placement.problem import PlacementProblem
from optimizer.placement.room import Room

__all__ = ["Fragmentation", "expected_fragmentation"]


def expected_fragmentation(
    problem: PlacementProblem, free: np.ndarray, share: np.ndarray, memory: np.ndarray, weight: np.ndarray
) -> np.ndarray:
    """``[node]`` GPUs (in shares of one) that a task drawn from the mix is expected to find unusable.

    Parameters
    ----------
    free
        ``[node, resource]`` free amounts.
    share, memory
        ``[node, gpu]`` free share and free GiB of each GPU; negative where there is none.
    weight
        ``[class]`` probability of a task's class.
    """
    there = np.maximum(share, 0.0)
    total = there.sum(axis=1)
    expected = np.zeros(len(free))
    for cls in np.flatnonzero(weight > 0.0):
        if problem.cards[cls] == 0:
            expected += weight[cls] * total
            continue
        usable = share >= problem.card_share[cls] - FIT_TOLERANCE
        usable &= memory >= problem.card_memory_gib[cls] * (1.0 - FIT_TOLERANCE)
        runs = (free * (1.0 + FIT_TOLERANCE) + FIT_TOLERANCE >= problem.need[cls]).all(axis=1)
        runs &= usable.sum(axis=1) >= problem.cards[cls]
        expected += weight[cls] * np.where(runs, np.where(usable, 0.0, there).sum(axis=1), total)
    return expected


class Fragmentation:
    """How much the fragmentation of nodes grows by one more replica; nodes alike are evaluated once.

    The task mix is that of the problem itself, by count of replicas.
    """

    def __init__(self, problem: PlacementProblem) -> None:
        self._problem = problem
        self._weight = problem.count / max(1, int(problem.count.sum()))
        self._known: dict[bytes, float] = {}

    def growth(self, room: Room, cls: int, nodes: np.ndarray) -> np.ndarray:
        """``[node]`` of those given: fragmentation after placing a replica, less that before."""
        after_share, after_memory = self._after(room, cls, nodes)
        after_free = room.free[nodes] - self._problem.need[cls]
        after = self._measure(after_free, after_share, after_memory)
        before = self._measure(room.free[nodes], room.devices.share_free[nodes], room.devices.memory_free[nodes])
        return np.round(after - before, 12)

    def _measure(self, free: np.ndarray, share: np.ndarray, memory: np.ndarray) -> np.ndarray:
        state = np.ascontiguousarray(np.round(np.column_stack([free, share, memory]), 7)) + 0.0
        keys = [row.tobytes() for row in state]
        fresh = {key: place for place, key in enumerate(keys) if key not in self._known}
        if fresh:
            rows = list(fresh.values())
            values = expected_fragmentation(self._problem, free[rows], share[rows], memory[rows], self._weight)
            self._known.update(zip(fresh, values.tolist()))
        return np.array([self._known[key] for key in keys])

    def _after(self, room: Room, cls: int, nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Free share and memory of the GPUs once a replica sits where the simulator would put it."""
        problem = self._problem
        share, memory = room.devices.share_free[nodes].copy(), room.devices.memory_free[nodes].copy()
        cards = int(problem.cards[cls])
        if cards == 0:
            return share, memory
        need, need_gib = float(problem.card_share[cls]), float(problem.card_memory_gib[cls])
        usable = (share >= need - FIT_TOLERANCE) & (memory >= need_gib * (1.0 - FIT_TOLERANCE))
        rows = np.arange(len(nodes))
        if problem.gpus[cls] < 1.0:
            fullest = np.where(usable, share, np.inf).argmin(axis=1)
            share[rows, fullest] -= need
            memory[rows, fullest] -= need_gib
            return share, memory
        first = usable & (usable.cumsum(axis=1) <= cards)
        share[first] -= need
        memory[first] -= need_gib
        return share, memory
