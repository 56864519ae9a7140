"""The decomposition against enumeration, its pricing against a list of all covers, its bound, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from optimizer.fleet.blocks import Blocks, build_blocks
from optimizer.fleet.columns import ColumnLimits, ColumnSolver, solve_fleet_columns, supports
from optimizer.fleet.knapsack_pricing import cheapest_covers
from optimizer.fleet.mip import MipLimits, solve_fleet_mip
from optimizer.fleet.plan import validate_plan
from optimizer.fleet.problem import FleetProblem
from optimizer.policies.mip import Mip, MipOptions
from tests.benchmarks.fleet_instances import fleet_instance
from tests.optimizer.brute_force import optimum
from tests.optimizer.factory import context, facts, funnel_problem, tiny_problem
from tests.optimizer.forms import FORMS
from workloads.errors import InputError

WITHOUT_SMALL = ColumnLimits(gap=0.0, rounds=2)


def one_block(rng: np.random.Generator, items: int) -> Blocks:
    return Blocks(
        pair=np.arange(items)[None],
        rate_rps=rng.uniform(3.0, 30.0, (1, items)),
        bound=rng.integers(1, 4, (1, items)),
        own_usd_per_hour=np.zeros((1, items)),
        required_rps=np.array([rng.uniform(1.0, 80.0)]),
        absent_usd_per_hour=1e3,
        constant_usd_per_hour=0.0,
    )


def all_covers(blocks: Blocks, cost: np.ndarray, shortage_price: float) -> dict[tuple[int, ...], float]:
    """Value of every choice of at least one replica."""
    values = {}
    for count in product(*(range(b + 1) for b in blocks.bound[0])):
        if any(count):
            served = float(np.dot(blocks.rate_rps[0], count))
            short = max(0.0, float(blocks.required_rps[0]) - served)
            values[count] = float(np.dot(cost[0], count)) + shortage_price * short
    return values


@pytest.mark.parametrize("beam", [1, 10_000])
def test_pricing_equals_the_list_of_all_covers(beam: int) -> None:
    """With room for all partial choices it is exact; with room for one its bound still holds."""
    rng = np.random.default_rng(3)
    for case in range(150):
        blocks = one_block(rng, int(rng.integers(1, 5)))
        cost = rng.uniform(-0.2 if case % 3 == 0 else 0.1, 5.0, blocks.pair.shape)
        price = float(rng.choice([0.01, 0.2, 5.0]))
        best = min(all_covers(blocks, cost, price).values())
        found = cheapest_covers(blocks, cost, np.array([price]), np.array([np.inf]), beam=beam, keep=3)
        assert found.bound_usd_per_hour[0] <= best + 1e-9, case
        assert found.value_usd_per_hour.min() >= best - 1e-9, case
        if beam > 1:
            assert found.bound_usd_per_hour[0] == pytest.approx(best), case
            assert found.value_usd_per_hour.min() == pytest.approx(best), case
        for count, value in zip(found.count, found.value_usd_per_hour):
            assert all_covers(blocks, cost, price)[tuple(count.tolist())] == pytest.approx(value)


def test_enumeration_misses_no_cover_below_its_bound() -> None:
    """But those that only add to another cover replicas that cost something."""
    rng = np.random.default_rng(4)
    for case in range(100):
        blocks = one_block(rng, int(rng.integers(1, 5)))
        cost, price = rng.uniform(0.1, 5.0, blocks.pair.shape), float(rng.choice([0.05, 0.3]))
        every = all_covers(blocks, cost, price)
        best = min(every.values())
        limit, least = np.array([best * 1.3]), np.array([best])
        found = cheapest_covers(
            blocks, cost, np.array([price]), limit, beam=int(rng.choice([5, 1000])), keep=100, least_usd_per_hour=least
        )
        have = {tuple(c.tolist()) for c in found.count}
        for count, value in every.items():
            fewer = [tuple(np.subtract(count, unit)) for unit in np.eye(len(count), dtype=int)]
            if value < found.bound_usd_per_hour[0] - 1e-9 and not any(every.get(f, np.inf) <= value for f in fewer):
                assert count in have, (case, count)


def test_equals_enumeration_on_tiny_problems() -> None:
    rng = np.random.default_rng(2025)
    closed = 0
    for case in range(60):
        problem = FORMS[("churn", "limit", "idle")[case % 3]](rng)
        true = optimum(problem)
        for limits in (None, WITHOUT_SMALL):
            plan = solve_fleet_columns(problem, limits)
            assert plan.bound_usd_per_hour is not None
            assert plan.bound_usd_per_hour <= true + 1e-6, case
            assert plan.objective_usd_per_hour >= true - 1e-6, case
            assert validate_plan(problem, plan.replicas, status="").objective_usd_per_hour == pytest.approx(
                plan.objective_usd_per_hour
            )
        if plan.status == "optimal":
            assert plan.objective_usd_per_hour == pytest.approx(true, abs=1e-5), case
            closed += 1
    assert closed >= 50


def test_bound_is_never_above_what_scip_finds() -> None:
    """On a hundred tiny problems and some of a control loop."""
    rng = np.random.default_rng(11)
    for case, problem in enumerate(
        [*(tiny_problem(rng) for _ in range(100)), *(funnel_problem(rng) for _ in range(4))]
    ):
        scip = solve_fleet_mip(problem, MipLimits(gap=0.001, nodes=200))
        plan = solve_fleet_columns(problem, ColumnLimits(rounds=1, repairs=0))
        assert plan.bound_usd_per_hour is not None
        assert plan.bound_usd_per_hour <= scip.objective_usd_per_hour * (1 + 1e-6) + 1e-6, case
        assert scip.bound_usd_per_hour is not None
        assert plan.objective_usd_per_hour >= scip.bound_usd_per_hour * (1 - 1e-6) - 1e-6, case


def test_a_hundred_services_within_one_percent_the_same_each_time() -> None:
    problem = fleet_instance(100, 8, seed=1)
    plan, again = solve_fleet_columns(problem), solve_fleet_columns(problem)
    assert plan.gap is not None
    assert plan.gap <= 0.01
    assert plan.status == "optimal"
    assert (plan.replicas == again.replicas).all()
    assert plan.bound_usd_per_hour == again.bound_usd_per_hour


def test_warm_start_is_no_worse_and_needs_fewer_solves_of_the_master() -> None:
    problem = fleet_instance(20, 6, seed=2)
    later = replace(problem, demand_rps=problem.demand_rps * 1.03)
    solver = ColumnSolver()
    solver.solve(problem)
    warm, warm_iterations = solver.solve(later), solver.iterations
    cold_solver = ColumnSolver()
    cold = cold_solver.solve(later)
    assert warm_iterations <= cold_solver.iterations
    assert warm.gap is not None
    assert cold.gap is not None
    assert warm.gap <= max(cold.gap, 0.01)


def test_what_runs_stays_where_changes_cost() -> None:
    problem = fleet_instance(20, 6)
    first = solve_fleet_columns(problem)
    dear = replace(
        problem,
        replicas_now=first.replicas,
        churn_usd_per_hour=np.full(first.replicas.shape, 50.0),
        demand_rps=problem.demand_rps * 0.99,
    )
    plan = solve_fleet_columns(dear)
    assert plan.objective_usd_per_hour <= first.objective_usd_per_hour * (1 + 1e-9)
    assert (plan.replicas == first.replicas).all()


@pytest.mark.parametrize("demand", [0.0, 1e7])
def test_no_demand_and_too_much(demand: float) -> None:
    problem = FleetProblem.from_facts(facts(), np.full(3, demand))
    plan = solve_fleet_columns(problem)
    assert plan.bound_usd_per_hour is not None
    assert plan.bound_usd_per_hour <= plan.objective_usd_per_hour
    assert bool(plan.replicas.sum()) is bool(demand)
    if demand:
        assert plan.bound_usd_per_hour >= 0.99 * plan.objective_usd_per_hour


def test_no_capacity_one_node_type_and_replicas_that_need_nothing() -> None:
    rng = np.random.default_rng(8)
    problem = tiny_problem(rng, churn=False)
    nowhere = replace(problem, node_count=np.zeros_like(problem.node_count), demand_rps=problem.demand_rps + 5.0)
    plan = solve_fleet_columns(nowhere)
    assert plan.replicas.sum() == 0
    assert plan.bound_usd_per_hour == pytest.approx(plan.objective_usd_per_hour)
    cannot = replace(nowhere, throughput_rps=np.zeros_like(problem.throughput_rps))
    assert solve_fleet_columns(cannot).replicas.sum() == 0
    one = fleet_instance(5, 1)
    assert solve_fleet_columns(one).gap is not None
    free = replace(one, need=np.zeros_like(one.need))
    for easy in (free, replace(one, price_usd_per_hour=np.zeros(1))):
        plan = solve_fleet_columns(easy)
        assert plan.bound_usd_per_hour is not None
        assert plan.bound_usd_per_hour <= plan.objective_usd_per_hour + 1e-9


def test_forms_it_does_not_know_are_refused() -> None:
    problem = fleet_instance(5, 3)
    assert supports(problem) is None
    assert supports(replace(problem, service_weight=np.full(5, 2.0))) is None
    with_budget = replace(problem, budget_usd_per_hour=100.0)
    assert supports(with_budget) == "budget usd per hour"
    assert supports(replace(problem, reserve_rps=problem.demand_rps)) == "reserve rps"
    assert supports(replace(problem, service_priority=np.arange(5))) == "service priority"
    credit = np.where(problem.throughput_rps > 0.0, -1.0, 0.0)
    assert supports(replace(problem, floor_credit=credit)) == "a floor of the mean accuracy"
    with pytest.raises(ValueError, match="budget"):
        solve_fleet_columns(with_budget)


def test_the_policy_plans_with_it_and_leaves_other_forms_to_scip() -> None:
    problem = FleetProblem.from_facts(facts(), np.array([120.0, 120.0, 40.0]))
    policy = Mip(context(facts(), np.full((2, 3), 50.0)), MipOptions(solver="columns"))
    plan = policy.plan(problem)
    assert plan.status == "optimal"
    other = policy.plan(replace(problem, budget_usd_per_hour=1e4))
    assert other.status == "optimal"
    assert other.objective_usd_per_hour == pytest.approx(plan.objective_usd_per_hour, rel=0.02)
    with pytest.raises(InputError, match="no solver"):
        MipOptions(solver="colums")


def test_the_guard_says_that_it_was_hit() -> None:
    problem = fleet_instance(20, 6)
    plan = solve_fleet_columns(problem, ColumnLimits(gap=0.0, wall_s=1e-3))
    assert "wall-clock guard of 0.001 s" in plan.note
    assert plan.bound_usd_per_hour is not None
    assert plan.bound_usd_per_hour <= plan.objective_usd_per_hour


def test_kept_replicas_are_items_of_their_own() -> None:
    problem = tiny_problem(np.random.default_rng(5))
    variants, types = problem.throughput_rps.shape
    problem = replace(problem, churn_usd_per_hour=np.full((variants, types), 0.5))
    blocks = build_blocks(problem)
    kept = blocks.own_usd_per_hour < 0.0
    assert blocks.bound[kept].sum() == problem.replicas_now.sum()
    assert blocks.counts(problem.replicas_now)[kept].sum() == problem.replicas_now.sum()
    assert blocks.constant_usd_per_hour == pytest.approx(0.5 * problem.replicas_now.sum())
