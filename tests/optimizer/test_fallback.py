"""Every kind of failure at every step of the chain: what comes out is checked, within the budget, and says why."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from ortools.math_opt.python import mathopt

from optimizer.fleet import fallback, solvers, watchdog
from optimizer.fleet.fallback import first_that_holds, hold, plan_fleet
from optimizer.fleet.fluid import FluidModel, FluidSolution
from optimizer.fleet.greedy import solve_greedy
from optimizer.fleet.mip import MipLimits, SolverTroubleError, solve_fleet_mip
from optimizer.fleet.plan import FleetPlan, validate_plan
from optimizer.fleet.problem import FleetProblem
from optimizer.fleet.repair import within_budget
from optimizer.fleet.reserve import place_evenly
from optimizer.fleet.solvers import Solved
from tests.optimizer.factory import facts

NOW = np.array([[4, 0], [3, 0], [1, 0], [0, 4]])


def problem(**changes: Any) -> FleetProblem:
    given = FleetProblem.from_facts(facts(), np.array([300.0, 200.0, 100.0]), replicas_now=NOW)
    return replace(given, budget_usd_per_hour=22.0, **changes)


def spoilt(plan: FleetPlan) -> list[FleetPlan]:
    """Plans that must not pass: not whole, negative, not a number, over the cluster, over the budget, a wrong claim."""
    return [
        replace(plan, replicas=plan.replicas + 0.4),
        replace(plan, replicas=plan.replicas - 50),
        replace(plan, replicas=np.full(plan.replicas.shape, np.nan)),
        replace(plan, replicas=plan.replicas * 1000),
        replace(plan, replicas=plan.replicas + np.array([[8, 0], [0, 0], [0, 0], [0, 0]])),
        replace(plan, objective_usd_per_hour=plan.objective_usd_per_hour / 2),
        replace(plan, objective_usd_per_hour=math.nan),
        replace(plan, bound_usd_per_hour=math.nan),
        replace(plan, bound_usd_per_hour=plan.objective_usd_per_hour + 5.0),
    ]


def returns(value: Any) -> Callable[..., Any]:
    return lambda *_, **__: value


def raises(error: Exception) -> Callable[..., Any]:
    def call(*_: Any, **__: Any) -> Any:
        raise error

    return call


STEPS = {"MIP": "solve_fleet_mip", "rounded LP": "round_fluid", "greedy": "solve_greedy"}
ERRORS = [
    SolverTroubleError("SCIP found no solution (no_solution_found, time limit)"),
    SolverTroubleError("SCIP found no solution (infeasible)"),
    SolverTroubleError("SCIP found no solution (unbounded)"),
    ZeroDivisionError("in the solver"),
    MemoryError(),
]


@pytest.mark.parametrize("last", list(STEPS))
def test_every_failure_of_every_step_falls_through(last: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All steps up to ``last`` fail, in every way; the next one plans, or what runs is held."""
    asked = problem()
    good = solve_greedy(asked)
    failing = list(STEPS)[: list(STEPS).index(last) + 1]
    ways = [*map(raises, ERRORS), *map(returns, spoilt(good)), returns(None)]
    for way in ways:
        with monkeypatch.context() as patched:
            for name in failing:
                patched.setattr(fallback, STEPS[name], way)
            plan = plan_fleet(asked)
        assert plan.status == ("hold" if last == "greedy" else "fallback")
        assert all(f"{name} failed: " in plan.note for name in failing)
        assert plan.replicas.any()
        again = validate_plan(asked, plan.replicas, status=plan.status)
        assert again.objective_usd_per_hour == plan.objective_usd_per_hour
        assert asked.price_usd_per_hour @ plan.open_nodes <= 22.0


SAID = {
    "time limit": Solved("no_solution_found, time limit", None, -math.inf),
    "infeasible": Solved("infeasible", None, math.inf),
    "unbounded": Solved("unbounded", None, -math.inf),
    "not numbers": Solved("optimal", dict.fromkeys(range(99), math.nan), 1.0),
    "bound not a number": Solved("optimal", dict.fromkeys(range(99), 0.0), math.nan),
}


@pytest.mark.parametrize("said", SAID)
def test_what_a_solver_may_say_of_the_mip(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solvers, "from_result", returns(SAID[said]))
    with pytest.raises(SolverTroubleError, match=said.split()[0] if SAID[said].values is None else "not numbers"):
        solve_fleet_mip(problem())
    plan = plan_fleet(problem())
    assert plan.status == "fallback"
    assert plan.note.startswith("rounded LP, because MIP failed: SolverTroubleError: SCIP")


def test_wrong_numbers_of_a_solver_are_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replicas beyond the cluster: what can be placed of them is, and the objective is what that is worth."""
    monkeypatch.setattr(solvers, "from_result", returns(Solved("optimal", dict.fromkeys(range(99), 40.0), 0.0)))
    asked = problem()
    plan = plan_fleet(asked)
    assert asked.price_usd_per_hour @ plan.open_nodes <= 22.0
    assert plan.objective_usd_per_hour == asked.objective_usd_per_hour(plan.replicas, plan.open_nodes)


@pytest.mark.parametrize("status", ["infeasible", "unbounded", "no_solution_found", "optimal"])
def test_what_the_relaxation_may_say(status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shape = facts().throughput_rps.shape
    nan = np.full(shape, np.nan)
    said = FluidSolution(status, math.nan, nan, nan[0], nan[0], nan, nan[0])
    monkeypatch.setattr(FluidModel, "solve", returns(said))
    monkeypatch.setattr(fallback, "solve_fleet_mip", raises(SolverTroubleError("no luck")))
    plan = plan_fleet(problem())
    assert plan.note.startswith("greedy, because MIP failed: SolverTroubleError: no luck; rounded LP failed: Runtime")


def test_hold_sheds_what_the_budget_does_not_cover_lowest_priority_first() -> None:
    """Money for one of two accelerators' nodes: the service of the higher priority keeps all that it has."""
    asked = problem(demand_rps=np.array([1300.0, 700.0, 300.0]))
    for priority, whole in ((np.array([1, 0]), [2, 3]), (np.array([0, 1]), [])):
        short = replace(asked, budget_usd_per_hour=12.0, service_priority=priority)
        plan = hold(short, "nothing else")
        assert asked.price_usd_per_hour @ plan.open_nodes <= 12.0
        assert (plan.replicas <= NOW).all()
        assert (plan.replicas[whole] == NOW[whole]).all()
        lower = [0, 1] if priority[0] else [2, 3]
        assert plan.replicas[lower].sum() < NOW[lower].sum()
    assert hold(problem(), "all fits").replicas.tolist() == NOW.tolist()


