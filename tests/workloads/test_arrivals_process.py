"""Arrival processes against what they state: mean, variance, gaps, and the law of counts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from workloads.arrivals import (
    ArrivalProcess,
    Bursts,
    CountArrivals,
    Diurnal,
    FlashCrowd,
    RateCurve,
    RenewalArrivals,
    scaled_counts,
    shaped_curve,
)
from workloads.arrivals.cells import Cells, times_in_cells


def draw(process: ArrivalProcess, seed: int) -> np.ndarray:
    pieces = list(process.arrivals(np.random.default_rng(seed)))
    return np.concatenate(pieces) if pieces else np.empty(0)


def shaped() -> RateCurve:
    shapes = [Diurnal(peak_to_mean=2.5, peak_hour=14), FlashCrowd(30_000, 60, 600, 300, 4.0)]
    return shaped_curve(2.0, 86_400, shapes)


@pytest.mark.parametrize("cv", [0.0, 0.3, 1.0, 3.0])
def test_gaps_have_their_mean_and_cv(cv: float) -> None:
    process = RenewalArrivals(RateCurve.constant(50, 4_000), cv)
    gaps_s = np.diff(draw(process, 1))
    error = max(cv, 0.01) / np.sqrt(len(gaps_s))
    assert gaps_s.mean() * process.mean_rate_rps == pytest.approx(1, abs=4 * error)
    assert gaps_s.std() / gaps_s.mean() == pytest.approx(cv, rel=0.05, abs=1e-6)


@pytest.mark.parametrize("cv", [0.0, 0.5, 1.0, 3.0])
def test_count_of_any_interval_has_the_stated_mean(cv: float) -> None:
    """The first gap is from the equilibrium law: even right after the start the mean count is exact."""
    process = RenewalArrivals(RateCurve.constant(1.0, 3.0), cv)
    counts = np.array([(draw(process, seed) < 0.5).sum() for seed in range(4000)])
    expected = process.expected_requests(0, 0.5)
    assert expected == pytest.approx(0.5)
    assert counts.mean() == pytest.approx(expected, abs=4 * counts.std() / np.sqrt(len(counts)))


@pytest.mark.parametrize("cv", [0.5, 1.0, 2.0])
def test_counts_disperse_as_cv_squared(cv: float) -> None:
    process = RenewalArrivals(RateCurve.constant(100, 10_000), cv)
    counts = np.bincount((draw(process, 3) / 10).astype(int), minlength=1000)[:1000]
    assert counts.var() / counts.mean() == pytest.approx(cv**2, rel=0.2)


@pytest.mark.parametrize("seed", [11, 12])
def test_poisson_counts_follow_the_integral(seed: int) -> None:
    process = RenewalArrivals(shaped())
    arrival_s = draw(process, seed)
    edges_s = np.arange(0, 86_401, 600.0)
    observed = np.histogram(arrival_s, edges_s)[0]
    expected = np.diff(process.curve.integral(edges_s))
    assert np.sum((observed - expected) ** 2 / expected) == pytest.approx(len(expected), abs=4 * np.sqrt(2 * 144))
    assert len(arrival_s) == pytest.approx(process.mean_rate_rps * 86_400, abs=4 * np.sqrt(len(arrival_s)))


def test_poisson_gaps_on_the_clock_of_the_integral_are_exponential() -> None:
    curve = shaped()
    gaps = np.diff(curve.integral(draw(RenewalArrivals(curve), 5)))
    assert stats.kstest(gaps, "expon").pvalue > 0.001
    assert stats.pearsonr(gaps[:-1], gaps[1:]).pvalue > 0.001


@pytest.mark.parametrize("bursts", [Bursts(4.0, 0.2, 5.0), Bursts(2.0, 0.5, 20.0)])
def test_bursts_keep_the_mean_and_have_the_stated_variance(bursts: Bursts) -> None:
    process = RenewalArrivals(RateCurve.constant(20, 60), bursts=bursts)
    counts = np.array([len(draw(process, seed)) for seed in range(1500)])
    variance = bursts.variance_of_count(20, 60)
    assert counts.mean() == pytest.approx(1200, abs=4 * np.sqrt(variance / len(counts)))
    assert counts.var() == pytest.approx(variance, rel=0.2)
    assert variance > 2 * 1200


def test_bursts_that_cannot_keep_the_mean_are_refused() -> None:
    with pytest.raises(ValueError, match="1 / share"):
        Bursts(6.0, 0.2, 5.0)


def test_a_rate_of_zero_at_night_gives_no_arrival_there() -> None:
    curve = RateCurve.steps([0, 5, 0, 0, 5, 0], 100.0)
    arrival_s = draw(RenewalArrivals(curve), 1)
    assert set((arrival_s // 100).astype(int)) == {1, 4}


@settings(deadline=None)
@given(arrays(np.int64, st.integers(1, 30), elements=st.integers(0, 300)), st.integers(0, 2**32))
def test_replay_is_exact_in_every_bin(counts: np.ndarray, seed: int) -> None:
    process = CountArrivals(counts, 60.0)
    arrival_s = draw(process, seed)
    np.testing.assert_array_equal(np.histogram(arrival_s, np.arange(len(counts) + 1) * 60.0)[0], counts)
    assert (np.diff(arrival_s) >= 0).all()
    assert process.mean_rate_rps * process.duration_s == pytest.approx(counts.sum())


def test_replay_of_a_bin_larger_than_a_piece_is_uniform_and_in_pieces() -> None:
    process = CountArrivals(np.array([3, 200_000, 0, 20_000]), 60.0)
    pieces = list(process.arrivals(np.random.default_rng(0)))
    assert max(len(piece) for piece in pieces) < 50_000
    arrival_s = np.concatenate(pieces)
    assert np.histogram(arrival_s, [0, 60, 120, 180, 240])[0].tolist() == [3, 200_000, 0, 20_000]
    inside = arrival_s[(arrival_s >= 60) & (arrival_s < 120)]
    assert stats.kstest((inside - 60) / 60, "uniform").pvalue > 0.001


def test_replay_states_its_rate_and_its_counts() -> None:
    process = CountArrivals(np.array([60, 120]), 60.0)
    assert process.rate_rps(np.array([10.0, 70.0])).tolist() == [1, 2]
    assert process.expected_requests(30, 90) == pytest.approx(90)
    assert process.mean_rate_rps == pytest.approx(1.5)


@settings(deadline=None)
@given(
    arrays(np.int64, st.integers(1, 200), elements=st.integers(0, 10_000)),
    st.floats(0.001, 20, allow_nan=False),
)
def test_scaled_counts_keep_every_partial_sum(counts: np.ndarray, scale: float) -> None:
    scaled = scaled_counts(counts, scale)
    assert (scaled >= 0).all()
    assert np.abs(np.cumsum(scaled) - np.cumsum(counts) * scale).max() <= 0.5 + 1e-6


@settings(max_examples=25, deadline=None)
@given(st.floats(0, 5), st.floats(0.1, 2000), st.floats(1, 500), st.integers(0, 2**32))
def test_arrivals_rise_inside_the_duration(cv: float, rate_rps: float, duration_s: float, seed: int) -> None:
    arrival_s = draw(RenewalArrivals(RateCurve.constant(rate_rps, duration_s), cv), seed)
    assert (np.diff(arrival_s, prepend=0) >= 0).all()
    assert (arrival_s <= duration_s).all()


def processes() -> list[ArrivalProcess]:
    """Flat, bent, in bursts, with nights without arrivals, spikes larger than a piece, and replayed counts."""
    spike = RateCurve.steps([0, 2, 40_000, 0, 0.01, 3], 10.0)
    return [
        RenewalArrivals(RateCurve.constant(0.7, 500)),
        RenewalArrivals(RateCurve.constant(333.3, 99.99)),
        RenewalArrivals(shaped_curve(3.0, 5_000, [Diurnal(amplitude=1.0, peak_hour=0.5)])),
        RenewalArrivals(
            shaped_curve(2.0, 5_000, [FlashCrowd(900.5, 60, 600, 300, 40.0)]), bursts=Bursts(3.0, 0.2, 7.0)
        ),
        RenewalArrivals(spike),
        CountArrivals(np.array([3, 0, 60_000, 0, 0, 12, 1]), 10.0),
    ]


@pytest.mark.parametrize("process", processes())
@pytest.mark.parametrize("interval_s", [1.0, 10.0, 60.0, 0.73])
def test_counting_agrees_with_the_times(process: ArrivalProcess, interval_s: float) -> None:
    ends_s = np.append(np.arange(interval_s, process.duration_s, interval_s), process.duration_s)
    arrival_s = draw(process, 4)
    assert (np.diff(arrival_s, prepend=0) >= 0).all()
    counts = process.count_arrivals(np.random.default_rng(4), ends_s)
    if counts is not None:
        slot = np.searchsorted(ends_s, arrival_s)
        np.testing.assert_array_equal(counts, np.bincount(slot, minlength=len(ends_s)))
    else:
        assert interval_s != 10.0 or process.mean_rate_rps < 50


def test_counting_draws_no_times_where_intervals_end_with_cells() -> None:
    process = RenewalArrivals(RateCurve.constant(1000.0, 3600.0))
    assert process.count_arrivals(np.random.default_rng(1), 10.0 * np.arange(1, 361)) is not None
    assert process.count_arrivals(np.random.default_rng(1), 2.5 * np.arange(1, 1441)) is None


def test_times_of_many_cells_have_the_law_of_one_process() -> None:
    """Gaps across the ends of cells, and of cells with a handful of arrivals, are exponential too."""
    for curve in (RateCurve.constant(0.3, 40_000), RateCurve.constant(5_000.0, 20.0), shaped()):
        arrival_s = draw(RenewalArrivals(curve), 8)
        gaps = np.diff(curve.integral(arrival_s), prepend=0)
        assert stats.kstest(gaps, "expon").pvalue > 0.001
        uniform = curve.integral(arrival_s) / curve.total
        assert stats.kstest(uniform, "uniform").pvalue > 0.001


@settings(deadline=None, max_examples=200)
@given(
    arrays(np.int64, st.integers(1, 12), elements=st.integers(0, 40)),
    st.floats(0, 1e6),
    st.floats(1e-9, 1e4),
    st.integers(0, 2**32),
)
def test_times_stay_in_their_cells(counts: np.ndarray, first_s: float, width_s: float, seed: int) -> None:
    """Also where cells are so narrow that rounding would carry times over their ends."""
    edges_s = np.unique(first_s + width_s * np.arange(len(counts) + 1))
    counts = counts[: len(edges_s) - 1]
    rng = np.random.default_rng(seed)
    rates = rng.random(len(counts) + 1) * (rng.random(len(counts) + 1) < 0.7)
    for bent in (False, True):
        cells = Cells.even(edges_s)
        if bent:
            rises = np.diff(rates) / np.diff(edges_s)
            cells = Cells(edges_s[:-1], edges_s[1:], edges_s[:-1], rates[:-1], rises)
            counts = counts * (cells.mass > 0)
        times_s = times_in_cells(rng, counts, cells)
        assert (np.diff(times_s) >= 0).all()
        cell = np.searchsorted(edges_s, times_s) - 1
        np.testing.assert_array_equal(np.bincount(cell, minlength=len(counts)), counts)
