"""Which keys are in flight for a service and home, and the requests that wait for them.

A hash table with linear probing, at most half full; a key that goes shifts the followers back (Knuth, The Art of
Computer Programming 3, 6.4, algorithm R).
"""

from __future__ import annotations

import numpy as np

from simulator.kernel.compiled import compiled, inlined
from simulator.kernel.lru import hash_of

__all__ = ["end_flight", "find_flight", "refill", "start_flight"]

_HALF = np.uint64(32)


@inlined
def _begin(flights: np.ndarray, where: int, key: int) -> int:
    """Where the search for a key begins."""
    return np.int64(hash_of(np.int64(key) ^ (np.int64(where) << 40)) >> _HALF) & (flights.shape[0] - 1)


@inlined
def find_flight(flights: np.ndarray, where: int, key: int) -> int:
    """Place of a key in flight, or the empty one (``count`` 0) where it would be."""
    place = _begin(flights, where, key)
    while flights[place].count > 0 and (flights[place].key != key or flights[place].where != where):
        place = (place + 1) & (flights.shape[0] - 1)
    return place


@inlined
def start_flight(flights: np.ndarray, place: int, where: int, key: int) -> None:
    """Count a request on its way for a key, ``place`` being `find_flight`'s."""
    flight = flights[place]
    if flight.count == 0:
        flight.key = key
        flight.where = where
        flight.first = -1
        flight.last = -1
    flight.count += 1


@inlined
def _close_gap(flights: np.ndarray, gap: int) -> None:
    mask = flights.shape[0] - 1
    place = (gap + 1) & mask
    while flights[place].count > 0:
        begin = _begin(flights, flights[place].where, flights[place].key)
        if ((place - begin) & mask) >= ((place - gap) & mask):
            flights[gap] = flights[place]
            gap = place
        place = (place + 1) & mask
    flights[gap].count = 0


@inlined
def end_flight(flights: np.ndarray, where: int, key: int) -> int:
    """A request for a key has ended: the first of those that waited for it, or -1."""
    place = find_flight(flights, where, key)
    first = flights[place].first
    flights[place].count -= 1
    if flights[place].count == 0:
        _close_gap(flights, place)
    return first


@compiled
def refill(old: np.ndarray, new: np.ndarray) -> None:
    """Move all keys in flight into another table, an empty one."""
    for at in range(old.shape[0]):
        if old[at].count > 0:
            new[find_flight(new, old[at].where, old[at].key)] = old[at]
