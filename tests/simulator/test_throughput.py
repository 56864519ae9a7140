"""Throughput of one replica: against the theory of M/D/1, and against trying every batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from simulator.facts import fleet_facts
from simulator.latency_tables import Interference, LatencyTable
from simulator.plan import BatchRule, LookupPlan, StagePlan, TierPlan
from simulator.throughput import Load, Lookups, best_throughput_rps, crowded, slo_throughput_rps
from tests.oracle.theory import md1_wait_cdf
from tests.simulator.mini import load_mini

FAST_CARD = 1e15
ONE = Load(np.zeros(8, np.int32), np.full(8, 1000, np.int32))


def table_of(latency_s: dict[int, float]) -> LatencyTable:
    sizes = np.array(list(latency_s))
    return LatencyTable(sizes, np.zeros(1), np.array(list(latency_s.values())).reshape(-1, 1), np.zeros(len(sizes)))


def stage_of(candidates: int = 1, item_bytes: float = 0.0) -> StagePlan:
    return StagePlan(0, candidates, item_bytes, "least_outstanding")


def feasible_rps(table: LatencyTable, rule: BatchRule, budget_s: float, level: float, **changed: float) -> float:
    best_rps = best_throughput_rps(stage_of(), rule, table, ONE, FAST_CARD)
    keywords = {"nic_bytes_per_s": FAST_CARD, "hop_delay_s": 0.0, "best_rps": best_rps} | changed
    return slo_throughput_rps(stage_of(), rule, table, ONE, budget_s=budget_s, budget_quantile=level, **keywords)


SERVICE_S = 0.010
ALONE = BatchRule(0, False, 1, 0.0, 0)


@pytest.mark.parametrize("level", [0.9, 0.99])
@pytest.mark.parametrize("services", [2.0, 3.0, 5.0, 8.0])
def test_one_replica_without_batches_is_m_d_1(services: float, level: float) -> None:
    """The rate at which P(wait + service <= budget) = level, within what 20 000 requests and 1 % bins can tell."""
    budget_s = services * SERVICE_S

    def surplus(load: float) -> float:
        return md1_wait_cdf(budget_s - SERVICE_S, load / SERVICE_S, SERVICE_S) - level

    expected_rps = brentq(surplus, 0.01, 0.995) / SERVICE_S
    found_rps = feasible_rps(table_of({1: SERVICE_S}), ALONE, budget_s, level)
    # At light load the level hangs on few requests: 1 % of 20 000, give or take 14, who met a queue.
    assert found_rps == pytest.approx(expected_rps, rel=0.08 if services == 2.0 else 0.04)


def test_hop_and_card_count_against_the_budget() -> None:
    table = table_of({1: SERVICE_S})
    at_3 = feasible_rps(table, ALONE, 3 * SERVICE_S, 0.99)
    assert feasible_rps(table, ALONE, 4 * SERVICE_S, 0.99, hop_delay_s=SERVICE_S) == pytest.approx(at_3, rel=0.02)
    slow_card = 1000 / SERVICE_S * 2  # half a service time for each request's 1000 bytes
    assert feasible_rps(table, ALONE, 3 * SERVICE_S, 0.99, nic_bytes_per_s=slow_card) < at_3


@pytest.mark.parametrize("budget_s", [0.5 * SERVICE_S, 0.99 * SERVICE_S])
def test_a_budget_below_the_service_time_is_hopeless(budget_s: float) -> None:
    assert feasible_rps(table_of({1: SERVICE_S}), ALONE, budget_s, 0.9) == 0.0


def test_a_long_wait_for_batches_is_hopeless_at_any_rate_below_full_batches() -> None:
    """Batches of 64 that wait 1 s for company: within 0.2 s only where they fill by themselves."""
    table = table_of({1: 0.010, 64: 0.020})
    patient = BatchRule(0, False, 64, 1.0, 0)
    found = feasible_rps(table, patient, 0.2, 0.99)
    assert found > 64 / 0.2
    assert feasible_rps(table, BatchRule(0, False, 64, 0.0, 0), 0.2, 0.99) >= found


def test_a_limit_at_the_router_limits_the_batches_too() -> None:
    """One request at a time is M/D/1 whatever the batch may hold; two at a time serve at most twice as fast."""
    table, rule = table_of({1: SERVICE_S, 32: SERVICE_S}), BatchRule(0, False, 32, 0.0, 0)

    def rate_rps(most: int) -> float:
        stage = StagePlan(3, 1, 0.0, "least_outstanding", most)
        best_rps = best_throughput_rps(stage, rule, table, ONE, FAST_CARD)
        return slo_throughput_rps(
            stage, rule, table, ONE, nic_bytes_per_s=FAST_CARD, hop_delay_s=0.0,
            budget_s=20 * SERVICE_S, budget_quantile=0.9, best_rps=best_rps,
        )  # fmt: skip

    assert 0.0 < rate_rps(2) <= 2.0 / SERVICE_S < rate_rps(0)
    assert rate_rps(1) <= 1.0 / SERVICE_S


@settings(max_examples=12, deadline=None)
@given(st.floats(1.5, 10.0), st.floats(1.05, 2.0))
def test_more_budget_is_never_less_throughput(services: float, factor: float) -> None:
    table = table_of({1: SERVICE_S})
    less = feasible_rps(table, ALONE, services * SERVICE_S, 0.95)
    assert feasible_rps(table, ALONE, factor * services * SERVICE_S, 0.95) >= less


# --- best throughput ----------------------------------------------------------------------------------


@st.composite
def tables(draw: st.DrawFn) -> LatencyTable:
    sizes = sorted(draw(st.sets(st.integers(1, 24), min_size=1, max_size=5)))
    levels = draw(st.sampled_from([(0.0,), (0.0, 1.0), (0.0, 0.3, 1.0)]))
    first = draw(st.lists(st.floats(0.001, 1.0), min_size=len(sizes), max_size=len(sizes)))
    latency_s = np.array([[x * (1 + 0.4 * level) for level in levels] for x in sorted(first)])
    return LatencyTable(np.array(sizes), np.array(levels), latency_s, np.zeros(len(sizes)))


def mean_latency_s(table: LatencyTable, units: int) -> float:
    """docs/request-path.md, step 7, on means."""
    levels = table.levels
    means = [row[0] if len(levels) == 1 else np.trapezoid(row, levels) for row in table.latency_s]
    sizes = table.batch_sizes
    if units <= sizes[0]:
        return float(means[0])
    if len(sizes) == 1:
        return float(means[0] * units / sizes[0])
    high = min(int(np.searchsorted(sizes, units)), len(sizes) - 1)
    low = high - 1
    return float(means[low] + (means[high] - means[low]) * (units - sizes[low]) / (sizes[high] - sizes[low]))


@settings(max_examples=300, deadline=None)
@given(tables(), st.integers(1, 40))
def test_best_batch_of_single_units(table: LatencyTable, max_batch: int) -> None:
    expected = max(b / mean_latency_s(table, b) for b in range(1, max_batch + 1))
    found = best_throughput_rps(stage_of(), BatchRule(0, False, max_batch, 0.0, 0), table, ONE, FAST_CARD)
    assert found == pytest.approx(expected, rel=1e-9)


@settings(max_examples=300, deadline=None)
@given(tables(), st.integers(1, 40), st.lists(st.integers(1, 30), min_size=1, max_size=6), st.integers(1, 30))
def test_no_batch_of_items_beats_the_best(
    table: LatencyTable, max_batch: int, items: list[int], candidates: int
) -> None:
    """Any size up to the cap, or one oversized request, in units of the mean request."""
    units = np.minimum(items, candidates)
    largest = max(max_batch, int(units.max()))
    expected = max(b / mean_latency_s(table, b) for b in range(1, largest + 1)) / units.mean()
    load = Load(np.array(items, np.int32), np.zeros(len(items), np.int32))
    rule = BatchRule(0, True, max_batch, 0.0, 0)
    found = best_throughput_rps(stage_of(candidates), rule, table, load, FAST_CARD)
    assert found == pytest.approx(expected, rel=1e-9)


def test_a_slow_card_is_the_limit() -> None:
    load = Load(np.array([0, 10, 99], np.int32), np.array([500, 500, 500], np.int32))
    stage = StagePlan(0, 50, 10.0, "round_robin")
    payload = 500 + 10.0 * (50 + 10 + 50) / 3
    found = best_throughput_rps(stage, BatchRule(0, False, 8, 0.0, 0), table_of({1: 1e-4}), load, 1e6)
    assert found == pytest.approx(1e6 / payload)


# --- splits, look-ups, shared GPUs ----------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 60), min_size=1, max_size=8), st.integers(1, 50), st.integers(1, 20))
def test_tasks_share_the_items_of_their_requests(items: list[int], candidates: int, split: int) -> None:
    """docs/request-path.md, step 3, request by request."""
    load = Load(np.array(items, np.int32), np.arange(len(items), dtype=np.int32), 1.5)
    stage = StagePlan(0, candidates, 10.0, "least_outstanding", split_items=split)
    expected = []
    for row, stated in enumerate(items):
        n = min(stated, candidates) if stated else candidates
        p = -(-n // split)
        expected += [(n // p + (j < n % p), row) for j in range(p)]
    tasks = load.tasks(stage)
    assert list(zip(tasks.items.tolist(), tasks.bytes_in.tolist())) == expected
    assert tasks.gap_cv == 1.5
    assert max(tasks.items) <= split
    assert load.tasks_per_request(stage) == pytest.approx(len(expected) / len(items))


def test_split_requests_are_counted_whole() -> None:
    """Four tasks of 16 items make a request: a fourth of the rate of tasks, at a quantile that all four meet."""
    table = table_of({1: 0.001, 16: SERVICE_S})
    load = Load(np.full(8, 64, np.int32), np.zeros(8, np.int32))
    rule = BatchRule(0, True, 16, 0.0, 0)
    split = StagePlan(0, 64, 0.0, "least_outstanding", split_items=16, retries=3, hedge_after_s=1.0, expire_s=1e-3)
    best_rps = best_throughput_rps(split, rule, table, load, FAST_CARD)
    assert best_rps == pytest.approx(1 / SERVICE_S / 4)
    found_rps = slo_throughput_rps(
        split, rule, table, load, nic_bytes_per_s=FAST_CARD, hop_delay_s=0.0, budget_s=4 * SERVICE_S,
        budget_quantile=0.96, best_rps=best_rps,
    )  # fmt: skip
    alone_rps = feasible_rps(table_of({1: SERVICE_S}), ALONE, 4 * SERVICE_S, 0.96**0.25)
    assert found_rps == pytest.approx(alone_rps / 4, rel=1e-6)


def test_each_task_carries_the_whole_request_over_the_card() -> None:
    load = Load(np.full(4, 40, np.int32), np.full(4, 500, np.int32))
    stage = StagePlan(0, 40, 10.0, "least_outstanding", split_items=10)
    found = best_throughput_rps(stage, BatchRule(0, True, 10, 0.0, 0), table_of({1: 1e-6}), load, 1e6)
    assert found == pytest.approx(1e6 / (4 * 500 + 40 * 10.0))


def test_look_ups_in_tiers_take_their_time() -> None:
    """The slower of two tiers that are read at once, and what comes over the card."""
    tiers = (TierPlan("dram", 1e6, 0.0), TierPlan("ssd", 1e5, 0.001))
    table, rule = table_of({1: 0.004, 8: 0.004}), BatchRule(0, False, 8, 0.0, 0)

    def best_rps(plan: LookupPlan, nic_bytes_per_s: float = FAST_CARD) -> float:
        return best_throughput_rps(stage_of(), rule, table, ONE, nic_bytes_per_s, Lookups(tiers, plan))

    assert best_rps(LookupPlan((0.0, 0.0))) == pytest.approx(8 / 0.004)
    assert best_rps(LookupPlan((1000.0, 0.0))) == pytest.approx(8 / (0.004 + 8 * 0.001))
    assert best_rps(LookupPlan((1000.0, 100.0))) == pytest.approx(8 / (0.004 + 8 * 0.001 + 0.001))
    assert best_rps(LookupPlan((0.0, 0.0), decode_s_per_unit=0.001)) == pytest.approx(8 / (0.004 + 8 * 0.001))
    # 1000 bytes of a request and 1000 of rows: the card is the limit.
    assert best_rps(LookupPlan((0.0, 0.0), 1000.0), nic_bytes_per_s=1e6) == pytest.approx(1e6 / 2000)


def test_a_crowded_gpu_slows_a_replica_as_the_page_says() -> None:
    """docs/request-path.md, step 8: linear in the batch and in the count, constant and in proportion beyond."""
    measured = Interference((2, 4), np.array([1.0, 9.0]), np.array([[1.5, 2.5], [3.0, 5.0]]))
    table = LatencyTable(np.array([1, 5, 20]), np.zeros(1), np.ones((3, 1)), np.zeros(3), interference=measured)
    assert crowded(table, 1) is table
    assert crowded(table, 2).latency_s[:, 0].tolist() == pytest.approx([1.5, 2.0, 2.5])
    assert crowded(table, 3).latency_s[:, 0].tolist() == pytest.approx([2.25, 3.0, 3.75])
    assert crowded(table, 4).latency_s[:, 0].tolist() == pytest.approx([3.0, 4.0, 5.0])
    assert crowded(table, 6).latency_s[:, 0].tolist() == pytest.approx([4.5, 6.0, 7.5])
    assert crowded(table, 4).interference is None


def test_a_trace_without_requests_has_facts(tmp_path: Path) -> None:
    """Throughputs of single requests, which nobody asks for."""
    crowd = "flash_crowds: [{at_s: 100, rise_s: 10, hold_s: 40, fall_s: 10, factor: 4.0}]"
    empty = {f"rate_rps: 4.0, {crowd}": "rate_rps: 1.0e-12", "rate_rps: 3.0, cv: 2.0": "rate_rps: 1.0e-12"}
    facts = fleet_facts(load_mini(tmp_path, empty))
    assert (facts.throughput_rps >= 0.0).all()
    assert facts.throughput_rps.max() > 0.0
