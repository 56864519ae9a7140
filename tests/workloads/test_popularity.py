"""The Zipf law: frequencies, scattering, drift, and the fit of its exponent."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from workloads.popularity import ZipfPopularity, zipf_exponent


@pytest.mark.parametrize("zipf_s", [0.0, 0.5, 0.9, 1.0, 1.3, 2.5])
@pytest.mark.parametrize("count", [2, 50])
def test_frequencies_follow_the_law(zipf_s: float, count: int) -> None:
    ranks = ZipfPopularity(count, zipf_s).sample_ranks(np.random.default_rng(1), 200_000)
    weights = np.arange(1, count + 1) ** -zipf_s
    observed = np.bincount(ranks, minlength=count + 1)[1:]
    assert stats.chisquare(observed, 200_000 * weights / weights.sum()).pvalue > 1e-4


def test_a_large_law_needs_no_table() -> None:
    law = ZipfPopularity(2**31, 0.8)
    ranks = law.sample_ranks(np.random.default_rng(2), 200_000)
    assert ranks.min() >= 1
    assert ranks.max() <= 2**31
    middle = ((2.0**31) ** 0.2 * 0.5) ** 5
    assert np.mean(ranks <= middle) == pytest.approx(0.5, abs=0.02)
    assert (law.identity(ranks, 0.0) < 2**31).all()


def ranks_by_the_hat_alone(law: ZipfPopularity, rng: np.random.Generator, size: int) -> np.ndarray:
    """Rejection-inversion without its shortcut: every draw is held against the hat's area. For exponents but 1."""
    rest = 1 - law.zipf_s
    bottom, top = (1.5**rest - 1) / rest - 1, ((law.count + 0.5) ** rest - 1) / rest
    ranks, left = np.zeros(size, np.int64), np.arange(size)
    while len(left):
        area = top + rng.random(len(left)) * (bottom - top)
        rank = np.clip(np.floor((1 + rest * area) ** (1 / rest) + 0.5), 1, law.count)
        accepted = area >= ((rank + 0.5) ** rest - 1) / rest - rank**-law.zipf_s
        ranks[left[accepted]] = rank[accepted].astype(np.int64)
        left = left[~accepted]
    return ranks


@pytest.mark.parametrize("zipf_s", [0.2, 0.8, 1.05, 3.0])
@pytest.mark.parametrize("count", [2, 1000, 10**6])
def test_the_shortcut_rejects_and_accepts_what_the_hat_does(zipf_s: float, count: int) -> None:
    law = ZipfPopularity(count, zipf_s)
    ranks = law.sample_ranks(np.random.default_rng(6), 20_000)
    np.testing.assert_array_equal(ranks, ranks_by_the_hat_alone(law, np.random.default_rng(6), 20_000))


def test_share_of_top_is_what_is_drawn() -> None:
    law = ZipfPopularity(10_000, 0.9)
    ranks = law.sample_ranks(np.random.default_rng(3), 100_000)
    assert np.mean(ranks <= 100) == pytest.approx(law.share_of_top(100), abs=0.006)


@settings(deadline=None)
@given(st.integers(1, 3000), st.floats(0, 1e5), st.floats(0, 1e4))
def test_ranks_and_identities_match_one_to_one(count: int, time_s: float, drift: float) -> None:
    law = ZipfPopularity(count, 1.0, drift)
    identities = law.identity(np.arange(1, count + 1), time_s)
    np.testing.assert_array_equal(np.sort(identities), np.arange(count))


def test_drift_moves_everyone_down_one_rank_at_a_time() -> None:
    law = ZipfPopularity(100, 1.0, drift_ranks_per_day=24)
    ranks = np.arange(1, 101)
    before, after = law.identity(ranks, 3599.0), law.identity(ranks, 3601.0)
    np.testing.assert_array_equal(after[1:], before[:-1])
    assert after[0] == before[-1]
    np.testing.assert_array_equal(law.identity(ranks, 0.0), before)


def test_drift_leaves_the_law_alone() -> None:
    still, drifting = ZipfPopularity(500, 1.1), ZipfPopularity(500, 1.1, 86_400)
    times_s = np.zeros(100_000)
    one = still.sample(np.random.default_rng(4), times_s)
    other = drifting.sample(np.random.default_rng(4), times_s + 77.5)
    np.testing.assert_array_equal(np.sort(np.bincount(one)), np.sort(np.bincount(other)))


@pytest.mark.parametrize("zipf_s", [0.6, 0.9, 1.0, 1.4])
def test_fit_recovers_the_exponent(zipf_s: float) -> None:
    drawn = ZipfPopularity(1000, zipf_s).sample(np.random.default_rng(5), np.zeros(1_000_000))
    assert zipf_exponent(np.bincount(drawn)) == pytest.approx(zipf_s, abs=0.01)


def test_fit_of_exact_frequencies_and_of_too_little() -> None:
    weights = np.arange(1, 2001) ** -0.85
    assert zipf_exponent(weights * 1e9) == pytest.approx(0.85, abs=1e-5)
    assert zipf_exponent(np.full(10, 7)) == pytest.approx(0, abs=1e-6)
    assert np.isnan(zipf_exponent(np.array([5, 0])))
    assert np.isnan(zipf_exponent(np.array([], dtype=int)))


@pytest.mark.parametrize(("count", "zipf_s", "drift"), [(0, 1, 0), (10, -1, 0), (10, 1, -1), (2**31 + 1, 1, 0)])
def test_impossible_laws_are_refused(count: int, zipf_s: float, drift: float) -> None:
    with pytest.raises(ValueError, match="expected"):
        ZipfPopularity(count, zipf_s, drift)
