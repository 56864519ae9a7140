"""The compiled data plane against queueing theory: sample paths to 1e-9 s, means and tails within intervals.

Exponential service is a table of 2,000 quantiles. Laws that need its mean get the table's own; that its second moment
differs from an exponential's by 3e-5 of it is far below every interval here (`test_exponential_table`).
Intervals are by batch means at 99.9 %, with fixed seeds; each is narrow enough to refuse the neighbouring law.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike

from tests.benchmarks import queue_laws
from tests.benchmarks.plain_queue import (
    PlainQueue,
    ServiceLaw,
    classes,
    deterministic,
    exponential,
    lognormal,
    poisson_arrivals_s,
    serve,
    waits_s,
)
from tests.oracle import draws, theory
from tests.oracle.service_time import quantile, uniform

TOLERANCE_S = 1e-9
LOADS = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95)
EXPONENTIAL = exponential()


def drawn_service_s(law: ServiceLaw, requests: int, noise_seed: int, stage: int = 0) -> list[float]:
    """Service times by docs/request-path.md, with the oracle's code: the quantile at the uniform number of the id."""
    levels, values_s = tuple(law.level.tolist()), tuple(law.value_s.tolist())
    return [quantile(levels, values_s, uniform(noise_seed, i, stage)) for i in range(requests)]


def assert_inside(samples: ArrayLike, expected: float, widest: float) -> None:
    """The expected mean lies in the 99.9 % interval, whose half width is at most `widest` of it."""
    mean, half = theory.batch_means_interval(samples, confidence=0.999)
    assert abs(mean - expected) < half
    assert half < widest * expected


def one_queue(law: ServiceLaw, servers: int) -> PlainQueue:
    return PlainQueue(law, servers, max_outstanding=1)


class TestSamplePaths:
    """Every wait of G/G/c equals the Kiefer-Wolfowitz recursion."""

    @pytest.mark.parametrize("servers", [1, 2, 5, 32])
    @pytest.mark.parametrize("load", [0.75, 0.98, 1.3])
    @pytest.mark.parametrize("shape", [0.25, 1.0, 6.0])
    def test_gamma_arrivals(self, servers: int, load: float, shape: float) -> None:
        law = lognormal(1.2, 12)
        rate_rps = load * servers / law.mean_s
        arrival_s = np.cumsum(np.random.default_rng([servers, 8]).gamma(shape, 1 / (rate_rps * shape), 1500))
        expected = theory.kiefer_wolfowitz_waits_s(arrival_s, drawn_service_s(law, 1500, 77), servers)
        assert expected.max() > 0
        got = waits_s(one_queue(law, servers), arrival_s, noise_seed=77)[:, 0]
        np.testing.assert_allclose(got, expected, rtol=0, atol=TOLERANCE_S)

    @settings(deadline=None, max_examples=100)
    @given(
        gaps_s=st.lists(st.one_of(st.just(0.0), st.floats(0, 3)), min_size=1, max_size=80),
        values_s=st.lists(st.floats(1e-3, 4), min_size=2, max_size=6),
        servers=st.integers(1, 7),
        noise_seed=st.integers(0, 2**64 - 1),
    )
    def test_any_arrivals(self, gaps_s: list[float], values_s: list[float], servers: int, noise_seed: int) -> None:
        law = ServiceLaw(np.linspace(0, 1, len(values_s)), np.sort(np.array(values_s)))
        arrival_s = np.cumsum(gaps_s)
        service_s = drawn_service_s(law, len(gaps_s), noise_seed)
        expected = theory.kiefer_wolfowitz_waits_s(arrival_s, service_s, servers)
        got = waits_s(one_queue(law, servers), arrival_s, noise_seed=noise_seed)[:, 0]
        np.testing.assert_allclose(got, expected, rtol=0, atol=TOLERANCE_S)

    @pytest.mark.parametrize("servers", [1, 4])
    def test_round_robin_is_one_lindley_recursion_each(self, servers: int) -> None:
        arrival_s = poisson_arrivals_s(np.random.default_rng(9), 0.85 * servers, 4000)
        service_s = np.array(drawn_service_s(EXPONENTIAL, 4000, 5))
        got = waits_s(PlainQueue(EXPONENTIAL, servers, "round_robin"), arrival_s, noise_seed=5)[:, 0]
        for first in range(servers):
            expected = theory.lindley_waits_s(arrival_s[first::servers], service_s[first::servers])
            np.testing.assert_allclose(got[first::servers], expected, rtol=0, atol=TOLERANCE_S)

    def test_deterministic_service_is_lindley(self) -> None:
        arrival_s = poisson_arrivals_s(np.random.default_rng(10), 0.9, 4000)
        expected = theory.lindley_waits_s(arrival_s, np.ones(4000))
        got = waits_s(PlainQueue(deterministic()), arrival_s)[:, 0]
        np.testing.assert_allclose(got, expected, rtol=0, atol=TOLERANCE_S)

    def test_two_stages_are_two_recursions(self) -> None:
        arrival_s = poisson_arrivals_s(np.random.default_rng(11), 0.8, 3000)
        first_s, second_s = (np.array(drawn_service_s(EXPONENTIAL, 3000, 5, stage)) for stage in (0, 1))
        got = waits_s(PlainQueue(EXPONENTIAL, stages=2), arrival_s, noise_seed=5)
        first_wait_s = theory.lindley_waits_s(arrival_s, first_s)
        np.testing.assert_allclose(got[:, 0], first_wait_s, rtol=0, atol=TOLERANCE_S)
        second_wait_s = theory.lindley_waits_s(arrival_s + first_wait_s + first_s, second_s)
        np.testing.assert_allclose(got[:, 1], second_wait_s, rtol=0, atol=TOLERANCE_S)

    def test_network_card_is_lindley(self) -> None:
        rng = np.random.default_rng(12)
        arrival_s, bytes_in = poisson_arrivals_s(rng, 0.8, 4000), rng.integers(0, 2001, 4000)
        queue = PlainQueue(deterministic(), 3, "round_robin", nic_bytes_per_s=1000.0)
        step = serve(queue, arrival_s, bytes_in=bytes_in).state.record.step
        transfer_s = bytes_in / 1000.0
        expected = theory.lindley_waits_s(arrival_s, transfer_s)
        got = step["ready_s"][:, 0] - arrival_s - transfer_s
        np.testing.assert_allclose(got, expected, rtol=0, atol=TOLERANCE_S)


