"""The document's allocation problem: never shrink, never fall short, waste as little as possible.

For slots ``t`` with demand ``R_t`` choose allocations ``C_t``:

    minimise sum (C_t - R_t)^2   subject to   C_t >= R_t,   C_t >= C_{t-1} - ramp_down,   C_t <= capacity

with ``ramp_down = 0`` in the document (an allocation never falls). ``C_t >= R_t`` is its ``R_t / C_t <= 1``. Beyond
the document: ``C_t <= C_{t-1} + ramp_up``, capacities and prices ``p_t > 0`` that change from slot to slot (minimise
``sum p_t (C_t - R_t)^2``), several resources on one budget a slot (``sum_r p_rt C_rt <= budget_t``), whole numbers.

**The linear objective has the same optimum.** Let ``M`` be `least_allocation`: with ``ramp_down = 0``, no ramp_up and
no earlier allocation the running maximum of ``R``, in general ``M_t = max(R_s - ramp_down (t - s) for s <= t, R_s -
ramp_up (s - t) for s >= t)``. Every feasible ``C`` has ``C >= M``: from ``C_s >= R_s`` the ramps carry each term to
``t``. ``M`` itself keeps the ramps, so it is feasible as soon as anything is, that is if and only if ``M`` is within
every capacity and budget. Both ``sum p (C - R)`` and ``sum p (C - R)^2`` grow with every component of ``C >= R``, so
``M``, least in every component, is the one optimum of both, whatever the prices. So the linear programme is what PuLP
solves, and the squared waste is that of the same allocation; ``objective="quadratic"`` has a solver of quadratic
programmes (PDLP of OR-Tools) minimise the squares themselves, and a test finds ``M`` again.

**Elastic form.** ``C_t + S_t >= R_t`` with shortfalls ``S_t >= 0`` at ``penalty`` each: with waste ``W_t = C_t + S_t -
R_t >= 0`` minimise ``sum p W + penalty sum S`` or ``sum p W^2 + penalty sum S``. One more unit in slot ``t`` leaves the
waste of ``t`` as it is and raises that of the others by at most one each, so a penalty of ``sum p`` (the number of
slots where ``p = 1``), or ``2 max(R) sum p`` for squares, never trades demand for waste: the default. At a lower one
the two objectives choose differently.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from optimizer.document.envelopes import least_allocation
from optimizer.document.problem import ROUNDING, DocumentProblem, Table, document_problem
from optimizer.document.read_back import without_noise
from workloads.errors import InputError, RecfleetError

__all__ = ["SOLVERS", "DocumentLpResult", "document_lp", "least_allocation"]

SOLVERS = ("cbc", "glop", "scip", "pdlp")


@dataclass(frozen=True)
class DocumentLpResult:
    """Solution of the document's problem, in the unit of the demand.

    Attributes
    ----------
    status
        ``optimal``, or ``infeasible``: then ``allocation`` is NaN and ``shortfall`` says where capacity is
        missing.
    demand, allocation
        ``[slot]``, or ``[resource, slot]`` as given.
    waste
        ``allocation - (demand - shortfall)``, same shape.
    shortfall
        Demand beyond what was (elastic) or could be (infeasible: by capacity, ramps and the initial allocation)
        allocated, same shape; 0 elsewhere.
    capacity
        As given.
    objective
        ``linear`` or ``quadratic``.
    objective_value
        Of the allocation, at the prices and the penalty; NaN if infeasible.
    solver
        Which one solved it.
    over_budget
        ``[slot]`` money that the budget lacks in an infeasible problem; 0 elsewhere.
    """

    status: str
    demand: np.ndarray
    allocation: np.ndarray
    waste: np.ndarray
    shortfall: np.ndarray
    capacity: float | list[float] | np.ndarray
    objective: str = "linear"
    objective_value: float = math.nan
    solver: str = "cbc"
    over_budget: np.ndarray = field(default_factory=lambda: np.zeros(0))

    @property
    def waste_linear(self) -> float:
        """``sum (C_t - R_t)``; in elastic solutions ``sum (C_t + S_t - R_t)``."""
        return float(self.waste.sum())

    @property
    def waste_squared(self) -> float:
        """``sum (C_t - R_t)^2``, the document's objective, at this allocation."""
        return float((self.waste**2).sum())

    @property
    def short_slots(self) -> list[tuple[int, float]]:
        """Slots (of any resource) whose demand exceeds what can be allocated, and by how much."""
        short = self.shortfall if self.shortfall.ndim == 1 else self.shortfall.sum(axis=0)
        return [(int(t), float(short[t])) for t in np.flatnonzero(short > ROUNDING * self.demand.max(initial=0.0))]

    @property
    def dear_slots(self) -> list[tuple[int, float]]:
        """Slots whose demand costs more than the budget, and by how much; of infeasible problems."""
        return [(int(t), float(self.over_budget[t])) for t in np.flatnonzero(self.over_budget)]


