"""A mergeable latency histogram: equal ratios between bin edges, so a fixed relative error.

Counts merge by addition. A quantile read from it is the geometric middle of the bin that holds the order statistic,
so it differs from that order statistic by less than `RELATIVE_ERROR` of its value between `LOWEST_S` and `HIGHEST_S`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

__all__ = ["HIGHEST_S", "LOWEST_S", "N_BINS", "RELATIVE_ERROR", "bin_edges", "mean", "quantile", "quantiles"]

RELATIVE_ERROR = 0.01
LOWEST_S = 1e-6
HIGHEST_S = 1e5
BIN_RATIO = 1.0 + 2.0 * RELATIVE_ERROR * 0.995
BINS_PER_UNIT_LOG = 1.0 / math.log(BIN_RATIO)
N_BINS = math.ceil(math.log(HIGHEST_S / LOWEST_S) * BINS_PER_UNIT_LOG) + 1


def bin_edges() -> np.ndarray:
    """Edges in seconds, ``float64[N_BINS + 1]``; the first and last bin also hold what lies outside."""
    return LOWEST_S * BIN_RATIO ** np.arange(N_BINS + 1, dtype=np.float64)


_MIDDLES_S = LOWEST_S * BIN_RATIO ** (np.arange(N_BINS, dtype=np.float64) + 0.5)


def quantile(counts: np.ndarray, q: float) -> float:
    """Latency in seconds at quantile ``q`` (nearest rank) of ``counts[bin]``; NaN where there are none.

    Examples
    --------
    >>> counts = np.zeros(N_BINS, dtype=np.int64)
    >>> math.isnan(quantile(counts, 0.5))
    True
    """
    total = int(counts.sum())
    if total == 0:
        return math.nan
    rank = max(1, math.ceil(q * total - 1e-9))
    return float(_MIDDLES_S[int(np.searchsorted(np.cumsum(counts), rank))])


def quantiles(counts: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    """``latency_s[level, service]`` of ``counts[service, bin]``, each as `quantile` gives it; for mostly empty bins."""
    services, bins = counts.shape
    filled = np.flatnonzero(counts)
    sums = np.cumsum(counts.ravel()[filled])
    latency_s = np.full((len(levels), services), math.nan)
    if not len(filled):
        return latency_s
    ends = np.concatenate([[0], sums])[np.searchsorted(filled, bins * np.arange(services + 1))]
    totals = np.diff(ends)
    ranks = np.maximum(1, np.ceil(np.multiply.outer(levels, totals) - 1e-9).astype(np.int64))
    place = np.minimum(np.searchsorted(sums, ends[:-1] + ranks), len(filled) - 1)
    np.copyto(latency_s, _MIDDLES_S[filled[place] % bins], where=totals > 0)
    return latency_s


def mean(counts: np.ndarray) -> float:
    """Mean latency in seconds, within `RELATIVE_ERROR`; NaN where there are none."""
    total = counts.sum()
    return float(counts @ _MIDDLES_S / total) if total else math.nan
