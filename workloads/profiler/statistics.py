"""From raw timings to what a profile keeps."""

from __future__ import annotations

import numpy as np

__all__ = ["DRIFT_LIMIT", "drift", "has_two_modes"]

DRIFT_LIMIT = 0.05


def drift(latency_s: np.ndarray) -> float:
    """Median of the last third of timings over the first third's, less 1; ``latency_s[run]`` in order of time."""
    third = len(latency_s) // 3
    if third == 0:
        return 0.0
    return float(np.median(latency_s[-third:]) / np.median(latency_s[:third]) - 1.0)


def has_two_modes(latency_s: np.ndarray) -> bool:
    """Whether the timings fall into two groups with a gap between them.

    The sorted timings, less 1 % at either end, are cut where the variance between both sides is largest. They count as
    two groups when the cut explains at least 85 % of the variance (a normal distribution gives 64 %, a uniform one
    75 %), the smaller group has at least 5 % of the timings, and the groups' means are at least 10 % apart.
    """
    values = np.sort(latency_s)
    edge = len(values) // 100
    values = values[edge : len(values) - edge]
    count = len(values)
    if count < 20 or values[-1] == values[0]:
        return False
    lower_count = np.arange(1, count)
    sums = np.cumsum(values)
    lower_mean = sums[:-1] / lower_count
    upper_mean = (sums[-1] - sums[:-1]) / (count - lower_count)
    share = lower_count / count
    between = share * (1.0 - share) * (upper_mean - lower_mean) ** 2
    cut = int(np.argmax(between))
    explained = between[cut] / values.var()
    smaller_share = min(share[cut], 1.0 - share[cut])
    return bool(explained >= 0.85 and smaller_share >= 0.05 and upper_mean[cut] >= 1.10 * lower_mean[cut])
