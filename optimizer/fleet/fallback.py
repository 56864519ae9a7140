"""A plan whatever the solver does: MIP, then the rounded relaxation, then the greedy, then hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from optimizer.fleet.fluid import FluidModel
from optimizer.fleet.greedy import solve_greedy
from optimizer.fleet.mip import MipLimits, solve_fleet_mip
from optimizer.fleet.packing import first_fit
from optimizer.fleet.problem import FleetPlan, FleetProblem

__all__ = ["plan_fleet", "round_fluid"]


def plan_fleet(problem: FleetProblem, limits: MipLimits | None = None) -> FleetPlan:
    """The first of MIP, rounded LP, greedy and hold that yields a checked plan.

    What failed is said in the plan's note; a plan that is not the MIP's has status ``fallback`` or ``hold``.
    A solver may fail in ways of its own, so every exception of a step counts as its failure.
    """
    failures: list[str] = []
    for name, solve in (
        ("MIP", lambda: solve_fleet_mip(problem, limits)),
        ("rounded LP", lambda: round_fluid(problem)),
        ("greedy", lambda: solve_greedy(problem)),
    ):
        try:
            plan = solve()
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
    plan = solve_greedy(problem, start=np.floor(fluid.replicas + 1e-9).astype(np.int64))
    return replace(plan, bound_usd_per_hour=fluid.usd_per_hour, note="rounded LP")


def hold(problem: FleetProblem, reason: str) -> FleetPlan:
    """Keep what runs now."""
    replicas = np.asarray(problem.replicas_now, dtype=np.int64)
    packed = [first_fit(problem.share[:, n], replicas[:, n], int(c)) for n, c in enumerate(problem.node_count)]
    nodes = np.array([p.nodes for p in packed], dtype=np.int64)
    unserved = np.maximum(problem.required_rps - problem.served_rps(replicas), 0.0)
    value = problem.objective_usd_per_hour(replicas, nodes)
    return FleetPlan(replicas, nodes, unserved, "hold", value, None, reason)