class TestOneQueue:
    """M/M/c and M/D/c, first come first served."""

    def test_exponential_table(self) -> None:
        assert EXPONENTIAL.mean_s == pytest.approx(1, rel=2e-5)
        assert EXPONENTIAL.second_moment_s2 == pytest.approx(2, rel=4e-5)

    @pytest.mark.parametrize("load", LOADS)
    @pytest.mark.parametrize("servers", [1, 8])
    def test_mmc_is_erlang_c(self, servers: int, load: float) -> None:
        rate_rps, mean_s = load * servers / EXPONENTIAL.mean_s, EXPONENTIAL.mean_s
        arrival_s = poisson_arrivals_s(np.random.default_rng([servers, 2]), rate_rps, 1_000_000)
        waits = waits_s(one_queue(EXPONENTIAL, servers), arrival_s)[:, 0]
        assert_inside(waits, theory.mmc_mean_wait_s(rate_rps, mean_s, servers), 0.25)
        assert_inside(waits > TOLERANCE_S, theory.erlang_c(rate_rps * mean_s, servers), 0.25)
        tail_s = mean_s / (servers - rate_rps * mean_s)  # the mean wait of those that wait
        assert_inside(waits > tail_s, float(theory.mmc_wait_tail(tail_s, rate_rps, mean_s, servers)), 0.35)

    def test_mmc_refuses_the_law_of_bound_requests(self) -> None:
        # The same replicas without holding: join the shortest queue, whose wait is 15 % longer at this load.
        rate_rps = 1.4 / EXPONENTIAL.mean_s
        arrival_s = poisson_arrivals_s(np.random.default_rng(3), rate_rps, 1_000_000)
        mean, half = theory.batch_means_interval(waits_s(PlainQueue(EXPONENTIAL, 2), arrival_s)[:, 0], confidence=0.999)
        assert abs(mean - theory.mmc_mean_wait_s(rate_rps, EXPONENTIAL.mean_s, 2)) > 2 * half
        assert abs(mean - theory.shortest_queue_mean_wait_s(rate_rps, EXPONENTIAL.mean_s, 2)) < half

    @pytest.mark.parametrize("load", [0.3, 0.7, 0.9])
    def test_md1(self, load: float) -> None:
        arrival_s = poisson_arrivals_s(np.random.default_rng(4), load, 400_000)
        waits = waits_s(PlainQueue(deterministic()), arrival_s)[:, 0]
        assert_inside(waits, theory.md1_mean_wait_s(load, 1.0), 0.15)
        for wait_s in (0.5, 1.7, 4.2):
            beyond = 1 - theory.md1_wait_cdf(wait_s, load, 1.0)
            if beyond > 1e-3:
                assert_inside(waits > wait_s, beyond, 0.3)

    @pytest.mark.parametrize("load", [0.5, 0.9])
    def test_mdc(self, load: float) -> None:
        arrival_s = poisson_arrivals_s(np.random.default_rng(5), load * 4, 400_000)
        waits = waits_s(one_queue(deterministic(), 4), arrival_s)[:, 0]
        assert_inside(waits, queue_laws.mdc_mean_wait_s(load * 4, 1.0, 4, 400), 0.15)

    @pytest.mark.parametrize("load", [0.5, 0.8])
    def test_mg1_is_pollaczek_khinchine(self, load: float) -> None:
        law = lognormal()
        rate_rps = load / law.mean_s
        arrival_s = poisson_arrivals_s(np.random.default_rng(6), rate_rps, 1_000_000)
        waits = waits_s(PlainQueue(law), arrival_s)[:, 0]
        assert_inside(waits, theory.mg1_mean_wait_s(rate_rps, law.mean_s, law.second_moment_s2), 0.25)


