"""Replicas that stand whatever a policy wants: it plans what comes on top, and they are always in the answer."""

from __future__ import annotations

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


@pytest.mark.parametrize("name", ["static_peak", "marginal_greedy", "mip", "clairvoyant_mip"])
def test_plans_cover_demand_with_them(name: str) -> None:
    fleet = facts(min_replicas=LEAST)
    wanted = make_policy(name, context(fleet, RATES)).decide(observation(fleet, 1, RATES)).replicas
    alone = facts()
    without = make_policy(name, context(alone, RATES)).decide(observation(alone, 1, RATES)).replicas
    assert (wanted >= LEAST).all()
    served = fleet.served_rps(wanted)
    assert (served >= fleet.stage_demand(RATES[:, 0])).all()
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
