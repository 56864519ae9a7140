"""Replicas that stand whatever a policy wants: it plans what comes on top, and they are always in the answer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from optimizer.bounds import standing_bound_usd
from optimizer.registry import make_policy
from optimizer.standing import AboveStanding, above_standing
from simulator.policy import Allocation, Observation
from tests.optimizer.factory import context, facts, observation

LEAST = np.array([[0, 0], [0, 0], [0, 4], [1, 0]])
RATES = np.array([[200.0, 250.0], [500.0, 600.0]])


class Keeping:
    """Asks for nothing, and keeps what it saw."""

    def decide(self, seen: Observation) -> Allocation:
        self.seen = seen
        return Allocation(np.zeros((4, 2), np.int64))


def test_a_policy_sees_the_fleet_without_them() -> None:
    fleet = facts(min_replicas=LEAST)
    inner = Keeping()
    ready, starting = np.array([[0, 1], [2, 0], [0, 3], [3, 0]]), np.array([[0, 0], [0, 0], [0, 2], [0, 0]])
    seen = observation(fleet, 1, RATES, ready=ready, starting=starting)
    answer = AboveStanding(inner, fleet).decide(seen)
    assert answer.replicas.tolist() == LEAST.tolist()
    assert inner.seen.ready.tolist() == [[0, 1], [2, 0], [0, 0], [2, 0]]
    assert inner.seen.starting.tolist() == [[0, 0], [0, 0], [0, 1], [0, 0]]
    served = 4 * 40.0 + 220.0
    assert inner.seen.stage_rps.tolist() == [200.0, 200.0, 500.0 - served]
    assert inner.seen.stage_history_rps.tolist() == [[200.0], [200.0], [500.0 - served]]
    assert inner.seen.facts.node_count.tolist() == [5, 18]  # half a GPU node, and two of the 16-core replicas a node
    assert inner.seen.facts.stage_demand(np.array([1.0, 400.0])).tolist() == [1.0, 1.0, 20.0]
    assert not inner.seen.facts.min_replicas.any()
    for name in ("ready", "stage_rps", "stage_history_rps", "usable_nodes"):
        assert not getattr(inner.seen, name).flags.writeable


PLANNERS = ["static_peak", "marginal_greedy", "mip", "clairvoyant_mip", "rolling_horizon", "clairvoyant_horizon"]


@pytest.mark.parametrize("name", PLANNERS)
@pytest.mark.parametrize("video_rps", [500.0, 370.0, 10.0])
def test_headroom_is_on_the_whole_demand(name: str, video_rps: float) -> None:
    steady = np.array([[200.0] * 3, [video_rps] * 3])
    spec = {"name": name, "options": {"pooling": False} if "horizon" in name else {}}
    fleet = facts(min_replicas=LEAST, headroom=0.3)  # 380 of the second service stand
    answer = make_policy(spec, context(fleet, steady)).decide(observation(fleet, 1, steady))
    assert (fleet.served_rps(answer.replicas) >= 1.3 * fleet.stage_demand(steady[:, 0]) - 1e-9).all()
    if video_rps < 100.0:
        assert fleet.served_rps(answer.replicas)[2] == 380.0, "they are enough"
    if name != "static_peak":
        assert answer.expected_rps is not None
        assert answer.expected_rps.tolist() == [200.0, 200.0, video_rps]


@pytest.mark.parametrize("name", ["marginal_greedy", "mip", "rolling_horizon"])
def test_a_reserve_counts_the_loss_of_a_node_of_theirs(name: str) -> None:
    steady = np.array([[0.0] * 3, [370.0] * 3])
    fleet = facts(min_replicas=LEAST, headroom=0.0, headroom_after_loss=0.0)
    assert above_standing(context(fleet, steady)).facts.standing_loss_rps.tolist() == [0.0, 0.0, 220.0]
    answer = make_policy(name, context(fleet, steady)).decide(observation(fleet, 1, steady))
    assert fleet.served_rps(answer.replicas)[2] >= 370.0 + 220.0


@pytest.mark.parametrize("name", PLANNERS[:5])
def test_room_on_the_last_node_of_a_type_is_used(name: str) -> None:
    least = np.array([[1, 0], [1, 0], [1, 0], [0, 0]])  # 2.5 of the only GPU node's 4 GPUs
    fleet = facts(min_replicas=least, node_count=np.array([1, 0]), headroom=0.0)
    steady = np.array([[500.0] * 3, [300.0] * 3])
    answer = make_policy(name, context(fleet, steady)).decide(observation(fleet, 1, steady, ready=least))
    assert answer.replicas.tolist() == [[2, 0], [2, 0], [1, 0], [0, 0]]
    full = facts(min_replicas=least * 2, node_count=np.array([1, 0]))
    assert above_standing(context(full, steady)).facts.node_count.tolist() == [0, 0]


@pytest.mark.parametrize("name", ["mip", "hpa"])
def test_bounds_are_of_all_replicas_of_a_stage(name: str) -> None:
    fleet = facts(min_replicas=LEAST)
    for most in (6, 2):
        spec = {"name": name, "wrap": [{"name": "bounds", "min_replicas": 2, "max_replicas": most}]}
        busy = np.where(LEAST > 0, 1.0, np.nan)
        seen = observation(fleet, 1, 4.0 * RATES, ready=LEAST, busy_fraction=busy)
        wanted = np.maximum(make_policy(spec, context(fleet, 4.0 * RATES)).decide(seen).replicas, LEAST)
        totals = fleet.by_stage(wanted.sum(axis=1)).tolist()
        assert min(totals) >= 2
        assert totals[2] == max(most, 5), "what stands stays"


def test_usable_nodes_are_those_beside_theirs() -> None:
    fleet = facts(min_replicas=LEAST)
    inner = Keeping()
    AboveStanding(inner, fleet).decide(observation(fleet, 1, RATES, usable_nodes=np.array([5, 19])))
    assert inner.seen.usable_nodes.tolist() == [4, 17]


class Expecting(Keeping):
    """Expects what it sees."""

    def decide(self, seen: Observation) -> Allocation:
        return replace(super().decide(seen), expected_rps=seen.stage_rps)


def test_what_a_wrapped_policy_expects_is_the_whole_demand() -> None:
    fleet = facts(min_replicas=LEAST)
    for video_rps in (500.0, 10.0):
        rates = np.array([[200.0], [video_rps]])
        answer = AboveStanding(Expecting(), fleet).decide(observation(fleet, 1, rates))
        assert answer.expected_rps is not None
        assert answer.expected_rps.tolist() == [200.0, 200.0, video_rps]


@pytest.mark.parametrize("name", ["static_peak", "marginal_greedy", "mip", "clairvoyant_mip"])
def test_plans_cover_demand_with_them(name: str) -> None:
    fleet = facts(min_replicas=LEAST)
    wanted = make_policy(name, context(fleet, RATES)).decide(observation(fleet, 1, RATES)).replicas
    alone = facts()
    without = make_policy(name, context(alone, RATES)).decide(observation(alone, 1, RATES)).replicas
    assert (wanted >= LEAST).all()
    served = fleet.served_rps(wanted)
    assert (served >= 1.2 * fleet.stage_demand(RATES[:, 0]) - 1e-9).all()
    # Less is planned on top than without them, not the same once more.
    assert served[2] < alone.served_rps(without)[2] + fleet.served_rps(LEAST)[2]


def test_nothing_is_wrapped_where_none_stand() -> None:
    fleet = facts()
    assert not isinstance(make_policy("mip", context(fleet, RATES)), AboveStanding)
    assert above_standing(context(fleet, RATES)).facts.node_count.tolist() == [6, 20]


def test_plans_before_the_run_leave_some_requests_to_the_cache() -> None:
    fleet = facts(planned_share=np.array([0.6, 1.0]))
    assert fleet.planned_demand(RATES).tolist() == [[120.0, 150.0], [120.0, 150.0], [500.0, 600.0]]
    full = make_policy("static_peak", context(facts(), RATES)).decide(observation(facts(), 0, RATES)).replicas
    fewer = make_policy("static_peak", context(fleet, RATES)).decide(observation(fleet, 0, RATES)).replicas
    assert fleet.served_rps(fewer)[0] < fleet.served_rps(full)[0]


def test_a_yardstick_stays_one_inside() -> None:
    fleet = facts(min_replicas=LEAST)
    inner = Keeping()
    assert not AboveStanding(inner, fleet).clairvoyant
    inner.clairvoyant = True  # type: ignore[attr-defined]
    assert AboveStanding(inner, fleet).clairvoyant
    wrapped = make_policy({"name": "clairvoyant_mip", "wrap": ["bounds"]}, context(fleet, RATES))
    assert getattr(wrapped, "clairvoyant", False)


def test_nodes_that_standing_replicas_fill_are_paid_for() -> None:
    fleet = facts(min_replicas=LEAST)
    price = fleet.price_usd_per_hour
    nodes = np.zeros(2)
    for n in range(2):
        claims = [(LEAST[:, n] @ fleet.need[:, n, r]) / c for r, c in enumerate(fleet.capacity[n]) if c > 0]
        nodes[n] = np.ceil(max(claims))
    assert nodes.tolist() == [1.0, 2.0]
    assert standing_bound_usd(fleet, 7200.0) == pytest.approx(2.0 * float(nodes @ price))
    assert standing_bound_usd(facts(), 7200.0) == 0.0
