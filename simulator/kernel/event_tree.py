"""The earliest event: a tournament over the times at which sources (replicas, then lines) have something to do.

``events[1]`` is the least time of all, ``events[capacity + source]`` a source's own; a node between holds the least
of the two below it. Times are kept as the bits of their float64, which for numbers from 0 to infinity are in the same
order as the numbers and, compared as integers, let the processor carry the lesser up the tree without a branch. At
equal times the lower source is found first.
"""

from __future__ import annotations

import numpy as np

from simulator.kernel.compiled import compiled, inlined

__all__ = ["NEVER", "bits", "build_events", "event_of", "first_source", "seconds", "set_event"]

_ONE, _TWO = np.uint64(1), np.uint64(2)

NEVER = int(np.float64(np.inf).view(np.int64))
"""Bits of the time of a source that has nothing to do."""


@inlined
def bits(time_s: float) -> int:
    """A time from 0 to infinity as it is kept in the tree."""
    return np.float64(time_s).view(np.int64)  # type: ignore[return-value]


@inlined
def seconds(time: int) -> float:
    """The time that `bits` stands for."""
    return np.int64(time).view(np.float64)


@inlined
def event_of(events: np.ndarray, source: int) -> int:
    """When a source has something to do, as bits."""
    return events[(events.shape[0] >> 1) + source]


@inlined
def set_event(events: np.ndarray, source: int, time: int) -> None:
    """Write when a source has something to do, as bits; O(log sources)."""
    node = np.uint64((events.shape[0] >> 1) + source)
    events[node] = time
    while node > _ONE:
        other = events[node ^ _ONE]
        time = other if other < time else time
        node >>= _ONE
        events[node] = time


@inlined
def first_source(events: np.ndarray) -> int:
    """The source whose event is first; at equal times the lower one.

    From the top down, two levels at a step: the four nodes there are loaded and compared at the same time.
    """
    capacity = np.uint64(events.shape[0] >> 1)
    time = events[1]
    node = _ONE
    while node << _ONE < capacity:
        node <<= _TWO
        past_0 = np.uint64(events[node] != time)
        past_1 = past_0 & np.uint64(events[node + _ONE] != time)
        past_2 = past_1 & np.uint64(events[node + _TWO] != time)
        node += past_0 + past_1 + past_2
    if node < capacity:
        node <<= _ONE
        node += np.uint64(events[node] != time)
    return np.uint32(node - capacity)  # type: ignore[return-value]


@compiled
def build_events(events: np.ndarray) -> None:
    """Fill the tree above the sources' own times, which are there."""
    for node in range((events.shape[0] >> 1) - 1, 0, -1):
        events[node] = min(events[2 * node], events[2 * node + 1])
