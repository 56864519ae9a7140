"""The fluid relaxation: fractions of replicas on fractions of nodes, by OR-Tools' GLOP.

Its optimum is a lower bound of every whole-number plan, its duals say what binds, and its solution rounds
to a plan. The model is built once and stays hot: a further solve changes the demand alone. GPUs are a fluid too: that
they are handed out one by one (`optimizer.fleet.cards`) is not in it.

With a reserve, some node of a type serves at least its share ``1 / count`` of what the type serves of a stage, and can
be the one that is lost. Priorities are not in the model, which can only lower its optimum; limits on what is unserved
are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from ortools.math_opt.python import mathopt

from optimizer.fleet.packing import shares
from optimizer.fleet.problem import FleetProblem

__all__ = ["FluidModel", "FluidSolution"]


@dataclass(frozen=True)
class FluidSolution:
    """Optimum of the relaxation.

    Attributes
    ----------
    status
        ``optimal`` or ``infeasible`` (only where demand may not be left unserved), else the solver's reason.
    usd_per_hour
        Objective; NaN unless optimal.
    replicas, nodes
        ``[variant, node_type]`` and ``[node_type]``, fractional.
    stage_price_usd_per_hour_rps
        ``[stage]`` what one more request/s costs, USD per hour.
    resource_price_usd_per_hour
        ``[node_type, resource]`` what the whole of the resource on one node is worth; 0 where it does not
        bind.
    node_price_usd_per_hour
        ``[node_type]`` what one more node of the type would save; 0 unless all are in use.
    budget_price
        What one more USD per hour of budget would save; 0 unless it binds.
    """

    status: str
    usd_per_hour: float
    replicas: np.ndarray
    nodes: np.ndarray
    stage_price_usd_per_hour_rps: np.ndarray
    resource_price_usd_per_hour: np.ndarray
    node_price_usd_per_hour: np.ndarray
    budget_price: float = 0.0


class FluidModel:
    """``min price y + penalty unserved`` over continuous ``x``, ``y``, for changing demand.

    Parameters
    ----------
    problem
        Rates, needs, capacity, counts and prices, accuracy floors and prices, reserve, budget, weights and limits of
        what is unserved. Churn is left out (it only adds cost, so the bound stays valid).
    allow_unserved
        Whether demand may be left unserved at the problem's penalty; otherwise all of it must be served.
    """

    def __init__(self, problem: FleetProblem, *, allow_unserved: bool = True) -> None:
        self._problem = problem
        self._model = model = mathopt.Model(name="fluid")
        stages, (variants, types) = len(problem.demand_rps), problem.throughput_rps.shape
        share = shares(problem.need, problem.capacity)
        runs = (problem.throughput_rps > 0.0) & np.isfinite(share).all(axis=2)
        self._pairs = [(int(v), int(n)) for v, n in np.argwhere(runs)]
        self._x = {pair: model.add_variable(lb=0.0) for pair in self._pairs}
        self._y = [model.add_variable(lb=0.0, ub=float(c)) for c in problem.node_count]
        terms = [float(problem.price_usd_per_hour[n]) * self._y[n] for n in range(types)]
        self._budget = None
        if np.isfinite(problem.budget_usd_per_hour):
            self._budget = model.add_linear_constraint(mathopt.fast_sum(terms) <= problem.budget_usd_per_hour)
        limits = problem.unserved_limit[: problem.services if allow_unserved else 0]
        unserved = [model.add_variable(lb=0.0, ub=float(limit)) for limit in limits]
        terms += [float(price) * u for price, u in zip(problem.unserved_usd_per_hour_rps, unserved)]
        if problem.lost_usd_per_hour is not None:
            terms += [float(problem.lost_usd_per_hour[p]) * x for p, x in self._x.items()]
        self._demand = []
        for s in range(stages):
            served = [problem.throughput_rps[p] * self._x[p] for p in self._pairs if problem.variant_stage[p[0]] == s]
            if allow_unserved:
                served.append(1.0 * unserved[problem.stage_service[s]])
            self._demand.append(model.add_linear_constraint(mathopt.fast_sum(served) >= 0.0))
            self._keep_reserve(s, served)
        for s in problem.floored_stages:
            assert problem.floor_credit is not None
            credit = [
                float(problem.floor_credit[p] / problem.credit_scale[s]) * self._x[p]
                for p in self._pairs
                if problem.variant_stage[p[0]] == s
            ]
            model.add_linear_constraint(mathopt.fast_sum(credit) >= 0.0)
        self._capacity = {
            (n, r): model.add_linear_constraint(
                mathopt.fast_sum([share[v, n, r] * self._x[v, n] for v in range(variants) if (v, n) in self._x])
                <= self._y[n]
            )
            for n in range(types)
            for r in range(share.shape[2])
        }
        model.minimize(mathopt.fast_sum(terms))
        self._solver = mathopt.IncrementalSolver(model, mathopt.SolverType.GLOP)

    def _keep_reserve(self, stage: int, served: list[mathopt.LinearTerm]) -> None:
        """Without its share of one node of a type, a stage still serves the reserve."""
        problem = self._problem
        if problem.reserve_rps is None or problem.reserve_rps[stage] <= 0.0:
            return
        for n, count in enumerate(problem.node_count):
            here = [p for p in self._pairs if p[1] == n and problem.variant_stage[p[0]] == stage]
            if here:
                lost = [-problem.throughput_rps[p] / float(count) * self._x[p] for p in here]
                row = mathopt.fast_sum([*served, *lost]) >= float(problem.reserve_rps[stage])
                self._model.add_linear_constraint(row)

    def solve(
        self, demand_rps: np.ndarray | None = None, more: Mapping[tuple[int, int], float] | None = None
    ) -> FluidSolution:
        """Solve for ``demand_rps[stage]`` as given; by default the problem's demand with headroom.

        ``more[node_type, resource]`` is what there is of a resource beside the nodes, in parts of a node.
        """
        for place, part in (more or {}).items():
            self._capacity[place].upper_bound = part
        try:
            return self._solve(demand_rps)
        finally:
            for place in more or {}:
                self._capacity[place].upper_bound = 0.0

    def _solve(self, demand_rps: np.ndarray | None) -> FluidSolution:
        demand = self._problem.required_rps if demand_rps is None else np.asarray(demand_rps, dtype=np.float64)
        for row, rate in zip(self._demand, demand):
            row.lower_bound = float(rate)
        result = self._solver.solve()
        if result.termination.reason != mathopt.TerminationReason.OPTIMAL:
            return self._without_solution(result.termination.reason)
        value, dual, reduced = result.variable_values(), result.dual_values(), result.reduced_costs()
        replicas = np.zeros(self._problem.throughput_rps.shape)
        for pair, variable in self._x.items():
            replicas[pair] = max(0.0, value[variable])
        prices = np.zeros(np.shape(self._problem.need)[1:])
        for place, row in self._capacity.items():
            prices[place] = max(0.0, -dual[row])
        return FluidSolution(
            status="optimal",
            usd_per_hour=result.objective_value(),
            replicas=replicas,
            nodes=np.array([value[y] for y in self._y]),
            stage_price_usd_per_hour_rps=np.array([max(0.0, dual[row]) for row in self._demand]),
            resource_price_usd_per_hour=prices,
            node_price_usd_per_hour=np.array([max(0.0, -reduced[y]) for y in self._y]),
            budget_price=0.0 if self._budget is None else max(0.0, -dual[self._budget]),
        )

    def _without_solution(self, reason: mathopt.TerminationReason) -> FluidSolution:
        infeasible = (
            mathopt.TerminationReason.INFEASIBLE,
            mathopt.TerminationReason.INFEASIBLE_OR_UNBOUNDED,
        )
        shape = self._problem.throughput_rps.shape
        nan = np.nan
        return FluidSolution(
            status="infeasible" if reason in infeasible else reason.name.lower(),
            usd_per_hour=nan,
            replicas=np.full(shape, nan),
            nodes=np.full(shape[1], nan),
            stage_price_usd_per_hour_rps=np.full(len(self._demand), nan),
            resource_price_usd_per_hour=np.full(np.shape(self._problem.need)[1:], nan),
            node_price_usd_per_hour=np.full(shape[1], nan),
        )
