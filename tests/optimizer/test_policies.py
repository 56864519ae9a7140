"""Every built-in policy: whole numbers of the right shape, sane answers to odd observations, the same twice."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.policies.document_horizon import DemandPath
from optimizer.registry import available_policies, make_policy, validate_spec
from simulator.policy import Allocation, FleetFacts
from tests.optimizer.factory import context, facts, observation, run
from workloads.errors import InputError

NAMES = [name for name in available_policies() if name != "fixed"]  # it must be told its replicas
AUTOSCALERS = ("hpa", "kpa", "ray_serve", "keda")
"""They know no throughput, and keep a replica of each stage."""
AHEAD = {"name": "document_lp", "horizon_s": 600.0, "ramp_down": 60.0, "ramp_up": 200.0, "forecast": "holt_winters"}
DAY = 600.0 + 500.0 * np.sin(np.linspace(0.0, 2.0 * np.pi, 24))[None, :] * np.array([[1.0], [0.7]])


def check(answer: Allocation, fleet: FleetFacts) -> np.ndarray:
    replicas = np.asarray(answer.replicas)
    assert replicas.shape == fleet.throughput_rps.shape
    assert replicas.dtype.kind == "i"
    assert (replicas >= 0).all()
    assert (replicas[~fleet.runs_on()] == 0).all()
    assert answer.status in ("rule", "optimal", "feasible", "fallback", "hold")
    return replicas


def served(fleet: FleetFacts, replicas: np.ndarray) -> np.ndarray:
    rate = (fleet.throughput_rps * replicas).sum(axis=1)
    return np.bincount(fleet.variant_stage, rate, len(fleet.stages))


def test_the_seven_policies_are_there() -> None:
    first = ["static_peak", "hpa", "document_greedy", "document_lp", "marginal_greedy", "mip", "clairvoyant_mip"]
    assert NAMES[:7] == first
    assert "clairvoyant" in available_policies()["clairvoyant_mip"]


@pytest.mark.parametrize("name", NAMES)
def test_a_day(name: str) -> None:
    fleet = facts()
    policy = make_policy(name, context(fleet, DAY))
    answers = run(policy, fleet, DAY)
    for slot, answer in enumerate(answers):
        replicas = check(answer, fleet)
        seen = fleet.stage_demand(DAY[:, max(0, slot - 1)])
        per_stage = np.bincount(fleet.variant_stage, replicas.sum(axis=1), len(fleet.stages))
        assert (per_stage >= 1).all()
        if name not in (*AUTOSCALERS, "clairvoyant_mip", "clairvoyant_horizon"):
            assert (served(fleet, replicas) >= seen * (1.0 - 1e-4)).all(), (name, slot)
    again = run(make_policy(name, context(fleet, DAY)), fleet, DAY)
    assert all((a.replicas == b.replicas).all() and a.note == b.note for a, b in zip(answers, again))


@pytest.mark.parametrize("name", [*NAMES, AHEAD], ids=str)
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), level=st.sampled_from([0.0, 0.3, 50.0, 2000.0, 1e6]))
def test_odd_observations(name: str | dict[str, object], seed: int, level: float) -> None:
    """Any mixture of queues, unplaced and draining replicas, NaN and demand from none to far beyond the cluster."""
    rng = np.random.default_rng(seed)
    fleet = facts(node_count=rng.integers(0, 8, 2))
    rates = rng.uniform(0.0, 1.0, (2, 6)) * level
    policy = make_policy(name, context(fleet, rates))
    shape = fleet.throughput_rps.shape
    for slot in range(6):
        ready = rng.integers(0, 3, shape) * fleet.runs_on()
        busy = np.where((ready > 0) & (rng.random(shape) < 0.8), rng.uniform(0.0, 1.0, shape), np.nan)
        seen = observation(
            fleet,
            slot,
            rates,
            ready=ready,
            starting=rng.integers(0, 2, shape) * fleet.runs_on(),
            draining=rng.integers(0, 2, shape) * fleet.runs_on(),
            unplaced=rng.integers(0, 2, shape) * fleet.runs_on() * int(rng.integers(0, 2)),
            busy_fraction=busy,
            queue_requests=rng.integers(0, 100, 3),
        )
        check(policy.decide(seen), fleet)


@pytest.mark.parametrize("name", NAMES)
def test_no_demand_costs_little(name: str) -> None:
    fleet = facts()
    rates = np.zeros((2, 12))
    answers = run(make_policy(name, context(fleet, rates)), fleet, rates)
    most = len(fleet.stages) if name in AUTOSCALERS else 0
    assert answers[-1].replicas.sum() == most


@pytest.mark.parametrize("name", NAMES)
def test_a_stage_that_runs_nowhere_gets_nothing(name: str) -> None:
    base = facts()
    nowhere = np.where(np.arange(4)[:, None] == 1, 0.0, base.throughput_rps)
    fleet = facts(throughput_rps=nowhere)
    answers = run(make_policy(name, context(fleet, DAY)), fleet, DAY, slots=4)
    for answer in answers:
        assert check(answer, fleet)[1].sum() == 0
        assert answer.replicas.sum() > 0


def test_static_peak_never_changes_and_covers_the_peak() -> None:
    fleet = facts()
    answers = run(make_policy("static-peak", context(fleet, DAY)), fleet, DAY)
    assert len({a.replicas.tobytes() for a in answers}) == 1
    peak = fleet.stage_demand(DAY.max(axis=1)) * 1.2
    assert (served(fleet, answers[0].replicas) >= peak * (1.0 - 1e-9)).all()


def test_static_peak_shares_a_shortage() -> None:
    fleet = facts(node_count=np.array([2, 0]))
    rates = np.array([[3000.0], [3000.0]])
    answer = make_policy("static_peak", context(fleet, rates)).decide(observation(fleet, 0, rates))
    assert answer.note == "the cluster cannot hold the peak"
    assert (served(fleet, answer.replicas) > 0.0).all()


def test_document_lp_never_shrinks_and_solves_seldom() -> None:
    fleet = facts()
    policy = make_policy("document_lp", context(fleet, DAY))
    totals = np.array([a.replicas.sum(axis=1) for a in run(policy, fleet, DAY)])
    stage = np.stack([totals[:, fleet.variant_stage == s].sum(axis=1) for s in range(3)], axis=1)
    assert (np.diff(stage, axis=0) >= 0).all()
    assert 1 < policy.solves <= 12  # type: ignore[attr-defined]


def test_document_lp_with_ramp_down_follows_the_closed_form() -> None:
    fleet = facts()
    spec = {"name": "document_lp", "ramp_down": 30.0}
    last = run(make_policy(spec, context(fleet, DAY)), fleet, DAY)[-1]
    level = np.zeros(3)
    for slot in range(24):
        need = fleet.stage_demand(DAY[:, max(0, slot - 1)]) / fleet.throughput_rps[[0, 1, 2], 0]
        level = np.maximum(need, level - 30.0 / 60.0)
    stage = np.bincount(fleet.variant_stage, last.replicas.sum(axis=1), 3)
    assert stage.tolist() == np.ceil(level - 1e-4).tolist()


def test_document_lp_with_a_horizon_rises_ahead_of_what_it_forecasts(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the truth for a forecast it is the problem of the whole day: each slot is covered a start-up (two slots)
    before it and until it is over, and slower than the ramps nothing moves. What came tells nobody to be early."""
    fleet, delay, down, up = facts(), 2, 30.0 / 60.0, 15.0 / 60.0
    demand = fleet.stage_demand(DAY)
    ends = np.concatenate([demand, np.repeat(demand[:, -1:], 40, axis=1)], axis=1)
    monkeypatch.setattr(
        DemandPath,
        "of",
        lambda options, interval_s, slots, lead: lambda seen: ends[:, seen.shape[1] : seen.shape[1] + slots],
    )
    spec = {"name": "document_lp", "ramp_down": 30.0, "ramp_up": 15.0, "horizon_s": 1800.0}
    policy = make_policy(spec, context(fleet, DAY))
    answers = run(policy, fleet, DAY)
    need = ends[:, 1:] / fleet.throughput_rps[[0, 1, 2], 0][:, None]
    most = np.stack([need[:, t : t + delay + 1].max(axis=1) for t in range(60)], axis=1)
    for slot in range(1, 24):
        t = slot - 1
        level = np.max([most[:, s] - (down * (t - s) if s <= t else up * (s - t)) for s in range(60)], axis=0)
        stage = np.bincount(fleet.variant_stage, answers[slot].replicas.sum(axis=1), 3)
        assert stage.tolist() == np.ceil(level - 1e-4).tolist()
        np.testing.assert_allclose(answers[slot].expected_rps, ends[:, slot : slot + delay + 1].max(axis=1))
    assert policy.solves < 24  # type: ignore[attr-defined]

    def unserved(fleets: list[Allocation]) -> float:
        """Demand that those replicas do not serve which were asked for a start-up ago and are there still."""
        rates = np.array([served(fleet, a.replicas) for a in fleets])
        ready = [rates[t - delay : t + 1].min(axis=0) for t in range(1 + delay, 24)]
        return float(np.maximum(demand.T[1 + delay :] - ready, 0.0).sum())

    assert unserved(answers) == 0.0
    assert unserved(run(make_policy("document_lp", context(fleet, DAY)), fleet, DAY)) > 0.0


