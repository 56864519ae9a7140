"""The cheapest whole nodes whose replicas serve a demand: one instant, no start-up, nothing left unserved.

    min sum price y   subject to   sum rate x >= demand   for each stage
                                   the replicas x fit on the nodes y, y <= count, x >= standing
                                   sum credit x >= 0      for each stage with an accuracy floor

by OR-Tools (MathOpt with SCIP), with the cuts of `optimizer.fleet.packing`, which every real placement satisfies. The
solver's dual bound is a lower value; its replicas, placed first fit, an upper one. Both are checked here in whole
numbers, so that nothing rests on the solver's tolerance but the bound.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ortools.math_opt.python import mathopt

from optimizer import accuracy
from optimizer.accuracy import floor_credit
from optimizer.fleet.cards import node_shares
from optimizer.fleet.packing import first_fit, packing_cuts, per_node
from simulator.policy import FleetFacts

__all__ = ["SEARCH_NODES", "Answer", "Covering", "covering"]

SEARCH_NODES = 400
"""Branch-and-bound nodes of one solve: work is counted, not seconds, so that a value is the same on every machine."""

ROUNDING = 1e-9
"""Relative: a demand counts as served by a fleet whose rates, as summed here, reach it but for this much."""


@dataclass(frozen=True)
class Covering:
    """Data of the problem; see the module.

    Attributes
    ----------
    rate_rps
        ``[variant, node_type]`` requests/s of one replica; 0 where it cannot run.
    variant_stage
        ``[variant]``.
    share
        ``[variant, node_type, resource]`` part of a node that a replica claims.
    node_count, price_usd_per_hour
        ``[node_type]``.
    credit
        ``[variant, node_type]`` what a replica adds to its stage's mean accuracy over the floor; None without a floor.
    standing
        ``[variant, node_type]`` replicas that are there whatever is asked.
    """

    rate_rps: np.ndarray
    variant_stage: np.ndarray
    share: np.ndarray
    node_count: np.ndarray
    price_usd_per_hour: np.ndarray
    credit: np.ndarray | None
    standing: np.ndarray

    @property
    def all_nodes_usd_per_hour(self) -> float:
        """What the whole cluster costs."""
        return float(self.price_usd_per_hour @ self.node_count)

    def served_rps(self, replicas: np.ndarray) -> np.ndarray:
        """``[stage]``."""
        return np.bincount(
            self.variant_stage, (self.rate_rps * replicas).sum(axis=1), int(self.variant_stage.max()) + 1
        )

    def nodes(self, replicas: np.ndarray) -> np.ndarray | None:
        """``[node_type]`` nodes of a first-fit placement; None where it finds none for all replicas."""
        packed = [first_fit(self.share[:, n], replicas[:, n], int(c)) for n, c in enumerate(self.node_count)]
        if sum(p.complete for p in packed) < replicas.sum():
            return None
        return np.array([p.nodes for p in packed], dtype=np.int64)

    def keeps_floor(self, replicas: np.ndarray) -> bool:
        """Whether the mean accuracy of every stage is at least its floor."""
        if self.credit is None:
            return True
        stages = int(self.variant_stage.max()) + 1
        total = accuracy.stage_credit(self.credit, self.variant_stage, stages, replicas)
        return accuracy.keeps_floor(total, accuracy.credit_scale(self.credit, self.variant_stage, stages))


@dataclass(frozen=True)
class Answer:
    """What a solve proved and found.

    Attributes
    ----------
    status
        ``optimal`` (the two values meet), ``feasible`` (work ran out first), ``infeasible``, or the solver's word.
    lower_usd_per_hour
        No placeable fleet that serves the demand is cheaper; ``inf`` where there is none.
    upper_usd_per_hour
        Cost of ``replicas``; ``inf`` where none was found.
    replicas, nodes
        ``[variant, node_type]`` and ``[node_type]``; None where no fleet was found.
    """

    status: str
    lower_usd_per_hour: float
    upper_usd_per_hour: float
    replicas: np.ndarray | None
    nodes: np.ndarray | None


def covering(facts: FleetFacts, rate_rps: np.ndarray) -> Covering:
    """The problem of a fleet whose replicas serve ``rate_rps[variant, node_type]``, with the scenario's floors."""
    return Covering(
        rate_rps=np.asarray(rate_rps, dtype=np.float64),
        variant_stage=facts.variant_stage,
        share=node_shares(facts.need, facts.capacity),
        node_count=facts.node_count,
        price_usd_per_hour=facts.price_usd_per_hour,
        credit=floor_credit(facts, np.where(rate_rps > 0.0, facts.routed_share, 0.0), facts.accuracy_floor),
        standing=facts.min_replicas,
    )


