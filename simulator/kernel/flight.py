"""Which keys are in flight for a service and home, and the requests that wait for them.

A hash table with linear probing, at most half full; a key that goes shifts the followers back (Knuth, The Art of
Computer Programming 3, 6.4, algorithm R).
"""

from __future__ import annotations

import numpy as np

from simulator.kernel.cache_state import Caches
from simulator.kernel.compiled import compiled, inlined
from simulator.kernel.lru import hash_of
from simulator.kernel.state import NOBODY

__all__ = ["end_flight", "find_flight", "has_room", "refill", "start_flight"]

_HALF = np.uint64(32)


@inlined
def _begin(flight: np.ndarray, where: int, key: int) -> int:
    """Where the search for a key begins."""
    return np.int64(hash_of(np.int64(key) ^ (np.int64(where) << 40)) >> _HALF) & (flight.shape[0] - 1)


@inlined
def find_flight(flight: np.ndarray, where: int, key: int) -> int:
    """Place of a key in flight, or the empty one (``count`` 0) where it would be."""
    place = _begin(flight, where, key)
    while flight[place].count > 0 and (flight[place].key != key or flight[place].where != where):
        place = (place + 1) & (flight.shape[0] - 1)
    return place


@inlined
def has_room(caches: Caches) -> bool:
    """Whether the table stays at most half full whatever the next request that comes home starts."""
    return 2 * (caches.flights[0] + caches.flights[1]) <= caches.flight.shape[0]


@inlined
def start_flight(caches: Caches, place: int, where: int, key: int) -> None:
    """Count a request on its way for a key, ``place`` being `find_flight`'s."""
    flight = caches.flight[place]
    if flight.count == 0:
        caches.flights[0] += 1
        flight.key = key
        flight.where = where
        flight.first = NOBODY
        flight.last = NOBODY
    flight.count += 1


@inlined
def _close_gap(flight: np.ndarray, gap: int) -> None:
    mask = flight.shape[0] - 1
    place = (gap + 1) & mask
    while flight[place].count > 0:
        begin = _begin(flight, flight[place].where, flight[place].key)
        if ((place - begin) & mask) >= ((place - gap) & mask):
            flight[gap] = flight[place]
            gap = place
        place = (place + 1) & mask
    flight[gap].count = 0


@inlined
def end_flight(caches: Caches, where: int, key: int) -> int:
    """A request for a key has ended: the first of those that waited for it, or `NOBODY`."""
    place = find_flight(caches.flight, where, key)
    first = caches.flight[place].first
    caches.flight[place].count -= 1
    if caches.flight[place].count == 0:
        caches.flights[0] -= 1
        _close_gap(caches.flight, place)
    return first


@compiled
def refill(old: np.ndarray, new: np.ndarray) -> None:
    """Move all keys in flight into another table, an empty one."""
    for at in range(old.shape[0]):
        if old[at].count > 0:
            new[find_flight(new, old[at].where, old[at].key)] = old[at]
