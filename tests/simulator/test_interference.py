"""Slowdown of replicas that share a device: against interpolation by NumPy, and read from shipped profiles."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.kernel.compiled import compiled
from simulator.kernel.interference import slowdown_of
from simulator.latency_tables import Interference, LatencyTable, best_throughput, flatten_interference
from workloads.profile import load_profile

RATES = np.array([[1.5, 2.5, 2.0], [3.0, 4.0, 3.5]])
MEASURED = Interference((2, 5), np.array([2.0, 8.0, 32.0]), RATES)


@compiled
def slowdown_one(interferences, table, running, units):
    return slowdown_of(interferences, table, running, units)


def table_of(interference: Interference | None) -> LatencyTable:
    one = np.ones(1)
    return LatencyTable(one, np.zeros(1), np.ones((1, 1)), one, interference=interference)


def expected(part: Interference, running: int, units: int) -> float:
    """Step 8 of the page."""
    at = [float(np.interp(units, part.batch_sizes, row)) for row in part.slowdown]
    most = part.replicas[-1]
    if running > most:
        return at[-1] * running / most
    return float(np.interp(running, (1, *part.replicas), (1.0, *at)))


def test_it_is_linear_in_the_batch_and_in_the_count() -> None:
    other = Interference((3,), np.array([4.0]), np.array([[1.25]]))
    state = flatten_interference([table_of(None), table_of(MEASURED), table_of(other), table_of(MEASURED)])
    for running in range(1, 9):
        for units in (1, 2, 3, 8, 20, 32, 100):
            assert slowdown_one(state, 0, running, units) == 1.0
            for table, part in ((1, MEASURED), (2, other), (3, MEASURED)):
                found = slowdown_one(state, table, running, units)
                assert found == pytest.approx(expected(part, running, units), rel=1e-14)


def test_by_hand() -> None:
    state = flatten_interference([table_of(MEASURED)])
    assert slowdown_one(state, 0, 2, 5) == 2.0  # half way from 1.5 to 2.5
    assert slowdown_one(state, 0, 3, 2) == 2.0  # a third of the way from 1.5 to 3
    assert slowdown_one(state, 0, 10, 8) == 8.0  # twice that of 5


def test_time_slices_are_in_proportion_to_the_count() -> None:
    state = flatten_interference([table_of(Interference.time_slices())])
    assert [slowdown_one(state, 0, m, 7) for m in (1, 2, 3, 9)] == [1.0, 2.0, 3.0, 9.0]


def test_shipped_profiles_state_what_they_measured() -> None:
    part = Interference.measured(load_profile("dlrm-h200-bf16-graph"))
    assert part is not None
    assert part.replicas == (2, 3)
    assert part.slowdown.shape == (2, len(part.batch_sizes))
    assert np.all(part.slowdown > 1.0)
    assert Interference.measured(load_profile("dlrm-cpu2-fp32")) is None


def test_a_faster_device_and_no_noise_leave_the_slowdown_and_weigh_more() -> None:
    table = LatencyTable(np.array([1, 4]), np.array([0.0, 1.0]), np.ones((2, 2)), np.ones(2), 3.0, MEASURED)
    fast = table.scaled(2.0).without_noise(np.full(2, 0.5))
    assert (fast.weight, fast.interference) == (6.0, MEASURED)


@pytest.mark.parametrize(("cap", "rate"), [(1, 1.0), (4, 4 / 1.5), (8, 4.0), (9, 4.0), (16, 4.0), (99, 4.0)])
def test_the_best_batch_is_a_measured_size_or_the_cap(cap: int, rate: float) -> None:
    sizes, mean_s = np.array([2, 8, 16]), np.array([1.0, 2.0, 5.0])
    assert best_throughput(sizes, mean_s, cap) == pytest.approx(cap / (1 + (cap - 2) / 6) if cap == 4 else rate)
