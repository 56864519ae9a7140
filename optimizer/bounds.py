"""What no policy can undercut: a fluid lower bound on cost.

**Condition.** The bound of a run holds for every policy that, on this cluster and at these prices, serves
at least as many requests at each stage within the run, whatever the order, the delay and the batches,
provided that a replica's mean rate does not exceed ``best_throughput_rps`` (its most efficient batch,
always full, never idle). With service noise on, that rate is an expectation, so a short run with lucky
draws can in principle come in below; over many batches it does not. Requests whose candidates are fewer
than the stage's usual number take less work than the rate assumes; where a trace states such numbers, the
bound holds for the work and not for the count.

**Why.** Let ``X[v, n]`` be the replica-hours that the policy had and ``Y[n]`` the node-hours it paid. Each
replica was on a paid node, so at every instant ``sum_v need x <= capacity y``, and integrated ``sum_v need
X <= capacity Y``. At most ``count`` nodes were open, so ``Y <= count hours``. What stage ``s`` served is at
most ``3600 sum best X``. So ``(X, Y)`` is feasible for the linear programme, and its cost ``sum price Y``
is at least the optimum.

**Accuracy.** Where a stage names a metric, the bound is for policies that serve as many requests, as accurately
in the mean as this run did: ``sum best (accuracy - mean) X >= 0`` is added. The run itself satisfies it, with
what each variant served over its best rate in the place of ``X``. The floor is not added for its own sake: a
run that broke it is not held to it. Nor is a price on accuracy, which nobody pays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from optimizer.accuracy import floor_credit
from optimizer.fleet.fluid import FluidModel
from optimizer.fleet.problem import FleetProblem
from simulator.policy import FleetFacts

__all__ = [
    "FluidBound",
    "fluid_bound_usd",
    "gap",
    "problem_at_best",
    "standing_bound_usd",
]

ROUNDING = 1e-9
"""A mean accuracy that was measured is asked for less this much, lest its own rounding make it unattainable."""


@dataclass(frozen=True)
class FluidBound:
    """A lower bound on cost; see the module for the condition under which it holds.

    Attributes
    ----------
    usd
        The bound over the whole run; NaN unless ``status`` is ``optimal``.
    status
        ``optimal``; ``infeasible`` where even this ideal fleet could not serve as much.
    stage_usd_per_million
        ``[stage]`` marginal cost of a million more requests, USD.
    resource_usd_per_node_hour
        ``[node_type, resource]`` share of a node-hour's price that each resource carries; it binds where
        this is > 0.
    node_usd_per_hour
        ``[node_type]`` what one more node of the type would save, USD per hour.
    replica_hours, node_hours
        ``[variant, node_type]`` and ``[node_type]`` of the ideal fleet.
    """

    usd: float
    status: str
    stage_usd_per_million: np.ndarray
    resource_usd_per_node_hour: np.ndarray
    node_usd_per_hour: np.ndarray
    replica_hours: np.ndarray
    node_hours: np.ndarray


def fluid_bound_usd(
    facts: FleetFacts, served_requests: np.ndarray, duration_s: float, accuracy: np.ndarray | None = None
) -> FluidBound:
    """Least cost of serving so many requests at each stage within ``duration_s``, in any order.

    ``min sum price y`` over replica-hours ``x >= 0`` and node-hours ``0 <= y <= count hours`` subject to
    ``3600 sum best_throughput x >= served`` for each stage and ``sum_v need x <= capacity y`` for each node
    type and resource.

    Parameters
    ----------
    served_requests
        ``served_requests[stage]``, requests whose batch at that stage ended within the run.
    duration_s
        Length of the run, > 0.
    accuracy
        ``accuracy[stage]``, mean of what was served; NaN where it plays no part. The bound is then that of serving as
        many requests as accurately in the mean; without it, of serving them at all.

    Examples
    --------
    A fleet of 100 requests/s at its best that served 360,000 requests in an hour of 4 USD needed one
    node-hour; see ``tests/optimizer/test_bounds.py``.
    """
    hours = duration_s / 3600.0
    fluid = _model(facts, accuracy).solve(np.asarray(served_requests, dtype=np.float64) / duration_s)
    return FluidBound(
        usd=fluid.usd_per_hour * hours,
        status=fluid.status,
        stage_usd_per_million=fluid.stage_price_usd_per_hour_rps / 3600.0 * 1e6,
        resource_usd_per_node_hour=fluid.resource_price_usd_per_hour,
        node_usd_per_hour=fluid.node_price_usd_per_hour,
        replica_hours=fluid.replicas * hours,
        node_hours=fluid.nodes * hours,
    )


def standing_bound_usd(facts: FleetFacts, duration_s: float) -> float:
    """Least cost of the nodes that replicas which always stand (``facts.min_replicas``) occupy for ``duration_s``.

    Of each node type at least as many whole nodes as their claims on its scarcest resource fill. It holds where no node
    was lost meanwhile.
    """
    claimed = np.einsum("vn,vnr->nr", facts.min_replicas, facts.need)
    filled = np.divide(claimed, facts.capacity, out=np.zeros_like(claimed), where=facts.capacity > 0)
    nodes = np.ceil(filled.max(axis=1) - ROUNDING)
    return float(nodes @ facts.price_usd_per_hour) * duration_s / 3600.0


def gap(cost_usd: float, bound_usd: float) -> float:
    """``(cost - bound) / cost``: the part of the cost that the bound does not explain; NaN without cost."""
    return (cost_usd - bound_usd) / cost_usd if cost_usd > 0.0 else float("nan")


def problem_at_best(facts: FleetFacts, demand_rps: np.ndarray, unserved_usd_per_request: float = 0.0) -> FleetProblem:
    """The allocation problem of an empty fleet whose replicas all serve at their best throughput.

    Parameters
    ----------
    demand_rps
        ``[stage]`` requests/s.
    """
    nothing = np.zeros(facts.throughput_rps.shape)
    return FleetProblem(
        demand_rps=np.asarray(demand_rps, dtype=np.float64),
        stage_service=facts.stage_service,
        variant_stage=facts.variant_stage,
        throughput_rps=facts.best_throughput_rps,
        need=facts.need,
        capacity=facts.capacity,
        node_count=facts.node_count,
        price_usd_per_hour=facts.price_usd_per_hour,
        replicas_now=nothing.astype(np.int64),
        churn_usd_per_hour=nothing,
        unserved_usd_per_request=unserved_usd_per_request,
    )


def _model(facts: FleetFacts, accuracy: np.ndarray | None = None) -> FluidModel:
    problem = problem_at_best(facts, np.zeros(len(facts.stages)))
    if accuracy is not None:
        credit = floor_credit(facts, facts.best_throughput_rps, accuracy - ROUNDING)
        problem = replace(problem, floor_credit=credit)
    return FluidModel(problem, allow_unserved=False)
