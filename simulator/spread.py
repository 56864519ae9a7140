"""How many replicas of a kind one node should hold at most, so that the loss of a node takes few of them.

It is a wish: a replica that finds no room otherwise is placed all the same. What runs already is not moved.
"""

from __future__ import annotations

import numpy as np

from simulator.placement import Placement, Seat
from simulator.roster import Roster

__all__ = ["Spread"]


class Spread:
    """Places replicas of a kind within ``most_per_node[variant, node_type]``, as far as there is room.

    Parameters
    ----------
    roster
        All replicas that stand, in any state.
    """

    def __init__(self, placement: Placement, roster: Roster, most_per_node: np.ndarray) -> None:
        self._placement, self._roster, self._most = placement, roster, most_per_node
        self._here: dict[tuple[int, int], np.ndarray] = {}

    def place(self, variant: int, node_type: int, need: np.ndarray, count: int = 1) -> list[Seat]:
        """Seats of up to ``count`` replicas, first on nodes that hold fewer than they should."""
        here = self._count(variant, node_type)
        first = self._placement.nodes_of(node_type).start
        room = np.maximum(self._most[variant, node_type] - here, 0)
        seats = self._placement.place(node_type, need, count, room)
        if len(seats) < count:
            seats += self._placement.place(node_type, need, count - len(seats))
        for seat in seats:
            here[seat.node - first] += 1
        return seats

    def _count(self, variant: int, node_type: int) -> np.ndarray:
        """``[node]`` of the type: replicas of the variant."""
        kind = variant, node_type
        if kind not in self._here:
            nodes = self._placement.nodes_of(node_type)
            on = [r.seat.node - nodes.start for r in self._roster.of(variant, range(node_type, node_type + 1))]
            self._here[kind] = np.bincount(np.array(on, np.int64), minlength=len(nodes))
        return self._here[kind]
