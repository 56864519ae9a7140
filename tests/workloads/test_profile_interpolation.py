"""Latency between measured sizes: the rule against the simulator's kernel, and what leaving one out says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.kernel.compiled import compiled
from simulator.kernel.latency import batch_latency
from simulator.kernel.state import Latencies
from simulator.latency_tables import LatencyTable, flatten
from tests.workloads.profile_documents import small_document
from workloads.catalogue import shipped_profiles
from workloads.errors import InputError
from workloads.interpolation import InterpolationError, interpolate, latency_at, leave_one_out_error, most_at_fault
from workloads.profile import ModelProfile, load_profile, profile_from_document


def _profile(sizes: list[int], latency_s: list[float]) -> ModelProfile:
    document = small_document()
    document["latency"] |= {
        "batch_sizes": sizes,
        "quantiles_s": [[0.5 * value, value, 2.0 * value] for value in latency_s],
        "mean_s": latency_s,
        "runs": [30] * len(sizes),
        "runs_set_aside": [0] * len(sizes),
        "cpu_core_s": [0.0] * len(sizes),
        "drift": [0.0] * len(sizes),
        "two_modes": [False] * len(sizes),
    }
    return profile_from_document(document)


CURVES = st.lists(st.integers(1, 10_000), min_size=1, max_size=8, unique=True).flatmap(
    lambda sizes: st.tuples(
        st.just(sorted(sizes)), st.lists(st.floats(1e-5, 10.0), min_size=len(sizes), max_size=len(sizes))
    )
)


@compiled
def kernel_latency(tables: np.ndarray, latencies: Latencies, units: int, u: float) -> tuple[float, float, bool]:
    return batch_latency(tables[0], latencies, units, u)


@settings(deadline=None)  # the first call compiles
@given(curve=CURVES, units=st.integers(1, 20_000))
def test_the_simulator_follows_the_rule(curve: tuple[list[int], list[float]], units: int) -> None:
    sizes, latency_s = np.array(curve[0]), np.array(curve[1])
    table = LatencyTable(sizes, np.zeros(1), latency_s.reshape(-1, 1), np.ones(len(sizes)))
    structs, latencies = flatten([table])
    kernel_s, _, beyond = kernel_latency(structs, latencies, units, 0.5)
    assert kernel_s == pytest.approx(float(interpolate(sizes, latency_s, units)), rel=1e-9, abs=1e-12)
    assert beyond == (units > sizes[-1])


@given(base=st.floats(1e-5, 1e-2), each=st.floats(1e-7, 1e-3))
def test_the_error_is_nought_on_a_straight_line(base: float, each: float) -> None:
    sizes = [1, 2, 3, 4, 6, 8, 12, 16]
    error = leave_one_out_error(_profile(sizes, [base + each * size for size in sizes]))
    assert error.batch_sizes.tolist() == sizes[1:-1]
    assert error.error == pytest.approx(np.zeros(6), abs=1e-9)


def test_a_bend_is_foretold_too_high_and_a_step_is_seen() -> None:
    bend = leave_one_out_error(_profile([1, 2, 4, 8, 16], [1e-3, 1e-3, 1e-3, 2e-3, 4e-3]))
    assert bend.error.tolist() == pytest.approx([0.0, (1 + 1 / 3) / 1 - 1, 0.0], abs=1e-6)
    step = leave_one_out_error(_profile([1, 2, 3, 4], [1e-3, 1e-3, 2e-3, 2e-3]))
    assert step.error.tolist() == pytest.approx([0.5, -0.25])
    assert (step.median, step.worst, step.worst_batch_size) == (pytest.approx(0.375), pytest.approx(0.5), 2)


def test_with_two_sizes_nothing_can_be_left_out() -> None:
    error = leave_one_out_error(_profile([1, 8], [1e-3, 2e-3]))
    assert np.isnan(error.median)
    assert np.isnan(error.worst)
    assert error.worst_batch_size == 0
    assert most_at_fault([error]) is None
    known = InterpolationError("x", np.array([2]), np.array([0.1]))
    assert most_at_fault([error, known]) is known


def test_a_finer_grid_makes_the_error_smaller() -> None:
    """The reason for sizes half-way between powers of two: the error of a bend falls with the square of the gap."""
    latency_s = lambda size: 1e-3 + 1e-5 * size**1.2  # noqa: E731
    coarse = [2**power for power in range(9)]
    fine = sorted({*coarse, *(3 * 2**power // 2 for power in range(1, 8))})
    worst = [leave_one_out_error(_profile(sizes, [latency_s(s) for s in sizes])).worst for sizes in (coarse, fine)]
    assert worst[1] < 0.5 * worst[0]


def test_beyond_the_largest_size_there_is_no_number() -> None:
    profile = _profile([1, 8], [1e-3, 2e-3])
    assert latency_at(profile, 8) == pytest.approx(2e-3)
    assert latency_at(profile, 4, 1.0) == pytest.approx(2 * (1e-3 + 3 / 7 * 1e-3))
    with pytest.raises(InputError, match="more than the largest measured, 8"):
        latency_at(profile, 9)


def test_shipped_profiles_keep_the_bound_in_the_median() -> None:
    errors = [leave_one_out_error(load_profile(name)) for name in shipped_profiles()]
    assert np.median([error.median for error in errors]) < 0.03
