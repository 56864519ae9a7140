"""Plans under an accuracy floor or at a price: against enumeration, by hand, and in a closed loop."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.accuracy import lost_usd_per_hour
from optimizer.accuracy_feedback import AIM, AccuracyFeedback
from optimizer.bounds import fluid_bound_usd
from optimizer.fleet.fallback import round_fluid
from optimizer.fleet.fluid import FluidModel
from optimizer.fleet.greedy import solve_greedy
from optimizer.fleet.mip import MipLimits, solve_fleet_mip
from optimizer.fleet.problem import FleetProblem, InvalidPlanError, validate_plan
from optimizer.handover import hold_until_ready
from optimizer.preference import Preference
from optimizer.registry import available_policies, make_policy
from simulator.policy import FleetFacts
from tests.optimizer.brute_force import floor_breaks, optimum
from tests.optimizer.factory import context, facts, observation, run, tiny_problem
from tests.optimizer.forms import with_accuracy

EXACT = MipLimits(gap=0.0, nodes=100_000, thorough=True)
DAY = 600.0 + 500.0 * np.sin(np.linspace(0.0, 2.0 * np.pi, 24))[None, :] * np.array([[1.0], [0.7]])


def fleet(floor: float = -np.inf, lost_usd: float = 0.0, **changes: object) -> FleetFacts:
    """The factory's fleet; ``video/rank/base`` has an AUC of 0.80 and ``video/rank/small`` of 0.70."""
    return facts(
        accuracy=np.array([np.nan, np.nan, 0.80, 0.70]),
        accuracy_metric=("", "", "auc"),
        accuracy_floor=np.array([-np.inf, -np.inf, floor]),
        lost_usd_per_request=np.array([0.0, 0.0, 0.0, 0.1 * lost_usd]),
        **changes,
    )


def test_equals_enumeration_under_floors_and_prices() -> None:
    rng = np.random.default_rng(7)
    claimed = bound_by_floor = 0
    for case in range(260):
        plain = tiny_problem(rng)
        problem = with_accuracy(plain, rng)
        plan, true = solve_fleet_mip(problem, EXACT), optimum(problem)
        assert plan.bound_usd_per_hour is not None
        assert plan.bound_usd_per_hour <= true + 1e-6, case
        assert plan.objective_usd_per_hour >= true - 1e-6, case
        assert not floor_breaks(problem, plan.replicas), case
        if plan.status == "optimal":
            assert plan.objective_usd_per_hour == pytest.approx(true, abs=2e-6), case
            claimed += 1
        bound_by_floor += true > optimum(replace(problem, floor_credit=None)) + 1e-6
    assert claimed >= 240
    assert bound_by_floor >= 20


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_every_way_of_planning_keeps_the_floor(seed: int) -> None:
    rng = np.random.default_rng(seed)
    problem = with_accuracy(tiny_problem(rng, churn=False), rng)
    relaxed, mip = FluidModel(problem).solve(), solve_fleet_mip(problem, EXACT)
    started = solve_greedy(problem, start=problem.replicas_now)
    for plan in (mip, solve_greedy(problem), round_fluid(problem), started):
        assert not floor_breaks(problem, plan.replicas)
        assert relaxed.usd_per_hour <= plan.objective_usd_per_hour + 1e-6


def test_a_floor_mixes_variants_and_a_higher_one_leaves_fewer_of_the_cheap() -> None:
    """At 0.75 one replica of 500 requests/s at 0.80 allows two of 220 at 0.70 beside it."""
    demand = np.array([0.0, 0.0, 700.0])
    plan = solve_fleet_mip(FleetProblem.from_facts(fleet(0.75), demand), EXACT)
    assert fleet().planned_accuracy(plan.replicas)[2] >= 0.75 - 1e-6
    assert plan.unserved_rps.sum() == 0.0
    free = solve_fleet_mip(FleetProblem.from_facts(fleet(), demand), EXACT)
    strict = solve_fleet_mip(FleetProblem.from_facts(fleet(0.80), demand), EXACT)
    assert free.objective_usd_per_hour <= plan.objective_usd_per_hour <= strict.objective_usd_per_hour
    assert strict.replicas[3].sum() == 0


