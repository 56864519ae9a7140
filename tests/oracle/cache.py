"""The page's section "Result cache"."""

from __future__ import annotations

from collections import Counter

from .model import OracleCache, OracleLevel, OracleWorld
from .request import Request

Key = int


class Instance:
    """One cache: keys and when each was filled, the least recently used first.

    Of `counts`, those of requests that waited or were prefetched are kept at the first level of their home, those
    refreshed at the level of the hit.
    """

    def __init__(self, plan: OracleLevel) -> None:
        self.plan = plan
        self.filled_s: dict[Key, float] = {}
        self.counts: Counter[str] = Counter()

    def has(self, key: Key, now_s: float) -> bool:
        """Whether the key is here and not too old."""
        return key in self.filled_s and now_s - self.filled_s[key] < self.plan.ttl_s

    def find(self, key: Key, now_s: float) -> float | None:
        """Look a key up: when it was filled, or None. One that is too old is removed."""
        if self.has(key, now_s):
            self.counts["hits"] += 1
            self.put(key, self.filled_s[key])
            return self.filled_s[key]
        self.counts["misses"] += 1
        if key in self.filled_s:
            self.counts["expired"] += 1
            del self.filled_s[key]
        return None

    def put(self, key: Key, filled_s: float) -> None:
        """Make a key the most recent; the least recent goes if there is no room."""
        if key in self.filled_s:
            del self.filled_s[key]
        elif len(self.filled_s) == self.plan.entries:
            del self.filled_s[next(iter(self.filled_s))]
        self.filled_s[key] = filled_s

    def clear(self) -> None:
        self.filled_s.clear()


class ResultCache:
    """The result cache of one service: `levels[level][site]`, and the requests in flight by home and key."""

    def __init__(self, plan: OracleCache, sites: int) -> None:
        self.plan = plan
        self.levels: list[list[Instance]] = []
        for level in plan.levels:
            of_all = Instance(level)
            self.levels.append([of_all if level.is_shared else Instance(level) for _ in range(sites)])
        self.in_flight: dict[tuple[int, Key], list[Request]] = {}

    def find(self, home: int, key: Key, now_s: float) -> tuple[int, float] | None:
        """Look a key up level after level: the level that has it and when it was filled, or None."""
        for number, level in enumerate(self.levels):
            filled_s = level[home].find(key, now_s)
            if filled_s is not None:
                for before in reversed(self.levels[:number]):
                    before[home].put(key, filled_s)
                return number, filled_s
        return None

    def has(self, home: int, key: Key, now_s: float) -> bool:
        return any(level[home].has(key, now_s) for level in self.levels)

    def fill(self, home: int, key: Key, now_s: float) -> None:
        for level in reversed(self.levels):
            level[home].put(key, now_s)

    def clear(self, site: int | None) -> None:
        """Empty the caches that serve one site and no other, or all of them."""
        for level in self.levels:
            for number, instance in enumerate(level):
                if site is None or (number == site and level.count(instance) == 1):
                    instance.clear()


def key_of(world: OracleWorld, service: int, user: int, item: int) -> Key | None:
    """A request's key in its service's cache."""
    cache = world.plan(service).cache
    if cache is None:
        return None
    return {"user": user, "item": item, "user_item": user * 2**32 + item}[cache.key]
