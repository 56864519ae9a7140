"""The master of the Dantzig-Wolfe decomposition: one cover for each stage, nodes for all of them, by OR-Tools' GLOP.

    minimise    sum price y + sum cost lambda + 3600 penalty sum unserved
    subject to  sum claim[row, cover] lambda[cover] <= y[node type of the row]       (row price pi >= 0)
                sum_{covers of a stage} lambda = 1                                   (stage value sigma)
                unserved[service] >= sum shortage[cover] lambda[cover]               (shortage price w >= 0)
                0 <= lambda, 0 <= y <= count

A cover is a whole number of replicas of each pair of a stage. The last rows exist only for services of several stages;
the shortage of others is in the cover's cost.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ortools.math_opt.python import mathopt
from scipy import sparse

from optimizer.fleet.blocks import Blocks, Rows
from optimizer.fleet.problem import FleetProblem

__all__ = ["CoverPool", "Master", "Prices"]


@dataclass(frozen=True)
class Prices:
    """Dual prices: ``row[row]`` over all rows, ``shortage[stage]``, ``stage[stage]``."""

    row: np.ndarray
    shortage: np.ndarray
    stage: np.ndarray


class CoverPool:
    """Covers of all stages: what each claims, costs and leaves unserved. Grows; never holds one twice."""

    def __init__(self, problem: FleetProblem, blocks: Blocks, rows: Rows) -> None:
        types = problem.throughput_rps.shape[1]
        self._blocks = blocks
        self._claims = sparse.csr_array(rows.pair_claims(np.arange(len(rows.node_type)), types))
        services = problem.stage_service
        self.alone = np.bincount(services)[services] == 1
        self._penalty = problem.unserved_usd_per_hour_rps[services]
        self._known: set[tuple[int, bytes]] = set()
        width = blocks.pair.shape[1]
        self.stage = np.zeros(0, dtype=np.int64)
        self.count = np.zeros((0, width), dtype=np.int64)
        self.cost = np.zeros(0)
        self.shortage = np.zeros(0)
        self.claim = sparse.csr_array((0, len(rows.node_type)))

    def add(self, stage: np.ndarray, count: np.ndarray) -> np.ndarray:
        """Take the covers that are new; their numbers."""
        count = np.asarray(count, dtype=np.int64)
        new = [i for i, (s, c) in enumerate(zip(stage, count)) if self._is_new(int(s), c)]
        stage, count = np.asarray(stage)[new], count[new]
        blocks = self._blocks
        served = (count * blocks.rate_rps[stage]).sum(axis=1)
        required = blocks.required_rps[stage]
        shortage = np.where(required - served > 1e-9 * required, required - served, 0.0)
        cost = (count * blocks.own_usd_per_hour[stage]).sum(axis=1) + np.where(
            self.alone[stage], self._penalty[stage] * shortage, 0.0
        )
        cost += np.where((required > 0.0) & ~count.any(axis=1), blocks.absent_usd_per_hour, 0.0)
        first = len(self.stage)
        self.claim = sparse.csr_array(sparse.vstack([self.claim, self._by_pair(stage, count) @ self._claims]))
        self.stage, self.count = np.concatenate([self.stage, stage]), np.concatenate([self.count, count])
        self.cost, self.shortage = np.concatenate([self.cost, cost]), np.concatenate([self.shortage, shortage])
        return np.arange(first, len(self.stage))

    def _is_new(self, stage: int, count: np.ndarray) -> bool:
        key = (stage, count.tobytes())
        if key in self._known:
            return False
        self._known.add(key)
        return True

    def _by_pair(self, stage: np.ndarray, count: np.ndarray) -> sparse.csr_array:
        row, item = np.nonzero(count)
        pair = self._blocks.pair[stage[row], item]
        return sparse.csr_array(
            (count[row, item].astype(float), (row, pair)), shape=(len(stage), self._claims.shape[0])
        )

    def pair_price(self, prices: Prices) -> np.ndarray:
        """``[pair]`` what the room of one replica costs at prices."""
        return np.asarray(self._claims @ prices.row)

    def value(self, prices: Prices) -> np.ndarray:
        """``[cover]`` cost at prices."""
        shared = np.where(self.alone[self.stage], 0.0, prices.shortage[self.stage]) * self.shortage
        return np.asarray(self.cost + shared + self.claim @ prices.row)

    def replicas(self, chosen: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """``[variant, node_type]`` replicas of covers, one a stage."""
        total = np.zeros(shape[0] * shape[1], dtype=np.int64)
        row, item = np.nonzero(self.count[chosen])
        cover = chosen[row]
        np.add.at(total, self._blocks.pair[self.stage[cover], item], self.count[cover, item])
        return total.reshape(shape)


@dataclass(frozen=True)
class MasterSolution:
    """Value, prices, weight of each cover and nodes of a solved master."""

    usd_per_hour: float
    prices: Prices
    weight: np.ndarray
    nodes: np.ndarray


class Master:
    """The linear programme over a pool; rows and covers are added while it stays hot."""

    def __init__(self, problem: FleetProblem, pool: CoverPool, rows: Rows) -> None:
        self._pool, self._rows = pool, rows
        self._model = model = mathopt.Model(name="master")
        objective = model.objective
        self._nodes = [model.add_variable(lb=0.0, ub=float(count)) for count in problem.node_count]
        for node, price in zip(self._nodes, problem.price_usd_per_hour):
            objective.set_linear_coefficient(node, float(price))
        stages = range(len(problem.demand_rps))
        self._one = [model.add_linear_constraint(lb=1.0, ub=1.0) for _ in stages]
        self._short: dict[int, mathopt.LinearConstraint] = {}
        self._largest = float(problem.required_rps.max(initial=0.0)) or 1.0
        shared = [s for s in stages if not pool.alone[s]]
        for service in sorted({int(problem.stage_service[s]) for s in shared}):
            unserved = model.add_variable(lb=0.0)
            objective.set_linear_coefficient(
                unserved, float(problem.unserved_usd_per_hour_rps[service]) * self._largest
            )
            for s in shared:
                if problem.stage_service[s] == service:
                    self._short[s] = model.add_linear_constraint(ub=0.0)
                    self._short[s].set_coefficient(unserved, -1.0)
        self._penalty = problem.unserved_usd_per_hour_rps[problem.stage_service]
        self._weights: list[mathopt.Variable] = []
        self._capacity: dict[int, mathopt.LinearConstraint] = {}
        self.add_rows(np.flatnonzero(~rows.is_cut))
        self._solver = mathopt.IncrementalSolver(model, mathopt.SolverType.GLOP)

    def add_rows(self, chosen: np.ndarray) -> None:
        """Add capacity rows by number."""
        for row in chosen:
            constraint = self._capacity[int(row)] = self._model.add_linear_constraint(ub=0.0)
            constraint.set_coefficient(self._nodes[self._rows.node_type[row]], -1.0)
            if self._weights:
                claims = self._pool.claim[: len(self._weights), [int(row)]].tocoo()
                for cover, claim in zip(claims.coords[0], claims.data):
                    constraint.set_coefficient(self._weights[cover], float(claim))

    def __len__(self) -> int:
        """Covers taken so far."""
        return len(self._weights)

    def fix_nodes(self, node_type: int, count: float) -> None:
        """Hold the nodes of a type at a number."""
        self._nodes[node_type].lower_bound = self._nodes[node_type].upper_bound = count

    def free_nodes(self, node_count: np.ndarray) -> None:
        """Let all nodes vary again."""
        for node, count in zip(self._nodes, node_count):
            node.lower_bound, node.upper_bound = 0.0, float(count)

    def add_covers(self, numbers: np.ndarray) -> None:
        """Add covers of the pool; in the order of their numbers."""
        pool = self._pool
        for cover in numbers:
            weight = self._model.add_variable(lb=0.0)
            self._weights.append(weight)
            stage = int(pool.stage[cover])
            self._model.objective.set_linear_coefficient(weight, float(pool.cost[cover]))
            self._one[stage].set_coefficient(weight, 1.0)
            if stage in self._short and pool.shortage[cover] > 0.0:
                self._short[stage].set_coefficient(weight, float(pool.shortage[cover] / self._largest))
            begin, end = pool.claim.indptr[cover], pool.claim.indptr[cover + 1]
            for row, claim in zip(pool.claim.indices[begin:end].tolist(), pool.claim.data[begin:end].tolist()):
                if row in self._capacity:
                    self._capacity[row].set_coefficient(weight, claim)

    def solve(self) -> MasterSolution:
        """Solve over the covers and rows there are."""
        result = self._solver.solve()
        if result.termination.reason != mathopt.TerminationReason.OPTIMAL:
            raise RuntimeError(f"GLOP: {result.termination.reason.name.lower()}")
        dual = result.dual_values()
        row = np.zeros(len(self._rows.node_type))
        for number, constraint in self._capacity.items():
            row[number] = max(0.0, -dual[constraint])
        shortage = self._penalty.copy()
        for stage, constraint in self._short.items():
            shortage[stage] = max(0.0, -dual[constraint] / self._largest)
        prices = Prices(row, shortage, np.array(result.dual_values(self._one)))
        weight = np.array(result.variable_values(self._weights))
        return MasterSolution(result.objective_value(), prices, weight, np.array(result.variable_values(self._nodes)))

    def violated_rows(self, solution: MasterSolution, most: int) -> np.ndarray:
        """Rows left out that the solution breaks, the most broken first."""
        excess = solution.weight @ self._pool.claim[: len(solution.weight)] - solution.nodes[self._rows.node_type]
        order = np.argsort(-excess, kind="stable")
        return np.array([r for r in order if excess[r] > 1e-4 and int(r) not in self._capacity][:most], dtype=np.int64)