def test_hold_drops_what_no_longer_fits() -> None:
    plan = hold(problem(node_count=np.array([1, 1])), "fewer nodes")
    assert plan.status == "hold"
    assert (plan.open_nodes <= 1).all()
    assert (plan.replicas <= NOW).all()


def crowded_with_a_reserve() -> FleetProblem:
    """Eight replicas that fit on three nodes largest sum of shares first, and not by their largest share."""
    share = np.array([[0.52, 0.26, 0.4], [0.2, 0.27, 0.32], [0.15, 0.26, 0.25], [0.18, 0.47, 0.38]])
    return FleetProblem(
        demand_rps=np.full(4, 1.0), stage_service=np.arange(4), variant_stage=np.arange(4),
        throughput_rps=np.ones((4, 1)), need=share[:, None], capacity=np.ones((1, 3)), node_count=np.array([3]),
        price_usd_per_hour=np.array([1.0]), replicas_now=np.array([[2], [1], [3], [2]]),
        churn_usd_per_hour=np.zeros((4, 1)), unserved_usd_per_request=0.01, reserve_rps=np.full(4, 0.1),
    )  # fmt: skip


def test_hold_keeps_what_first_fit_places_with_a_reserve_too() -> None:
    crowded = crowded_with_a_reserve()
    on = place_evenly(crowded, 0, crowded.replicas_now[:, 0], 3)
    assert on is not None
    assert on.sum(axis=0).tolist() == [2, 1, 3, 2]
    assert (on @ crowded.need[:, 0] <= 1.0 + 1e-9).all()
    assert hold(crowded, "no solver").replicas.tolist() == crowded.replicas_now.tolist()


def test_nodes_that_cost_nothing_are_kept_within_a_budget() -> None:
    """Free nodes are no way to save; of the others one is covered."""
    two = FleetProblem(
        demand_rps=np.array([100.0]), stage_service=np.array([0]), variant_stage=np.array([0]),
        throughput_rps=np.full((1, 2), 10.0), need=np.ones((1, 2, 1)), capacity=np.full((2, 1), 2.0),
        node_count=np.array([2, 5]), price_usd_per_hour=np.array([0.0, 1.0]), replicas_now=np.array([[4, 6]]),
        churn_usd_per_hour=np.zeros((1, 2)), unserved_usd_per_request=0.01, budget_usd_per_hour=1.5,
    )  # fmt: skip
    assert within_budget(two, two.replicas_now).tolist() == [[4, 2]]
    assert plan_fleet(two).replicas.tolist() == [[4, 2]]


def test_a_chain_of_one_step_falls_to_hold() -> None:
    plan = first_that_holds(problem(), (("mine", raises(RuntimeError("broken"))),))
    assert (plan.status, plan.note) == ("hold", "mine failed: RuntimeError: broken")


def test_cp_sat_is_never_given_a_continuous_variable() -> None:
    model = mathopt.Model()
    model.add_variable(lb=0.0)
    with pytest.raises(SolverTroubleError, match="silently make continuous variables whole"):
        solvers.solve_model(model, MipLimits(solver="cp_sat"), 1.0)


class Late(watchdog.Worker):
    """A worker whose process never answers."""

    def __init__(self) -> None:
        super().__init__(["sleep", "60"])
        self.is_ready = True


def test_a_solver_that_is_late_is_ended_and_the_next_step_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "_WORKER", None)
    monkeypatch.setattr(watchdog, "Worker", Late)
    monkeypatch.setattr(watchdog, "GRACE_S", 0.05)
    plan = plan_fleet(problem(), MipLimits(time_limit_s=0.01))
    assert plan.status == "fallback"
    assert "stopped 0.05 s after its limit of 0.01 s" in plan.note
    assert watchdog._WORKER is not None
    assert not watchdog._WORKER.is_alive


def test_a_process_that_dies_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = watchdog.Worker(["true"])
    monkeypatch.setattr(watchdog, "_WORKER", worker)
    monkeypatch.setattr(watchdog.Worker, "is_alive", property(lambda _: True))
    with pytest.raises(SolverTroubleError, match="the solver's process died"):
        solve_fleet_mip(problem(), MipLimits(time_limit_s=5.0))


def test_within_its_limit_the_watched_process_answers_as_the_solver_does() -> None:
    asked = problem()
    free = solve_fleet_mip(asked, MipLimits())
    for solver in ("scip", "highs"):
        watched = solve_fleet_mip(asked, MipLimits(time_limit_s=60.0, solver=solver))
        assert watched.objective_usd_per_hour == pytest.approx(free.objective_usd_per_hour, rel=0.011)
