"""Who is served first where not all fits: classes of priority, one after the other.

Weights on what is unserved cannot promise an order: the last replica of a high class may serve one request/s more, and
the room that it takes hundreds of a low one. So classes are planned one after the other. Class ``p`` is planned as if
lower ones did not exist; what its services then leave unserved is a limit that all later plans keep
(`FleetProblem.unserved_limit_rps`). In words: *no service is served worse because of one of lower priority*. What a
class leaves unserved because serving it costs more than the penalty stays unserved, as without classes.

Most of the time all fits. Then the plan of all services at once leaves nothing unserved but in the lowest class, so it
keeps every limit there could be, and no further plan is made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from optimizer.fleet.plan import FleetPlan, validate_plan
from optimizer.fleet.problem import FleetProblem

__all__ = ["by_priority", "of_classes"]

Solve = Callable[[FleetProblem, np.ndarray | None], FleetPlan]
"""From a problem without classes, and replicas ``[variant, node_type]`` that keep its limits, to a plan."""


def by_priority(problem: FleetProblem, solve: Solve, start: np.ndarray | None = None) -> FleetPlan:
    """The plan of the lowest class, within what all higher ones were given.

    ``solve`` is called once where all fits, else once more for each class. A class for which it finds nothing that
    keeps the limits gets nothing: the plan of the classes before it stands.
    """
    priority = problem.service_priority
    plain = replace(problem, service_priority=None)
    if priority is None:
        return solve(plain, start)
    asked = np.zeros(problem.services, dtype=bool)
    asked[problem.stage_service[problem.required_rps > 0.0]] = True
    of = np.asarray(priority)[: problem.services]
    classes = np.unique(of[asked])
    whole = solve(plain, start)
    if len(classes) <= 1 or not (_unserved(plain, whole)[asked & (of < classes[-1])] > 1e-9).any():
        return whole
    limit = plain.unserved_limit.copy()
    found: FleetPlan | None = None
    for level in classes:
        taken = of <= level if level < classes[-1] else np.ones(problem.services, dtype=bool)
        part = replace(of_classes(plain, taken), unserved_limit_rps=limit.copy())
        try:
            found = solve(part, None if found is None else found.replicas)
        except RuntimeError as error:
            if found is None:
                raise
            note = f"priority {level} is left out: {error}"
            found = validate_plan(part, found.replicas, status="feasible", note=note, on_nodes=found.on_nodes)
        mine = asked & (of == level)
        limit[mine] = np.minimum(limit[mine], _unserved(part, found)[mine])
    assert found is not None
    return replace(found, note="; ".join(text for text in (found.note, "by priority") if text))


def of_classes(problem: FleetProblem, taken: np.ndarray) -> FleetProblem:
    """The problem of the services with ``taken[service]`` alone: the others ask for nothing and have nothing."""
    stage = taken[problem.stage_service]
    if stage.all():
        return problem
    pair = stage[problem.variant_stage][:, None]
    return replace(
        problem,
        demand_rps=np.where(stage, problem.demand_rps, 0.0),
        reserve_rps=None if problem.reserve_rps is None else np.where(stage, problem.reserve_rps, 0.0),
        throughput_rps=np.where(pair, problem.throughput_rps, 0.0),
        replicas_now=np.where(pair, problem.replicas_now, 0),
    )


def _unserved(problem: FleetProblem, plan: FleetPlan) -> np.ndarray:
    return problem.unserved_by_service_rps(plan.replicas, plan.lost_rps)