def test_a_price_moves_the_plan_to_the_accurate_variant() -> None:
    demand = np.array([0.0, 0.0, 30.0])
    cheap = solve_fleet_mip(FleetProblem.from_facts(fleet(headroom=0.0), demand), EXACT)
    assert cheap.replicas[2:].tolist() == [[0, 0], [0, 1]]
    dear = solve_fleet_mip(FleetProblem.from_facts(fleet(lost_usd=1.0, headroom=0.0), demand), EXACT)
    assert dear.replicas[3].sum() == 0
    assert dear.replicas[2].sum() == 1


def test_lost_accuracy_is_charged_on_the_requests_expected() -> None:
    """Two replicas of 220 requests/s share 300: each loses 0.1 x 150 requests/s x 3600 s at 0.001 USD a unit."""
    charge = lost_usd_per_hour(fleet(lost_usd=0.001), np.array([0.0, 0.0, 300.0]), np.array([0.0, 0.0, 360.0]))
    assert charge is not None
    assert charge[3, 0] == pytest.approx(0.1 * 0.001 * 150.0 * 3600.0)
    assert (charge[:3] == 0.0).all()
    assert lost_usd_per_hour(fleet(), np.zeros(3), np.zeros(3)) is None


def test_plans_below_the_floor_are_refused_and_can_be_mended() -> None:
    problem = FleetProblem.from_facts(fleet(0.75), np.array([0.0, 0.0, 600.0]))
    replicas = np.zeros((4, 2), dtype=np.int64)
    replicas[2, 0], replicas[3, 0] = 1, 3  # 500 at 0.80 and 660 at 0.70
    with pytest.raises(InvalidPlanError, match="below its floor"):
        validate_plan(problem, replicas, status="optimal")
    mended = problem.brought_to_floor(replicas)
    assert mended[2:, 0].tolist() == [1, 2]
    assert validate_plan(problem, mended, status="optimal").replicas[3, 0] == 2


def test_a_fleet_without_accuracy_has_no_such_rows() -> None:
    problem = FleetProblem.from_facts(facts(), np.ones(3))
    assert problem.floor_credit is None
    assert problem.lost_usd_per_hour is None
    assert problem.keeps_floor(np.ones((4, 2)))


# --- rules and wrappers -------------------------------------------------------------------------------


def test_rules_use_only_variants_that_reach_the_floor() -> None:
    preference = Preference(fleet(0.75))
    assert {v for v, _ in preference.pairs[2]} == {2}
    assert {v for v, _ in preference.below_floor[2]} == {3}
    assert np.isinf(preference.usd_per_request[3]).all()


def test_a_price_turns_the_preference() -> None:
    peak = np.array([0.0, 0.0, 25.0])
    assert Preference(fleet(), peak).pairs[2][0] == (3, 1)
    assert Preference(fleet(lost_usd=1.0), peak).pairs[2][0][0] == 2


@pytest.mark.parametrize("name", [name for name in available_policies() if name != "fixed"])
def test_no_policy_plans_below_the_floor(name: str) -> None:
    of = fleet(0.76)
    answers = run(make_policy(name, context(of, DAY)), of, DAY)
    planned = np.array([of.planned_accuracy(answer.replicas)[2] for answer in answers])
    assert (planned >= 0.76 - 1e-6).all()


def test_bounds_take_away_what_lies_below_the_floor_first() -> None:
    of = fleet(0.75)
    mixed = np.zeros((4, 2), dtype=np.int64)
    mixed[2, 0], mixed[3, 0] = 2, 2
    wrapper = make_policy({"name": "mip", "wrap": [{"name": "bounds", "max_replicas": 3}]}, context(of, DAY))
    assert wrapper.adjust(mixed, None)[2:, 0].tolist() == [2, 1]  # type: ignore[attr-defined]