class TestRouters:
    @pytest.mark.parametrize("load", [0.5, 0.9])
    def test_round_robin_is_erlang_arrivals(self, load: float) -> None:
        rate_rps = load * 4 / EXPONENTIAL.mean_s
        arrival_s = poisson_arrivals_s(np.random.default_rng(7), rate_rps, 1_000_000)
        waits = waits_s(PlainQueue(EXPONENTIAL, 4, "round_robin"), arrival_s)[:, 0]
        assert_inside(waits, theory.round_robin_mm_mean_wait_s(rate_rps, EXPONENTIAL.mean_s, 4), 0.15)

    @pytest.mark.parametrize("load", [0.5, 0.8])
    def test_least_outstanding_is_the_shortest_queue(self, load: float) -> None:
        rate_rps = load * 2 / EXPONENTIAL.mean_s
        arrival_s = poisson_arrivals_s(np.random.default_rng(8), rate_rps, 600_000)
        waits = waits_s(PlainQueue(EXPONENTIAL, 2), arrival_s)[:, 0]
        assert_inside(waits, theory.shortest_queue_mean_wait_s(rate_rps, EXPONENTIAL.mean_s, 2), 0.15)


class TestBatches:
    """A lone replica with a batcher."""

    @pytest.mark.parametrize(("max_wait_s", "waits"), [
        # Arrivals every second, service of one second.
        (10.0, [3, 2, 1, 0]),  # four fill the batch
        (2.5, [2.5, 1.5, 0.5]),  # the head has waited enough when three are there
        (0.25, [0.25]),  # nobody joins in time; the one second of service ends before the next start is due
        (0.0, [0.0]),
    ])  # fmt: skip
    def test_regular_arrivals(self, max_wait_s: float, waits: list[float]) -> None:
        requests = 50 * len(waits)
        queue = PlainQueue(deterministic(), max_batch=4, max_wait_s=max_wait_s)
        got = waits_s(queue, np.arange(requests, dtype=np.float64))[:, 0]
        np.testing.assert_allclose(got, waits * 50, rtol=0, atol=TOLERANCE_S)

    def test_saturated_replica_serves_full_batches(self) -> None:
        # All come at 0, where the batch of the first starts before the second arrives (events of replicas come first).
        got = waits_s(PlainQueue(deterministic(), max_batch=8), np.zeros(81))[:, 0]
        np.testing.assert_allclose(got, (np.arange(81) + 7) // 8, rtol=0, atol=TOLERANCE_S)

    @pytest.mark.parametrize("load", [0.3, 0.7, 0.9])
    @pytest.mark.parametrize("max_batch", [1, 2, 8])
    def test_bulk_service(self, load: float, max_batch: int) -> None:
        rate_rps = load * max_batch / EXPONENTIAL.mean_s
        arrival_s = poisson_arrivals_s(np.random.default_rng([max_batch, 13]), rate_rps, 600_000)
        waits = waits_s(PlainQueue(EXPONENTIAL, max_batch=max_batch), arrival_s)[:, 0]
        assert_inside(waits, queue_laws.bulk_mean_wait_s(rate_rps, EXPONENTIAL.mean_s, max_batch), 0.25)

    @pytest.mark.parametrize("load", [0.3, 0.8])
    def test_full_batches_only(self, load: float) -> None:
        rate_rps = load * 4 / EXPONENTIAL.mean_s
        arrival_s = poisson_arrivals_s(np.random.default_rng(14), rate_rps, 400_000)
        waits = waits_s(PlainQueue(EXPONENTIAL, max_batch=4, max_wait_s=1e9), arrival_s)[:, 0]
        assert_inside(waits, queue_laws.full_batch_mean_wait_s(rate_rps, EXPONENTIAL.mean_s, 4), 0.15)

    @pytest.mark.parametrize("rate_rps", [0.2, 3.0])
    def test_timed_batches(self, rate_rps: float) -> None:
        at_once = ServiceLaw(np.array([0.0, 1.0]), np.full(2, 1e-12))
        arrival_s = poisson_arrivals_s(np.random.default_rng(15), rate_rps, 200_000)
        waits = waits_s(PlainQueue(at_once, max_batch=10_000, max_wait_s=2.0), arrival_s)[:, 0]
        assert_inside(waits, queue_laws.timed_batch_mean_wait_s(rate_rps, 2.0), 0.02)


class TestClasses:
    """Two classes, nobody interrupted: Cobham's formula for each."""

    def test_classes_are_those_of_the_page(self) -> None:
        queue = PlainQueue(EXPONENTIAL, class_shares=(0.2, 0.3, 0.5))
        shares = [draws.share(user, 2) for user in range(3000)]
        expected = [sum(share >= high for high in (0.2, 0.5)) for share in shares]
        assert classes(queue, 3000).tolist() == expected

    @pytest.mark.parametrize("load", [0.5, 0.9])
    @pytest.mark.parametrize("servers", [1, 8])
    def test_priority(self, servers: int, load: float) -> None:
        shares = (0.3, 0.7)
        law = lognormal() if servers == 1 else EXPONENTIAL
        queue = PlainQueue(law, servers, max_outstanding=1 if servers > 1 else 0, class_shares=shares)
        rate_rps = load * servers / law.mean_s
        arrival_s = poisson_arrivals_s(np.random.default_rng([servers, 21]), rate_rps, 1_000_000)
        waits, of = waits_s(queue, arrival_s)[:, 0], classes(queue, len(arrival_s))
        for k in range(2):
            if servers == 1:
                expected = queue_laws.mg1_priority_mean_wait_s(rate_rps, law.mean_s, law.second_moment_s2, shares, k)
            else:
                expected = queue_laws.mmc_priority_mean_wait_s(rate_rps, law.mean_s, servers, shares, k)
            assert_inside(waits[of == k], expected, 0.3)


class TestLaws:
    """The laws of `tests.benchmarks.queue_laws` where they meet others."""

    def test_one_server(self) -> None:
        assert queue_laws.mdc_mean_wait_s(0.7, 1.0, 1, 200) == pytest.approx(theory.md1_mean_wait_s(0.7, 1.0))
        assert queue_laws.bulk_mean_wait_s(0.8, 1.0, 1) == pytest.approx(4.0)
        assert queue_laws.full_batch_mean_wait_s(0.8, 1.0, 1) == pytest.approx(4.0)

    def test_mdc_in_heavy_traffic(self) -> None:
        # In heavy traffic half of M/M/c (Kingman).
        ratio = queue_laws.mdc_mean_wait_s(3.88, 1.0, 4, 400) / theory.mmc_mean_wait_s(3.88, 1.0, 4)
        assert ratio == pytest.approx(0.5, abs=0.01)

    def test_classes_wait_as_long_as_one_would_together(self) -> None:
        """Work is conserved: the mean over all classes is that of no classes, as their service is alike."""
        shares = (0.2, 0.3, 0.5)
        ours = [queue_laws.mmc_priority_mean_wait_s(3.2, 1.0, 4, shares, k) for k in range(3)]
        assert ours == sorted(ours)
        assert np.dot(shares, ours) == pytest.approx(theory.mmc_mean_wait_s(3.2, 1.0, 4))
        ours = [queue_laws.mg1_priority_mean_wait_s(0.7, 1.0, 3.5, shares, k) for k in range(3)]
        assert np.dot(shares, ours) == pytest.approx(theory.mg1_mean_wait_s(0.7, 1.0, 3.5))

    def test_timed_batches_between_their_limits(self) -> None:
        assert queue_laws.timed_batch_mean_wait_s(1e-9, 2.0) == pytest.approx(2.0)
        assert queue_laws.timed_batch_mean_wait_s(1e9, 2.0) == pytest.approx(1.0)
