"""The most valuable content of one node by CP-SAT: exact, in whole numbers, with its bound where the work runs out.

Needs are rounded down and values up to whole multiples of a millionth of a node and of the unit of value, so that the
bound holds for the true numbers; a content that it proposes is checked against them.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from ortools.sat.python import cp_model

from optimizer.placement.cards import pack_cards
from optimizer.placement.pricing import Contents
from optimizer.placement.problem import PlacementProblem
from optimizer.placement.rows import node_rows

__all__ = ["ExactPricer"]

UNITS = 10**6
WORK = 0.5
"""CP-SAT's deterministic time for one node type, near to seconds."""


class _Passed(cp_model.CpSolverSolutionCallback):
    """Contents that the search passes on its way up."""

    def __init__(self, copies: list[cp_model.IntVar]) -> None:
        super().__init__()
        self._copies = copies
        self.found: list[np.ndarray] = []

    def on_solution_callback(self) -> None:
        self.found.append(np.array([self.value(variable) for variable in self._copies]))


class ExactPricer:
    """Contents of nodes of one type; the model is built once, the objective changes."""

    def __init__(self, problem: PlacementProblem, node_type: int) -> None:
        self._problem = problem
        self._node_type = node_type
        self._rows = node_rows(problem, node_type, cuts=True)
        rows = self._rows
        self._model = cp_model.CpModel()
        self._copies = [self._model.new_int_var(0, int(most), "") for most in rows.most]
        for share in rows.share.T:
            self._row(self._copies, share)
        for group in np.unique(rows.group[rows.group >= 0]):
            places = np.flatnonzero(rows.group == group)
            self._model.add(sum(self._copies[p] for p in places) <= int(rows.limit[places[0]]))
        fraction = problem.gpus[rows.classes]
        self._parts = np.flatnonzero((fraction > 0.0) & (fraction < 1.0))
        if len(self._parts):
            self._seat_parts()

    def best(self, value: np.ndarray, matters: float) -> Contents:
        """The most valuable content, if it is worth more than ``matters``, and an upper bound on any."""
        empty = np.zeros((0, self._problem.classes), dtype=np.int64)
        worth = value[self._rows.classes]
        if len(worth) == 0 or worth.max() <= 0.0:
            return Contents(empty, np.zeros(0), matters)
        unit = float(worth.max()) / UNITS
        self._model.maximize(cp_model.LinearExpr.weighted_sum(self._copies, np.ceil(worth / unit - 1e-9).astype(int)))
        solver = cp_model.CpSolver()
        solver.parameters.num_workers = 1
        solver.parameters.random_seed = 1
        solver.parameters.max_deterministic_time = WORK
        passed = _Passed(self._copies)
        status = solver.solve(self._model, passed)
        upper = max(matters, float(solver.best_objective_bound) * unit)
        if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            return Contents(empty, np.zeros(0), upper)
        useful = [found for found in passed.found if float(found @ worth) > matters + 1e-9 and self._fits(found)]
        copies = np.zeros((len(useful), self._problem.classes), dtype=np.int64)
        for row, found in enumerate(useful):
            copies[row, self._rows.classes] = found
        return Contents(copies[::-1], np.array([float(found @ worth) for found in useful])[::-1], upper)

    def _fits(self, found: np.ndarray) -> bool:
        """Whether the true needs fit, which were rounded down."""
        if (found @ self._rows.share > 1.0 + 1e-9).any():
            return False
        replicas = np.repeat(self._rows.classes, found).tolist()
        return pack_cards(self._problem, self._node_type, replicas) is not None

    def _row(self, variables: list[cp_model.IntVar], share: np.ndarray, capacity: int = UNITS) -> None:
        whole = np.floor(share * UNITS * (1.0 - 1e-9)).astype(int)
        self._model.add(cp_model.LinearExpr.weighted_sum(variables, whole) <= capacity)

    def _seat_parts(self) -> None:
        """Variables for the shares on each GPU; GPUs that are taken whole come first."""
        problem, rows, model = self._problem, self._rows, self._model
        gpus = int(problem.node_gpus[self._node_type])
        memory = float(problem.gpu_capacity_gib[self._node_type])
        whole = [model.new_bool_var("") for _ in range(gpus)]
        claims = problem.cards[rows.classes].copy()
        claims[self._parts] = 0
        model.add(sum(whole) == cp_model.LinearExpr.weighted_sum(self._copies, claims))
        for before, after in pairwise(whole):
            model.add_implication(after, before)
        most = rows.most[self._parts].tolist()
        seated = [[model.new_int_var(0, int(limit), "") for limit in most] for _ in range(gpus)]
        for place, part in enumerate(self._parts.tolist()):
            model.add(sum(on_gpu[place] for on_gpu in seated) == self._copies[part])
        share = problem.card_share[rows.classes[self._parts]]
        part_gib = problem.card_memory_gib[rows.classes[self._parts]] / max(memory, 1e-12)
        for taken, on_gpu in zip(whole, seated):
            self._row([*on_gpu, taken], np.append(share, 1.0))
            if part_gib.any():
                self._row([*on_gpu], part_gib)