@pytest.mark.parametrize(
    ("option", "value"),
    [("ramp_up", 5.0), ("forecast", "holt_winters"), ("forecast_level", 0.9), ("forecast_period_s", 3600.0)],
)
def test_document_lp_without_a_horizon_refuses_what_only_that_uses(option: str, value: object) -> None:
    with pytest.raises(InputError, match=f"document_lp option {option}: it is for plans that look ahead"):
        validate_spec({"name": "document_lp", option: value})
    validate_spec({"name": "document_lp", option: value, "horizon_s": 600.0})


def test_document_lp_cannot_be_told_the_truth() -> None:
    with pytest.raises(InputError, match="no method 'oracle' for policies"):
        validate_spec({"name": "document_lp", "horizon_s": 600.0, "forecast": "oracle"})


def test_document_greedy_gives_the_smaller_of_demand_and_what_is_left() -> None:
    """One GPU node of four GPUs: retrieve takes two halves, rank three, and video finds nothing left."""
    fleet = facts(node_count=np.array([1, 0]))
    rates = np.array([[800.0], [500.0]])
    answer = make_policy("document_greedy", context(fleet, rates)).decide(observation(fleet, 1, rates))
    assert answer.replicas[:, 0].tolist() == [2, 3, 0, 0]


def test_mip_solves_only_when_demand_leaves_the_plan() -> None:
    fleet = facts()
    flat = np.full((2, 30), 400.0)
    policy = make_policy("mip", context(fleet, flat))
    run(policy, fleet, flat)
    assert policy.solves == 1  # type: ignore[attr-defined]


