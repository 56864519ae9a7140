"""One level of a cache: entries by key, of which the least recently used goes when another comes into a full one.

A hash table of chains leads to the entry, a ring of links keeps the order of use. Both are arrays made once: nothing
is allocated. (Open addressing, with backward shifts on deletion, took a third longer: its loops are longer and harder
to predict.) A key that is not there is found as the anchor of the level.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from simulator.kernel.cache_state import Caches
from simulator.kernel.compiled import inlined
from simulator.kernel.touch import touch

__all__ = ["find", "hash_of", "put_absent", "remove", "touch_chain", "touch_entry", "use"]

_MULTIPLIER_1 = np.uint64(0xBF58476D1CE4E5B9)
_MULTIPLIER_2 = np.uint64(0x94D049BB133111EB)
_SCOUTED, _SMALL = 16, 1024
_HALF = np.uint64(32)


@inlined
def hash_of(key: int) -> np.uint64:
    """Hash of which the upper bits are good: products carry low bits up, folding brings high bits down."""
    x = np.uint64(np.int64(key)) * _MULTIPLIER_1
    return (x ^ (x >> _HALF)) * _MULTIPLIER_2


@inlined
def _chain_of(level: Any, key: int) -> np.uint64:
    return level.chain_offset + (hash_of(key) >> level.hash_shift)


@inlined
def touch_chain(caches: Caches, level: Any, key: int) -> None:
    """Have the place where ``key`` will be looked for at hand soon."""
    touch(caches.chain, _chain_of(level, key))


@inlined
def touch_entry(caches: Caches, level: Any, key: int) -> None:
    """Have the first entry there at hand soon."""
    touch(caches.entry, caches.chain[_chain_of(level, key)])


@inlined
def _scout(caches: Caches, level: Any, entry: int) -> None:
    """Have those at hand that go some evictions from now, while ``entry`` goes; small levels are at hand anyhow.

    The scout is up to `_SCOUTED` ahead; where it is used it steps back, and where it is caught up with it goes ahead.
    """
    if level.entries < _SMALL:
        return
    if level.scout == entry or level.scout == level.anchor:
        level.scout = entry
        for _ in range(_SCOUTED):
            level.scout = caches.entry[level.scout].previous
    level.scout = caches.entry[level.scout].previous
    touch(caches.entry, level.scout)


@inlined
def find(caches: Caches, level: Any, key: int) -> int:
    """Entry of a key, or the anchor."""
    caches.entry[level.anchor].key = key
    entry = caches.chain[_chain_of(level, key)]
    while caches.entry[entry].key != key:
        entry = caches.entry[entry].chain
    return entry


@inlined
def _unlink(entries: np.ndarray, entry: int) -> None:
    before, after = entries[entry].previous, entries[entry].next
    entries[before].next = after
    entries[after].previous = before


@inlined
def _link_after(entries: np.ndarray, before: int, entry: int) -> None:
    after = entries[before].next
    entries[entry].previous = before
    entries[entry].next = after
    entries[before].next = entry
    entries[after].previous = entry


@inlined
def use(caches: Caches, level: Any, entry: int) -> None:
    """Make an entry the most recent."""
    if entry == level.scout:
        level.scout = caches.entry[entry].next
    _unlink(caches.entry, entry)
    _link_after(caches.entry, level.anchor, entry)


@inlined
def _leave_chain(caches: Caches, level: Any, entry: int) -> None:
    before, after = caches.entry[entry].back, caches.entry[entry].chain
    if before == level.anchor:
        caches.chain[_chain_of(level, caches.entry[entry].key)] = after
    else:
        caches.entry[before].chain = after
    caches.entry[after].back = before


@inlined
def _join_chain(caches: Caches, level: Any, entry: int) -> None:
    chain = _chain_of(level, caches.entry[entry].key)
    after = caches.chain[chain]
    caches.entry[entry].back = level.anchor
    caches.entry[entry].chain = after
    caches.entry[after].back = entry
    caches.chain[chain] = entry


@inlined
def remove(caches: Caches, level: Any, entry: int) -> None:
    """Take an entry out; its place is the next to be filled."""
    _leave_chain(caches, level, entry)
    caches.entry[entry].filled_s = -np.inf
    level.filled -= 1
    _unlink(caches.entry, entry)
    _link_after(caches.entry, caches.entry[level.anchor].previous, entry)


@inlined
def _make_room(caches: Caches, level: Any) -> int:
    """The least recent entry, out of its chain."""
    entry = caches.entry[level.anchor].previous
    if caches.entry[entry].filled_s == -np.inf:
        level.filled += 1
        return entry
    _scout(caches, level, entry)
    _leave_chain(caches, level, entry)
    level.evicted += 1
    return entry


@inlined
def put_absent(caches: Caches, level: Any, key: int, filled_s: float) -> None:
    """Put in a key that the level does not hold, as the most recent; if the level is full, the least recent goes."""
    entry = _make_room(caches, level)
    caches.entry[entry].key = key
    caches.entry[entry].filled_s = filled_s
    use(caches, level, entry)
    _join_chain(caches, level, entry)
