"""Result caches: what a request that comes home finds in its service's levels, and what an answer leaves there."""

from __future__ import annotations

import numpy as np

from simulator.kernel.cache_state import KEY_ITEM, KEY_USER, Caches
from simulator.kernel.compiled import compiled, inlined
from simulator.kernel.lru import find, put_absent, remove, touch_chain, touch_entry, use

__all__ = ["AHEAD_ROWS", "MISS", "fill", "holds", "key_of", "level_of", "look_up", "prepare", "replay"]

MISS = -1


@inlined
def key_of(kind: int, user: int, item: int) -> int:
    """The key of a request, by what makes it."""
    if kind == KEY_USER:
        return user
    if kind == KEY_ITEM:
        return item
    return user * 4294967296 + item


@inlined
def level_of(caches: Caches, service: int, home: int, number: int) -> int:
    """Index of the instance that is level ``number`` of a service for a home."""
    cache = caches.cache[service]
    return caches.place[cache.first + number * cache.sites + home]


@inlined
def prepare(caches: Caches, service: int, home: int, key: int, step: int) -> None:
    """Have at hand what a look-up will need soon: in step 0 where it begins, in step 1 the first entry there."""
    for number in range(caches.cache[service].levels):
        level = caches.level[level_of(caches, service, home, number)]
        if step == 0:
            touch_chain(caches, level, key)
        else:
            touch_entry(caches, level, key)


@inlined
def look_up(caches: Caches, service: int, home: int, key: int, now: float) -> tuple[int, bool]:
    """Level (an index of ``caches.level``) that has the key, or `MISS`, and whether its result is due for a refresh."""
    for number in range(caches.cache[service].levels):
        at = level_of(caches, service, home, number)
        level = caches.level[at]
        entry = find(caches, level, key)
        if entry == level.anchor:
            level.misses += 1
            continue
        if now - caches.entry[entry].filled_s >= level.ttl_s:
            remove(caches, level, entry)
            level.misses += 1
            level.expired += 1
            continue
        level.hits += 1
        use(caches, level, entry)
        filled_s = caches.entry[entry].filled_s
        for upper in range(number):
            put_absent(caches, caches.level[level_of(caches, service, home, upper)], key, filled_s)
        return at, now - filled_s >= level.refresh_after_s
    return MISS, False


@inlined
def holds(caches: Caches, service: int, home: int, key: int, now: float) -> bool:
    """Whether any level has the key, unexpired; leaves everything as it is."""
    for number in range(caches.cache[service].levels):
        level = caches.level[level_of(caches, service, home, number)]
        entry = find(caches, level, key)
        if entry != level.anchor and now - caches.entry[entry].filled_s < level.ttl_s:
            return True
    return False


@inlined
def put(caches: Caches, at: int, key: int, filled_s: float) -> None:
    """Put a result into one level as the most recent, in place of an older one of the same key."""
    level = caches.level[at]
    entry = find(caches, level, key)
    if entry == level.anchor:
        put_absent(caches, level, key, filled_s)
    else:
        caches.entry[entry].filled_s = filled_s
        use(caches, level, entry)


@inlined
def fill(caches: Caches, service: int, home: int, key: int, is_absent: bool, now: float) -> None:
    """Put a result that came home at ``now`` into all levels; ``is_absent``: it is in none of them."""
    levels = caches.cache[service].levels
    for back in range(levels):
        at = level_of(caches, service, home, levels - 1 - back)
        if is_absent:
            put_absent(caches, caches.level[at], key, now)
        else:
            put(caches, at, key, now)


@compiled
def put_all(caches: Caches, at: int, keys: np.ndarray, filled_s: float) -> None:
    """Put keys into one level, the last of them most recent."""
    for row in range(keys.shape[0]):
        put(caches, at, keys[row], filled_s)


AHEAD_ROWS = (10, 5)
"""How many rows ahead the steps of `prepare` are."""


@compiled
def replay(caches: Caches, keys: np.ndarray, time_s: np.ndarray, level: np.ndarray, is_due: np.ndarray) -> None:
    """Look up key after key in the cache of service 0; what is missing, or due for a refresh, is filled at once.

    Writes for each row the level of the hit, or `MISS`, and whether a refresh was due. ``time_s`` of length 0: all at
    time 0.
    """
    rows = keys.shape[0]
    now = 0.0
    for row in range(rows):
        if row + AHEAD_ROWS[0] < rows:
            for step in range(2):
                prepare(caches, 0, 0, keys[row + AHEAD_ROWS[step]], step)
        if time_s.shape[0] > 0:
            now = time_s[row]
        at, due = look_up(caches, 0, 0, keys[row], now)
        if at == MISS or due:
            fill(caches, 0, 0, keys[row], at == MISS, now)
        if level.shape[0] > 0:
            level[row] = at
            is_due[row] = due
