"""Both objectives through OR-Tools: GLOP (linear), PDLP (linear and quadratic), SCIP (both, and whole numbers).

The model is built once; another problem of the same form changes its numbers alone, and the solver starts from
what it knows: GLOP from its last basis, the others from the last solution.
"""

from __future__ import annotations

from datetime import timedelta

import numpy as np
from ortools.math_opt.python import mathopt

from optimizer.document.problem import DocumentProblem
from optimizer.document.scaling import scaled, unit_of
from workloads.errors import RecfleetError

__all__ = ["DocumentModel"]

LIMIT_S = 300.0
"""A guard, not a setting: what it stops is an error, so no result depends on the speed of the machine."""

TOLERANCE = 1e-10
"""PDLP's, relative and absolute, of a problem whose numbers are near 1."""

SMALL = 100
"""Allocations up to which SCIP is asked for squares in fractions to `TIGHT`; of more it would take minutes."""

TIGHT, LOOSE = (1e-8, 1e-7), (1e-6, 1e-6)
"""SCIP's feasibility tolerance and gap for squares in fractions; much less and it branches without end."""

SOLVERS = {"glop": mathopt.SolverType.GLOP, "pdlp": mathopt.SolverType.PDLP, "scip": mathopt.SolverType.GSCIP}
NO_SOLUTION = (mathopt.TerminationReason.INFEASIBLE, mathopt.TerminationReason.INFEASIBLE_OR_UNBOUNDED)


class DocumentModel:
    """Minimise the cost of waste ``W`` and shortfall ``S`` with ``C + S - W = R``, kept between solves.

    Parameters
    ----------
    problem
        The first problem. Its form (shape, objective, ramps, whether elastic, whole, or on a budget) stays.
    solver
        ``glop``, ``pdlp`` or ``scip``.
    unit
        ``[resource]`` size that numbers are divided by; by default the problem's largest need.
    """

    def __init__(self, problem: DocumentProblem, solver: str, unit: np.ndarray | None = None) -> None:
        self._unit = unit_of(problem) if unit is None else unit
        self._solver_name, self._quadratic, self._whole = solver, problem.objective == "quadratic", problem.whole
        self._model = model = mathopt.Model(name="document")
        resources, slots = problem.demand.shape
        cells = [(r, t) for r in range(resources) for t in range(slots)]
        self._c = {cell: model.add_variable(is_integer=problem.whole) for cell in cells}
        self._w = {cell: model.add_variable(lb=0.0) for cell in cells}
        self._s = {} if problem.penalty is None else {cell: model.add_variable(lb=0.0) for cell in cells}
        self._cover = {cell: model.add_linear_constraint() for cell in cells}
        for cell, row in self._cover.items():
            row.set_coefficient(self._c[cell], 1.0)
            row.set_coefficient(self._w[cell], -1.0)
            if cell in self._s:
                row.set_coefficient(self._s[cell], 1.0)
        data = scaled(problem, self._unit)
        for r, t in cells:
            if t > 0:
                rise = self._c[r, t] - self._c[r, t - 1]
                model.add_linear_constraint(lb=-float(data.down[r]), ub=float(data.up[r]), expr=rise)
        self._budget = [] if problem.budget is None else [model.add_linear_constraint(lb=-np.inf) for _ in range(slots)]
        self._incremental = mathopt.IncrementalSolver(model, SOLVERS[solver])
        self._last: dict[mathopt.Variable, float] = {}
        self.iterations = 0
        self.update(problem)

    def update(self, problem: DocumentProblem) -> None:
        """Take the numbers of ``problem``, of the same form as the first."""
        data = scaled(problem, self._unit)
        objective = self._model.objective
        for cell, c in self._c.items():
            c.lower_bound, c.upper_bound = float(data.low[cell]), float(data.high[cell])
            self._cover[cell].lower_bound = self._cover[cell].upper_bound = float(data.demand[cell])
            waste = self._w[cell]
            if self._quadratic:
                objective.set_quadratic_coefficient(waste, waste, float(data.waste[cell]))
            else:
                objective.set_linear_coefficient(waste, float(data.waste[cell]))
            if data.short is not None:
                objective.set_linear_coefficient(self._s[cell], float(data.short[cell]))
        if data.budget is not None:
            for t, row in enumerate(self._budget):
                row.upper_bound = float(data.budget[t])
                for r in range(len(data.demand)):
                    row.set_coefficient(self._c[r, t], float(data.spend[r, t]))

    def solve(self) -> np.ndarray | None:
        """``allocation[resource, slot]`` to the solver's tolerance, or None if there is none.

        Raises
        ------
        RecfleetError
            If the solver ends, or is stopped after `LIMIT_S`, without an optimum and without proof that there is none.
        """
        hints = [mathopt.SolutionHint(variable_values=self._last)] if self._last and self._solver_name != "glop" else []
        result = self._incremental.solve(
            params=self._parameters(), model_params=mathopt.ModelSolveParameters(solution_hints=hints)
        )
        reason = result.termination.reason
        if reason in NO_SOLUTION:
            return None
        if reason != mathopt.TerminationReason.OPTIMAL:
            detail = f"{self._solver_name}: {reason.name.lower()} {result.termination.detail}".strip()
            raise RecfleetError(f"{detail}; choose another solver, or fewer slots")
        stats = result.solve_stats
        self.iterations = int(stats.simplex_iterations + stats.first_order_iterations)
        self._last = result.variable_values()
        values = np.array([self._last[c] for c in self._c.values()])
        shape = (len(self._unit), len(values) // len(self._unit))
        return values.reshape(shape) * self._unit[:, None]

    def _parameters(self) -> mathopt.SolveParameters:
        parameters = mathopt.SolveParameters(threads=1, time_limit=timedelta(seconds=LIMIT_S))
        if self._solver_name == "pdlp":
            criteria = parameters.pdlp.termination_criteria.simple_optimality_criteria
            criteria.eps_optimal_absolute = criteria.eps_optimal_relative = TOLERANCE
        elif self._solver_name == "scip":
            gap = 1e-9
            if self._quadratic and not self._whole:
                tolerance, gap = TIGHT if len(self._c) <= SMALL else LOOSE
                parameters.gscip.real_params["numerics/feastol"] = tolerance
            parameters.relative_gap_tolerance = parameters.absolute_gap_tolerance = gap
        return parameters
