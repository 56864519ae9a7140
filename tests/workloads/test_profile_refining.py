"""Sizes that the profiler adds by itself: near bends and steps, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch")

from workloads.interpolation import interpolate, left_out_errors
from workloads.profiler.batch_sizes import default_batch_sizes
from workloads.profiler.refining import TOLERANCE, refined_sizes

DEFAULT = default_batch_sizes("sasrec", "cuda")


def _tiles(size: int) -> float:
    """A tenth of a millisecond, and as much for each wave of 16 rows: a staircase."""
    return 1e-4 + 1e-4 * -(-size // 16)


def _bend(size: int) -> float:
    return 1e-4 + 1e-5 * max(0, size - 50)


def _doubling(size: int) -> float:
    """Rows filled up to the next power of two."""
    return 2e-4 + 2e-6 * 2 ** (size - 1).bit_length()


def _refined(sizes: tuple[int, ...], latency_s: Callable[[int], float]) -> tuple[int, ...]:
    asked: list[int] = []

    def look(some: tuple[int, ...]) -> dict[int, float]:
        asked.extend(some)
        return {size: latency_s(size) for size in some}

    found = refined_sizes(sizes, look)
    assert len(asked) == len(set(asked)), "no size is looked at twice"
    return found


def _error(sizes: tuple[int, ...], latency_s: Callable[[int], float]) -> np.ndarray:
    return np.abs(left_out_errors(np.array(sizes), np.array([latency_s(size) for size in sizes])))


def test_a_straight_line_needs_no_more_sizes() -> None:
    assert _refined(DEFAULT, lambda size: 1e-4 + 1e-6 * size) == DEFAULT


@pytest.mark.parametrize("latency_s", [_tiles, _bend, _doubling])
def test_bends_and_steps_are_followed(latency_s: Callable[[int], float]) -> None:
    found = _refined(DEFAULT, latency_s)
    assert set(DEFAULT) < set(found)
    assert len(found) <= 2 * len(DEFAULT)
    assert np.median(_error(found, latency_s)) <= min(TOLERANCE, np.median(_error(DEFAULT, latency_s)))
    everywhere = np.arange(1, DEFAULT[-1] + 1)
    truth = np.array([latency_s(size) for size in everywhere.tolist()])
    mean_error = [
        np.abs(interpolate(np.array(sizes), np.array([latency_s(s) for s in sizes]), everywhere) / truth - 1).mean()
        for sizes in (found, DEFAULT)
    ]
    assert mean_error[0] < mean_error[1]


def test_a_step_between_neighbours_is_closed_in_on() -> None:
    found = _refined((1, 8, 16, 24, 32), lambda size: 1e-3 if size <= 17 else 2e-3)
    assert {17, 18} <= set(found)


@given(sizes=st.lists(st.integers(1, 500), min_size=1, max_size=12, unique=True), seed=st.integers(0, 2**32))
def test_whatever_the_latencies_the_sizes_stay_within(sizes: list[int], seed: int) -> None:
    latencies_s = np.random.default_rng(seed).uniform(1e-5, 1.0, 500).tolist()
    given_sizes = tuple(sorted(sizes))
    found = _refined(given_sizes, lambda size: latencies_s[size - 1])
    assert set(given_sizes) <= set(found)
    assert (found[0], found[-1]) == (given_sizes[0], given_sizes[-1])
    assert all(low < high for low, high in pairwise(found))
    assert len(found) <= 2 * len(given_sizes)


def test_noise_below_the_tolerance_adds_nothing() -> None:
    generator = np.random.default_rng(1)
    noise = generator.uniform(-0.3 * TOLERANCE, 0.3 * TOLERANCE, DEFAULT[-1] + 1)
    assert _refined(DEFAULT, lambda size: (1e-4 + 1e-6 * size) * (1.0 + noise[size])) == DEFAULT
