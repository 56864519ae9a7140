"""The horizon's problem for SCIP, by MathOpt: whole replicas first, whole nodes for a while, then fractions.

Coefficients of demand are cut to what is asked for (``min(mu, required)``): every whole solution still satisfies the
row, while a thousandth of a replica that could serve a thousand times the demand no longer does. Without this the
later, relaxed blocks would look nearly free on large nodes, and today's decision would be made for their sake.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ortools.math_opt.python import mathopt

from optimizer.fleet.mip import SolverTroubleError
from optimizer.fleet.packing import packing_cuts
from optimizer.horizon.problem import HorizonProblem
from optimizer.horizon.sparse import SparseModel

__all__ = ["HorizonAnswer", "HorizonLimits", "HorizonModel"]

Pair = tuple[int, int]


@dataclass(frozen=True)
class HorizonLimits:
    """When the search stops, by work and not by seconds, and how much of the plan is whole.

    Attributes
    ----------
    gap
        Of the objective.
    nodes
        Branch-and-bound nodes at most.
    whole_blocks
        First blocks whose nodes are whole.
    whole_replicas
        First blocks whose replicas are.
    """

    gap: float = 0.005
    nodes: int = 200
    whole_blocks: int = 4
    whole_replicas: int = 1


@dataclass(frozen=True, eq=False)
class HorizonAnswer:
    """What the solver says of the first block, and of the whole.

    Attributes
    ----------
    replicas
        ``replicas[variant, node_type]`` to run or start from now on.
    usd, bound_usd
        Objective over the horizon and the solver's bound on it.
    """

    replicas: np.ndarray
    usd: float
    bound_usd: float


class HorizonModel:
    """Variables and rows in the order of `optimizer.horizon.problem`."""

    def __init__(self, problem: HorizonProblem, limits: HorizonLimits) -> None:
        self._problem, self._limits = problem, limits
        self._model = SparseModel()
        now = problem.now
        rate = np.where(problem.throughput_rps > 0.0, problem.throughput_rps, np.inf)
        enough = np.ceil(problem.required_rps[now.variant_stage][:, None, :] / rate - 1e-9).max(axis=2)
        useful = np.minimum(enough, 1e6).astype(np.int64)
        limit = useful if now.replica_limit is None else np.minimum(useful, now.replica_limit)
        fits = np.isfinite(now.share).all(axis=2) & (now.throughput_rps > 0.0)
        self._most = np.where(fits, np.maximum(limit, now.replicas_now), 0)
        self.pairs: list[Pair] = [(int(v), int(n)) for v, n in np.argwhere(self._most > 0)]
        delays = {int(problem.delay[pair]) for pair in self.pairs}
        self._last_start = {delay: problem.grid.last_start_for(delay) for delay in delays}
        self._rows = [self._capacity_rows(n) for n in range(len(now.node_count))]
        self._x = [self._replicas(whole=block < limits.whole_replicas) for block in range(len(problem.grid.starts))]
        self._count_starts()
        for block in range(len(problem.grid.starts)):
            self._serve(block)
            self._fit_nodes(block)
            self._keep_accuracy(block)

    def _replicas(self, *, whole: bool) -> dict[Pair, int]:
        return {pair: self._model.variable(float(self._most[pair]), whole=whole) for pair in self.pairs}

    def _count_starts(self) -> None:
        """Priced growth from block to block."""
        for pair in self.pairs:
            price = float(self._problem.start_usd[pair])
            if price <= 0.0:
                continue
            for block, x in enumerate(self._x):
                started = self._model.variable()
                if block == 0:
                    self._model.row([(1.0, started), (-1.0, x[pair])], -float(self._problem.now.replicas_now[pair]))
                else:
                    self._model.row([(1.0, started), (-1.0, x[pair]), (1.0, self._x[block - 1][pair])])
                self._model.cost(price, started)

    def _serve(self, block: int) -> None:
        """Demand of each stage served by ready replicas or left, and at least one replica where there is demand."""
        problem, now = self._problem, self._problem.now
        hours = float(problem.hours[block])
        required = problem.required_rps[:, block]
        largest = float(required.max(initial=0.0)) or 1.0
        wanted = np.flatnonzero(required > 0.0)
        unserved = self._unserved(block, wanted, 3600.0 * now.unserved_usd_per_request * largest * hours)
        for stage in wanted:
            of_stage = [p for p in self.pairs if now.variant_stage[p[0]] == stage]
            ready = {p: self._ready(p, block) for p in of_stage}
            absent = self._model.variable(1.0)
            self._model.cost(now.absent_usd_per_hour * hours, absent)
            ask = float(required[stage])
            served = [(min(float(problem.throughput_rps[*p, block]) / ask, 1.0), g) for p, g in ready.items()]
            self._model.row([*served, (largest / ask, unserved[int(stage)])], 1.0)
            self._model.row([*((1.0, g) for g in ready.values()), (1.0, absent)], 1.0)

    def _unserved(self, block: int, stages: np.ndarray, price: float) -> dict[int, int]:
        """Priced demand left over, by stage: one number a service, for a request is of use only if all stages serve.

        In blocks that starts may come too late for, each stage has its own, at its part of the price: the slowest
        start of a service is no reason to put off the others.
        """
        service, weight = self._problem.now.stage_service, self._problem.now.weight
        together = self._problem.grid.starts[block] >= self._problem.delay[self._most > 0].max(initial=0)
        made: dict[int, int] = {}
        for one in np.unique(service[stages]):
            members = [int(s) for s in stages if service[s] == one]
            groups = [members] if together else [[s] for s in members]
            for group in groups:
                left = self._model.variable()
                self._model.cost(float(weight[one]) * price / len(groups), left)
                made |= dict.fromkeys(group, left)
        return made

    def _ready(self, pair: Pair, block: int) -> int:
        problem = self._problem
        first = int(self._last_start[int(problem.delay[pair])][block])
        highest = float(problem.at_hand(pair, block)) if first < 0 else float(self._most[pair])
        ready = self._model.variable(highest)
        for since in range(max(first, 0), block + 1):
            self._model.row([(1.0, self._x[since][pair]), (-1.0, ready)])
        return ready

    def _fit_nodes(self, block: int) -> None:
        """Capacity rows in fractions of a node, and the cuts of whole replicas on whole nodes."""
        now, x, hours = self._problem.now, self._x[block], float(self._problem.hours[block])
        whole = block < self._limits.whole_blocks
        for n, count in enumerate(now.node_count):
            if not self._rows[n]:
                continue
            node = self._model.variable(float(count), whole=whole)
            self._model.cost(float(now.price_usd_per_hour[n]) * hours, node)
            for row in self._rows[n]:
                self._model.row([(1.0, node), *((-claim, x[pair]) for pair, claim in row)])

    def _capacity_rows(self, n: int) -> list[list[tuple[Pair, float]]]:
        """Part of a node of type ``n`` that a replica of each pair claims: resources and cuts that no other implies."""
        pairs = [pair for pair in self.pairs if pair[1] == n]
        share = self._problem.now.share[[v for v, _ in pairs], n]
        rows = np.unique(np.vstack([share.T, packing_cuts(share)]), axis=0)
        implied = (rows[:, None] <= rows[None]).all(axis=2) & ~np.eye(len(rows), dtype=bool)
        kept = rows[~implied.any(axis=1) & rows.any(axis=1)]
        return [[(pair, float(claim)) for pair, claim in zip(pairs, row) if claim > 0.0] for row in kept]

    def _keep_accuracy(self, block: int) -> None:
        now, x = self._problem.now, self._x[block]
        for stage in now.floored_stages:
            assert now.floor_credit is not None
            of_stage = [p for p in self.pairs if now.variant_stage[p[0]] == stage]
            self._model.row([(float(now.floor_credit[p] / now.credit_scale[stage]), x[p]) for p in of_stage])
        if now.lost_usd_per_hour is not None:
            hours = float(self._problem.hours[block])
            for p, variable in x.items():
                self._model.cost(float(now.lost_usd_per_hour[p]) * hours, variable)

    def solve(self) -> HorizonAnswer:
        """One thread, a fixed seed, work limits.

        Raises
        ------
        SolverTroubleError
            The solver found nothing.
        """
        limits = mathopt.SolveParameters(
            threads=1,
            random_seed=1,
            relative_gap_tolerance=self._limits.gap,
            node_limit=self._limits.nodes,
            presolve=mathopt.Emphasis.LOW,
            heuristics=mathopt.Emphasis.LOW,
            cuts=mathopt.Emphasis.OFF,
        )
        model = self._model.built()
        result = mathopt.solve(model, mathopt.SolverType.GSCIP, params=limits)
        if not result.has_primal_feasible_solution():
            raise SolverTroubleError(f"SCIP found no solution ({result.termination.reason.name.lower()})")
        value = result.variable_values([model.get_variable(variable) for variable in self._x[0].values()])
        replicas = np.zeros(self._problem.now.throughput_rps.shape, dtype=np.int64)
        for pair, amount in zip(self._x[0], value):
            replicas[pair] = round(amount)
        return HorizonAnswer(replicas, result.objective_value(), float(result.termination.objective_bounds.dual_bound))
