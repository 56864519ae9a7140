"""The model that counts nodes of a type and does not name them: variables, rows, costs.

With a reserve, ``loss[stage]`` is the most that one node of the placement serves of a stage. A placement decides it,
and the model has none; `optimizer.fleet.loss_levels` says what every placement satisfies. The model's loss is a lower
bound.

To find plans, the model can also be solved with a *quota*: at most ``quota[variant, node_type]`` replicas on a node,
``x <= quota y``, and ``loss >= sum throughput quota used``. That allows less than there is, and its plans lose no more
than it says.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ortools.math_opt.python import mathopt

from optimizer.fleet.loss_levels import level_rows
from optimizer.fleet.packing import packing_cuts
from optimizer.fleet.problem import FleetProblem
from optimizer.fleet.solvers import Solved

__all__ = ["Asked", "CountedModel"]

UNIT = 1e-7
"""Of the largest demand: what amounts are counted in where all variables must be whole."""

WHOLE = 1e7
"""Times a coefficient that is a part of one, where all must be whole; rounded so that the row allows more."""


@dataclass
class Asked:
    """What repairs ask of the next model.

    Attributes
    ----------
    tightness
        ``[node_type]`` part of the capacity that may be used.
    quota
        ``[variant, node_type]`` most replicas on a node; None for no such limit.
    """

    tightness: np.ndarray
    quota: np.ndarray | None = None

    @classmethod
    def of(cls, problem: FleetProblem) -> Asked:
        """All capacity."""
        return cls(np.ones(len(problem.node_count)))


class CountedModel:
    """``model`` to solve, and what its solution says.

    Attributes
    ----------
    problem
        As given.
    x, y
        Variables by pair and by node type.
    upper
        ``[variant, node_type]`` bounds of ``x``.
    loss
        By stage that has a reserve, in parts of ``largest`` (requests/s).

    Parameters
    ----------
    whole
        Whether all variables must be whole; amounts are then multiples of `UNIT`.
    """

    def __init__(self, problem: FleetProblem, asked: Asked, *, whole: bool = False) -> None:
        self.model = mathopt.Model(name="fleet")
        self.problem, self._asked, self._whole = problem, asked, whole
        most = problem.required_rps if problem.reserve_rps is None else [*problem.required_rps, *problem.reserve_rps]
        self.largest = float(np.max(most, initial=0.0)) or 1.0
        self.loss: dict[int, mathopt.Variable] = {}
        upper = problem.most_held
        runs = problem.throughput_rps > 0.0
        pairs = [(int(v), int(n)) for v, n in np.argwhere(runs & (upper > 0))]
        self.upper = upper
        self.x = {p: self.model.add_integer_variable(lb=0.0, ub=float(upper[p])) for p in pairs}
        self.y = [self.model.add_integer_variable(lb=0.0, ub=float(c)) for c in problem.node_count]
        cost = [float(problem.price_usd_per_hour[n]) * node for n, node in enumerate(self.y)]
        cost += self._cover_demand()
        cost += self._count_changes()
        cost += self._keep_accuracy()
        self._fit_nodes()
        self._keep_budget()
        self.model.minimize(mathopt.fast_sum(cost))

    @property
    def rounding_usd_per_hour(self) -> float:
        """By how much whole amounts may have raised the optimum."""
        if not self._whole:
            return 0.0
        # One unit of what is unserved, and one of the loss that the reserve allows for, for each service.
        return 2.0 * UNIT * self.largest * float(self.problem.unserved_usd_per_hour_rps.sum())

    def read(self, solved: Solved) -> tuple[np.ndarray, np.ndarray]:
        """``replicas[variant, node_type]`` and ``nodes[node_type]``."""
        replicas = np.zeros(self.problem.throughput_rps.shape, dtype=np.int64)
        for pair, variable in self.x.items():
            replicas[pair] = round(solved.value(variable))
        return replicas, np.array([round(solved.value(v)) for v in self.y], dtype=np.int64)

    def at_least(
        self,
        rates: list[tuple[float, mathopt.Variable]],
        amounts: list[tuple[float, mathopt.Variable]],
        least_rps: float,
        scale_rps: float,
    ) -> None:
        """Row ``sum rate variable + sum sign largest amount >= least``, in parts of ``scale_rps``.

        Where all is whole, in units of `UNIT` instead, with coefficients rounded so that the row allows more.
        """
        if self._whole:
            unit = self.largest * UNIT
            terms = [float(np.ceil(rate / unit - 1e-9)) * variable for rate, variable in rates]
            terms += [sign * amount for sign, amount in amounts]
            self.model.add_linear_constraint(mathopt.fast_sum(terms) >= float(np.floor(least_rps / unit + 1e-9)))
            return
        terms = [rate / scale_rps * variable for rate, variable in rates]
        terms += [sign * self.largest / scale_rps * amount for sign, amount in amounts]
        self.model.add_linear_constraint(mathopt.fast_sum(terms) >= least_rps / scale_rps)

    def within(self, parts: list[tuple[float, mathopt.Variable]], most: float, of: mathopt.Variable) -> None:
        """Row ``sum part variable <= most of``."""
        if self._whole:
            parts = [(float(np.floor(part * WHOLE)), variable) for part, variable in parts]
            most = float(np.ceil(most * WHOLE))
        terms = [part * variable for part, variable in parts]
        self.model.add_linear_constraint(mathopt.fast_sum(terms) <= most * of)

    def amount(self, most: float = np.inf) -> mathopt.Variable:
        """A variable: an amount in parts of the largest demand; in `UNIT` of it where all is whole."""
        if not self._whole:
            return self.model.add_variable(lb=0.0, ub=most)
        cap = min(most, 1.0 + self.problem.served_rps(self.upper).max(initial=0.0) / self.largest)
        return self.model.add_integer_variable(lb=0.0, ub=float(np.ceil(cap / UNIT - 1e-9)))

    def _flag(self) -> mathopt.Variable:
        """1 where a stage has no replica, else 0."""
        return self.model.add_integer_variable(lb=0.0, ub=1.0) if self._whole else self.model.add_variable(lb=0.0)

    def _cover_demand(self) -> list[mathopt.LinearTerm]:
        """Rows for each stage with demand, in fractions of it: served or unserved, and at least one replica."""
        problem, x = self.problem, self.x
        most = problem.unserved_limit / self.largest
        unserved = [self.amount(float(most[s])) for s in range(problem.services)]
        prices = problem.unserved_usd_per_hour_rps * self.largest * (UNIT if self._whole else 1.0)
        cost = [float(prices[s]) * u for s, u in enumerate(unserved)]
        for stage in np.flatnonzero(problem.required_rps > 0.0):
            required = float(problem.required_rps[stage])
            pairs = [p for p in x if problem.variant_stage[p[0]] == stage]
            absent = self._flag()
            served = [(float(problem.throughput_rps[p]), x[p]) for p in pairs]
            self.at_least(served, [(1.0, unserved[problem.stage_service[stage]])], required, required)
            self.model.add_linear_constraint(mathopt.fast_sum([*[1.0 * x[p] for p in pairs], 1.0 * absent]) >= 1.0)
            cost.append(problem.absent_usd_per_hour * absent)
        if problem.reserve_rps is not None:
            self._keep_reserve(unserved)
        return cost

    def _keep_reserve(self, unserved: list[mathopt.Variable]) -> None:
        """Rows of what is left without the worst node, in fractions of the reserve."""
        problem = self.problem
        assert problem.reserve_rps is not None
        for stage in np.flatnonzero(problem.reserve_rps > 0.0):
            reserve, short = float(problem.reserve_rps[stage]), unserved[problem.stage_service[stage]]
            loss = self.loss[int(stage)] = self.amount()
            pairs = [p for p in self.x if problem.variant_stage[p[0]] == stage]
            served = [(float(problem.throughput_rps[p]), self.x[p]) for p in pairs]
            self.at_least(served, [(1.0, short), (-1.0, loss)], reserve, reserve)
            if self._asked.quota is not None:
                self._keep_quota(self._asked.quota, pairs, loss)
        if self._asked.quota is None:
            level_rows(self, unserved)

    def _keep_quota(self, quota: np.ndarray, pairs: list[tuple[int, int]], loss: mathopt.Variable) -> None:
        """No node holds more of a pair than its quota, and may lose that where the pair is in use."""
        used = {p: self.model.add_integer_variable(lb=0.0, ub=1.0) for p in pairs}
        for p in pairs:
            self.model.add_linear_constraint(self.x[p] <= float(self.upper[p]) * used[p])
            self.model.add_linear_constraint(self.x[p] <= float(quota[p]) * self.y[p[1]])
        for n in range(len(self.y)):
            here = [(-float(self.problem.throughput_rps[p] * quota[p]), used[p]) for p in pairs if p[1] == n]
            if here:
                self.at_least(here, [(1.0, loss)], 0.0, self.largest)

    def _count_changes(self) -> list[mathopt.LinearTerm]:
        """Priced differences from the replicas that run now."""
        problem = self.problem
        cost: list[mathopt.LinearTerm] = []
        for pair, variable in self.x.items():
            churn, now = float(problem.churn_usd_per_hour[pair]), float(problem.replicas_now[pair])
            if churn <= 0.0:
                continue
            if now == 0.0:
                cost.append(churn * variable)
                continue
            most = max(now, float(self.upper[pair]))
            whole = self._whole
            change = self.model.add_integer_variable(lb=0.0, ub=most) if whole else self.model.add_variable(lb=0.0)
            self.model.add_linear_constraint(change - variable >= -now)
            self.model.add_linear_constraint(change + variable >= now)
            cost.append(churn * change)
        return cost

    def _fit_nodes(self) -> None:
        """Capacity rows in fractions of a node, and the cuts of whole replicas on whole nodes."""
        problem, tightness = self.problem, self._asked.tightness
        for n, node in enumerate(self.y):
            variants = [v for v, m in self.x if m == n]
            if not variants:
                continue
            share = problem.share[variants, n]
            for row in [*(r for r in share.T if r.any()), *packing_cuts(share)]:
                parts = [(float(a), self.x[v, n]) for v, a in zip(variants, row) if a > 0.0]
                self.within(parts, float(tightness[n]), node)

    def _keep_accuracy(self) -> list[mathopt.LinearTerm]:
        """Rows of the accuracy floors, in parts of the largest coefficient, and the price of accuracy lost."""
        problem = self.problem
        for stage in problem.floored_stages:
            assert problem.floor_credit is not None
            credit = problem.floor_credit / problem.credit_scale[stage]
            if self._whole:
                credit = np.ceil(credit * WHOLE)
            terms = [float(credit[p]) * x for p, x in self.x.items() if problem.variant_stage[p[0]] == stage]
            self.model.add_linear_constraint(mathopt.fast_sum(terms) >= 0.0)
        if problem.lost_usd_per_hour is None:
            return []
        return [float(problem.lost_usd_per_hour[p]) * variable for p, variable in self.x.items()]

    def _keep_budget(self) -> None:
        """Nodes cost no more than the budget; in parts of the dearest one."""
        problem = self.problem
        if not np.isfinite(problem.budget_usd_per_hour):
            return
        dearest = float(np.max(problem.price_usd_per_hour, initial=1e-9))
        parts, most = problem.price_usd_per_hour / dearest, problem.budget_usd_per_hour / dearest
        if self._whole:
            parts, most = np.floor(parts * WHOLE), np.ceil(most * WHOLE)
        terms = [float(part) * node for part, node in zip(parts, self.y)]
        self.model.add_linear_constraint(mathopt.fast_sum(terms) <= float(most))
