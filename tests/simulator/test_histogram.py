"""The latency histogram: its stated error against the samples themselves, and merging."""

from __future__ import annotations

import math

import numpy as np
import pytest

from simulator.histogram import (
    BINS_PER_UNIT_LOG,
    HIGHEST_S,
    LOWEST_S,
    N_BINS,
    RELATIVE_ERROR,
    bin_edges,
    bin_middles,
    mean,
    quantile,
)
from simulator.kernel.interval_quantiles import interval_quantiles

LEVELS = (0.0, 0.001, 0.01, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 0.9999, 1.0)


def counted(latency_s: np.ndarray) -> np.ndarray:
    """Counts by the edges, independently of the kernel's formula."""
    place = np.clip(np.searchsorted(bin_edges(), latency_s, side="right") - 1, 0, N_BINS - 1)
    return np.bincount(place, minlength=N_BINS)


def samples(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    size = int(rng.integers(1, 5000))
    kinds = (
        lambda: rng.exponential(0.05, size),
        lambda: rng.lognormal(-4, 2.5, size),
        lambda: rng.uniform(1e-5, 2e-5, size),
        lambda: 10.0 ** rng.uniform(-6, 4.9, size),
        lambda: np.full(size, rng.exponential(1.0)),
        lambda: np.where(rng.random(size) < 0.5, 0.001, 30.0),
    )
    return np.clip(kinds[seed % len(kinds)](), LOWEST_S, HIGHEST_S)


@pytest.mark.parametrize("seed", range(24))
def test_quantiles_are_within_the_stated_error(seed: int) -> None:
    latency_s = samples(seed)
    counts = counted(latency_s)
    for level in LEVELS:
        exact = np.quantile(latency_s, level, method="inverted_cdf")
        assert abs(quantile(counts, level) - exact) <= RELATIVE_ERROR * exact, level
    assert abs(mean(counts) - latency_s.mean()) <= RELATIVE_ERROR * latency_s.mean()


@pytest.mark.parametrize("seed", range(6))
def test_merging_is_adding(seed: int) -> None:
    a, b = samples(seed), samples(seed + 1)
    np.testing.assert_array_equal(counted(a) + counted(b), counted(np.concatenate([a, b])))
    for level in LEVELS:
        low, high = sorted((quantile(counted(a), level), quantile(counted(b), level)))
        assert low <= quantile(counted(a) + counted(b), level) <= high


def test_every_bin_is_as_narrow_as_the_error_needs() -> None:
    edges = bin_edges()
    middles = np.sqrt(edges[:-1] * edges[1:])
    assert ((edges[1:] - middles) / edges[1:]).max() <= RELATIVE_ERROR
    assert ((middles - edges[:-1]) / edges[:-1]).max() <= RELATIVE_ERROR
    assert edges[0] == LOWEST_S
    assert edges[-1] >= HIGHEST_S


def test_the_kernels_formula_is_the_edges() -> None:
    """The kernel takes the logarithm; it may differ from the edges by rounding at an edge only."""
    latency_s = samples(3)
    place = ((np.log(latency_s) - math.log(LOWEST_S)) * BINS_PER_UNIT_LOG).astype(int)
    np.testing.assert_array_equal(np.bincount(place, minlength=N_BINS), counted(latency_s))


def test_without_requests_there_is_no_quantile() -> None:
    assert math.isnan(quantile(np.zeros(N_BINS, np.int64), 0.99))
    assert math.isnan(mean(np.zeros(N_BINS, np.int64)))


def test_quantile_is_the_nearest_rank() -> None:
    counts = counted(np.array([0.1] * 99 + [10.0]))
    assert quantile(counts, 0.99) == pytest.approx(0.1, rel=RELATIVE_ERROR)
    assert quantile(counts, 0.9901) == pytest.approx(10.0, rel=RELATIVE_ERROR)


@pytest.mark.parametrize("seed", range(12))
def test_quantiles_of_intervals(seed: int) -> None:
    """Of what was counted between two looks, for all services at once, as `quantile` has them one by one."""
    before = np.array([counted(samples(6 * seed + k)) for k in range(6)])
    more = np.array([counted(samples(seed + 7 * k)) if (seed + k) % 4 else np.zeros(N_BINS, int) for k in range(6)])
    found = np.empty((len(LEVELS), 6))
    now = before + more
    interval_quantiles(now, before, np.array(LEVELS), bin_middles(), found)
    np.testing.assert_array_equal(found.T, [[quantile(row, level) for level in LEVELS] for row in more])
    np.testing.assert_array_equal(before, now)
