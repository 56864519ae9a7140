"""Reads the data plane's own counters at the end of every control interval, and makes series of them at the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from simulator.monitoring.series import Series

if TYPE_CHECKING:
    from simulator.fleet import Fleet
    from simulator.kernel.journey_state import Whole
    from simulator.policy import FleetFacts

__all__ = ["Monitor"]


@dataclass(frozen=True)
class _Counter:
    """A number that only grows, for each label; its series is the growth of an interval over the interval's length."""

    name: str
    unit: str
    labels: tuple[str, ...]
    read: Callable[[], np.ndarray]


class Monitor:
    """Counters beside those of requests and replicas: tasks tried again, caches, links, tiers.

    Parameters
    ----------
    sites
        Names of the sites.
    levels
        Names of the levels of each service's cache.
    """

    def __init__(
        self, fleet: Fleet, facts: FleetFacts, sites: tuple[str, ...], levels: tuple[tuple[str, ...], ...]
    ) -> None:
        self._counters = [
            *_of_stages(fleet, facts),
            *_of_caches(fleet, facts, sites, levels),
            *_of_links(fleet, sites),
            *_of_tiers(fleet),
        ]
        self._taken = 0
        self._columns = [np.empty((64, *np.shape(counter.read()))) for counter in self._counters]
        self.take()

    def take(self) -> None:
        """Read the counters as of now."""
        if self._columns and self._taken == len(self._columns[0]):
            self._columns = [np.concatenate([column, np.empty_like(column)]) for column in self._columns]
        for counter, column in zip(self._counters, self._columns):
            column[self._taken] = counter.read()
        self._taken += 1

    def series(self, length_s: np.ndarray) -> tuple[Series, ...]:
        """What was read, as series over intervals of ``length_s[interval]``."""
        grown = [np.diff(column[: self._taken], axis=0) / length_s[:, None] for column in self._columns]
        return tuple(Series(c.name, c.unit, c.labels, rates) for c, rates in zip(self._counters, grown))


def _of_stages(fleet: Fleet, facts: FleetFacts) -> list[_Counter]:
    """Tasks that were lost, tried again, hedged or expired, where any stage has to do with such."""
    if fleet.whole is None:
        return []

    def reader(field: str) -> Callable[[], np.ndarray]:
        return lambda: fleet.state.stages[field]

    fields = ("lost", "retried", "hedged", "hedges_won", "expired")
    return [_Counter(f"{field}_rps", "tasks/s", facts.stages, reader(field)) for field in fields]


def _of_caches(
    fleet: Fleet, facts: FleetFacts, sites: tuple[str, ...], levels: tuple[tuple[str, ...], ...]
) -> list[_Counter]:
    """Look-ups of each instance of each level."""
    if fleet.whole is None or not len(fleet.whole.caches.level):
        return []
    labels = _cache_labels(fleet.whole, facts.services, sites, levels)

    def reader(field: str) -> Callable[[], np.ndarray]:
        return lambda: _whole(fleet).caches.level[field][: len(labels)]

    fields = ("hits", "misses", "expired", "coalesced", "refreshed", "prefetched")
    return [_Counter(f"cache_{field}_rps", "look-ups/s", labels, reader(field)) for field in fields]


def _cache_labels(
    whole: Whole, services: tuple[str, ...], sites: tuple[str, ...], levels: tuple[tuple[str, ...], ...]
) -> tuple[str, ...]:
    """``service, level`` of each instance, with the site where each has its own."""
    caches, names = whole.caches, {}
    for service, cache, level_names in zip(services, caches.cache, levels):
        for level, level_name in enumerate(level_names):
            places = caches.place[cache["first"] + level * cache["sites"] :][: cache["sites"]].tolist()
            own = len(set(places)) > 1
            for place, site in zip(places, sites):
                names[place] = f"{service}, {level_name}" + (f" at {site}" if own else "")
    return tuple(names[place] for place in sorted(names))


def _of_links(fleet: Fleet, sites: tuple[str, ...]) -> list[_Counter]:
    """What each link is given to carry; above 1, work piles up on it."""
    if fleet.whole is None or not fleet.whole.links["is_there"].any():
        return []
    links = fleet.whole.links
    there = np.flatnonzero(links["is_there"])
    labels = tuple(_link_label(link, sites) for link in links[there])
    return [
        _Counter("link_load", "s of work given / s", labels, lambda: _whole(fleet).links["busy_s"][there]),
        _Counter("link_bytes_per_s", "bytes/s", labels, lambda: _whole(fleet).links["bytes"][there]),
        _Counter("link_lost_rps", "messages/s", labels, lambda: _whole(fleet).links["lost"][there]),
    ]


def _link_label(link: np.void, sites: tuple[str, ...]) -> str:
    """Where it leads from and to; users are at no site."""
    ends = (sites[place] if place >= 0 else "users" for place in (link["from_site"], link["to_site"]))
    return " -> ".join(ends)


def _of_tiers(fleet: Fleet) -> list[_Counter]:
    """Embedding rows read from each tier; the load is the mean over a tier's instances."""
    if not fleet.plan.tiers:
        return []
    kinds = fleet.state.lookups.kinds
    labels = tuple(tier.name for tier in fleet.plan.tiers)
    nodes = len(fleet.plan.nic_bytes_per_s)
    spans = [(int(k["first"]), int(k["first"]) + (nodes if k["step"] else 1)) for k in kinds]

    def busy() -> np.ndarray:
        busy_s = fleet.state.lookups.tiers["busy_s"]
        return np.array([busy_s[first:end].sum() / (end - first) for first, end in spans])

    def read() -> np.ndarray:
        read_bytes = fleet.state.lookups.tiers["bytes"]
        return np.array([read_bytes[first:end].sum() for first, end in spans])

    return [
        _Counter("tier_load", "s of work given / s", labels, busy),
        _Counter("tier_bytes_per_s", "bytes/s", labels, read),
    ]


def _whole(fleet: Fleet) -> Whole:
    """What the lean and the whole path have, as it is now; growing replaces some."""
    assert fleet.whole is not None
    return fleet.whole
