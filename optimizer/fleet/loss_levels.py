"""What one node may lose of a stage, as a choice among levels: rows of a model that counts nodes.

With a reserve a stage must serve ``reserve + loss``, where ``loss`` is the most that one node of the placement serves
of it. A node serves a sum of whole replicas' rates, so there are only so many losses. They are cut into levels
``(least, most)``; each stage chooses one, and has replicas of its own for each:

    sum throughput x[level] + u[level] >= (reserve + least) z[level]
    x[level] <= (what a node holds within ``most``) y          for each pair, and by rates for each node type
    unserved >= sum u + reserve (1 - sum z)

A small loss asks for many nodes, a large one for replicas beyond demand. In the linear relaxation a stage can mix
levels, but every part of it pays for one of both, which is what makes the bound strong: rows that a 0 or 1 switches
off (``loss >= throughput z``, ``x <= most z``) are nearly without effect there. Where levels are single losses the
model is exact, but for how replicas of different stages fit on nodes together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ortools.math_opt.python import mathopt

from optimizer.fleet.packing import per_node
from optimizer.fleet.problem import FleetProblem

if TYPE_CHECKING:
    from optimizer.fleet.counted import CountedModel

__all__ = ["Level", "level_rows", "loss_levels"]

MOST_LEVELS = 8
"""Levels of one stage at most, and at least `FEWEST_LEVELS`; between them as many as `MOST_VARIABLES` allow."""

FEWEST_LEVELS = 4

MOST_VARIABLES = 1500
"""Replicas' variables of all levels together, about."""

GRID = 48

MOST_SUMS = 2000
"""Losses of one node type that are listed; where there are more, `GRID` values even up to the largest stand for them,
and a level holds whatever lies between its ends."""


@dataclass(frozen=True)
class Level:
    """Losses from ``least_rps`` to ``most_rps``, and ``[variant, node_type]`` replicas a node holds within them."""

    least_rps: float
    most_rps: float
    quota: np.ndarray


def loss_levels(problem: FleetProblem, stage: int, upper: np.ndarray, most_levels: int = MOST_LEVELS) -> list[Level]:
    """Levels that hold every loss a placement of ``upper[variant, node_type]`` replicas can have, in rising order."""
    mine = problem.variant_stage == stage
    copies = np.where(mine[:, None], np.minimum(per_node(problem.share), upper), 0)
    rate = np.where(copies > 0, problem.throughput_rps, 0.0)
    listed = [_sums(rate[mine, n], copies[mine, n]) for n in range(copies.shape[1])]
    losses = np.unique(np.concatenate([sums for sums, _ in listed]).round(9))
    losses = losses[losses > 0.0]
    if losses.size == 0:
        return []
    complete = all(whole for _, whole in listed)
    breaks = _breaks(losses, float(np.asarray(problem.reserve_rps)[stage]), most_levels)
    levels, below = [], 0.0
    for most in breaks:
        inside = losses[(losses > below) & (losses <= most)]
        least = float(inside[0]) if complete else max(below, float(rate[rate > 0.0].min()))
        quota = np.floor(most / np.where(rate > 0.0, rate, np.inf) + 1e-6).astype(np.int64)
        levels.append(Level(least, float(most), np.minimum(quota, copies)))
        below = float(most)
    return [level for level in levels if level.quota.any()]


def _sums(rate: np.ndarray, copies: np.ndarray) -> tuple[np.ndarray, bool]:
    """All sums of whole replicas' rates on one node; a grid up to the largest, and False, where they are too many."""
    if np.prod(copies + 1.0) > MOST_SUMS:
        return np.linspace(0.0, float(rate @ copies), GRID), False
    sums = np.zeros(1)
    for each, most in zip(rate, copies):
        sums = np.unique((sums[:, None] + each * np.arange(most + 1)).ravel())
    return sums, True


def _breaks(losses: np.ndarray, reserve: float, most_levels: int) -> np.ndarray:
    """Upper ends of levels: all losses, or as many as allowed, even on the scale ``loss / (reserve + loss)``."""
    if len(losses) <= most_levels:
        return losses
    part = losses / (reserve + losses)
    wanted = np.linspace(part[0], part[-1], most_levels)
    return losses[np.unique(np.minimum(np.searchsorted(part, wanted - 1e-12), len(losses) - 1))]


def level_rows(counted: CountedModel, unserved: list[mathopt.Variable]) -> None:
    """Add the rows of all stages with a reserve; ``counted.loss`` holds their losses already."""
    problem = counted.problem
    pairs = max(1, sum(problem.variant_stage[v] in counted.loss for v, _ in counted.x))
    most_levels = int(np.clip(MOST_VARIABLES // pairs, FEWEST_LEVELS, MOST_LEVELS))
    for stage, loss in counted.loss.items():
        levels = loss_levels(problem, stage, counted.upper, most_levels)
        short = unserved[problem.stage_service[stage]]
        _rows_of_stage(counted, stage, levels, loss, short)


def _rows_of_stage(
    counted: CountedModel, stage: int, levels: list[Level], loss: mathopt.Variable, short: mathopt.Variable
) -> None:
    problem, model = counted.problem, counted.model
    assert problem.reserve_rps is not None
    reserve, required = float(problem.reserve_rps[stage]), float(problem.required_rps[stage])
    rate = problem.throughput_rps
    pairs = [p for p in counted.x if problem.variant_stage[p[0]] == stage]
    chosen = [model.add_integer_variable(lb=0.0, ub=1.0) for _ in levels]
    lacking = [counted.amount() for _ in levels]
    parts: dict[tuple[int, int], list[tuple[Level, mathopt.Variable]]] = {p: [] for p in pairs}
    for level, z, u in zip(levels, chosen, lacking):
        asked = max(required, reserve + level.least_rps)
        served = []
        for p in pairs:
            most = min(int(counted.upper[p]), int(level.quota[p]) * int(problem.node_count[p[1]]))
            if most > 0:
                x = model.add_integer_variable(lb=0.0, ub=float(most))
                model.add_linear_constraint(x <= float(most) * z)
                parts[p].append((level, x))
                served.append((float(rate[p]), x))
        counted.at_least([*served, (-asked, z)], [(1.0, u)], 0.0, asked)
    for p in pairs:
        model.add_linear_constraint(mathopt.fast_sum([1.0 * x for _, x in parts[p]]) == 1.0 * counted.x[p])
    model.add_linear_constraint(mathopt.fast_sum(chosen) <= 1.0)
    counted.at_least([(-level.least_rps, z) for level, z in zip(levels, chosen)], [(1.0, loss)], 0.0, counted.largest)
    counted.at_least([(level.most_rps, z) for level, z in zip(levels, chosen)], [(-1.0, loss)], 0.0, counted.largest)
    whole = max(required, reserve)
    counted.at_least([(whole, z) for z in chosen], [(1.0, short), *((-1.0, u) for u in lacking)], whole, whole)
    for n, node in enumerate(counted.y):
        here = [p for p in pairs if p[1] == n]
        for p in here:
            counted.within([(1.0 / level.quota[p], x) for level, x in parts[p]], 1.0, node)
        if len(here) > 1:
            both = [(float(rate[p]) / level.most_rps, x) for p in here for level, x in parts[p]]
            counted.within(both, 1.0, node)
