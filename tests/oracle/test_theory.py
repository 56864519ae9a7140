"""The reference formulas against each other and against tables, and the oracle against them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from . import theory
from .model import Control, OracleArrival, OracleReplica, OracleStage, OracleVariant, OracleWorld, Router
from .service_time import quantile, uniform
from .simpy_oracle import run

LEVELS = tuple(float(1 - tail) for tail in np.geomspace(1, 1e-7, 120))
EXPONENTIAL = tuple(-math.log1p(-level) for level in LEVELS)


def poisson_arrivals(rate_rps: float, requests: int, seed: int) -> list[OracleArrival]:
    gaps_s = np.random.default_rng(seed).exponential(1 / rate_rps, requests)
    return [OracleArrival(float(time_s), 0, 1, 0.0) for time_s in np.cumsum(gaps_s)]


def oracle_waits_s(
    arrivals: list[OracleArrival],
    values_s: tuple[float, ...],
    *,
    servers: int = 1,
    router: Router = "round_robin",
    max_outstanding: int = 0,
    noise_seed: int = 3,
) -> np.ndarray:
    """Waits of a plain queue in the oracle: no batches, no network, quantiles `values_s` at `LEVELS`."""
    variant = OracleVariant(
        0, False, 1, 0.0, 0, (1,), LEVELS, (values_s,), (theory.quantile_moments(LEVELS, values_s)[0],)
    )
    stage = OracleStage(0, 0, 1, 0.0, router, max_outstanding)
    world = OracleWorld(1, (stage,), (variant,), (1e12,), 0.0, noise_seed, True)
    controls = [Control(0.0, "activate", OracleReplica(slot, 0, 0, 1.0)) for slot in range(servers)]
    outcomes, _ = run(world, arrivals, controls)
    return np.array([o.stage_start_s[0] - a.arrival_s for o, a in zip(outcomes, arrivals)])


class TestFormulas:
    def test_erlang_c_known_values(self) -> None:
        # Two servers: C = 2 rho^2 / (1 + rho). Ten at 8 erlangs: the tabulated 0.4092.
        assert theory.erlang_c(1.0, 2) == pytest.approx(1 / 3)
        assert theory.erlang_c(8.0, 10) == pytest.approx(0.4092, abs=5e-5)

    @settings(deadline=None)
    @given(st.floats(0.01, 0.99), st.integers(1, 12))
    def test_mean_wait_is_the_integral_of_its_tail(self, utilisation: float, servers: int) -> None:
        rate_rps = utilisation * servers
        tail = theory.mmc_wait_tail(0.0, rate_rps, 1.0, servers)
        decay = servers - rate_rps
        assert theory.mmc_mean_wait_s(rate_rps, 1.0, servers) == pytest.approx(float(tail) / decay)

    def test_wait_quantile_inverts_the_tail(self) -> None:
        wait_s = theory.mmc_wait_quantile_s(0.99, 3.2, 1.0, 4)
        assert float(theory.mmc_wait_tail(wait_s, 3.2, 1.0, 4)) == pytest.approx(0.01)
        assert theory.mmc_wait_quantile_s(0.5, 1.0, 1.0, 10) == 0.0

    def test_one_server_is_mm1(self) -> None:
        assert theory.mmc_mean_wait_s(0.8, 1.0, 1) == pytest.approx(4.0)
        assert theory.mg1_mean_wait_s(0.8, 1.0, 2.0) == pytest.approx(4.0)
        assert theory.round_robin_mm_mean_wait_s(0.8, 1.0, 1) == pytest.approx(4.0)
        assert theory.shortest_queue_mean_wait_s(0.5, 1.0, 1, 60) == pytest.approx(1.0)

    @settings(deadline=None)
    @given(st.floats(0.05, 0.9), st.floats(0.0, 12.0))
    def test_md1_wait_agrees_with_erlangs_alternating_sum(self, rate_rps: float, wait_s: float) -> None:
        terms = [
            (-rate_rps * (wait_s - k)) ** k / math.factorial(k) * math.exp(rate_rps * (wait_s - k))
            for k in range(math.floor(wait_s) + 1)
        ]
        expected = (1 - rate_rps) * math.fsum(terms)
        assert theory.md1_wait_cdf(wait_s, rate_rps, 1.0) == pytest.approx(expected, abs=1e-6)

    def test_md1_mean_is_the_integral_of_its_tail(self) -> None:
        grid = (np.arange(300) + 0.5) * 0.1
        tail = [1 - theory.md1_wait_cdf(float(wait_s), 0.7, 1.0) for wait_s in grid]
        assert sum(tail) * 0.1 == pytest.approx(theory.md1_mean_wait_s(0.7, 1.0), rel=1e-3)

    @pytest.mark.parametrize("utilisation", [0.3, 0.7])
    def test_one_queue_beats_shortest_queue_beats_dealing_beats_dice(self, utilisation: float) -> None:
        rate_rps = 2 * utilisation
        waits = [
            theory.mmc_mean_wait_s(rate_rps, 1.0, 2),
            theory.shortest_queue_mean_wait_s(rate_rps, 1.0, 2),
            theory.round_robin_mm_mean_wait_s(rate_rps, 1.0, 2),
            theory.mmc_mean_wait_s(utilisation, 1.0, 1),
        ]
        assert waits == sorted(waits)
        assert waits[0] < waits[1] < waits[2] < waits[3]

    def test_quantile_moments_are_those_of_draws(self) -> None:
        levels, values = (0.1, 0.4, 0.9), (1.0, 2.0, 5.0)
        draws = np.interp((np.arange(100_000) + 0.5) / 100_000, levels, values)
        assert theory.quantile_moments(levels, values) == pytest.approx((draws.mean(), (draws**2).mean()), rel=1e-6)

    @pytest.mark.parametrize("utilisation", [0.0, 1.0, 1.5])
    def test_unstable_queues_are_refused(self, utilisation: float) -> None:
        with pytest.raises(ValueError, match="utilisation"):
            theory.md1_mean_wait_s(utilisation, 1.0)


class TestRecursions:
    @settings(deadline=None)
    @given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 5)), min_size=1, max_size=60))
    def test_kiefer_wolfowitz_of_one_server_is_lindley(self, pairs: list[tuple[float, float]]) -> None:
        arrival_s = np.cumsum([gap for gap, _ in pairs])
        service_s = [service for _, service in pairs]
        np.testing.assert_allclose(
            theory.kiefer_wolfowitz_waits_s(arrival_s, service_s, 1),
            theory.lindley_waits_s(arrival_s, service_s),
            atol=1e-9,
        )

    def test_kiefer_wolfowitz_by_hand(self) -> None:
        waits = theory.kiefer_wolfowitz_waits_s([0, 0, 1, 1, 6], [4, 2, 3, 1, 1], 2)
        # Servers are free at 4 and 2; the third starts at 2, the fourth at 4, the fifth at once.
        assert waits.tolist() == [0, 0, 1, 3, 0]

    @pytest.mark.parametrize("servers", [1, 4])
    def test_kiefer_wolfowitz_has_the_mean_of_erlang_c(self, servers: int) -> None:
        rng = np.random.default_rng(11)
        arrival_s = np.cumsum(rng.exponential(1 / (0.7 * servers), 60_000))
        waits = theory.kiefer_wolfowitz_waits_s(arrival_s, rng.exponential(1.0, 60_000), servers)
        mean, half = theory.batch_means_interval(waits, confidence=0.999)
        expected = theory.mmc_mean_wait_s(0.7 * servers, 1.0, servers)
        assert abs(mean - expected) < half
        assert half < 0.25 * expected


class TestIntervals:
    def test_batch_and_regenerative_intervals_cover_as_often_as_they_say(self) -> None:
        expected = theory.mmc_mean_wait_s(0.5, 1.0, 1)
        covered = np.zeros(2)
        for seed in range(60):
            rng = np.random.default_rng(seed)
            waits = theory.lindley_waits_s(np.cumsum(rng.exponential(2.0, 4000)), rng.exponential(1.0, 4000))
            intervals = (
                theory.batch_means_interval(waits, confidence=0.9),
                theory.regenerative_interval(waits, waits == 0, confidence=0.9),
            )
            covered += [abs(mean - expected) < half for mean, half in intervals]
        assert ((covered >= 45) & (covered <= 59)).all()

    def test_too_little_is_refused(self) -> None:
        with pytest.raises(ValueError, match="too few"):
            theory.batch_means_interval(np.zeros(20))
        with pytest.raises(ValueError, match="30"):
            theory.regenerative_interval(np.zeros(20), np.ones(20))

    def test_replications_by_hand(self) -> None:
        mean, half = theory.replication_interval([1.0, 3.0], confidence=0.5)
        assert (mean, half) == (2.0, pytest.approx(1.0))  # t with one degree of freedom at 0.75 is 1


class TestOracleAgainstTheory:
    def test_gg1_is_lindleys_sample_path(self) -> None:
        arrivals = poisson_arrivals(0.8, 3000, seed=1)
        service_s = [quantile(LEVELS, EXPONENTIAL, uniform(3, i, 0)) for i in range(len(arrivals))]
        expected = theory.lindley_waits_s([a.arrival_s for a in arrivals], service_s)
        np.testing.assert_allclose(oracle_waits_s(arrivals, EXPONENTIAL), expected, atol=1e-9)

    @pytest.mark.parametrize("servers", [1, 3])
    def test_gdc_dealt_in_turn_is_the_kiefer_wolfowitz_sample_path(self, servers: int) -> None:
        # With equal service times the servers of one queue get free in the order in which they began.
        arrivals = poisson_arrivals(0.9 * servers, 3000, seed=2)
        expected = theory.kiefer_wolfowitz_waits_s([a.arrival_s for a in arrivals], [1.0] * 3000, servers)
        got = oracle_waits_s(arrivals, (1.0,) * len(LEVELS), servers=servers)
        np.testing.assert_allclose(got, expected, atol=1e-9)

    def test_md1_mean_and_distribution(self) -> None:
        waits = oracle_waits_s(poisson_arrivals(0.6, 12_000, seed=4), (1.0,) * len(LEVELS))
        for samples, expected in (
            (waits, theory.md1_mean_wait_s(0.6, 1.0)),
            (waits <= 0.5, theory.md1_wait_cdf(0.5, 0.6, 1.0)),
            (waits <= 2.0, theory.md1_wait_cdf(2.0, 0.6, 1.0)),
        ):
            mean, half = theory.batch_means_interval(samples, confidence=0.999)
            assert abs(mean - expected) < half < 0.2 * expected

    @pytest.mark.parametrize("router", ["least_outstanding", "round_robin"])
    def test_two_exponential_replicas(self, router: Router) -> None:
        waits = oracle_waits_s(poisson_arrivals(1.2, 20_000, seed=5), EXPONENTIAL, servers=2, router=router)
        mean, half = theory.batch_means_interval(waits, confidence=0.999)
        law = {
            "least_outstanding": theory.shortest_queue_mean_wait_s,
            "round_robin": theory.round_robin_mm_mean_wait_s,
        }[router]
        service_s, _ = theory.quantile_moments(LEVELS, EXPONENTIAL)
        assert abs(mean - law(1.2, service_s, 2)) < half < 0.2 * mean


class TestHoldingAgainstTheory:
    """One request a replica at a time, the others held: one queue before many servers."""

    def waits_s(self, arrivals: list[OracleArrival], values_s: tuple[float, ...], servers: int) -> np.ndarray:
        return oracle_waits_s(arrivals, values_s, servers=servers, router="least_outstanding", max_outstanding=1)

    @pytest.mark.parametrize("servers", [1, 2, 5])
    @pytest.mark.parametrize("shape", [0.5, 4.0])
    def test_ggc_is_the_kiefer_wolfowitz_sample_path(self, servers: int, shape: float) -> None:
        # Gamma gaps burstier and smoother than Poisson; service times of squared exponentials.
        gaps_s = np.random.default_rng(6).gamma(shape, 1 / (0.45 * servers * shape), 2000)
        arrivals = [OracleArrival(float(time_s), 0, 1, 0.0) for time_s in np.cumsum(gaps_s)]
        values_s = tuple(value**2 for value in EXPONENTIAL)
        service_s = [quantile(LEVELS, values_s, uniform(3, i, 0)) for i in range(len(arrivals))]
        expected = theory.kiefer_wolfowitz_waits_s([a.arrival_s for a in arrivals], service_s, servers)
        assert np.mean(expected > 0) > 0.2
        np.testing.assert_allclose(self.waits_s(arrivals, values_s, servers), expected, rtol=0, atol=1e-9)

    @pytest.mark.parametrize("servers", [2, 4])
    def test_mmc_is_erlang_c(self, servers: int) -> None:
        rate_rps = 0.7 * servers
        waits = self.waits_s(poisson_arrivals(rate_rps, 25_000, seed=7), EXPONENTIAL, servers)
        service_s, _ = theory.quantile_moments(LEVELS, EXPONENTIAL)
        for samples, expected in (
            (waits, theory.mmc_mean_wait_s(rate_rps, service_s, servers)),
            (waits > 1e-9, theory.erlang_c(rate_rps * service_s, servers)),
            (waits > 1.0, float(theory.mmc_wait_tail(1.0, rate_rps, service_s, servers))),
        ):
            mean, half = theory.batch_means_interval(samples, confidence=0.999)
            assert abs(mean - expected) < half < 0.35 * expected
