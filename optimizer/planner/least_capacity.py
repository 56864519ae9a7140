"""What no static fleet can do with less: the least steady capacity with which an objective can be held at all.

An objective asks that a share ``q`` of a run's requests end within ``slo_s``. The other requests may all be late, and
at the worst moment of the day, so that a fleet below the peak can hold it. How far below: of the requests that arrive
in an interval of length ``L``, a stage with capacity ``c`` finishes at most ``c (L + slo_s)`` in time. So

    sum_t min(arrivals_t, c (L_t + slo_s)) >= q sum_t arrivals_t

is needed of each stage, and the least such ``c`` is a demand that every static fleet must be able to serve, by
whatever batches. A fleet is whole nodes with whole replicas: the MIP's bound at that demand and at the best throughput
of each replica holds for every static fleet that holds every objective; its relaxation lies below.

Conditions: the fleet does not change during the run; no result cache answers requests; a replica's mean rate does not
exceed ``best_throughput_rps`` (an expectation over service noise and request sizes, see `optimizer.bounds`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from optimizer.bounds import problem_at_best
from optimizer.fleet.fluid import FluidModel
from optimizer.fleet.mip import MipLimits, SolverTroubleError, solve_fleet_mip
from optimizer.fleet.plan import InvalidPlanError
from optimizer.fleet.problem import FleetProblem
from simulator.policy import FleetFacts

__all__ = ["StaticBound", "least_capacity_rps", "priced_to_serve", "static_bound"]

SMALLEST = 1e-4
LIMITS = MipLimits(gap=1e-4, nodes=5000, thorough=True)


@dataclass(frozen=True)
class StaticBound:
    """Lower bounds on the cost of every static fleet that holds every objective, USD per hour.

    Attributes
    ----------
    fluid_usd_per_hour, integer_usd_per_hour
        With divisible and with whole nodes and replicas; infinite where not even the whole cluster could.
    demand_rps
        ``[service]`` least capacity of each of its stages.
    """

    fluid_usd_per_hour: float
    integer_usd_per_hour: float
    demand_rps: np.ndarray


def least_capacity_rps(arrivals: np.ndarray, length_s: np.ndarray, slo_s: float, quantile: float) -> float:
    """The least ``c`` of the module's inequality, requests/s; 0 without arrivals.

    Parameters
    ----------
    arrivals, length_s
        ``[slot]`` requests and seconds.

    Examples
    --------
    >>> round(least_capacity_rps(np.array([100.0, 300.0]), np.array([10.0, 10.0]), 0.0, 0.75), 9)
    20.0
    """
    window_s = np.asarray(length_s, dtype=np.float64) + slo_s
    asked = quantile * float(np.sum(arrivals))
    if asked <= 0.0:
        return 0.0
    rate = np.asarray(arrivals, dtype=np.float64) / window_s
    order = np.argsort(rate, kind="stable")
    below = np.concatenate([[0.0], np.cumsum(np.asarray(arrivals, dtype=np.float64)[order])])
    above_s = np.concatenate([np.cumsum(window_s[order][::-1])[::-1], [0.0]])
    # Between two successive rates the left side is linear: what lies below, whole, and c for the rest of the time.
    at_rate = below[:-1] + rate[order] * above_s[:-1]
    k = int(np.searchsorted(at_rate, asked * (1.0 - 1e-12)))
    return float((asked - below[k]) / above_s[k])


def priced_to_serve(problem: FleetProblem) -> FleetProblem:
    """The problem at a penalty at which leaving a ten-thousandth of the smallest demand unserved costs the cluster.

    Demands below `SMALLEST` of the largest one count as that much: solvers cannot tell wider ranges apart.
    """
    cluster = float(np.dot(problem.price_usd_per_hour, problem.node_count))
    some = problem.required_rps[problem.required_rps > 0.0]
    smallest = max(some.min(), SMALLEST * some.max()) if len(some) else 0.0
    penalty = cluster / (0.36 * max(float(smallest), 1e-9))
    return replace(problem, unserved_usd_per_request=max(penalty, problem.unserved_usd_per_request))


def static_bound(facts: FleetFacts, demand_rps: np.ndarray) -> StaticBound:
    """Bounds for the least capacities ``demand_rps[service]``."""
    of_stage = np.asarray(demand_rps, dtype=np.float64)[facts.stage_service]
    problem = problem_at_best(facts, of_stage, facts.unserved_usd_per_request)
    fluid = FluidModel(problem, allow_unserved=False).solve()
    if fluid.status != "optimal":
        return StaticBound(np.inf, np.inf, demand_rps)
    try:
        bound = solve_fleet_mip(priced_to_serve(problem), LIMITS).bound_usd_per_hour or 0.0
    except (SolverTroubleError, InvalidPlanError):
        bound = 0.0
    return StaticBound(fluid.usd_per_hour, max(bound, fluid.usd_per_hour), demand_rps)
