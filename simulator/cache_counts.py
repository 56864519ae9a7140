"""What result caches spare the funnel behind them, and what they add to it."""

from __future__ import annotations

import numpy as np

from simulator.caches import levels_of
from simulator.fleet import Fleet

__all__ = ["CacheCounts"]


class CacheCounts:
    """Reads the counters of a fleet's caches."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._instances: dict[int, np.ndarray] = {}
        if fleet.whole is None:
            return
        caches = fleet.whole.caches
        for service, cache in enumerate(caches.cache):
            levels = [levels_of(caches, service, level) for level in range(cache.levels)]
            if levels:
                self._instances[service] = np.unique(np.concatenate(levels))

    def passed(self) -> np.ndarray:
        """``[service]`` requests so far that entered funnels beyond those that arrived; negative where caches spare it.

        Hits, and misses that waited for another request's answer, do not enter; background requests do.
        """
        services = self._fleet.state.services
        passed = services["background_started"].astype(np.int64)
        for service, instances in self._instances.items():
            assert self._fleet.whole is not None
            level = self._fleet.whole.caches.level
            passed[service] -= int(level["hits"][instances].sum() + level["coalesced"][instances].sum())
        return passed
