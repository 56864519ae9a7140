"""Room left on every node while replicas are placed one by one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from optimizer.fleet.packing import FIT_TOLERANCE
from optimizer.placement.problem import PlacementProblem
from simulator.devices import Devices
from simulator.placement import Seat

__all__ = ["Room"]


class Room:
    """Mutable: what is free on each node. GPUs are handed out as the simulator does (`simulator.devices`): a share goes
    to the fullest GPU that has room for it.

    Parameters
    ----------
    seats
        ``seats[replica]`` taken from the start, None where a replica has none yet; empty at first by default.
    """

    def __init__(self, problem: PlacementProblem, seats: Sequence[Seat | None] = ()) -> None:
        kind = problem.node_type
        self.problem = problem
        self.capacity = problem.capacity[kind]
        self.free = self.capacity.copy()
        self.hosted = np.zeros(problem.nodes, dtype=np.int64)
        self.usable = np.ones(problem.nodes, dtype=np.bool_)
        """``[node]``; nothing is placed where it is false."""
        self.copies = np.zeros((problem.nodes, problem.classes), dtype=np.int32)
        self.members = np.zeros((problem.nodes, len(problem.group_limit)), dtype=np.int32)
        memory = problem.node_gpus[kind] * problem.gpu_capacity_gib[kind]
        self.devices = Devices(problem.node_gpus[kind].astype(np.float64), memory)
        self._scale = 1.0 / np.where(self.capacity > 0.0, self.capacity, 1.0)
        self._gpu_scale = 1.0 / np.maximum(problem.node_gpus[kind], 1)
        self._slack = FIT_TOLERANCE * self.capacity
        for cls, seat in zip(problem.replica_class.tolist(), seats):
            if seat is not None:
                self.occupy(cls, seat)

    def fits(self, cls: int) -> np.ndarray:
        """``[node]`` whether one more replica of a class finds room."""
        problem = self.problem
        fits = (self.free + self._slack >= problem.need[cls]).all(axis=1) & self.usable
        if problem.gpus[cls] > 0.0:
            gpus, memory = float(problem.gpus[cls]), float(problem.gpu_memory_gib[cls])
            fits &= self.devices.fits(0, problem.nodes, gpus, memory)
        if problem.group[cls] >= 0:
            fits &= self.members[:, problem.group[cls]] < problem.limit[cls]
        return fits

    def free_share(self, nodes: np.ndarray) -> np.ndarray:
        """``[node, resource + 1]`` free part of each pooled resource, and of the GPUs at the end."""
        gpus = np.maximum(self.devices.share_free[nodes], 0.0).sum(axis=1) * self._gpu_scale[nodes]
        return np.column_stack([self.free[nodes] * self._scale[nodes], gpus])

    def need_share(self, cls: int, nodes: np.ndarray) -> np.ndarray:
        """``[node, resource + 1]`` part of each node that a replica claims, GPUs at the end."""
        gpus = self.problem.gpus[cls] * self._gpu_scale[nodes]
        return np.column_stack([self.problem.need[cls] * self._scale[nodes], gpus])

    def take(self, cls: int, node: int) -> Seat:
        """Put a replica on a node that it `fits`."""
        problem = self.problem
        gpus = self.devices.take(node, float(problem.gpus[cls]), float(problem.gpu_memory_gib[cls]))
        assert gpus is not None
        seat = Seat(node, gpus)
        self._book(cls, node, 1)
        return seat

    def occupy(self, cls: int, seat: Seat) -> None:
        """Put a replica where it already is, on its very GPUs."""
        for gpu in seat.gpus:
            self.devices.share_free[seat.node, gpu] -= self.problem.card_share[cls]
            self.devices.memory_free[seat.node, gpu] -= self.problem.card_memory_gib[cls]
        self._book(cls, seat.node, 1)

    def vacate(self, cls: int, seat: Seat) -> None:
        """Take a replica off its node."""
        for gpu in seat.gpus:
            self.devices.share_free[seat.node, gpu] += self.problem.card_share[cls]
            self.devices.memory_free[seat.node, gpu] += self.problem.card_memory_gib[cls]
        self._book(cls, seat.node, -1)

    def _book(self, cls: int, node: int, sign: int) -> None:
        self.free[node] -= sign * self.problem.need[cls]
        self.hosted[node] += sign
        self.copies[node, cls] += sign
        if self.problem.group[cls] >= 0:
            self.members[node, self.problem.group[cls]] += sign
