"""What result caches spare the funnel behind them, and what they add to it."""

from __future__ import annotations

import numpy as np

from simulator.caches import levels_of
from simulator.fleet import Fleet

__all__ = ["passed_caches"]


def passed_caches(fleet: Fleet) -> np.ndarray:
    """``[service]`` requests so far that entered funnels beyond those that arrived; negative where caches spare some.

    Hits, and misses that waited for another request's answer, do not enter; background requests do.
    """
    services = fleet.state.services
    passed = np.zeros(len(services), np.int64)
    if "background_started" in (services.dtype.names or ()):
        passed += services["background_started"]
    caches = getattr(getattr(fleet, "whole", None), "caches", None)
    if caches is None:
        return passed
    for service, cache in enumerate(caches.cache):
        for level in range(cache.levels):
            counts = caches.level[np.unique(levels_of(caches, service, level))]
            passed[service] -= counts["hits"].sum() + counts["coalesced"].sum()
    return passed
