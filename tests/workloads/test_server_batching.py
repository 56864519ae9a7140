"""The server's loop on a virtual clock: equal to the request path's oracle, request by request; and its log."""

from __future__ import annotations

import multiprocessing
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracle import router as oracle_router
from tests.oracle.by_hand import ONE_SECOND, on, one_stage, two_stages
from tests.oracle.model import OracleArrival, OracleStage
from tests.oracle.simpy_oracle import simulate
from tests.workloads.virtual_server import VirtualClock, VirtualRunner, serve_virtually
from workloads.server.arrivals import BURST_CV, arrivals
from workloads.server.batching import Batches, BatchRule, expected_start_s, serve
from workloads.server.log import RunLog, StageLog
from workloads.server.routing import choose_least_outstanding, choose_round_robin, route
from workloads.server.sources import ClockSource, Queue, QueueSource

SIZES, MEAN_S = (1, 8, 64), (0.4, 1.0, 3.1)


def variant(rule: BatchRule, unit_items: bool = False) -> Any:
    quantiles = tuple((mean, mean) for mean in MEAN_S)
    return replace(
        ONE_SECOND, unit_items=unit_items, max_batch=rule.max_batch, max_wait_s=rule.max_wait_s, batch_sizes=SIZES,
        latency_s=quantiles, mean_s=MEAN_S,
    )  # fmt: skip


def by_oracle(world: Any, arrival_s: np.ndarray, items: np.ndarray | int, replicas: int = 1) -> list[Any]:
    counts = np.broadcast_to(items, len(arrival_s))
    rows = [OracleArrival(float(a), 0, int(n), 0.0) for a, n in zip(arrival_s, counts)]
    variants = len(world.variants)
    controls = [on(slot, v) for v in range(variants) for slot in range(v * replicas, (v + 1) * replicas)]
    return simulate(world, rows, controls).outcomes


def by_request(batches: Batches) -> np.ndarray:
    """``[start, done, units][request]``."""
    columns = (batches.start_s, batches.done_s, batches.units)
    return np.array([np.repeat(column, batches.requests) for column in columns])


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    max_batch=st.integers(1, 12),
    max_wait_s=st.sampled_from([0.0, 0.3, 2.0]),
    gap_s=st.sampled_from([0.05, 0.3, 1.5]),
    mixed=st.booleans(),
)
def test_the_loop_is_the_oracle_on_every_request(
    seed: int, max_batch: int, max_wait_s: float, gap_s: float, mixed: bool
) -> None:
    generator = np.random.default_rng(seed)
    arrival_s = np.cumsum(generator.exponential(gap_s, 80))
    units = generator.integers(1, 6, 80) if mixed else 1
    rule = BatchRule(max_batch, max_wait_s)
    batches = serve_virtually(arrival_s, units, rule, SIZES, MEAN_S)
    outcomes = by_oracle(one_stage(variant(rule, unit_items=mixed)), arrival_s, units)
    start_s, done_s, size = by_request(batches)
    np.testing.assert_allclose(start_s, [o.stage_start_s[0] for o in outcomes], rtol=0, atol=1e-9)
    np.testing.assert_allclose(done_s, [o.done_s for o in outcomes], rtol=0, atol=1e-9)
    assert size.tolist() == [o.stage_batch_units[0] for o in outcomes]
    total = np.cumsum(np.broadcast_to(units, 80))
    np.testing.assert_allclose(batches.start_s, expected_start_s(arrival_s, total, batches, rule), atol=1e-9)


def test_taking_turns_is_the_oracles_round_robin() -> None:
    generator = np.random.default_rng(3)
    arrival_s, rule = np.cumsum(generator.exponential(0.2, 120)), BatchRule(6, 0.4)
    outcomes = by_oracle(one_stage(variant(rule), router="round_robin"), arrival_s, 1, replicas=3)
    for place in range(3):
        start_s, done_s, _ = by_request(serve_virtually(arrival_s[place::3], 1, rule, SIZES, MEAN_S))
        np.testing.assert_allclose(start_s, [o.stage_start_s[0] for o in outcomes[place::3]], atol=1e-9)
        np.testing.assert_allclose(done_s, [o.done_s for o in outcomes[place::3]], atol=1e-9)


def test_a_funnels_second_stage_starts_where_the_first_ends() -> None:
    generator = np.random.default_rng(4)
    arrival_s = np.cumsum(generator.exponential(0.5, 100))
    rules = (BatchRule(5, 0.2), BatchRule(3, 0.7))
    outcomes = by_oracle(two_stages(variant(rules[0]), variant(rules[1])), arrival_s, 1)
    _, middle_s, _ = by_request(serve_virtually(arrival_s, 1, rules[0], SIZES, MEAN_S))
    start_s, done_s, _ = by_request(serve_virtually(middle_s, 1, rules[1], SIZES, MEAN_S))
    np.testing.assert_allclose(start_s, [o.stage_start_s[1] for o in outcomes], atol=1e-9)
    np.testing.assert_allclose(done_s, [o.done_s for o in outcomes], atol=1e-9)


class FakeLine:
    def __init__(self, outstanding: int = 0) -> None:
        self.taken: list[tuple[int, float]] = []
        self._outstanding = outstanding

    def push(self, request: int, ready_s: float) -> None:
        self.taken.append((request, ready_s))

    def outstanding(self) -> int:
        return self._outstanding + len(self.taken)