def test_mip_follows_a_fall_after_the_window_only() -> None:
    fleet = facts()
    rates = np.concatenate([np.full((2, 6), 900.0), np.full((2, 12), 100.0)], axis=1)
    nodes = [a.replicas.sum() for a in run(make_policy("mip", context(fleet, rates)), fleet, rates)]
    assert nodes[6] == nodes[10] > nodes[-1]


def test_mip_looks_elsewhere_when_replicas_find_no_room_and_comes_back() -> None:
    fleet = facts()
    rates = np.full((2, 5), 500.0)
    policy = make_policy("mip", context(fleet, rates))
    first = policy.decide(observation(fleet, 0, rates)).replicas
    pair = tuple(np.argwhere(first > 0)[0])
    ready, unplaced = first.copy(), np.zeros_like(first)
    ready[pair], unplaced[pair] = ready[pair] - 1, 1
    second = policy.decide(observation(fleet, 1, rates, ready=ready, unplaced=unplaced))
    assert second.replicas[pair] <= ready[pair]
    assert "no room" in second.note
    assert (served(fleet, second.replicas) >= 600.0 - 1e-6).all()


def test_clairvoyant_prepares_for_a_jump_before_it_comes() -> None:
    """Start-up takes 100 s, two intervals: the jump in slot 8 must be provided for from slot 6 on, not before."""
    fleet = facts()
    rates = np.concatenate([np.full((2, 8), 100.0), np.full((2, 4), 1500.0)], axis=1)
    totals = [a.replicas.sum() for a in run(make_policy("clairvoyant_mip", context(fleet, rates)), fleet, rates)]
    assert totals[5] < totals[6] == totals[8]


def test_hpa_grows_under_load_and_shrinks_later() -> None:
    fleet = facts()
    rates = np.concatenate([np.full((2, 3), 300.0), np.full((2, 10), 1500.0), np.full((2, 15), 100.0)], axis=1)
    totals = [a.replicas.sum() for a in run(make_policy("hpa", context(fleet, rates)), fleet, rates)]
    assert totals[12] > totals[2]
    assert totals[-1] < totals[12]
