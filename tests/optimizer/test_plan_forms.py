"""Every form of the allocation problem against enumeration, by every solver, and every way of planning beside it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.fleet.fallback import plan_fleet, round_fluid
from optimizer.fleet.fluid import FluidModel
from optimizer.fleet.greedy import solve_greedy
from optimizer.fleet.mip import MipLimits, solve_fleet_mip
from optimizer.fleet.plan import FleetPlan, InvalidPlanError, validate_plan
from optimizer.fleet.priorities import of_classes
from optimizer.fleet.problem import FleetProblem
from tests.optimizer.brute_force import floor_breaks, optimum
from tests.optimizer.factory import funnel_problem
from tests.optimizer.forms import FORMS

EXACT = MipLimits(gap=0.0, nodes=100_000, thorough=True, by_node=True)


def check_against_enumeration(form: str, cases: int, seed: int, limits: MipLimits = EXACT) -> None:
    """Optimal, and said to be, with a bound that is one."""
    rng = np.random.default_rng(seed)
    for case in range(cases):
        problem = FORMS[form](rng)
        plan, true = solve_fleet_mip(problem, limits), optimum(problem)
        assert plan.objective_usd_per_hour == pytest.approx(true, rel=1e-6, abs=1e-6), (form, case)
        assert plan.bound_usd_per_hour is not None
        assert plan.bound_usd_per_hour <= true + 1e-6 * max(1.0, true), (form, case)
        if limits.solver == "scip":
            assert plan.status == "optimal", (form, case)
            assert plan.gap == pytest.approx(0.0, abs=2e-6), (form, case)


@pytest.mark.parametrize("form", FORMS)
def test_equals_enumeration(form: str) -> None:
    check_against_enumeration(form, 30, seed=2026)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_equals_enumeration_500_times(form: str) -> None:
    check_against_enumeration(form, 500, seed=2027)


@pytest.mark.parametrize("solver", ["highs", "cp_sat"])
@pytest.mark.parametrize("form", FORMS)
def test_other_solvers_find_the_same_optimum(form: str, solver: str) -> None:
    check_against_enumeration(form, 12, seed=99, limits=replace(EXACT, solver=solver))


def check_holds(problem: FleetProblem, plan: FleetPlan) -> None:
    """The plan's own placement, looked at with nothing of the planner's."""
    assert floor_breaks(problem, plan.replicas) is False
    assert problem.price_usd_per_hour @ plan.open_nodes <= problem.budget_usd_per_hour * (1.0 + 1e-9)
    assert (plan.open_nodes <= problem.node_count).all()
    if problem.reserve_rps is None:
        return
    assert plan.on_nodes is not None
    contents = [(n, node) for n, on in enumerate(plan.on_nodes) for node in on if node.any()]
    assert len(contents) == plan.open_nodes.sum()
    for n, node in contents:
        assert (node @ problem.need[:, n] <= problem.capacity[n] * (1.0 + 1e-6)).all()
    placed = np.stack([on.sum(axis=0) for on in plan.on_nodes], axis=1)
    assert (placed == plan.replicas).all()
    for gone in range(len(contents)):
        left = np.zeros(len(problem.demand_rps))
        for n, node in (c for j, c in enumerate(contents) if j != gone):
            np.add.at(left, problem.variant_stage, node * problem.throughput_rps[:, n])
        assert (left + plan.unserved_rps >= problem.reserve_rps - 1e-6).all()


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_every_way_of_planning_holds_and_none_beats_the_bound(form: str, seed: int) -> None:
    problem = FORMS[form](np.random.default_rng(seed))
    relaxed, true = FluidModel(problem).solve(), optimum(problem)
    assert relaxed.status == "optimal"
    assert relaxed.usd_per_hour <= true + 1e-6
    for plan in (solve_greedy(problem), solve_greedy(problem, problem.replicas_now), round_fluid(problem),
                 plan_fleet(problem)):  # fmt: skip
        check_holds(problem, plan)
        assert plan.objective_usd_per_hour >= relaxed.usd_per_hour - 1e-6
        if problem.service_priority is None:
            assert plan.objective_usd_per_hour >= true - 1e-6
        again = validate_plan(problem, plan.replicas, status=plan.status, on_nodes=plan.on_nodes)
        assert again.objective_usd_per_hour == pytest.approx(plan.objective_usd_per_hour)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.data())
def test_what_validation_lets_pass_holds(seed: int, data: st.DataObject) -> None:
    """Any whole replicas at all: refused, or a plan that holds and is no cheaper than the optimum."""
    problem = FORMS["all"](np.random.default_rng(seed))
    problem = replace(problem, service_priority=None)
    shape = problem.throughput_rps.shape
    drawn = data.draw(st.lists(st.integers(0, 4), min_size=int(np.prod(shape)), max_size=int(np.prod(shape))))
    try:
        plan = validate_plan(problem, np.array(drawn).reshape(shape), status="feasible")
    except InvalidPlanError:
        return
    check_holds(problem, plan)
    # Replicas beyond what enumeration looks at only cost more, but where a price on accuracy could pay for them.
    assert plan.objective_usd_per_hour >= optimum(problem) - 1e-6


def test_a_reserve_costs_a_node_more_and_not_twice_as_much() -> None:
    """Six stages on a few nodes: the loss of the largest is made good by one more of them, not by a second fleet."""
    for seed in range(2):
        problem = funnel_problem(np.random.default_rng(seed))
        asked = replace(problem, reserve_rps=problem.demand_rps)
        plain, safe = solve_fleet_mip(problem), solve_fleet_mip(asked)
        check_holds(asked, safe)
        assert safe.unserved_rps.sum() == pytest.approx(0.0, abs=1e-6)
        assert plain.objective_usd_per_hour < safe.objective_usd_per_hour < 1.9 * plain.objective_usd_per_hour
        assert safe.bound_usd_per_hour is not None
        assert plain.bound_usd_per_hour is not None
        assert safe.bound_usd_per_hour >= plain.bound_usd_per_hour - 1e-6


def test_a_low_class_takes_nothing_from_a_high_one() -> None:
    """Money for 60 % of the fleet: a class is served as if those below it did not exist."""
    priority = np.array([2, 1, 0, 2, 1, 0])
    for seed in (0, 5):
        problem = funnel_problem(np.random.default_rng(seed))
        cost = float(problem.price_usd_per_hour @ solve_fleet_mip(problem).open_nodes)
        short = replace(problem, budget_usd_per_hour=0.6 * cost)
        for solve in (solve_fleet_mip, solve_greedy, round_fluid, plan_fleet):
            plan = solve(replace(short, service_priority=priority))
            assert plan.unserved_rps[priority == 2].sum() > 100.0, solve.__name__
            for level in (0, 1):
                alone = solve(replace(of_classes(short, priority <= level), service_priority=priority))
                above = priority <= level
                assert (plan.unserved_rps[above] <= alone.unserved_rps[above] + 0.01).all(), solve.__name__
            blind = solve(short)
            assert plan.unserved_rps[priority == 0].sum() <= blind.unserved_rps[priority == 0].sum() + 0.01


def test_nothing_changes_where_all_fits() -> None:
    problem = funnel_problem(np.random.default_rng(3))
    asked = replace(problem, service_priority=np.arange(6), budget_usd_per_hour=1e4, service_weight=np.ones(6))
    for solve in (solve_fleet_mip, solve_greedy, round_fluid):
        assert (solve(asked).replicas == solve(problem).replicas).all()


def test_weights_say_whose_requests_count_more() -> None:
    """Two services alike and room for one: the heavier has it."""
    problem = FleetProblem(
        demand_rps=np.array([10.0, 10.0]), stage_service=np.arange(2), variant_stage=np.arange(2),
        throughput_rps=np.full((2, 1), 10.0), need=np.ones((2, 1, 1)), capacity=np.ones((1, 1)),
        node_count=np.array([1]), price_usd_per_hour=np.array([1.0]), replicas_now=np.zeros((2, 1), dtype=np.int64),
        churn_usd_per_hour=np.zeros((2, 1)), unserved_usd_per_request=0.01,
    )  # fmt: skip
    for weight, served in (([1.0, 2.0], 1), ([2.0, 1.0], 0)):
        heavy = replace(problem, service_weight=np.array(weight))
        for solve in (solve_fleet_mip, solve_greedy, round_fluid):
            assert solve(heavy).replicas[served, 0] == 1, solve.__name__


def test_a_plan_over_the_budget_or_a_limit_is_refused() -> None:
    problem = funnel_problem(np.random.default_rng(1))
    plan = solve_fleet_mip(problem)
    with pytest.raises(InvalidPlanError, match="budget"):
        validate_plan(replace(problem, budget_usd_per_hour=1.0), plan.replicas, status="optimal")
    nothing = np.zeros_like(plan.replicas)
    with pytest.raises(InvalidPlanError, match="more unserved than its limit"):
        validate_plan(replace(problem, unserved_limit_rps=np.zeros(6)), nothing, status="optimal")


def test_a_placement_that_is_none_is_refused() -> None:
    problem = FORMS["reserve"](np.random.default_rng(4))
    plan = solve_fleet_mip(problem, EXACT)
    assert plan.on_nodes is not None
    assert plan.replicas.any()
    validate_plan(problem, plan.replicas, status="optimal", on_nodes=plan.on_nodes)
    fewer = [on.copy() for on in plan.on_nodes]
    n = int(np.argmax(plan.replicas.sum(axis=0)))
    node, variant = np.argwhere(fewer[n])[0]
    fewer[n][node, variant] -= 1
    with pytest.raises(InvalidPlanError, match="not one of these replicas"):
        validate_plan(problem, plan.replicas, status="optimal", on_nodes=fewer)
    stacked = [np.vstack([on.sum(axis=0, keepdims=True), np.zeros((len(on), on.shape[1]))]) for on in plan.on_nodes]
    with pytest.raises(InvalidPlanError, match="placement"):
        validate_plan(problem, plan.replicas * 9, status="optimal", on_nodes=[9 * s[:1] for s in stacked])


def test_a_reserve_needs_to_know_the_loss() -> None:
    problem = FORMS["reserve"](np.random.default_rng(4))
    with pytest.raises(ValueError, match="lost_rps"):
        problem.objective_usd_per_hour(problem.replicas_now, problem.node_count)
