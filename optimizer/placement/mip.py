"""The textbook model: how many replicas of each class on each node, given to a solver as it is.

Whole numbers ``x[class, node]``, a yes or no for each node, and ``z[class, node, gpu]`` for shares of GPUs. Like
nodes are ordered by use, which takes some of their symmetry away. Exact on small problems, and the yardstick for
`optimizer.placement.columns` on large ones.
"""

from __future__ import annotations

import numpy as np
from ortools.linear_solver import pywraplp

from optimizer.placement.contents import Content, seats_of
from optimizer.placement.greedy import place_greedy
from optimizer.placement.plan import PlacementPlan, check_placement, round_up_to_prices
from optimizer.placement.problem import PlacementProblem
from optimizer.placement.rows import NodeRows, node_rows

__all__ = ["place_mip"]


def place_mip(problem: PlacementProblem, *, solver: str = "SCIP", seconds: float = 60.0) -> PlacementPlan:
    """Place by one model over all nodes.

    Parameters
    ----------
    solver
        ``SCIP`` or ``SAT`` (CP-SAT).
    seconds
        Wall-clock limit of the solver; it may overshoot.

    Returns
    -------
    PlacementPlan
        Best fit's where the solver found none within the limit.
    """
    model = _Model(problem, solver)
    model.solver.SetTimeLimit(round(1000 * seconds))
    status = model.solver.Solve()
    bound = round_up_to_prices(problem, max(0.0, model.solver.Objective().BestBound()))
    if status not in (pywraplp.Solver.OPTIMAL, pywraplp.Solver.FEASIBLE):
        return check_placement(
            problem,
            place_greedy(problem, "best_fit").seats,
            bound=bound if np.isfinite(bound) else 0.0,
            method=f"mip_{solver.lower()}",
            note="the solver found nothing; best fit's placement",
        )
    seats = seats_of(problem, model.contents())
    note = "" if status == pywraplp.Solver.OPTIMAL else "time limit"
    return check_placement(problem, seats, bound=bound, method=f"mip_{solver.lower()}", note=note)


class _Model:
    """Variables and rows of the whole problem."""

    def __init__(self, problem: PlacementProblem, solver: str) -> None:
        self.problem = problem
        self.solver = pywraplp.Solver.CreateSolver(solver)
        if solver == "SAT":
            self.solver.SetNumThreads(1)
        self._cover = [self.solver.Constraint(float(d), self.solver.infinity()) for d in problem.count]
        self._on_node: list[tuple[int, dict[int, pywraplp.Variable]]] = []
        objective = self.solver.Objective()
        objective.SetMinimization()
        for cls, row in enumerate(self._cover):
            missing = self.solver.IntVar(0.0, float(problem.count[cls]), "")
            row.SetCoefficient(missing, 1.0)
            objective.SetCoefficient(missing, problem.unplaced_price)
        for node_type, there in enumerate(problem.node_count.tolist()):
            rows = node_rows(problem, node_type, cuts=True)
            before: pywraplp.Variable | None = None
            for _ in range(there):
                used = self.solver.BoolVar("")
                objective.SetCoefficient(used, float(problem.price[node_type]))
                if before is not None:
                    self.solver.Add(used <= before)
                before = used
                self._on_node.append((node_type, self._fill(node_type, rows, used)))

    def contents(self) -> list[Content]:
        """What the solution puts on each node."""
        found = []
        for node_type, variables in self._on_node:
            copies = np.zeros(self.problem.classes, dtype=np.int64)
            for cls, variable in variables.items():
                copies[cls] = round(variable.solution_value())
            if copies.any():
                found.append(Content(node_type, copies))
        return found

    def _fill(self, node_type: int, rows: NodeRows, used: pywraplp.Variable) -> dict[int, pywraplp.Variable]:
        """Variables and rows of one node."""
        solver = self.solver
        copies = [solver.IntVar(0.0, float(most), "") for most in rows.most]
        for cls, variable in zip(rows.classes.tolist(), copies):
            self._cover[cls].SetCoefficient(variable, 1.0)
        for share in rows.share.T:
            self._row(copies, share, used, 1.0)
        for group in np.unique(rows.group[rows.group >= 0]):
            member = (rows.group == group).astype(np.float64)
            self._row(copies, member, used, float(rows.limit[rows.group == group][0]))
        for variable, most in zip(copies, rows.most.tolist()):
            solver.Add(variable <= most * used)
        self._seat_parts(node_type, rows, copies)
        return dict(zip(rows.classes.tolist(), copies))

    def _row(
        self, variables: list[pywraplp.Variable], share: np.ndarray, used: pywraplp.Variable, capacity: float
    ) -> None:
        row = self.solver.Constraint(-self.solver.infinity(), 0.0)
        row.SetCoefficient(used, -capacity)
        for place in np.flatnonzero(share).tolist():
            row.SetCoefficient(variables[place], float(share[place]))

    def _seat_parts(self, node_type: int, rows: NodeRows, copies: list[pywraplp.Variable]) -> None:
        """Which GPU each share sits on; GPUs taken whole come first."""
        problem, solver = self.problem, self.solver
        fraction = problem.gpus[rows.classes]
        parts = np.flatnonzero((fraction > 0.0) & (fraction < 1.0)).tolist()
        gpus = int(problem.node_gpus[node_type])
        if not parts or not gpus:
            return
        whole = [solver.BoolVar("") for _ in range(gpus)]
        claims = np.where(fraction >= 1.0, problem.cards[rows.classes], 0).tolist()
        solver.Add(solver.Sum(whole) == solver.Sum(c * v for c, v in zip(claims, copies) if c))
        seated = {(part, gpu): solver.IntVar(0.0, float(rows.most[part]), "") for part in parts for gpu in range(gpus)}
        for part in parts:
            solver.Add(solver.Sum(seated[part, gpu] for gpu in range(gpus)) == copies[part])
        memory = float(problem.gpu_capacity_gib[node_type])
        for gpu in range(gpus):
            share = [float(fraction[part]) * seated[part, gpu] for part in parts]
            solver.Add(solver.Sum(share) + whole[gpu] <= 1.0)
            gib = [float(problem.card_memory_gib[rows.classes[p]]) * seated[p, gpu] for p in parts]
            if memory > 0.0:
                solver.Add(solver.Sum(gib) <= memory)
