"""The first decision of a horizon's plan, placed and checked; else the plan of the instant, by the fallback chain."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from optimizer.fleet.fallback import plan_fleet
from optimizer.fleet.mip import MipLimits
from optimizer.fleet.packing import first_fit
from optimizer.fleet.problem import FleetPlan, FleetProblem, validate_plan
from optimizer.horizon.model import HorizonLimits, HorizonModel
from optimizer.horizon.problem import HorizonProblem

__all__ = ["plan_horizon"]


def plan_horizon(problem: HorizonProblem, limits: HorizonLimits | None = None) -> FleetPlan:
    """What should run or start now.

    Where the solver finds nothing, or its answer fails the check, the demand that today's decision must cover is
    planned for as one instant: MIP, rounded relaxation, greedy, hold. The plan's note says so, and its status is then
    ``fallback`` or ``hold``.

    So it is, with the solver's own status, where the scenario asks for a reserve, a budget or priorities among
    services, which the horizon's model does not have.

    Returns
    -------
    FleetPlan
        Objective and bound are USD per hour in the mean of the horizon, as the model sees it.
    """
    limits = limits or HorizonLimits()
    now = problem.now
    if not (problem.required_rps > 0.0).any() and not now.replicas_now.any():
        nothing = np.zeros_like(now.replicas_now)
        return validate_plan(now, nothing, status="optimal", bound=0.0, note="no demand")
    unknown = _unknown_to_the_horizon(now)
    if unknown:
        plan = plan_fleet(now, MipLimits())
        said = f"planned as one instant, for the horizon knows no {' and no '.join(unknown)}"
        return replace(plan, note="; ".join(n for n in (said, plan.note) if n))
    try:
        answer = HorizonModel(problem, limits).solve()
        placed = now.brought_to_floor(_placed(now, answer.replicas))
        plan = validate_plan(now, placed, status="feasible")
    except Exception as error:
        plan = plan_fleet(now, MipLimits())
        status = "hold" if plan.status == "hold" else "fallback"
        cause = f"horizon failed: {type(error).__name__}: {error}"
        return replace(plan, status=status, note="; ".join(n for n in (cause, plan.note) if n))
    hours = float(problem.hours.sum())
    within = answer.usd - answer.bound_usd <= limits.gap * abs(answer.usd) + 1e-6
    crowded = "" if (placed == answer.replicas).all() else "what found no room is left out"
    return replace(
        plan,
        status="optimal" if within and not crowded else "feasible",
        objective_usd_per_hour=answer.usd / hours,
        bound_usd_per_hour=max(0.0, answer.bound_usd / hours),
        note=crowded,
    )


def _unknown_to_the_horizon(now: FleetProblem) -> list[str]:
    asked = {
        "reserve": now.reserve_rps is not None,
        "budget": bool(np.isfinite(now.budget_usd_per_hour)),
        "priorities": now.service_priority is not None,
    }
    return [name for name, is_asked in asked.items() if is_asked]


def _placed(now: FleetProblem, replicas: np.ndarray) -> np.ndarray:
    """Replicas for which there are nodes, first fit; more nodes than the model counted may be opened."""
    by_type = [first_fit(now.share[:, n], replicas[:, n], int(c)).placed for n, c in enumerate(now.node_count)]
    return np.stack(by_type, axis=1)
