"""The horizon's problem: its grid, its optimum by brute force, what delays mean, and the fallback."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.fleet.problem import FleetProblem
from optimizer.handover import hold_until_ready, is_affordable
from optimizer.horizon import plan
from optimizer.horizon.grid import HorizonGrid
from optimizer.horizon.model import HorizonLimits, HorizonModel
from optimizer.horizon.plan import plan_horizon
from optimizer.horizon.problem import HorizonProblem, delay_slots
from optimizer.policies.rolling_horizon import RollingHorizon, RollingHorizonOptions
from tests.optimizer.factory import context, facts, observation

EXACT = HorizonLimits(gap=0.0, nodes=100_000, whole_blocks=99, whole_replicas=99)


@given(st.lists(st.integers(0, 40), max_size=3), st.integers(1, 400))
def test_a_grid_tells_what_must_be_started_now(delays: list[int], slots: int) -> None:
    grid = HorizonGrid.of(delays, slots)
    assert grid.starts[0] == 0
    assert grid.lengths.sum() == grid.slots >= slots
    assert (grid.lengths > 0).all()
    assert len(grid.starts) <= 2 * len(delays) + 2 + 10
    for delay in delays:
        block = int(np.flatnonzero(grid.starts == delay)[0])
        last = grid.last_start_for(delay)
        # The slot that a start of now is the last chance for is a block of its own; the next one can wait.
        assert last[block] == 0
        assert grid.lengths[block] == 1
        assert (last[block + 1 :] >= min(1, len(grid.starts) - 1)).all()
        assert (last[:block] == -1).all()
    rows = np.random.default_rng(0).random((2, grid.slots))
    ends = grid.starts + grid.lengths
    assert (grid.peaks(rows) == np.stack([rows[:, a:b].max(axis=1) for a, b in zip(grid.starts, ends)], axis=1)).all()


def problem(rng: np.random.Generator) -> HorizonProblem:
    """One service of one stage on one or two node types, three slots; whole or half nodes a replica."""
    types, blocks = int(rng.integers(1, 3)), 3
    share = rng.choice([0.5, 1.0], (1, types, 1))
    throughput = rng.integers(4, 12, (1, types)).astype(float)
    ready = rng.integers(0, 3, (1, types))
    now = FleetProblem(
        demand_rps=np.array([10.0]),
        stage_service=np.array([0]),
        variant_stage=np.array([0]),
        throughput_rps=throughput,
        need=share,
        capacity=np.ones((types, 1)),
        node_count=rng.integers(1, 4, types),
        price_usd_per_hour=rng.integers(1, 8, types).astype(float),
        replicas_now=ready + rng.integers(0, 2, (1, types)),
        churn_usd_per_hour=np.zeros((1, types)),
        unserved_usd_per_request=float(rng.choice([1e-4, 1e-3])),
        replica_limit=np.full((1, types), 2),
    )
    delay = rng.integers(0, 3, (1, types))
    return HorizonProblem(
        now=now,
        grid=HorizonGrid(np.arange(blocks), blocks),
        required_rps=rng.integers(0, 25, (1, blocks)).astype(float),
        throughput_rps=np.repeat(throughput[..., None], blocks, axis=2),
        delay=delay,
        ready=ready,
        start_usd=rng.choice([0.0, 0.2, 1.0], (1, types)),
        slot_hours=float(rng.choice([0.1, 1.0])),
    )


def least_usd(given: HorizonProblem) -> float:
    """By trying every course of whole replicas."""
    now, blocks = given.now, len(given.grid.starts)
    types = now.throughput_rps.shape[1]
    rate = now.throughput_rps[0]
    assert now.replica_limit is not None
    enough = np.ceil(given.required_rps.max() / rate).astype(int)
    most = np.maximum(np.minimum(now.replica_limit[0], enough), now.replicas_now[0])
    states = list(itertools.product(*[range(m + 1) for m in most]))
    nodes = {s: np.ceil(np.array(s) * now.share[0, :, 0] - 1e-9) for s in states}
    states = [s for s in states if (nodes[s] <= now.node_count).all()]
    best = np.inf
    for course in itertools.product(states, repeat=blocks):
        cost, before = 0.0, now.replicas_now[0]
        for b, x in enumerate(course):
            cost += given.hours[b] * float(nodes[x] @ now.price_usd_per_hour)
            cost += float(np.maximum(np.array(x) - before, 0) @ given.start_usd[0])
            before = np.array(x)
            serving = np.zeros(types)
            for n in range(types):
                since = b - int(given.delay[0, n])
                seen = [course[c][n] for c in range(max(since, 0), b + 1)]
                if since < 0:
                    seen.append(given.at_hand((0, n), b))
                serving[n] = min(seen)
            required = float(given.required_rps[0, b])
            left = max(0.0, required - float(serving @ rate))
            cost += given.hours[b] * 3600.0 * now.unserved_usd_per_request * left
            cost += given.hours[b] * now.absent_usd_per_hour * (required > 0 and serving.sum() == 0)
            if cost >= best:
                break
        best = min(best, cost)
    return best


@pytest.mark.parametrize("seed", range(30))
def test_the_optimum_is_that_of_brute_force(seed: int) -> None:
    given = problem(np.random.default_rng(seed))
    answer = HorizonModel(given, EXACT).solve()
    least = least_usd(given)
    assert answer.usd == pytest.approx(least, abs=1e-5)
    assert answer.bound_usd <= least + 1e-5
    relaxed = HorizonModel(given, HorizonLimits(gap=0.0, nodes=100_000)).solve()
    assert relaxed.usd <= least + 1e-5


def steady(required: list[float], *, delay: int, ready: int, start_usd: float = 0.0) -> HorizonProblem:
    """A replica a node, 10 requests/s each, 1 USD an hour; slots of an hour."""
    count = np.array([[ready]])
    now = FleetProblem(
        np.array([10.0]), np.array([0]), np.array([0]), np.array([[10.0]]), np.ones((1, 1, 1)), np.ones((1, 1)),
        np.array([9]), np.array([1.0]), count, np.zeros((1, 1)), 0.01,
    )  # fmt: skip
    blocks = len(required)
    return HorizonProblem(
        now, HorizonGrid(np.arange(blocks), blocks), np.array([required]), np.full((1, 1, blocks), 10.0),
        np.array([[delay]]), count, np.array([[start_usd]]), 1.0,
    )  # fmt: skip


def decided(given: HorizonProblem) -> int:
    return int(plan_horizon(given).replicas[0, 0])


def test_starts_are_asked_for_in_time_and_not_before() -> None:
    assert decided(steady([10, 10, 30, 30], delay=2, ready=1)) == 3
    assert decided(steady([10, 10, 10, 30], delay=2, ready=1)) == 1
    assert decided(steady([10, 10, 30, 30], delay=0, ready=1)) == 1


def test_a_dip_shorter_than_a_restart_is_worth_is_held_through() -> None:
    assert decided(steady([10, 10, 30, 30], delay=1, ready=3, start_usd=1.5)) == 3
    assert decided(steady([10, 10, 30, 30], delay=1, ready=3, start_usd=0.5)) == 1
    assert decided(steady([10, 10, 10, 10], delay=1, ready=3, start_usd=9.0)) == 1


def test_a_fraction_of_a_huge_replica_is_no_cover() -> None:
    """Relaxed blocks count no replica for more than the demand, or far slots would look free on large nodes."""
    given = steady([10.0] * 4, delay=1, ready=1)
    huge = replace(given, throughput_rps=given.throughput_rps * 1e4)
    assert HorizonModel(huge, HorizonLimits(whole_blocks=1)).solve().usd == pytest.approx(4.0)


def test_what_fails_falls_back_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: object) -> None:
        raise ValueError("no licence")

    monkeypatch.setattr(plan.HorizonModel, "solve", broken)
    found = plan_horizon(steady([10, 10, 30, 30], delay=2, ready=1))
    assert found.status == "fallback"
    assert "horizon failed: ValueError: no licence" in found.note
    assert found.replicas[0, 0] == 1


def test_what_the_horizon_does_not_know_is_planned_for_as_an_instant() -> None:
    given = steady([10, 10, 10, 10], delay=1, ready=1)
    spare = plan_horizon(replace(given, now=replace(given.now, reserve_rps=np.array([10.0]))))
    assert spare.replicas[0, 0] == 2
    assert "knows no reserve" in spare.note
    within = plan_horizon(replace(given, now=replace(given.now, demand_rps=np.array([50.0]), budget_usd_per_hour=2.0)))
    assert within.replicas[0, 0] == 2
    assert "knows no budget" in within.note


def test_delays_are_whole_slots() -> None:
    assert delay_slots(np.array([0.0, 60.0, 61.0, np.inf]), 60.0).tolist() == [1, 1, 2, 1]


def test_a_policy_keeps_reserve_and_budget_with_its_placement() -> None:
    """With a reserve each answer says how to spread replicas; with a budget none asks for more than that buys."""
    fleet = facts(headroom_after_loss=0.0)
    rates = np.tile(np.array([[500.0], [400.0]]), (1, 4))
    policy = RollingHorizon(context(fleet, rates), RollingHorizonOptions())
    first = policy.decide(observation(fleet, 1, rates))
    moved = policy.decide(observation(fleet, 2, rates, ready=first.replicas))
    kept = policy.decide(observation(fleet, 3, rates, ready=first.replicas))
    assert kept.note.startswith("demand is within the plan")
    for answer in (first, moved, kept):
        assert answer.most_per_node is not None
        lost = fleet.served_rps(np.minimum(answer.most_per_node, answer.replicas) * np.array([1, 0]))
        assert (fleet.served_rps(answer.replicas) - lost >= fleet.stage_demand(rates[:, 0])).all()

    poor = facts(budget_usd_per_hour=12.0)
    policy = RollingHorizon(context(poor, rates), RollingHorizonOptions())
    ready = np.array([[0, 1], [0, 0], [0, 12], [0, 0]])
    answer = policy.decide(observation(poor, 1, rates, ready=ready))
    assert is_affordable(poor, answer.replicas)
    assert not is_affordable(poor, hold_until_ready(poor, answer.replicas, np.full(3, 900.0), ready))
