"""500 random tiny problems of each formulation against enumeration, and two solvers against each other."""

from __future__ import annotations

import numpy as np
import pytest

from optimizer.document_lp import DocumentLpResult, document_lp, least_allocation
from tests.optimizer.document_brute_force import Instances, feasible, gaps_of_squares, grid, optima, random_instances

NUMBER, SLOTS, TOP = 500, 4, 5
POINTS = grid(SLOTS, TOP)


def check_constraints(given: Instances, i: int, solved: DocumentLpResult, elastic: bool) -> None:
    """All constraints of instance ``i``, exactly, whatever the solver said."""
    allocation = solved.allocation
    one = Instances(**{k: None if v is None else v[i : i + 1] for k, v in vars(given).items()})
    assert feasible(one, allocation[None]).all()
    assert (allocation + (solved.shortfall if elastic else 0.0) >= given.demand[i]).all()


@pytest.mark.parametrize(
    ("objective", "solver", "elastic"),
    [("linear", "glop", False), ("linear", "glop", True), ("quadratic", "pdlp", False)],
)
def test_each_formulation_is_optimal(objective: str, solver: str, elastic: bool) -> None:
    rng = np.random.default_rng([20, len(objective), elastic])
    for half in range(2):
        given = random_instances(rng, NUMBER // 2)
        expected = optima(given, POINTS, 2 if objective == "quadratic" else 1, elastic)
        for i in range(NUMBER // 2):
            penalty = given.penalty[i] if elastic else None
            solved = document_lp(
                **given.arguments(i), objective=objective, solver=solver, elastic=elastic, penalty=penalty
            )
            if np.isinf(expected[i]):
                assert solved.status == "infeasible", (half, i)
                assert solved.short_slots
                continue
            assert solved.objective_value == pytest.approx(expected[i], rel=1e-6, abs=1e-6), (half, i)
            check_constraints(given, i, solved, elastic)
        assert np.isfinite(expected).sum() > 40
        assert np.isinf(expected).any() != elastic


def test_squares_in_whole_numbers_with_shortfalls() -> None:
    """Rows are independent: ten a solve, each judged by itself."""
    given = random_instances(np.random.default_rng(25), NUMBER)
    expected = optima(given, POINTS, 2, True)
    for start in range(0, NUMBER, 10):
        rows = slice(start, start + 10)
        solved = document_lp(
            **given.arguments(rows), objective="quadratic", elastic=True, penalty=given.penalty[rows], whole=True
        )
        assert solved.solver == "scip"
        value = (given.price[rows] * solved.waste**2 + given.penalty[rows] * solved.shortfall).sum(axis=1)
        np.testing.assert_allclose(value, expected[rows], atol=1e-6)
        assert (solved.allocation == np.rint(solved.allocation)).all()


@pytest.mark.parametrize(("elastic", "whole"), [(False, False), (True, False), (True, True)])
def test_cbc_on_500_at_once(elastic: bool, whole: bool) -> None:
    """Rows are independent, so CBC gets all that have a solution as one problem; a second solver agrees."""
    given = random_instances(np.random.default_rng(31), NUMBER)
    expected = optima(given, POINTS, 1, elastic)
    take = np.isfinite(expected)
    chosen = Instances(**{k: None if v is None else v[take] for k, v in vars(given).items()})
    arguments = chosen.arguments(slice(None))
    penalty = chosen.penalty if elastic else None
    solved, again = (
        document_lp(**arguments, elastic=elastic, penalty=penalty, whole=whole, solver=solver)
        for solver in ("cbc", "scip" if whole else "glop")
    )
    value = (chosen.price * solved.waste + (chosen.penalty * solved.shortfall if elastic else 0.0)).sum(axis=1)
    np.testing.assert_allclose(value, expected[take], atol=1e-5)
    assert solved.objective_value == pytest.approx(again.objective_value, rel=1e-6)


def test_squares_in_fractions_with_shortfalls() -> None:
    """Proved optimal by the tangent at the solution; SCIP finds the same optimum; whole numbers are no better."""
    given = random_instances(np.random.default_rng(41), NUMBER)
    form = {"objective": "quadratic", "elastic": True}
    solved = [document_lp(**given.arguments(i), **form, penalty=given.penalty[i]) for i in range(NUMBER)]
    assert {s.solver for s in solved} == {"pdlp"}
    value = np.array([s.objective_value for s in solved])
    waste, short = np.stack([s.waste for s in solved]), np.stack([s.shortfall for s in solved])
    gaps = gaps_of_squares(given, POINTS, waste, short)
    assert gaps.max() <= 1e-6 * max(1.0, value.max())
    assert (value <= optima(given, POINTS, 2, True) + 1e-6).all()
    assert (np.abs(waste - np.rint(waste)) > 1e-3).any()
    for i in range(0, NUMBER, 10):
        check_constraints(given, i, solved[i], True)
        other = document_lp(**given.arguments(i), **form, penalty=given.penalty[i], solver="scip")
        assert other.objective_value == pytest.approx(value[i], rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("objective", ["linear", "quadratic"])
def test_two_resources_on_one_budget(objective: str) -> None:
    """Whole numbers, two resources, two slots: 625 allocations of each instance."""
    rng = np.random.default_rng(51)
    points = grid(4, 4).reshape(-1, 2, 2)
    step = np.diff(points, axis=2)
    power = 2 if objective == "quadratic" else 1
    binding = 0
    for i in range(NUMBER):
        demand, price = rng.integers(0, 6, (2, 2)).astype(float), rng.integers(1, 4, (2, 2)).astype(float)
        penalty, budget = rng.integers(1, 20, (2, 2)).astype(float), rng.integers(4, 18, 2).astype(float)
        down, up = rng.choice([0.0, 1.0, np.inf], 2), rng.choice([1.0, np.inf], 2)
        solved = document_lp(
            demand, 4.0, objective=objective, ramp_down=down, ramp_up=up, price=price, elastic=True,
            penalty=penalty, budget=budget, whole=True, solver="scip",
        )  # fmt: skip
        kept = ((step >= -down[:, None]) & (step <= up[:, None])).all(axis=(1, 2))
        affordable = ((price * points).sum(axis=1) <= budget).all(axis=1)
        over = points - demand
        cost = (price * np.maximum(over, 0.0) ** power + penalty * np.maximum(-over, 0.0)).sum(axis=(1, 2))
        assert solved.objective_value == pytest.approx(cost[kept & affordable].min(), abs=1e-6), i
        assert ((price * solved.allocation).sum(axis=0) <= budget + 1e-9).all()
        binding += cost[kept].min() < cost[kept & affordable].min()
    assert binding > NUMBER // 10


@pytest.mark.parametrize(("objective", "pair"), [("linear", ("cbc", "glop")), ("quadratic", ("pdlp", "scip"))])
def test_two_solvers_find_the_same_optimum(objective: str, pair: tuple[str, str]) -> None:
    rng = np.random.default_rng(61)
    for _ in range(15):
        demand, price = rng.normal(500.0, 100.0, (2, 12)), rng.uniform(0.5, 2.0, (2, 12))
        options = {
            "ramp_down": 30.0,
            "ramp_up": 80.0,
            "elastic": True,
            "penalty": rng.uniform(1.0, 80.0),
            "price": price,
        }
        budget = (price * 560.0).sum(axis=0)
        one, other = (document_lp(demand, 620.0, objective=objective, solver=s, budget=budget, **options) for s in pair)
        assert one.objective_value == pytest.approx(other.objective_value, rel=1e-6)
        for found in (one, other):
            step = np.diff(found.allocation)
            assert (found.allocation <= 620.0).all()
            assert (step >= -30.0 - 1e-9).all()
            assert (step <= 80.0 + 1e-9).all()
            assert ((price * found.allocation).sum(axis=0) <= budget * (1.0 + 2e-6)).all()
        assert one.waste_linear > 0.0
        assert one.shortfall.any()


@pytest.mark.parametrize(("objective", "solver"), [("linear", "cbc"), ("linear", "glop"), ("quadratic", "pdlp")])
def test_both_objectives_have_the_closed_form_as_optimum(objective: str, solver: str) -> None:
    """At any prices and ramps; with the document's own constraints it is the running maximum."""
    rng = np.random.default_rng(71)
    for i in range(25):
        demand, price = rng.uniform(0.0, 900.0, (2, 10)), rng.uniform(0.1, 5.0, (2, 10))
        own = document_lp(demand, 900.0, objective=objective, solver=solver)
        np.testing.assert_allclose(own.allocation, np.maximum.accumulate(demand, axis=1), atol=1e-6 * 900)
        down, up = rng.uniform(0.0, 200.0, 2), rng.uniform(100.0, 400.0, 2)
        more = document_lp(
            demand,
            900.0,
            objective=objective,
            solver=solver,
            ramp_down=down,
            ramp_up=up,
            price=price,
            elastic=i % 2 > 0,
        )
        np.testing.assert_allclose(more.allocation, least_allocation(demand, down, None, up), atol=1e-6 * 900)
        power = 2 if objective == "quadratic" else 1
        expected = (price * (more.allocation - demand) ** power).sum()
        assert more.objective_value == pytest.approx(expected, rel=1e-6)
