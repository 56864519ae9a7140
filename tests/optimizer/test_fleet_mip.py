"""The MIP against enumeration, its bound, its checks, and the chain of fallbacks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.fleet import fallback
from optimizer.fleet.fallback import plan_fleet, round_fluid
from optimizer.fleet.fluid import FluidModel
from optimizer.fleet.greedy import solve_greedy
from optimizer.fleet.mip import MipLimits, SolverTroubleError, solve_fleet_mip
from optimizer.fleet.problem import FleetProblem, InvalidPlanError, validate_plan
from tests.optimizer.brute_force import optimum
from tests.optimizer.factory import facts, tiny_problem

EXACT = MipLimits(gap=0.0, nodes=100_000, thorough=True)


def test_equals_enumeration_on_random_tiny_problems() -> None:
    """Where the plan says optimal it is; the bound never exceeds the true optimum; almost all are optimal."""
    rng = np.random.default_rng(2024)
    claimed = 0
    for case in range(220):
        problem = tiny_problem(rng)
        plan, true = solve_fleet_mip(problem, EXACT), optimum(problem)
        assert plan.bound_usd_per_hour is not None
        assert plan.bound_usd_per_hour <= true + 1e-6, case
        assert plan.objective_usd_per_hour >= true - 1e-6, case
        if plan.status == "optimal":
            assert plan.objective_usd_per_hour == pytest.approx(true, abs=2e-6), case
            claimed += 1
    assert claimed >= 200


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_relaxation_below_mip_below_greedy(seed: int) -> None:
    problem = tiny_problem(np.random.default_rng(seed), churn=False)
    relaxed = FluidModel(problem).solve()
    mip, greedy, rounded = solve_fleet_mip(problem, EXACT), solve_greedy(problem), round_fluid(problem)
    assert relaxed.status == "optimal"
    assert mip.bound_usd_per_hour is not None
    assert relaxed.usd_per_hour <= mip.objective_usd_per_hour + 1e-6
    assert mip.bound_usd_per_hour <= min(p.objective_usd_per_hour for p in (mip, greedy, rounded)) + 1e-6
    if mip.status == "optimal":
        assert mip.objective_usd_per_hour <= greedy.objective_usd_per_hour + 1e-6
        assert mip.objective_usd_per_hour <= rounded.objective_usd_per_hour + 1e-6
    for plan in (mip, greedy, rounded):
        again = validate_plan(problem, plan.replicas, status=plan.status)
        assert again.objective_usd_per_hour == pytest.approx(plan.objective_usd_per_hour)
        assert (plan.open_nodes <= problem.node_count).all()


def test_control_limits_stay_close_to_the_optimum() -> None:
    rng = np.random.default_rng(5)
    for _ in range(30):
        problem = tiny_problem(rng)
        quick, exact = solve_fleet_mip(problem), solve_fleet_mip(problem, EXACT)
        assert quick.objective_usd_per_hour <= exact.objective_usd_per_hour * 1.02 + 1e-6


def test_greedy_plans_where_first_fit_cannot_place_what_it_filled() -> None:
    """On these few crowded nodes the order of filling packs tighter than any order of first fit does."""
    problem = FleetProblem(
        demand_rps=np.array([499.55757753, 487.28083914, 989.67568895]),
        stage_service=np.arange(3),
        variant_stage=np.array([0, 0, 1, 2, 2]),
        throughput_rps=np.array(
            [[30.4178, 48.9239], [40.7276, 10.3241], [43.3968, 17.4826], [16.4323, 23.6491], [39.9541, 41.2052]]
        ),
        need=np.array([[0.22, 0.37], [0.49, 0.13], [0.18, 0.57], [0.42, 0.47], [0.41, 0.17]])[:, :, None],
        capacity=np.ones((2, 1)),
        node_count=np.array([6, 6]),
        price_usd_per_hour=np.array([5.6, 2.56]),
        replicas_now=np.zeros((5, 2), dtype=np.int64),
        churn_usd_per_hour=np.zeros((5, 2)),
        unserved_usd_per_request=0.01,
    )
    plan = solve_greedy(problem)
    assert (plan.open_nodes <= 6).all()
    assert (problem.stage_replicas(plan.replicas) >= 1).all()


def test_a_stage_with_little_demand_keeps_one_replica() -> None:
    problem = FleetProblem.from_facts(facts(unserved_usd_per_request=1e-9), np.array([0.01, 0.01, 0.0]))
    for plan in (solve_fleet_mip(problem), solve_greedy(problem)):
        assert problem.stage_replicas(plan.replicas).tolist() == [1, 1, 0]


def test_no_demand_needs_nothing() -> None:
    problem = FleetProblem.from_facts(facts(), np.zeros(3))
    assert solve_fleet_mip(problem).replicas.sum() == 0
    assert solve_greedy(problem).replicas.sum() == 0


def test_demand_beyond_the_cluster_is_priced_not_infeasible() -> None:
    problem = FleetProblem.from_facts(facts(), np.full(3, 1e6))
    plan = plan_fleet(problem)
    assert plan.status in ("optimal", "feasible")
    assert (plan.unserved_rps > 0.0).any()
    assert (problem.stage_replicas(plan.replicas) >= 1).all()


def test_a_funnel_is_not_grown_at_one_stage_alone() -> None:
    """Rank holds the service at 300 requests/s, so retrieval for more than that earns nothing."""
    fleet = facts(node_count=np.array([1, 0]))
    limit = np.array([[9, 9], [1, 9], [9, 9], [9, 9]])
    problem = FleetProblem.from_facts(fleet, np.array([1200.0, 1200.0, 0.0]), headroom=0.0, replica_limit=limit)
    plan = solve_fleet_mip(replace(problem, churn_usd_per_hour=np.full((4, 2), 0.01)), EXACT)
    assert plan.replicas[:, 0].tolist() == [1, 1, 0, 0]
    assert problem.unserved_by_service_rps(plan.replicas).tolist() == [900.0, 0.0]


def test_churn_keeps_what_runs() -> None:
    """Two node types of equal worth: without churn either will do, with churn the one in use stays."""
    problem = FleetProblem.from_facts(facts(), np.array([100.0, 0.0, 0.0]), headroom=0.0)
    now = np.zeros((4, 2), dtype=np.int64)
    now[0, 1] = 3
    moved = solve_fleet_mip(replace(problem, replicas_now=now, churn_usd_per_hour=np.full((4, 2), 0.5)), EXACT)
    assert moved.replicas[0, 1] == 3
    free = solve_fleet_mip(replace(problem, replicas_now=now), EXACT)
    assert free.replicas[0].sum() <= 3


def test_replica_limit_moves_demand_elsewhere() -> None:
    problem = FleetProblem.from_facts(facts(), np.array([900.0, 0.0, 0.0]))
    limit = np.full((4, 2), 100)
    limit[0, 0] = 1
    for plan in (
        solve_fleet_mip(replace(problem, replica_limit=limit)),
        solve_greedy(replace(problem, replica_limit=limit)),
    ):
        assert plan.replicas[0, 0] <= 1
        assert plan.unserved_rps.sum() == 0.0


def test_same_answer_twice() -> None:
    problem = FleetProblem.from_facts(facts(), np.array([900.0, 700.0, 1100.0]), churn_usd_per_hour=0.1)
    first, second = solve_fleet_mip(problem), solve_fleet_mip(problem)
    assert (first.replicas == second.replicas).all()
    assert first.bound_usd_per_hour == second.bound_usd_per_hour


@pytest.mark.parametrize("wrong", [0.5, -1.0, np.nan, 1e9])
def test_invalid_plans_are_refused(wrong: float) -> None:
    problem = FleetProblem.from_facts(facts(), np.array([100.0, 100.0, 100.0]))
    replicas = np.zeros((4, 2))
    replicas[0, 0] = wrong
    with pytest.raises(InvalidPlanError):
        validate_plan(problem, replicas, status="optimal")


def test_replicas_where_nothing_runs_are_refused() -> None:
    replicas = np.zeros((4, 2))
    replicas[1, 1] = 1.0
    with pytest.raises(InvalidPlanError, match="cannot run"):
        validate_plan(FleetProblem.from_facts(facts(), np.ones(3)), replicas, status="optimal")


def test_fallback_chain_says_what_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    now = np.zeros((4, 2), dtype=np.int64)
    now[0, 0] = 2
    problem = FleetProblem.from_facts(facts(), np.array([300.0, 200.0, 100.0]), replicas_now=now)

    def broken(*_: object) -> None:
        raise SolverTroubleError("no luck")

    monkeypatch.setattr(fallback, "solve_fleet_mip", broken)
    rounded = plan_fleet(problem)
    assert rounded.status == "fallback"
    assert rounded.note == "rounded LP, because MIP failed: SolverTroubleError: no luck"
    assert rounded.unserved_rps.sum() == 0.0

    monkeypatch.setattr(fallback, "round_fluid", broken)
    assert plan_fleet(problem).note.startswith("greedy, because MIP failed")

    monkeypatch.setattr(fallback, "solve_greedy", broken)
    held = plan_fleet(problem)
    assert held.status == "hold"
    assert (held.replicas == now).all()
    assert "greedy failed" in held.note
