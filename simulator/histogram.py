"""A mergeable latency histogram: equal ratios between bin edges, so a fixed relative error.

Counts merge by addition. A quantile read from it is the geometric middle of the bin that holds the order statistic,
so it differs from that order statistic by less than `RELATIVE_ERROR` of its value between `LOWEST_S` and `HIGHEST_S`.
"""

from __future__ import annotations

import math

import numpy as np

__all__ = ["HIGHEST_S", "LOWEST_S", "N_BINS", "RELATIVE_ERROR", "bin_edges", "bin_middles", "mean", "quantile"]

RELATIVE_ERROR = 0.01
LOWEST_S = 1e-6
HIGHEST_S = 1e5
BIN_RATIO = 1.0 + 2.0 * RELATIVE_ERROR * 0.995
BINS_PER_UNIT_LOG = 1.0 / math.log(BIN_RATIO)
N_BINS = math.ceil(math.log(HIGHEST_S / LOWEST_S) * BINS_PER_UNIT_LOG) + 1


def bin_edges() -> np.ndarray:
    """Edges in seconds, ``float64[N_BINS + 1]``; the first and last bin also hold what lies outside."""
    return LOWEST_S * BIN_RATIO ** np.arange(N_BINS + 1, dtype=np.float64)


def bin_middles() -> np.ndarray:
    """What a latency in a bin counts as, seconds, ``float64[N_BINS]``."""
    return _MIDDLES_S.copy()


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


def mean(counts: np.ndarray) -> float:
    """Mean latency in seconds, within `RELATIVE_ERROR`; NaN where there are none."""
    total = counts.sum()
    return float(counts @ _MIDDLES_S / total) if total else math.nan
