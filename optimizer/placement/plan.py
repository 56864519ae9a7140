"""A placement: where each replica sits, and the check that it holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from optimizer.fleet.packing import FIT_TOLERANCE
from optimizer.placement.problem import PlacementProblem
from simulator.placement import Seat

__all__ = ["InvalidPlacementError", "PlacementPlan", "check_placement", "round_up_to_prices"]


class InvalidPlacementError(RuntimeError):
    """A placement that breaks its problem; a defect of a method, never of the input."""


@dataclass(frozen=True)
class PlacementPlan:
    """An answer to a `PlacementProblem`, checked by `check_placement`.

    Attributes
    ----------
    seats
        ``seats[replica]``: node and GPUs, None where the replica has no node.
    node_type
        ``[node]``, of the problem.
    cost
        Value that the problem minimises.
    bound
        No placement costs less; None where none was computed.
    method
        Name of what made it.
    note
        Why the search ended, where there is something to tell.
    """

    seats: tuple[Seat | None, ...]
    node_type: np.ndarray
    cost: float
    bound: float | None = None
    method: str = ""
    note: str = ""

    @cached_property
    def hosted(self) -> np.ndarray:
        """``[node]`` replicas on each node."""
        return np.bincount([s.node for s in self.seats if s is not None], minlength=len(self.node_type))

    @property
    def nodes_used(self) -> int:
        """Nodes that host a replica."""
        return int((self.hosted > 0).sum())

    @cached_property
    def nodes_by_type(self) -> np.ndarray:
        """``[node_type]`` nodes that host a replica."""
        types = int(self.node_type.max(initial=-1)) + 1
        return np.bincount(self.node_type[self.hosted > 0], minlength=types)

    @cached_property
    def unplaced(self) -> tuple[int, ...]:
        """Replicas without a node."""
        return tuple(replica for replica, seat in enumerate(self.seats) if seat is None)

    @property
    def gap(self) -> float | None:
        """``(cost - bound) / cost``; None without a bound."""
        if self.bound is None:
            return None
        return max(0.0, 1.0 - self.bound / self.cost) if self.cost > 0.0 else 0.0


def check_placement(
    problem: PlacementProblem,
    seats: Sequence[Seat | None],
    *,
    bound: float | None = None,
    method: str = "",
    note: str = "",
) -> PlacementPlan:
    """Check a placement anew from its seats alone, and price it.

    Raises
    ------
    InvalidPlacementError
        A node, a GPU or a group's limit is overfilled; or a replica has the wrong number of GPUs, or one that is not
        there.
    """
    if len(seats) != len(problem.replica_class):
        raise InvalidPlacementError(f"{len(seats)} seats for {len(problem.replica_class)} replicas")
    width = int(problem.node_gpus.max(initial=0))
    used = np.zeros((problem.nodes, len(problem.resources)))
    share, memory = np.zeros((problem.nodes, width)), np.zeros((problem.nodes, width))
    members = np.zeros((problem.nodes, len(problem.group_limit)), dtype=np.int64)
    hosted = np.zeros(problem.nodes, dtype=np.int64)
    for cls, seat in zip(problem.replica_class.tolist(), seats, strict=True):
        if seat is None:
            continue
        _check_gpus(problem, cls, seat)
        hosted[seat.node] += 1
        used[seat.node] += problem.need[cls]
        for gpu in seat.gpus:
            share[seat.node, gpu] += problem.card_share[cls]
            memory[seat.node, gpu] += problem.card_memory_gib[cls]
        if problem.group[cls] >= 0:
            members[seat.node, problem.group[cls]] += 1
    # Each subtraction that a method makes may leave a rounding error; the sum here makes its own.
    slack = 1.0 + 2.0 * FIT_TOLERANCE
    for name, found, room in (
        ("a pooled resource", used, problem.capacity[problem.node_type]),
        ("a GPU", share, np.ones((problem.nodes, 1))),
        ("the memory of a GPU", memory, problem.gpu_capacity_gib[problem.node_type][:, None]),
        ("a group's limit", members, problem.group_limit[None, :]),
    ):
        over = np.argwhere(found > room * slack + 1e-12)
        if len(over):
            raise InvalidPlacementError(f"{name} of node {over[0][0]} is overfilled ({found[tuple(over[0])]:g})")
    placed = int(hosted.sum())
    cost = float(problem.price[problem.node_type][hosted > 0].sum())
    cost += problem.unplaced_price * (len(seats) - placed)
    return PlacementPlan(tuple(seats), problem.node_type, cost, bound, method, note)


def _check_gpus(problem: PlacementProblem, cls: int, seat: Seat) -> None:
    if not 0 <= seat.node < problem.nodes:
        raise InvalidPlacementError(f"there is no node {seat.node}")
    there = int(problem.node_gpus[problem.node_type[seat.node]])
    if len(seat.gpus) != problem.cards[cls] or len(set(seat.gpus)) != len(seat.gpus):
        raise InvalidPlacementError(f"a replica that needs {problem.gpus[cls]:g} GPUs has {seat.gpus}")
    if any(not 0 <= gpu < there for gpu in seat.gpus):
        raise InvalidPlacementError(f"node {seat.node} has {there} GPUs, not {seat.gpus}")


def round_up_to_prices(problem: PlacementProblem, bound: float) -> float:
    """The least cost that is not below a bound, where all costs are multiples of one amount (as when nodes are
    counted).

    The bound comes from solvers that work to a tolerance: a millionth of it is given up first.
    """
    safe = max(0.0, bound - 1e-6 * max(1.0, abs(bound)))
    scaled = np.append(problem.price[problem.node_count > 0], problem.unplaced_price) * 1e4
    whole = np.round(scaled)
    if np.abs(scaled - whole).max(initial=0.0) > 1e-6 or whole.max(initial=0.0) > 2**50:
        return safe
    unit = float(np.gcd.reduce(whole.astype(np.int64))) / 1e4
    return unit * float(np.ceil(safe / unit - 1e-9)) if unit > 0.0 else safe
