"""The document's problem: closed form, feasibility, both objectives, the elastic form."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.document_lp import document_lp, least_allocation
from optimizer.worked_case import CAPACITY, SLOTS, feasibility_probability, worked_case_demand
from workloads.errors import InputError

demands = st.lists(st.floats(0.0, 1000.0), min_size=1, max_size=12).map(np.array)


@settings(max_examples=25, deadline=None)
@given(demands)
def test_optimum_is_the_running_maximum(demand: np.ndarray) -> None:
    solved = document_lp(demand, 1000.0)
    assert solved.status == "optimal"
    np.testing.assert_allclose(solved.allocation, np.maximum.accumulate(demand), atol=1e-5 * 1000)


def test_the_allocation_is_free_of_the_solvers_tolerance() -> None:
    demand = np.array([100.0, 250.0, 300.0, 120.0])
    solved = document_lp(demand, 600.0)
    assert solved.allocation.tolist() == [100.0, 250.0, 300.0, 300.0]
    assert [str(w) for w in solved.waste] == ["0.0", "0.0", "0.0", "180.0"]
    assert solved.shortfall.tolist() == [0.0] * 4


@settings(max_examples=40, deadline=None)
@given(demands, st.floats(0.0, 300.0), st.floats(50.0, 1000.0), st.booleans())
def test_every_constraint_is_kept_exactly(demand: np.ndarray, ramp_down: float, capacity: float, elastic: bool) -> None:
    solved = document_lp(demand, capacity, ramp_down=ramp_down, elastic=elastic)
    if solved.status != "optimal":
        assert demand.max() > capacity
        return
    covered = solved.shortfall == 0.0
    assert (solved.allocation[covered] >= demand[covered] * (1.0 - 1e-12)).all()
    assert (solved.allocation <= capacity).all()
    assert (solved.allocation[1:] >= solved.allocation[:-1] - ramp_down).all()
    assert not np.signbit(solved.waste).any()
    assert not np.signbit(solved.shortfall).any()


@settings(max_examples=25, deadline=None)
@given(demands, st.floats(0.0, 300.0), st.none() | st.floats(0.0, 900.0))
def test_optimum_with_ramp_down_is_the_least_allocation(
    demand: np.ndarray, ramp_down: float, initial: float | None
) -> None:
    solved = document_lp(demand, 1000.0, ramp_down=ramp_down, initial=initial)
    level = -np.inf if initial is None else initial
    expected = [level := max(need, level - ramp_down) for need in demand]
    np.testing.assert_allclose(solved.allocation, expected, atol=1e-5 * 1000)
    np.testing.assert_allclose(least_allocation(demand, ramp_down, initial), expected, atol=1e-9)


def test_squared_objective_has_the_same_optimum() -> None:
    """A general convex solver on the squared objective finds the allocation that the linear programme finds."""
    from scipy.optimize import LinearConstraint, minimize

    rng = np.random.default_rng(3)
    for ramp_down in (0.0, 40.0):
        demand = rng.uniform(100.0, 900.0, 8)
        step = np.eye(8)[1:] - np.eye(8)[:-1]
        squared = minimize(
            lambda c, r=demand: ((c - r) ** 2).sum() / 1e4,
            np.full(8, 1000.0),
            jac=lambda c, r=demand: 2.0 * (c - r) / 1e4,
            constraints=[LinearConstraint(step, -ramp_down, np.inf)],
            bounds=[(r, 1000.0) for r in demand],
            method="SLSQP",
            options={"ftol": 1e-14, "maxiter": 500},
        )
        solved = document_lp(demand, 1000.0, ramp_down=ramp_down)
        np.testing.assert_allclose(solved.allocation, squared.x, atol=0.05)
        assert solved.waste_squared == pytest.approx(squared.fun * 1e4, rel=1e-4)


def test_cutting_the_slots_changes_nothing() -> None:
    demand = np.random.default_rng(5).uniform(0.0, 800.0, 20)
    whole = document_lp(demand, 1000.0, ramp_down=25.0).allocation
    first = document_lp(demand[:7], 1000.0, ramp_down=25.0).allocation
    rest = document_lp(demand[7:], 1000.0, ramp_down=25.0, initial=first[-1]).allocation
    np.testing.assert_allclose(np.concatenate([first, rest]), whole, atol=1e-2)


def test_several_items_are_independent() -> None:
    demand = np.random.default_rng(6).uniform(0.0, 500.0, (3, 6))
    together = document_lp(demand, np.array([500.0, 600.0, 700.0]))
    for row, allocation in zip(demand, together.allocation):
        np.testing.assert_allclose(allocation, np.maximum.accumulate(row), atol=1e-2)


def test_infeasible_names_the_short_slots() -> None:
    solved = document_lp(np.array([500.0, 650.0, 600.0, 601.5]), 600.0)
    assert solved.status == "infeasible"
    assert [slot for slot, _ in solved.short_slots] == [1, 3]
    assert [by for _, by in solved.short_slots] == pytest.approx([50.0, 1.5])
    assert np.isnan(solved.allocation).all()


def test_a_demand_beyond_the_capacity_by_less_than_any_tolerance_is_named() -> None:
    solved = document_lp(np.array([500.0, 600.0000001]), 600.0)
    assert solved.status == "infeasible"
    assert [slot for slot, _ in solved.short_slots] == [1]


def test_sums_of_ramps_that_round_are_not_infeasible() -> None:
    rng = np.random.default_rng(8)
    for _ in range(30):
        up, start = rng.uniform(0.01, 0.3, 2).round(2)
        demand = np.array([start + k * up for k in range(1, 8)])
        solved = document_lp(demand, 100.0, ramp_up=up, initial=start, solver="glop")
        assert solved.status == "optimal"
        np.testing.assert_allclose(solved.allocation, demand, rtol=1e-12)
        back = document_lp(demand[::-1] - start, [9.0] * 7, ramp_down=up, initial=8.0 * up, solver="glop")
        assert back.status == "optimal"
        assert not back.short_slots


def test_ramps_and_falling_capacity_name_the_slot_that_they_leave_short() -> None:
    demand = np.array([1.0, 9.0, 1.0, 1.0])
    assert document_lp(demand, 10.0, ramp_up=3.0, initial=1.0).short_slots == [(1, 2.0)]
    assert document_lp(demand, [10.0, 10.0, 10.0, 4.0], ramp_down=2.0).short_slots == [(1, 1.0)]
    served = document_lp(demand, 10.0, ramp_up=3.0, initial=1.0, elastic=True)
    assert served.allocation.tolist() == [4.0, 7.0, 7.0, 7.0]
    assert served.shortfall.tolist() == [0.0, 2.0, 0.0, 0.0]


@settings(max_examples=20, deadline=None)
@given(demands, st.floats(50.0, 1000.0))
def test_elastic_serves_all_that_capacity_allows(demand: np.ndarray, capacity: float) -> None:
    solved = document_lp(demand, capacity, elastic=True)
    assert solved.status == "optimal"
    expected = np.maximum.accumulate(np.minimum(demand, capacity))
    np.testing.assert_allclose(solved.allocation, expected, atol=1e-5 * 1000)
    np.testing.assert_allclose(solved.shortfall, np.maximum(demand - capacity, 0.0), atol=1e-5 * 1000)


@pytest.mark.parametrize("size", [2.2e-309, 1e-30, 1e-3, 1.0, 1e12, 1e200])
def test_any_scale_of_numbers(size: float) -> None:
    demand = np.array([3.0, 5.0, 1.0, 4.0]) * size
    solved = document_lp(demand, 50.0 * max(size, 1.0), ramp_down=2.0 * size, initial=4.0 * size)
    np.testing.assert_allclose(solved.allocation / size, [3.0, 5.0, 3.0, 4.0], atol=1e-5)


@pytest.mark.parametrize("size", [1e-30, 1e-7, 1.0, 1e12])
@pytest.mark.parametrize("elastic", [True, False])
def test_shortfalls_are_told_at_any_scale(size: float, elastic: bool) -> None:
    solved = document_lp(np.array([3.0, 6.5, 4.0]) * size, 6.0 * size, elastic=elastic)
    assert [slot for slot, _ in solved.short_slots] == [1]
    np.testing.assert_allclose(solved.shortfall / size, [0.0, 0.5, 0.0], atol=1e-5)
    if elastic:
        np.testing.assert_allclose(solved.waste / size, [0.0, 0.0, 2.0], atol=1e-5)


def test_items_of_very_different_size_are_solved_alike() -> None:
    demand = np.array([[3.0, 6.5, 4.0], [3e9, 6.5e9, 4e9]])
    solved = document_lp(demand, np.array([6.0, 6e9]), elastic=True)
    np.testing.assert_allclose(solved.allocation[0], [3.0, 6.0, 6.0], atol=1e-4)
    np.testing.assert_allclose(solved.shortfall[0], [0.0, 0.5, 0.0], atol=1e-4)


def test_a_small_penalty_prefers_a_shortfall_to_lasting_waste() -> None:
    """A peak in the first of ten slots: allocating it wastes nine times over, leaving it short costs the penalty."""
    demand = np.array([100.0] + [10.0] * 9)
    assert document_lp(demand, 200.0, elastic=True, penalty=3.0).allocation[0] == pytest.approx(10.0, abs=1e-3)
    assert document_lp(demand, 200.0, elastic=True, penalty=9.5).allocation[0] == pytest.approx(100.0, abs=1e-3)


def test_worked_case_feasibility_is_phi_of_one_to_the_24th() -> None:
    exact = feasibility_probability()
    assert exact == pytest.approx(0.8413447460685429**24, rel=1e-12)
    assert 1.0 / exact == pytest.approx(63.2, abs=0.1)
    rng = np.random.default_rng(11)
    draws = 40_000
    feasible = (rng.normal(500.0, 100.0, (draws, SLOTS)).max(axis=1) <= CAPACITY).mean()
    assert abs(feasible - exact) < 4.0 * np.sqrt(exact * (1.0 - exact) / draws)


def test_solver_agrees_on_which_draws_are_feasible() -> None:
    rng = np.random.default_rng(12)
    draws = [worked_case_demand(rng, slots=4) for _ in range(20)]
    answers = [document_lp(d, CAPACITY).status == "optimal" for d in draws]
    assert answers == [bool(d.max() <= CAPACITY) for d in draws]
    assert any(answers)
    assert not all(answers)


@pytest.mark.parametrize(
    ("demand", "capacity", "options"),
    [
        ([], 1.0, {}),
        ([np.nan], 1.0, {}),
        ([-1.0], 1.0, {}),
        ([1.0], -1.0, {}),
        ([1.0], 1.0, {"ramp_down": -1.0}),
        ([1.0], 1.0, {"elastic": True, "penalty": 0.0}),
        ([1.0], 1.0, {"initial": 5.0}),
        ([[1.0, 2.0], [3.0]], 1.0, {}),
        ([1.0, 2.0, 3.0], [1.0, 2.0], {}),
        ([1.0], 1.0, {"penalty": 1.0}),
        ([1.0], 1.0, {"ramp_down": [1.0, 2.0]}),
    ],
)
def test_wrong_numbers_are_refused(demand: list[float], capacity: float, options: dict[str, float]) -> None:
    with pytest.raises(InputError, match=r"demand|capacity|ramp_down|penalty"):
        document_lp(demand, capacity, **options)  # type: ignore[arg-type]