def test_handover_holds_accurate_replicas_first() -> None:
    of, ready = fleet(0.75), np.zeros((4, 2), dtype=np.int64)
    ready[2, 1], ready[3, 0] = 2, 2
    held = hold_until_ready(of, np.zeros((4, 2), dtype=np.int64), np.array([0.0, 0.0, 70.0]), ready)
    assert held[2:].tolist() == [[0, 2], [0, 0]]


# --- bound --------------------------------------------------------------------------------------------


def test_bound_holds_for_as_accurate_a_service() -> None:
    """Whatever mean is asked for, a whole plan that serves the demand as accurately pays at least the bound."""
    swapped = np.array([np.nan, np.nan, 0.70, 0.80])
    of, demand, hours = replace(fleet(headroom=0.0), accuracy=swapped), np.array([0.0, 0.0, 900.0]), 2.0
    usd = []
    for floor in (0.70, 0.74, 0.78, 0.80):
        floors = np.array([-np.inf, -np.inf, floor])
        plan = solve_fleet_mip(FleetProblem.from_facts(of, demand, accuracy_floor=floors), EXACT)
        bound = fluid_bound_usd(of, demand * 3600.0 * hours, 3600.0 * hours, np.array([np.nan, np.nan, floor]))
        assert bound.usd <= float(plan.open_nodes @ of.price_usd_per_hour) * hours + 1e-6
        served = of.mean_accuracy(bound.replica_hours * of.best_throughput_rps)
        assert served[2] >= floor - 1e-6
        usd.append(bound.usd)
    assert (np.diff(usd) > 0.01).all()
    assert usd[0] == pytest.approx(fluid_bound_usd(of, demand * 7200.0, 7200.0).usd)


# --- feedback -----------------------------------------------------------------------------------------


def served(base: float, small: float) -> np.ndarray:
    counts = np.zeros((4, 2))
    counts[2, 0], counts[3, 0] = base, small
    return counts


def test_feedback_waits_for_a_debt() -> None:
    of = fleet(0.75)
    feedback = AccuracyFeedback(of)
    rates = np.ones((2, 2))
    first = feedback.learn(observation(of, 0, rates))
    assert first[2] == pytest.approx(0.75)
    assert np.isneginf(first[:2]).all()
    assert feedback.learn(observation(of, 1, rates, served_requests=served(90, 10)))[2] == pytest.approx(0.75)
    assert feedback.learn(observation(of, 1, rates, served_requests=served(0, 1000)))[2] > 0.75


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000)), min_size=1, max_size=30))
def test_feedback_stays_between_floor_and_best(counts: list[tuple[int, int]]) -> None:
    of = fleet(0.75)
    feedback = AccuracyFeedback(of)
    for base, small in counts:
        floor = feedback.learn(observation(of, 1, np.ones((2, 2)), served_requests=served(base, small)))[2]
        assert 0.75 - 1e-12 <= floor <= 0.80 + 1e-12


def test_feedback_makes_up_for_a_router_that_favours_the_small_variant() -> None:
    """What is served lies 0.02 below what plans say; after a day the mean is at the floor, not much above it."""
    of = fleet(0.75)
    feedback, total, floor = AccuracyFeedback(of), np.zeros((4, 2)), 0.75
    for _ in range(1440):
        share = (max(floor - 0.02, 0.70) - 0.70) / 0.10
        counts = served(1000.0 * share, 1000.0 * (1.0 - share))
        total += counts
        floor = float(feedback.learn(observation(of, 1, np.ones((2, 2)), served_requests=counts))[2])
    assert 0.75 <= of.mean_accuracy(total)[2] <= 0.75 + 2 * AIM * 0.05
