"""The ring of consistent hashing: every replica's points, in ascending order."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from simulator.kernel.draws import hashes

__all__ = ["RING_POINTS", "HashRing"]

RING_POINTS = 64
"""Points of a replica."""

_SALTS = np.arange(16, 16 + RING_POINTS)


def _points_of(slots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points of replicas and whose they are, in ascending order; O(n log n)."""
    point = hashes(slots, _SALTS).ravel()
    order = np.argsort(point, kind="stable")
    return point[order], slots[order // RING_POINTS]


@dataclass(frozen=True)
class HashRing:
    """Points ``point[i]`` of replicas ``slot[i]``, ascending.

    Examples
    --------
    >>> ring = HashRing().with_slots(np.array([3, 8]))
    >>> len(ring.point), sorted(set(ring.slot.tolist()))
    (128, [3, 8])
    """

    point: np.ndarray = field(default_factory=lambda: np.zeros(0))
    slot: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    def with_slots(self, slots: np.ndarray) -> HashRing:
        """The ring of these replicas, ``slots[place]``; what both rings have in common is not sorted again.

        Equal points are in the order of places.
        """
        place = np.full(max(slots.max(initial=-1), self.slot.max(initial=-1)) + 1, -1)
        place[slots] = np.arange(len(slots))
        was_there = np.zeros(len(place), np.bool_)
        was_there[self.slot] = True
        stays = place[self.slot] >= 0
        point, slot = self.point[stays], self.slot[stays]
        new_point, new_slot = _points_of(slots[~was_there[slots]])
        at = np.searchsorted(point, new_point)
        point, slot = np.insert(point, at, new_point), np.insert(slot, at, new_slot)
        if (point[1:] == point[:-1]).any():
            order = np.lexsort((place[slot], point))
            point, slot = point[order], slot[order]
        return HashRing(point, slot)

    def starts(self) -> np.ndarray:
        """For as many equal parts of [0, 1) as there are points: how many points lie before each part."""
        count = len(self.point)
        in_part = np.bincount((self.point * count).astype(np.int64), minlength=count)
        return np.cumsum(in_part) - in_part