@given(outstanding=st.lists(st.integers(0, 4), min_size=1, max_size=6), routed=st.integers(0, 20))
def test_routers_choose_as_the_oracles(outstanding: list[int], routed: int) -> None:
    lines = [FakeLine(count) for count in outstanding]
    members: Any = [SimpleNamespace(outstanding=count, place=place) for place, count in enumerate(outstanding)]
    pool: Any = SimpleNamespace(routed=routed)
    stage: Any = OracleStage(0, 0, 1, 0.0, "round_robin")
    least = oracle_router.least_outstanding(pool, members, stage)
    turn = oracle_router.round_robin(pool, members, stage)
    assert choose_least_outstanding(routed, lines) == least.place  # type: ignore[attr-defined]
    assert choose_round_robin(routed, lines) == turn.place  # type: ignore[attr-defined]


def test_the_router_hands_over_when_due_and_stops_at_the_limit() -> None:
    lines = [FakeLine(), FakeLine()]
    due_s = np.array([0.5, 0.5, 2.0, 9.0])
    assert route(due_s, lines, "least_outstanding", VirtualClock(), limit_s=5.0) == [0, 1, 0]
    assert lines[0].taken == [(0, 0.5), (2, 2.0)]


def test_what_is_handed_over_after_the_clock_was_read_has_not_come_yet() -> None:
    queue = Queue(multiprocessing.get_context("spawn"), 3)
    source = QueueSource(queue, 1)
    queue.push(0, 1.0)
    queue.push(1, 2.5)
    assert source.look(2.0) == 1
    queue.close()
    assert not source.is_over(1)
    assert source.look(2.5) == 2
    assert source.is_over(2)


def test_the_limit_ends_a_server_that_is_a_thousand_times_too_slow() -> None:
    arrival_s = np.cumsum(np.full(500, 1e-3))
    limit_s = 2.0 * arrival_s[-1] + 1.0
    clock = VirtualClock()
    source = ClockSource(arrival_s, 1, np.arange(500))
    batches = serve(source, BatchRule(1, 0.0), VirtualRunner(clock, SIZES, (1.0, 1.0, 1.0)), clock, limit_s)
    assert batches.requests.sum() == 2  # those that began by then
    assert clock.now() < limit_s + 1.0
    stage = StageLog((batches,), np.zeros(500, np.uint8))
    assert RunLog(arrival_s, (1,), (stage,)).answered().requests().arrival_s.tolist() == arrival_s[:2].tolist()


@pytest.fixture(scope="module")
def log() -> RunLog:
    arrival_s = arrivals("gamma", 5.0, 500, 1)
    replica = (np.arange(500) % 2).astype(np.uint8)
    rule = BatchRule(6, 0.25)
    first = tuple(serve_virtually(arrival_s[replica == r], 2, rule, SIZES, MEAN_S) for r in (0, 1))
    return RunLog(arrival_s, (2,), (StageLog(first, replica),))


def test_a_log_survives_packing(log: RunLog) -> None:
    packed = log.arrays()
    assert max(array.dtype.itemsize for array in packed.values()) <= 4
    again = RunLog.from_arrays(packed, log.request_units)
    for name in ("arrival_s", "start_s", "done_s", "batch"):
        before, after = getattr(log.requests(), name), getattr(again.requests(), name)
        np.testing.assert_allclose(after, before, rtol=0, atol=0.51e-7)
    assert np.abs(again.lateness_s((BatchRule(6, 0.25),))).max() < 2e-7


@given(first=st.integers(0, 60), second=st.integers(0, 60))
def test_a_log_ends_where_an_answer_is_missing(log: RunLog, first: int, second: int) -> None:
    """Some last batches of each replica are lost."""
    stage = log.stages[0]
    kept = [
        Batches(*(values[: len(values) - lost] for values in vars(batches).values()))
        for batches, lost in zip(stage.replicas, (first, second))
    ]
    answered = RunLog(log.arrival_s, (2,), (replace(stage, replicas=tuple(kept)),)).answered()
    count = len(answered.arrival_s)
    missing = [r + 2 * int(batches.requests.sum()) for r, batches in enumerate(kept)]  # replicas took turns
    assert count == min(500, *missing)
    assert answered.requests().start_s.tolist() == log.requests().start_s[:count].tolist()
    assert answered.requests().done_s.tolist() == log.requests().done_s[:count].tolist()
    assert (answered.requests().batch <= log.requests().batch[:count]).all()
    again = RunLog.from_arrays(answered.arrays(), (2,))
    assert again.requests().batch.tolist() == answered.requests().batch.tolist()


def test_a_log_keeps_every_request_in_order_and_within_the_rule(log: RunLog) -> None:
    rows = RunLog.from_arrays(log.arrays(), log.request_units).requests()
    assert np.isfinite(rows.done_s).all()
    assert (rows.arrival_s <= rows.start_s).all()
    assert (rows.start_s < rows.done_s).all()
    assert (rows.batch <= 6).all()
    for batches in log.stages[0].replicas:
        assert batches.requests.sum() == 250
        assert (batches.start_s[1:] >= batches.done_s[:-1]).all()


def test_arrivals_have_the_moments_asked_for() -> None:
    for kind, cv in (("poisson", 1.0), ("gamma", BURST_CV)):
        gap_s = np.diff(arrivals(kind, 200.0, 100_000, 5))
        assert gap_s.mean() == pytest.approx(1 / 200.0, rel=0.03)
        assert gap_s.std() / gap_s.mean() == pytest.approx(cv, rel=0.03)
    assert (arrivals("poisson", 9.0, 50, 1) == arrivals("poisson", 9.0, 50, 1)).all()
    assert (arrivals("poisson", 9.0, 50, 1) != arrivals("poisson", 9.0, 50, 2)).any()