def solve(problem: Covering, demand_rps: np.ndarray, search_nodes: int = SEARCH_NODES) -> Answer:
    """Lower value, and a checked fleet, for ``demand_rps[stage]``."""
    wanted = np.asarray(demand_rps, dtype=np.float64)
    if not (wanted > 0.0).any() and not problem.standing.any():
        nothing = np.zeros(problem.rate_rps.shape, dtype=np.int64)
        return Answer("optimal", 0.0, 0.0, nothing, np.zeros(len(problem.node_count), dtype=np.int64))
    built = _build(problem, wanted)
    if built is None:
        return Answer("infeasible", np.inf, np.inf, None, None)
    model, x = built
    result = mathopt.solve(model, mathopt.SolverType.GSCIP, params=_parameters(problem, search_nodes))
    reason = result.termination.reason
    if reason == mathopt.TerminationReason.INFEASIBLE:
        return Answer("infeasible", np.inf, np.inf, None, None)
    lower = max(0.0, float(result.termination.objective_bounds.dual_bound) * (1.0 - ROUNDING))
    lower = lower if np.isfinite(lower) else 0.0
    if not result.has_primal_feasible_solution():
        return Answer(reason.name.lower(), lower, np.inf, None, None)
    value = result.variable_values()
    replicas = problem.standing.astype(np.int64)
    for pair, variable in x.items():
        replicas[pair] = round(value[variable])
    return _checked(problem, wanted, replicas, lower, reason.name.lower())


def _checked(problem: Covering, wanted: np.ndarray, replicas: np.ndarray, lower: float, word: str) -> Answer:
    """The answer in whole numbers: what serves, keeps the floor and finds room counts, nothing else."""
    nodes = problem.nodes(replicas)
    serves = (problem.served_rps(replicas) >= wanted * (1.0 - ROUNDING)).all()
    if nodes is None or not serves or not problem.keeps_floor(replicas):
        return Answer(word, lower, np.inf, None, None)
    usd = float(problem.price_usd_per_hour @ nodes)
    lower = min(lower, usd)
    return Answer("optimal" if usd - lower <= 1e-6 * max(1.0, usd) else "feasible", lower, usd, replicas, nodes)


def _parameters(problem: Covering, search_nodes: int) -> mathopt.SolveParameters:
    least = float(np.min(problem.price_usd_per_hour, initial=np.inf))
    return mathopt.SolveParameters(
        threads=1,
        random_seed=1,
        relative_gap_tolerance=0.0,
        absolute_gap_tolerance=1e-6 * least if np.isfinite(least) else 0.0,
        node_limit=search_nodes,
        presolve=mathopt.Emphasis.LOW,
        heuristics=mathopt.Emphasis.LOW,
        cuts=mathopt.Emphasis.OFF,
    )


def _build(
    problem: Covering, wanted: np.ndarray
) -> tuple[mathopt.Model, dict[tuple[int, int], mathopt.Variable]] | None:
    """The model and its replicas; None where a stage with demand has no pair that runs."""
    model = mathopt.Model(name="covering")
    most = np.where(problem.rate_rps > 0.0, per_node(problem.share) * problem.node_count, 0)
    most = np.maximum(most, problem.standing)
    x = {
        (int(v), int(n)): model.add_integer_variable(lb=float(problem.standing[v, n]), ub=float(most[v, n]))
        for v, n in np.argwhere(most > 0)
    }
    y = [model.add_integer_variable(lb=0.0, ub=float(c)) for c in problem.node_count]
    for stage in np.flatnonzero(wanted > 0.0):
        pairs = [p for p in x if problem.variant_stage[p[0]] == stage]
        if not pairs:
            return None
        need = float(wanted[stage])
        rows = [min(1.0, float(problem.rate_rps[p]) / need) for p in pairs]
        model.add_linear_constraint(mathopt.fast_sum([a * x[p] for a, p in zip(rows, pairs)]) >= 1.0)
    _keep_floor(model, problem, x)
    _fit(model, problem, x, y)
    model.minimize(mathopt.fast_sum([float(p) * node for p, node in zip(problem.price_usd_per_hour, y)]))
    return model, x


def _keep_floor(model: mathopt.Model, problem: Covering, x: dict[tuple[int, int], mathopt.Variable]) -> None:
    if problem.credit is None:
        return
    for stage in np.unique(problem.variant_stage[(problem.credit < 0.0).any(axis=1)]):
        pairs = [p for p in x if problem.variant_stage[p[0]] == stage]
        scale = max(abs(float(problem.credit[p])) for p in pairs)
        terms = [float(problem.credit[p]) / scale * x[p] for p in pairs]
        model.add_linear_constraint(mathopt.fast_sum(terms) >= 0.0)


def _fit(
    model: mathopt.Model, problem: Covering, x: dict[tuple[int, int], mathopt.Variable], y: list[mathopt.Variable]
) -> None:
    """Capacity rows in parts of a node, and the cuts of whole replicas on whole nodes."""
    for n, node in enumerate(y):
        variants = [v for v, m in x if m == n]
        if not variants:
            continue
        share = problem.share[variants, n]
        for row in [*(r for r in share.T if r.any()), *packing_cuts(share)]:
            terms = [float(a) * x[v, n] for v, a in zip(variants, row) if a > 0.0]
            model.add_linear_constraint(mathopt.fast_sum(terms) <= (1.0 + ROUNDING) * node)
