"""Whole covers on whole nodes: the integer programme over a pool's best covers, by SCIP, and its placement.

The programme is the master with whole weights and nodes. Where first fit needs more nodes of a type than it counted,
the type's rows are tightened and the stages that use it choose again, while the others keep their covers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from ortools.math_opt.python import mathopt
from scipy import sparse

from optimizer.fleet.blocks import Rows
from optimizer.fleet.master import CoverPool
from optimizer.fleet.packing import first_fit, seated
from optimizer.fleet.plan import FleetPlan, validate_plan
from optimizer.fleet.problem import FleetProblem
from optimizer.fleet.tight_packing import pack_tightly

__all__ = ["Choice", "Rounding", "best_placed", "place"]

STEP = 0.6
"""By how much of the excess of first fit a type's rows are tightened: a mix with fewer conflicts needs less."""


@dataclass(frozen=True)
class Choice:
    """One cover for each stage, the nodes that the model counted, and the model's bound."""

    covers: np.ndarray
    nodes: np.ndarray
    bound_usd_per_hour: float


@dataclass(frozen=True)
class Rounding:
    """How the integer programme is solved.

    Attributes
    ----------
    gap_usd_per_hour
        Absolute gap at which SCIP stops.
    nodes
        Its branch-and-bound nodes at most.
    left_s
        Seconds left on the wall clock, if that is guarded.
    """

    gap_usd_per_hour: float
    nodes: int
    left_s: Callable[[], float | None]

    def parameters(self) -> mathopt.SolveParameters:
        """Parameters of MathOpt: one thread, fixed seed."""
        left = self.left_s()
        return mathopt.SolveParameters(
            threads=1,
            random_seed=1,
            relative_gap_tolerance=0.0,
            absolute_gap_tolerance=self.gap_usd_per_hour,
            node_limit=self.nodes,
            time_limit=None if left is None else timedelta(seconds=max(0.01, left)),
        )


def choose_covers(
    problem: FleetProblem,
    pool: CoverPool,
    rows: Rows,
    allowed: np.ndarray,
    rounding: Rounding,
    *,
    tightness: np.ndarray,
    hint: np.ndarray | None = None,
    fixed: np.ndarray | None = None,
) -> Choice | None:
    """The best covers among those allowed; None if SCIP found none.

    Parameters
    ----------
    allowed
        Numbers of covers in the pool, at least one for each stage but those of ``fixed``.
    tightness
        ``[node_type]`` part of a node that the rows may use.
    hint
        A cover for each stage to begin with.
    fixed
        Covers of stages that are not to be changed.
    """
    fixed = np.zeros(0, dtype=np.int64) if fixed is None else fixed
    model = mathopt.Model(name="covers")
    nodes = [model.add_integer_variable(lb=0.0, ub=float(count)) for count in problem.node_count]
    pick = [model.add_binary_variable() for _ in allowed]
    cost = [float(price) * node for price, node in zip(problem.price_usd_per_hour, nodes)]
    cost += [float(pool.cost[cover]) * v for cover, v in zip(allowed, pick) if pool.cost[cover]]
    _one_cover_each(model, pool, allowed, pick)
    _rows_fit(model, pool, rows, allowed, pick, nodes, tightness, fixed)
    cost += _shared_shortage(model, problem, pool, allowed, pick, fixed)
    cost.append(float(pool.cost[fixed].sum()) + 0.0 * nodes[0])
    model.minimize(mathopt.fast_sum(cost))
    hints = []
    if hint is not None:
        wanted = set(hint.tolist())
        values = {v: float(cover in wanted) for cover, v in zip(allowed.tolist(), pick)}
        hints = [mathopt.SolutionHint(variable_values=values)]
    result = mathopt.solve(
        model,
        mathopt.SolverType.GSCIP,
        params=rounding.parameters(),
        model_params=mathopt.ModelSolveParameters(solution_hints=hints),
    )
    if not result.has_primal_feasible_solution():
        return None
    taken = np.array(result.variable_values(pick)) > 0.5
    counted = np.round(result.variable_values(nodes)).astype(np.int64)
    covers = np.concatenate([allowed[taken], fixed])
    covers = covers[np.argsort(pool.stage[covers])]
    return Choice(covers, counted, float(result.termination.objective_bounds.dual_bound))


def _one_cover_each(model: mathopt.Model, pool: CoverPool, allowed: np.ndarray, pick: list[mathopt.Variable]) -> None:
    by_stage: dict[int, list[mathopt.Variable]] = {}
    for cover, v in zip(allowed, pick):
        by_stage.setdefault(int(pool.stage[cover]), []).append(v)
    for group in by_stage.values():
        model.add_linear_constraint(mathopt.fast_sum(group) == 1.0)


def _rows_fit(
    model: mathopt.Model,
    pool: CoverPool,
    rows: Rows,
    allowed: np.ndarray,
    pick: list[mathopt.Variable],
    nodes: list[mathopt.Variable],
    tightness: np.ndarray,
    fixed: np.ndarray,
) -> None:
    taken: np.ndarray = np.asarray(pool.claim[fixed].sum(axis=0)).ravel()
    claims = sparse.csc_array(pool.claim[allowed])
    for row, node_type in enumerate(rows.node_type):
        begin, end = claims.indptr[row], claims.indptr[row + 1]
        if begin == end and taken[row] == 0.0:
            continue
        room = model.add_linear_constraint(ub=-float(taken[row]))
        room.set_coefficient(nodes[node_type], -float(tightness[node_type]))
        for index, claim in zip(claims.indices[begin:end].tolist(), claims.data[begin:end].tolist()):
            room.set_coefficient(pick[index], claim)


