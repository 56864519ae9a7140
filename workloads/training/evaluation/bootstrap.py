"""Intervals by resampling users: rows of one user are not independent of one another."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from workloads.training.evaluation.results import Estimate

__all__ = ["REPLICATES", "interval_of_mean", "interval_over_clusters"]

REPLICATES = 1000
_LEVELS = (0.025, 0.975)


def interval_of_mean(values: np.ndarray, seed: int, replicates: int = REPLICATES) -> Estimate:
    """Mean of ``values[user]`` with its 95 % percentile interval over resampled users."""
    if not len(values):
        return Estimate(math.nan, math.nan, math.nan)
    generator = np.random.default_rng(seed)
    means = [values[generator.integers(len(values), size=len(values))].mean() for _ in range(replicates)]
    low, high = np.quantile(means, _LEVELS) if means else (math.nan, math.nan)
    return Estimate(float(values.mean()), float(low), float(high))


def interval_over_clusters(
    statistic: Callable[[np.ndarray | None], float], cluster: np.ndarray, seed: int, replicates: int = REPLICATES
) -> Estimate:
    """A statistic of weighted rows with its 95 % percentile interval over resampled clusters of rows.

    Parameters
    ----------
    statistic
        Of ``weight[row]``; of None, with weight 1.
    cluster
        ``cluster[row]``, from 0.
    """
    generator = np.random.default_rng(seed)
    clusters = int(cluster.max(initial=-1)) + 1
    found = []
    for _ in range(replicates if clusters else 0):
        drawn = np.bincount(generator.integers(clusters, size=clusters), minlength=clusters)
        found.append(statistic(drawn[cluster].astype(np.float64)))
    kept = np.array([value for value in found if not math.isnan(value)])
    low, high = np.quantile(kept, _LEVELS) if len(kept) else (math.nan, math.nan)
    return Estimate(statistic(None), float(low), float(high))
