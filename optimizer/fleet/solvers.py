"""The solvers of whole-number models behind one call: which there are, when they stop, what they return.

Work is counted, not seconds, so that a run is the same on every machine: branch-and-bound nodes for SCIP and HiGHS,
CP-SAT's deterministic time. A limit in seconds can be set on top. Solvers overshoot theirs, so such a solve runs in a
process of its own, which is ended when it is late (`optimizer.fleet.watchdog`); its answers then depend on the machine.

*The trap of CP-SAT.* Behind MathOpt it silently makes continuous variables whole. So models for it hold none (they
count amounts in small whole units), and one that does is refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from ortools.math_opt.python import mathopt
from ortools.math_opt.solvers import highs_pb2
from ortools.sat import sat_parameters_pb2

__all__ = ["SOLVERS", "MipLimits", "Solved", "SolverTroubleError", "from_result", "solve_model"]

SOLVERS: Mapping[str, tuple[str, mathopt.SolverType]] = {
    "scip": ("SCIP", mathopt.SolverType.GSCIP),
    "highs": ("HiGHS", mathopt.SolverType.HIGHS),
    "cp_sat": ("CP-SAT", mathopt.SolverType.CP_SAT),
}
"""By the name in options: a name for people, and MathOpt's."""

CP_SAT_SECONDS_PER_NODE = 0.01
"""Deterministic time (about seconds of one core) that CP-SAT gets for each branch-and-bound node of the limit."""


class SolverTroubleError(RuntimeError):
    """The solver returned no usable solution; the message says why."""


@dataclass(frozen=True)
class MipLimits:
    """When the search stops. Work is counted, not seconds, so that a run is the same on every machine.

    Attributes
    ----------
    gap
        A solution is good enough if its value is within this fraction of the price scale (what covering demand costs
        at least) from the bound. The objective itself is no scale: where demand exceeds the cluster, it is nearly all
        unavoidable penalty.
    nodes
        Branch-and-bound nodes at most; CP-SAT gets `CP_SAT_SECONDS_PER_NODE` for each.
    thorough
        Use the solver's cuts and presolve in full: slower on the small problems of a control loop, better on
        large ones.
    solver
        A name of `SOLVERS`.
    time_limit_s
        Seconds for one solve; infinite for none. With one, results depend on the machine.
    by_node
        Whether small problems are solved node by node (`optimizer.fleet.by_node`) where counting nodes has not proved
        its answer: exact for packing and reserve. None: only with a reserve.
    """

    gap: float = 0.01
    nodes: int = 500
    thorough: bool = False
    solver: str = "scip"
    time_limit_s: float = math.inf
    by_node: bool | None = None

    def parameters(self, price_scale: float) -> mathopt.SolveParameters:
        """Parameters of MathOpt: one thread, fixed seed."""
        effort = mathopt.Emphasis.MEDIUM if self.thorough else mathopt.Emphasis.LOW
        given = mathopt.SolveParameters(relative_gap_tolerance=0.0, absolute_gap_tolerance=self.gap * price_scale)
        if math.isfinite(self.time_limit_s):
            given.time_limit = timedelta(seconds=self.time_limit_s)
        if self.solver == "highs":  # takes neither a cut effort nor threads through the common parameters
            given.presolve = mathopt.Emphasis.MEDIUM
            given.highs = highs_pb2.HighsOptionsProto()
            for name, value in (("threads", 1), ("random_seed", 1), ("mip_max_nodes", self.nodes)):
                given.highs.int_options[name] = value
            return given
        given.threads, given.random_seed = 1, 1
        if self.solver == "cp_sat":  # takes neither a node limit nor efforts
            given.cp_sat = sat_parameters_pb2.SatParameters()
            given.cp_sat.max_deterministic_time = CP_SAT_SECONDS_PER_NODE * self.nodes
            given.cp_sat.mip_max_bound = 1e12  # by default it silently cuts all domains at 1e7
            return given
        given.node_limit = self.nodes
        given.presolve, given.heuristics = effort, effort
        given.cuts = mathopt.Emphasis.MEDIUM if self.thorough else mathopt.Emphasis.OFF
        return given


@dataclass(frozen=True)
class Solved:
    """What a solver says.

    Attributes
    ----------
    reason
        MathOpt's reason of termination, in lower case.
    values
        By the variable's id; None without a solution.
    bound
        No solution of the model is cheaper; ``-inf`` where the solver knows none.
    """

    reason: str
    values: dict[int, float] | None
    bound: float

    def value(self, variable: mathopt.Variable) -> float:
        """Of the solution there is."""
        assert self.values is not None
        return self.values[variable.id]


def solve_model(model: mathopt.Model, limits: MipLimits, price_scale: float) -> Solved:
    """A solution of a minimisation, checked to be one of numbers.

    Raises
    ------
    SolverTroubleError
        If there is no solution: out of limits, infeasible, unbounded, not a number, or the solver was too late.
    """
    label, kind = SOLVERS[limits.solver]
    if limits.solver == "cp_sat" and not all(v.integer for v in model.variables()):
        raise SolverTroubleError("CP-SAT would silently make continuous variables whole")
    parameters = limits.parameters(price_scale)
    if math.isfinite(limits.time_limit_s):
        from optimizer.fleet.watchdog import solve_watched

        solved = solve_watched(model, kind, parameters, limits.time_limit_s)
    else:
        solved = from_result(mathopt.solve(model, kind, params=parameters))
    if solved.values is None:
        raise SolverTroubleError(f"{label} found no solution ({solved.reason})")
    if math.isnan(solved.bound) or any(not math.isfinite(v) for v in solved.values.values()):
        raise SolverTroubleError(f"{label} returned values that are not numbers")
    return solved


def from_result(result: mathopt.SolveResult) -> Solved:
    """The part of MathOpt's answer that is used."""
    values = None
    if result.has_primal_feasible_solution():
        values = {variable.id: value for variable, value in result.variable_values().items()}
    reason = result.termination.reason.name.lower()
    if result.termination.limit is not None:
        reason += f", {result.termination.limit.name.lower()} limit"
    return Solved(reason, values, float(result.termination.objective_bounds.dual_bound))
