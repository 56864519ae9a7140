"""Tiny allocation problems of each form; all numbers are made up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from optimizer.fleet.problem import FleetProblem
from tests.optimizer.factory import tiny_problem

__all__ = ["FORMS", "with_accuracy", "with_budget", "with_idle", "with_limit", "with_priorities", "with_reserve_asked"]


def with_accuracy(problem: FleetProblem, rng: np.random.Generator) -> FleetProblem:
    """Random accuracies, floors that some variant reaches, and a price in half of the cases."""
    runs = problem.throughput_rps > 0.0
    accuracy = rng.uniform(0.6, 0.8, len(runs)).round(3)
    best = np.full(len(problem.demand_rps), -np.inf)
    np.maximum.at(best, problem.variant_stage, np.where(runs.any(axis=1), accuracy, -np.inf))
    floor = np.minimum(rng.uniform(0.6, 0.8, len(best)).round(3), best)
    above = np.where(np.isfinite(floor[problem.variant_stage]), accuracy - floor[problem.variant_stage], 0.0)
    lost = np.where(runs, rng.uniform(0.0, 3.0, (len(runs), 1)), 0.0)
    return replace(
        problem,
        floor_credit=np.where(runs, problem.throughput_rps * above[:, None], 0.0) if (above < 0).any() else None,
        lost_usd_per_hour=lost if rng.random() < 0.5 else None,
    )


def with_reserve_asked(problem: FleetProblem, rng: np.random.Generator) -> FleetProblem:
    """After the loss of a node all of the demand, or a part of it, or a little more."""
    return replace(problem, reserve_rps=problem.demand_rps * float(rng.choice([0.5, 1.0, 1.1])))


def with_budget(problem: FleetProblem, rng: np.random.Generator) -> FleetProblem:
    """Some part of what the whole cluster costs."""
    whole = float(np.dot(problem.price_usd_per_hour, problem.node_count))
    return replace(problem, budget_usd_per_hour=whole * float(rng.uniform(0.0, 0.8)))


def with_limit(problem: FleetProblem, rng: np.random.Generator) -> FleetProblem:
    """Some pairs may not grow, as where replicas found no room."""
    held = rng.random(problem.throughput_rps.shape) < 0.5
    return replace(problem, replica_limit=np.where(held, problem.replicas_now, 1000))


def with_idle(problem: FleetProblem, rng: np.random.Generator) -> FleetProblem:
    """The last of two stages has no demand, and small replicas worth the room left on a node but no node."""
    stages, shape = len(problem.demand_rps), problem.throughput_rps.shape
    is_idle = (problem.variant_stage == stages - 1)[:, None] & (stages > 1)
    now = np.where(is_idle, rng.integers(2, 6, shape), problem.replicas_now)
    return replace(
        problem,
        demand_rps=np.where(np.arange(stages) == max(1, stages - 1), 0.0, problem.demand_rps),
        need=np.where(is_idle[:, :, None], np.array([1.0, 0.0]), problem.need),
        replicas_now=now * (problem.throughput_rps > 0.0),
        churn_usd_per_hour=np.full(shape, float(rng.uniform(0.05, 0.4)) * float(problem.price_usd_per_hour.min())),
    )


def with_priorities(problem: FleetProblem, rng: np.random.Generator) -> FleetProblem:
    """Two services where there are two stages, in either order or alike; prices such that optima are not tied."""
    services = len(problem.demand_rps)
    return replace(
        problem,
        stage_service=np.arange(services),
        price_usd_per_hour=rng.uniform(1.0, 20.0, len(problem.node_count)),
        service_priority=rng.integers(0, 2, services),
        service_weight=rng.choice([0.5, 1.0, 3.0], services) if rng.random() < 0.5 else None,
    )


def _base(rng: np.random.Generator) -> FleetProblem:
    return tiny_problem(rng, churn=False)


def _all(rng: np.random.Generator) -> FleetProblem:
    problem = tiny_problem(rng)
    for add in (with_accuracy, with_priorities, with_reserve_asked, with_budget):
        problem = add(problem, rng)
    return problem


FORMS: dict[str, Callable[[np.random.Generator], FleetProblem]] = {
    "base": _base,
    "churn": tiny_problem,
    "idle": lambda rng: with_idle(tiny_problem(rng), rng),
    "limit": lambda rng: with_limit(tiny_problem(rng), rng),
    "accuracy": lambda rng: with_accuracy(tiny_problem(rng), rng),
    "reserve": lambda rng: with_reserve_asked(tiny_problem(rng), rng),
    "priorities": lambda rng: with_priorities(tiny_problem(rng), rng),
    "budget": lambda rng: with_budget(tiny_problem(rng), rng),
    "all": _all,
}
"""From a generator to a problem of the form."""
