"""From contents of nodes to seats of replicas, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from optimizer.placement.cards import pack_cards
from optimizer.placement.greedy import best_fit, fill_room
from optimizer.placement.problem import PlacementProblem
from optimizer.placement.room import Room
from simulator.placement import Seat

__all__ = ["Content", "contents_of", "seats_of"]


class Content(NamedTuple):
    """What one node of a type holds: ``copies[class]``."""

    node_type: int
    copies: np.ndarray


def contents_of(problem: PlacementProblem, seats: Sequence[Seat | None]) -> list[Content]:
    """Contents of the nodes that hold anything, in the order of nodes."""
    copies = np.zeros((problem.nodes, problem.classes), dtype=np.int64)
    for cls, seat in zip(problem.replica_class.tolist(), seats):
        if seat is not None:
            copies[seat.node, cls] += 1
    used = np.flatnonzero(copies.any(axis=1))
    return [Content(int(problem.node_type[node]), copies[node]) for node in used]


def seats_of(problem: PlacementProblem, contents: Sequence[Content]) -> list[Seat | None]:
    """Seats of all replicas: one node a content, what it holds beyond the replicas there are left out.

    Replicas that no content holds go where best fit finds room, on nodes already open if there is any.
    """
    seats: list[Seat | None] = [None] * len(problem.replica_class)
    following = np.cumsum(problem.count) - problem.count
    left = problem.count.copy()
    node_of_type = np.cumsum(problem.node_count) - problem.node_count
    last_of_type = np.cumsum(problem.node_count)
    for content in contents:
        copies = np.minimum(content.copies, left)
        node = int(node_of_type[content.node_type])
        if not copies.any() or node >= last_of_type[content.node_type]:
            continue
        replicas = np.repeat(np.arange(problem.classes), copies).tolist()
        gpus = pack_cards(problem, content.node_type, replicas)
        if gpus is None:
            continue
        for cls, on in zip(replicas, gpus):
            seats[following[cls]] = Seat(node, on)
            following[cls] += 1
        left -= copies
        node_of_type[content.node_type] += 1
    missing = [replica for replica, seat in enumerate(seats) if seat is None]
    if missing:
        fill_room(Room(problem, seats), missing, best_fit(problem), seats)
    return seats