def _shared_shortage(
    model: mathopt.Model,
    problem: FleetProblem,
    pool: CoverPool,
    allowed: np.ndarray,
    pick: list[mathopt.Variable],
    fixed: np.ndarray,
) -> list[mathopt.LinearTerm]:
    """Rows of services of several stages: what is unserved is the largest of their shortages."""
    largest = float(problem.required_rps.max(initial=0.0)) or 1.0
    unserved: dict[int, mathopt.Variable] = {}
    rows: dict[int, mathopt.LinearConstraint] = {}
    least = np.zeros(len(problem.demand_rps))
    np.add.at(least, pool.stage[fixed], pool.shortage[fixed])
    for cover, v in [*zip(allowed.tolist(), pick), *((cover, None) for cover in fixed.tolist())]:
        stage = int(pool.stage[cover])
        if pool.alone[stage] or pool.shortage[cover] <= 0.0:
            continue
        service = int(problem.stage_service[stage])
        if service not in unserved:
            unserved[service] = model.add_variable(lb=0.0)
        if stage not in rows:
            rows[stage] = model.add_linear_constraint(ub=-float(least[stage]) / largest)
            rows[stage].set_coefficient(unserved[service], -1.0)
        if v is not None:
            rows[stage].set_coefficient(v, float(pool.shortage[cover]) / largest)
    return [float(problem.unserved_usd_per_hour_rps[service]) * largest * u for service, u in unserved.items()]


def best_placed(
    problem: FleetProblem,
    pool: CoverPool,
    rows: Rows,
    allowed: np.ndarray,
    rounding: Rounding,
    *,
    good_enough: Callable[[FleetPlan], bool],
    repairs: int,
    hint: np.ndarray | None = None,
) -> tuple[FleetPlan | None, float, np.ndarray]:
    """Choose, place, and tighten where the placement needs more nodes than counted.

    After the first time only the stages with replicas on tightened types choose anew; the others keep their covers.

    Returns
    -------
    tuple
        The best placed plan, the bound of the first model over the covers allowed, and the covers of the best plan.
    """
    tightness = np.ones(len(problem.node_count))
    best: FleetPlan | None = None
    bound, covers = -np.inf, np.zeros(0, dtype=np.int64)
    free, fixed = allowed, covers
    for attempt in range(1 + repairs):
        choice = choose_covers(problem, pool, rows, free, rounding, tightness=tightness, hint=hint, fixed=fixed)
        if choice is None:
            break
        bound = choice.bound_usd_per_hour if attempt == 0 else bound
        plan, crowded = place(problem, pool.replicas(choice.covers, problem.throughput_rps.shape), choice.nodes)
        if best is None or plan.objective_usd_per_hour < best.objective_usd_per_hour:
            best, covers = plan, choice.covers
        if not crowded.any() or good_enough(best):
            break
        excess = np.where(crowded, plan.open_nodes / np.maximum(choice.nodes, 1) - 1.0, 0.0)
        tightness = tightness / (1.0 + STEP * np.maximum(excess, 0.01 * crowded))
        hint = choice.covers
        there = _on_types(pool, rows, choice.covers, tightness < 1.0)
        fixed = choice.covers[~there]
        free = allowed[np.isin(pool.stage[allowed], pool.stage[choice.covers[there]])]
    return best, bound, covers


def _on_types(pool: CoverPool, rows: Rows, covers: np.ndarray, types: np.ndarray) -> np.ndarray:
    """``[cover]`` whether it claims something on one of the node types."""
    return np.asarray(pool.claim[covers] @ types[rows.node_type].astype(float)) > 0.0


def place(problem: FleetProblem, replicas: np.ndarray, nodes: np.ndarray) -> tuple[FleetPlan, np.ndarray]:
    """What finds room of the replicas as a checked plan, and ``[node_type]`` whether more than ``nodes`` are needed.

    Types on which first fit needs more than ``nodes`` are packed tightly; the plan then holds its placement.
    """
    placed = replicas.copy()
    crowded = np.zeros(len(nodes), dtype=bool)
    packed, tight = [], {}
    for n, count in enumerate(problem.node_count):
        packing = first_fit(problem.share[:, n], replicas[:, n], int(count))
        packed.append(packing)
        lacks = packing.complete < replicas[:, n].sum()
        if lacks or packing.nodes > nodes[n]:
            on = pack_tightly(problem.share[:, n], replicas[:, n], int(count))
            if on is not None and (lacks or len(on) < packing.nodes):
                tight[n] = on
        placed[:, n] = replicas[:, n] if n in tight else packing.placed
        crowded[n] = len(tight[n]) > nodes[n] if n in tight else lacks or packing.nodes > nodes[n]
    if not tight:
        return validate_plan(problem, placed, status="feasible"), crowded
    on_nodes = [tight[n] if n in tight else seated(problem.share[:, n], p) for n, p in enumerate(packed)]
    return validate_plan(problem, placed, status="feasible", on_nodes=on_nodes), crowded
