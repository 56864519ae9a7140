"""Quantiles of the latencies that were counted since the last look, service by service."""

from __future__ import annotations

import math

import numpy as np

from simulator.kernel.compiled import compiled

__all__ = ["interval_quantiles"]


@compiled
def interval_quantiles(
    counts: np.ndarray, before: np.ndarray, levels: np.ndarray, middle_s: np.ndarray, latency_s: np.ndarray
) -> None:
    """Fill ``latency_s[level, service]`` from ``counts[service, bin]`` less ``before``, and bring that up to now.

    As `simulator.histogram.quantile` has it: nearest rank, a bin's middle, NaN where nothing was counted. ``levels``
    rise.
    """
    services, bins = counts.shape
    for service in range(services):
        total = 0
        for place in range(bins):
            total += counts[service, place] - before[service, place]
        latency_s[:, service] = math.nan
        reached, level = 0, 0
        for place in range(bins):
            change = counts[service, place] - before[service, place]
            if change != 0:
                before[service, place] = counts[service, place]
                reached += change
                while level < len(levels) and reached >= max(1.0, math.ceil(levels[level] * total - 1e-9)):
                    latency_s[level, service] = middle_s[place]
                    level += 1