def document_lp(
    demand: Table,
    capacity: Table,
    *,
    objective: str = "linear",
    ramp_down: Table = 0.0,
    ramp_up: Table = math.inf,
    elastic: bool = False,
    penalty: Table | None = None,
    initial: Table | None = None,
    price: Table = 1.0,
    budget: Table | None = None,
    whole: bool = False,
    solver: str | None = None,
) -> DocumentLpResult:
    """Solve the document's problem through PuLP (CBC) or OR-Tools (GLOP, SCIP, PDLP).

    Parameters
    ----------
    demand
        ``demand[slot]``, or ``demand[resource, slot]`` for several resources in one call (independent unless a
        budget ties them together); finite and >= 0.
    capacity
        Upper limit in the unit of demand: one number, one for each resource, or of the shape of ``demand``.
    objective
        ``linear`` or ``quadratic`` in the waste; only elastic or whole problems can tell them apart.
    ramp_down, ramp_up
        Most that an allocation may fall or rise from one slot to the next, one number or one for each resource;
        0 and infinity are the document's.
    elastic
        Allow shortfalls at ``penalty`` per unit and slot (by default: serve whatever can be served). Shapes as for
        ``capacity``.
    initial
        Allocation before the first slot, where there was one; one number or one for each resource.
    price
        Of one unit for one slot, > 0; shapes as for ``capacity``.
    budget
        Most that a slot's allocations may cost, one number or one for each slot.
    whole
        Allocate whole numbers.
    solver
        One of `SOLVERS`; by default ``cbc``, or for squares ``pdlp`` (``scip`` in whole numbers). SCIP meets the
        optimum of squares to about 1e-6, but allocations only to 1e-3 where the objective is flat.

    Raises
    ------
    InputError
        If an argument cannot be used, or the solver cannot solve this form.
    RecfleetError
        If the solver ends without an answer.

    Examples
    --------
    >>> solved = document_lp(np.array([300.0, 500.0, 400.0]), 600.0)
    >>> solved.status, [round(float(c), 3) for c in solved.allocation], round(solved.waste_squared, 3)
    ('optimal', [300.0, 500.0, 500.0], 10000.0)
    >>> document_lp(np.array([300.0, 650.0, 400.0]), 600.0).short_slots
    [(1, 50.0)]
    """
    problem = document_problem(
        demand,
        capacity,
        objective=objective,
        ramp_down=ramp_down,
        ramp_up=ramp_up,
        elastic=elastic,
        penalty=penalty,
        initial=initial,
        price=price,
        budget=budget,
        whole=whole,
    )
    name = _solver_for(problem, solver)
    given = np.asarray(demand, dtype=np.float64)
    solved = _solve(problem, name)
    if _is_infeasible(problem):
        return _infeasible(problem, given, capacity, name)
    if solved is None:
        raise RecfleetError(f"{name} finds no solution where the closed form has one; choose another solver")
    allocation = without_noise(problem, solved)
    waste, shortfall, value = judged(problem, allocation)
    allocation, waste, shortfall = (part.reshape(given.shape) for part in (allocation, waste, shortfall))
    nothing_over = np.zeros(given.shape[-1])
    return DocumentLpResult(
        "optimal", given, allocation, waste, shortfall, capacity, problem.objective, value, name, nothing_over
    )


def judged(problem: DocumentProblem, allocation: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Waste and shortfall ``[resource, slot]`` of an allocation, and its objective."""
    missing = problem.demand - allocation
    shortfall = np.where(missing > ROUNDING * problem.largest[:, None], missing, 0.0)
    waste = np.maximum(allocation - problem.demand, 0.0)
    with np.errstate(over="ignore"):
        worth = problem.price * (waste**2 if problem.objective == "quadratic" else waste)
        charge = 0.0 if problem.penalty is None else problem.penalty * shortfall
        return waste, shortfall, float((worth + charge).sum())


def _solver_for(problem: DocumentProblem, asked: str | None) -> str:
    quadratic, whole = problem.objective == "quadratic", problem.whole
    able = (
        ("scip",) if quadratic and whole else ("pdlp", "scip") if quadratic else ("cbc", "scip") if whole else SOLVERS
    )
    if asked is None:
        return able[0]
    if asked not in SOLVERS:
        raise InputError("solver", f"{asked!r} is unknown", f"choose one of {', '.join(SOLVERS)}")
    if asked not in able:
        form = f"a {problem.objective} objective" + (" in whole numbers" if whole else "")
        raise InputError("solver", f"{asked} does not solve {form}", f"choose one of {', '.join(able)}")
    return asked


def _solve(problem: DocumentProblem, solver: str) -> np.ndarray | None:
    if solver == "cbc":
        from optimizer.document.by_pulp import solve_by_pulp

        return solve_by_pulp(problem)
    from optimizer.document.by_mathopt import DocumentModel

    return DocumentModel(problem, solver).solve()


def _is_infeasible(problem: DocumentProblem) -> bool:
    """What the solver overlooks by its tolerance: demand that exceeds the capacity, or the budget, by less."""
    if problem.penalty is not None:
        return False
    return bool(problem.uncoverable.any() or problem.over_budget.any())


def _infeasible(problem: DocumentProblem, given: np.ndarray, capacity: Table, solver: str) -> DocumentLpResult:
    shortfall = problem.uncoverable.reshape(given.shape)
    nan = np.full(given.shape, np.nan)
    return DocumentLpResult(
        "infeasible", given, nan, nan, shortfall, capacity, problem.objective, math.nan, solver, problem.over_budget
    )
