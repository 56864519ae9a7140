"""Result caches as Python sees them: made from the plan, filled beforehand, emptied; and an LRU cache alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from simulator.kernel.cache import put_all, replay
from simulator.kernel.cache_state import CACHE, ENTRY, FLIGHT, LEVEL, Caches
from simulator.kernel.flight import refill
from simulator.plan import CACHE_KEYS, CacheLevelPlan, CachePlan

__all__ = ["build_caches", "clear", "grow_flights", "has_room", "levels_of", "lru_hit_rate", "preload"]


FIRST_FLIGHTS = 128


def _table_size(entries: int) -> int:
    """Places of a hash table that is at most half full: a power of two, 2 or more."""
    return 1 << (2 * entries - 1).bit_length()


def _instances(plans: Sequence[CachePlan | None], sites: int) -> tuple[np.ndarray, list[tuple[int, CacheLevelPlan]]]:
    """`Caches.place` of all services end to end, and the number and plan of each instance."""
    place: list[int] = []
    made: list[tuple[int, CacheLevelPlan]] = []
    for number, level in (numbered for plan in plans if plan for numbered in enumerate(plan.levels)):
        for site in range(sites):
            if site == 0 or not level.is_shared:
                made.append((number, level))
            place.append(len(made) - 1)
    return np.array(place, dtype=np.uint32), made


def _services(plans: Sequence[CachePlan | None], sites: int) -> np.ndarray:
    services = np.zeros(len(plans), CACHE)
    first = 0
    for row, plan in zip(services, plans):
        row.first, row.sites = first, sites
        if plan is None:
            continue
        row.levels, row.prefetch = len(plan.levels), plan.prefetch
        row.key, row.coalesces = CACHE_KEYS.index(plan.key), plan.coalesces
        refreshes = any(np.isfinite(level.refresh_after_s) for level in plan.levels)
        row.is_alone = plan.coalesces and (sites == 1 or not any(level.is_shared for level in plan.levels))
        row.follows_keys = plan.coalesces or plan.prefetch > 0 or refreshes
        first += len(plan.levels) * sites
    return services


def _levels(made: Sequence[tuple[int, CacheLevelPlan]]) -> np.ndarray:
    levels = np.zeros(len(made), LEVEL)
    levels["number"] = [number for number, _ in made]
    for name in ("hit_s", "ttl_s", "refresh_after_s", "entries"):
        levels[name] = [getattr(level, name) for _, level in made]
    levels["chains"] = [_table_size(entries) for entries in levels["entries"].tolist()]
    levels["hash_shift"] = [65 - int(chains).bit_length() for chains in levels["chains"]]
    levels["chain_offset"] = np.cumsum(levels["chains"]) - levels["chains"]
    rings = levels["entries"] + 1
    levels["anchor"] = np.cumsum(rings) - rings
    return levels


def build_caches(plans: Sequence[CachePlan | None], sites: int) -> Caches:
    """Empty caches.

    Parameters
    ----------
    plans
        ``[service]``.
    sites
        Each has an instance of its own of every level that is not shared.
    """
    place, made = _instances(plans, sites)
    levels = _levels(made)
    most_new = 1 + max((plan.prefetch for plan in plans if plan), default=0)
    caches = Caches(
        cache=_services(plans, sites),
        place=place,
        level=levels,
        chain=np.zeros(int(levels["chains"].sum()), np.uint32),
        entry=np.zeros(int(levels["entries"].sum()) + len(levels), ENTRY),
        flight=np.zeros(_table_size(FIRST_FLIGHTS + most_new), FLIGHT),
        flights=np.array([0, most_new]),
    )
    levels["serves_one"] = np.bincount(place, minlength=len(levels)) == 1
    clear(caches)
    return caches


def grow_flights(caches: Caches) -> Caches:
    """The same caches with room for twice as many keys in flight."""
    flight = np.zeros(2 * len(caches.flight), FLIGHT)
    with np.errstate(over="ignore"):
        refill(caches.flight, flight)
    return caches._replace(flight=flight)


def has_room(caches: Caches) -> bool:
    """Whether there is room for the keys in flight that the next request may add."""
    return bool(2 * caches.flights.sum() <= len(caches.flight))


def levels_of(caches: Caches, service: int, level: int) -> np.ndarray:
    """Instance of a service's level at each site, ``[site]``: an index of ``caches.level``."""
    row = caches.cache[service]
    return np.asarray(caches.place[row.first + level * row.sites :][: row.sites], dtype=np.int64)


def _levels_of_none_but(caches: Caches, site: int) -> np.ndarray:
    """Instances that serve one site and no other."""
    at_site = caches.place[site :: int(caches.cache["sites"][0])]
    return at_site[caches.level["serves_one"][at_site] == 1]


def clear(caches: Caches, site: int | None = None) -> None:
    """Empty the caches that serve one site and no other, or all of them; their counters go on."""
    for at in range(len(caches.level)) if site is None else _levels_of_none_but(caches, site):
        level = caches.level[at]
        anchor, size = int(level.anchor), int(level.entries) + 1
        ring = caches.entry[anchor : anchor + size]
        ring["next"] = anchor + np.roll(np.arange(size), -1)
        ring["previous"] = anchor + np.roll(np.arange(size), 1)
        ring["filled_s"] = -np.inf
        level.filled = 0
        level.scout = anchor
        caches.chain[int(level.chain_offset) :][: int(level.chains)] = anchor


def preload(caches: Caches, service: int, level: int, keys: np.ndarray, site: int | None = None) -> None:
    """Put keys into a level as of time 0, at one site or at all of them, the last named most recent."""
    places = levels_of(caches, service, level)
    rows = np.ascontiguousarray(keys, dtype=np.int64)
    with np.errstate(over="ignore"):
        for at in np.unique(places if site is None else places[site]):
            put_all(caches, int(at), rows, 0.0)


def lru_hit_rate(keys: np.ndarray, entries: int) -> float:
    """Share of look-ups that an LRU cache, empty at first, answers; a miss puts its key in at once.

    Parameters
    ----------
    keys
        Whole numbers, in the order of the look-ups.
    entries
        Size of the cache.

    Raises
    ------
    ValueError
        No keys, or a size below 1.

    Examples
    --------
    >>> lru_hit_rate(np.array([1, 2, 1, 3, 2, 2]), entries=2)
    0.3333333333333333
    """
    rows = np.ascontiguousarray(keys, dtype=np.int64)
    if len(rows) == 0 or entries < 1:
        raise ValueError(f"lru_hit_rate: {len(rows)} keys, {entries} entries; expected at least one of each")
    caches = build_caches([CachePlan("item", (CacheLevelPlan(entries),))], sites=1)
    with np.errstate(over="ignore"):
        replay(caches, rows, np.zeros(0), np.zeros(0, np.int8), np.zeros(0, np.bool_))
    return float(caches.level["hits"][0] / len(rows))
