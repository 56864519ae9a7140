"""A plan whatever the solver does: MIP, then the rounded relaxation, then the greedy, then hold.

A step fails when it raises (out of limits without a solution, infeasible, unbounded, a defect), and when what it
returns does not pass the check in whole numbers: not whole, not a number, no placement, over the budget, below a floor.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from optimizer.fleet.columns import ColumnSolver
from optimizer.fleet.fluid import FluidModel
from optimizer.fleet.greedy import solve_greedy
from optimizer.fleet.mip import MipLimits, solve_fleet_mip
from optimizer.fleet.packing import first_fit
from optimizer.fleet.plan import FleetPlan, InvalidPlanError, validate_plan
from optimizer.fleet.problem import FleetProblem
from optimizer.fleet.repair import within_budget

__all__ = ["first_that_holds", "hold", "plan_fleet", "round_fluid"]

Step = tuple[str, Callable[[], FleetPlan]]
"""What a way of planning is called, and the call."""


def plan_fleet(
    problem: FleetProblem, limits: MipLimits | None = None, columns: ColumnSolver | None = None
) -> FleetPlan:
    """The first of MIP, rounded LP, greedy and hold that yields a checked plan; see `first_that_holds`.

    With ``columns``, which must support the problem, that comes before them.
    """
    first: tuple[Step, ...] = () if columns is None else (("columns", lambda: columns.solve(problem)),)
    return first_that_holds(
        problem,
        (
            *first,
            ("MIP", lambda: solve_fleet_mip(problem, limits)),
            ("rounded LP", lambda: round_fluid(problem)),
            ("greedy", lambda: solve_greedy(problem)),
        ),
    )


def first_that_holds(problem: FleetProblem, steps: Sequence[Step]) -> FleetPlan:
    """The plan of the first step whose plan passes the check; what runs now where none does.

    What failed is said in the plan's note; a plan that is not the first step's has status ``fallback`` or ``hold``.
    A solver may fail in ways of its own, so every exception of a step counts as its failure.
    """
    failures: list[str] = []
    for name, solve in steps:
        try:
            plan = _checked(problem, solve())
        except Exception as error:
            failures.append(f"{name} failed: {type(error).__name__}: {error}")
            continue
        if not failures:
            return plan
        return replace(plan, status="fallback", note=f"{name}, because {'; '.join(failures)}")
    return hold(problem, "; ".join(failures))


def round_fluid(problem: FleetProblem) -> FleetPlan:
    """The relaxation rounded down, completed by the greedy; carries the relaxation's bound."""
    fluid = FluidModel(problem).solve()
    if fluid.status != "optimal":
        raise RuntimeError(f"GLOP: {fluid.status}")
    if not (np.isfinite(fluid.replicas).all() and math.isfinite(fluid.usd_per_hour)):
        raise RuntimeError("GLOP: returned values that are not numbers")
    start = np.floor(fluid.replicas + 1e-9).astype(np.int64)
    if problem.replica_limit is not None:  # the relaxation knows no limit
        start = np.minimum(start, problem.replica_limit)
    plan = solve_greedy(problem, start=start)
    return replace(plan, bound_usd_per_hour=fluid.usd_per_hour, note="rounded LP")


def hold(problem: FleetProblem, reason: str) -> FleetPlan:
    """Keep what runs now, as far as it can be placed, keeps the accuracy floors and is within the budget."""
    runs = np.where(problem.throughput_rps > 0.0, np.asarray(problem.replicas_now, dtype=np.int64), 0)
    packed = [first_fit(problem.share[:, n], runs[:, n], int(c)) for n, c in enumerate(problem.node_count)]
    kept = np.stack([p.placed for p in packed], axis=1) if packed else runs
    kept = within_budget(problem, problem.brought_to_floor(kept))
    free = replace(problem, unserved_limit_rps=None)  # what runs is no worse for what it leaves unserved
    try:
        return validate_plan(free, kept, status="hold", note=reason)
    except InvalidPlanError as error:
        nothing = np.zeros_like(kept)
        return validate_plan(free, nothing, status="hold", note=f"{reason}; what runs cannot be held: {error}")


def _checked(problem: FleetProblem, plan: FleetPlan) -> FleetPlan:
    """The plan, if it is one in whole numbers and is worth what it says."""
    again = validate_plan(
        problem,
        plan.replicas,
        status=plan.status,
        bound=plan.bound_usd_per_hour,
        note=plan.note,
        on_nodes=plan.on_nodes,
    )
    scale = max(1.0, abs(again.objective_usd_per_hour))
    if not abs(plan.objective_usd_per_hour - again.objective_usd_per_hour) <= 1e-6 * scale:
        raise InvalidPlanError(
            f"objective {plan.objective_usd_per_hour:g} was stated, {again.objective_usd_per_hour:g} it is"
        )
    bound = plan.bound_usd_per_hour
    if bound is not None and bound > again.objective_usd_per_hour + 1e-4 * scale:
        raise InvalidPlanError(f"bound {bound:g} above the objective {again.objective_usd_per_hour:g}")
    return again
