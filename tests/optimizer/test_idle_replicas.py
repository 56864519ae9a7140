"""Replicas that no demand asks for and that are dearer to drain than to keep: every solver keeps them, and its bound
knows that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from optimizer.fleet.columns import solve_fleet_columns
from optimizer.fleet.mip import MipLimits, solve_fleet_mip
from optimizer.fleet.plan import FleetPlan
from optimizer.fleet.problem import FleetProblem
from tests.optimizer.brute_force import optimum

SOLVERS: dict[str, Callable[[FleetProblem], FleetPlan]] = {
    "columns": solve_fleet_columns,
    "scip": partial(solve_fleet_mip, limits=MipLimits(gap=0.0, thorough=True)),
    "highs": partial(solve_fleet_mip, limits=MipLimits(gap=0.0, thorough=True, solver="highs")),
    "cp_sat": partial(solve_fleet_mip, limits=MipLimits(gap=1e-3, thorough=True, solver="cp_sat")),
    "by_node": partial(solve_fleet_mip, limits=MipLimits(gap=0.0, thorough=True, by_node=True)),
}


def one_type(demand_rps: list[float], need: list[float], now: list[int], churn_usd_per_hour: float) -> FleetProblem:
    """Stages of one variant each on three nodes of 8 units at 1 USD/h."""
    stages = len(demand_rps)
    return FleetProblem(
        demand_rps=np.array(demand_rps), stage_service=np.arange(stages), variant_stage=np.arange(stages),
        throughput_rps=np.full((stages, 1), 10.0), need=np.array(need)[:, None, None], capacity=np.array([[8.0]]),
        node_count=np.array([3]), price_usd_per_hour=np.array([1.0]), replicas_now=np.array(now)[:, None],
        churn_usd_per_hour=np.full((stages, 1), churn_usd_per_hour), unserved_usd_per_request=0.01,
    )  # fmt: skip


CASES = {
    # One node holds the replica that is needed and two of the four that nobody needs: 1 + 2 x 0.2.
    "stage without demand": (one_type([10.0, 0.0], [4.0, 2.0], [1, 4], 0.2), 1.4),
    # All six that run fit on the one node that must be open.
    "limit on growth": (replace(one_type([10.0], [1.0], [6], 0.5), replica_limit=np.array([[6]])), 1.0),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("solver", SOLVERS)
def test_idle_replicas_are_kept_where_that_is_cheaper(solver: str, case: str) -> None:
    problem, true = CASES[case]
    assert optimum(problem) == pytest.approx(true)
    plan = SOLVERS[solver](problem)
    assert plan.bound_usd_per_hour is not None
    assert plan.bound_usd_per_hour <= true + 1e-6
    assert plan.objective_usd_per_hour == pytest.approx(true, abs=1e-6)
    assert plan.status == "optimal"
