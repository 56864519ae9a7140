"""Fills result caches before the start with the keys that were asked for most, as far as that can be known.

What a cache holds in the morning comes of requests of the day before: here, of the first seconds of the trace that
another seed draws from the same models. A trace from a file is the same for all seeds, and knows its own future.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from simulator.kernel.draws import hashes
from simulator.service import Service
from simulator.trace_columns import columns_needed

if TYPE_CHECKING:
    from simulator.fleet import Fleet
    from simulator.scenario import Scenario
    from workloads.trace import Trace, TraceBlock

__all__ = ["hottest_keys", "preload_caches"]

ANOTHER_DAY = 2**61
"""Added to the seed of a run."""
HOME = np.array([1])
"""The salt of a user's home."""


def preload_caches(fleet: Fleet, scenario: Scenario, seed: int) -> None:
    """Fill every level of the services that ask for it before a run of a seed, the hottest keys as the most recent."""
    if not any(service.preload_keys for service in scenario.services):
        return
    trace = scenario.trace_for(seed + ANOTHER_DAY)
    for index, service in enumerate(scenario.services):
        if service.preload_keys == 0 or service.plan.cache is None:
            continue
        users, keys = _asked(scenario, service, index, trace)
        homes = np.cumsum(service.plan.home_shares or (1.0,))
        sites = np.searchsorted(homes, hashes(users, HOME)[:, 0], side="right")
        everywhere = hottest_keys(keys, service.preload_keys)
        for number, level in enumerate(service.plan.cache.levels):
            if level.is_shared or len(scenario.cluster.network.names) == 1:
                fleet.preload(index, number, everywhere[-level.entries :])
                continue
            for site in range(len(scenario.cluster.network.names)):
                at_home = hottest_keys(keys[sites == site], service.preload_keys)
                fleet.preload(index, number, at_home[-level.entries :], site)


def hottest_keys(keys: np.ndarray, most: int) -> np.ndarray:
    """Up to ``most`` distinct keys of ``keys[row]``, the commonest last; of equals the smaller key is the later."""
    distinct, counts = np.unique(keys, return_counts=True)
    order = np.lexsort((-distinct, counts))
    return distinct[order][-most:]


def _asked(scenario: Scenario, service: Service, index: int, trace: Trace) -> tuple[np.ndarray, np.ndarray]:
    """Users and keys of a service's requests in the seconds that are counted."""
    assert service.plan.cache is not None
    columns = service.plan.cache.key.split("_")
    users, keys = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for block in _blocks_until(trace, columns_needed(scenario), service.preload_seen_s):
        mine = (block.service == index) & (block.arrival_s < service.preload_seen_s)
        parts = {name: getattr(block, name)[mine].astype(np.int64) for name in columns}
        key = parts.get("user", np.zeros(int(mine.sum()), np.int64))
        if "item" in parts:
            key = (key << 32) + parts["item"] if "user" in parts else parts["item"]
        keys.append(key)
        users.append(np.zeros(len(key), np.int64) if block.user is None else block.user[mine].astype(np.int64))
    return np.concatenate(users), np.concatenate(keys)


def _blocks_until(trace: Trace, columns: tuple[str, ...], end_s: float) -> Iterator[TraceBlock]:
    for block in trace.blocks(columns=columns):
        if block.arrival_s[0] >= end_s:
            return
        yield block
