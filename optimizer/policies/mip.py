"""The allocation problem solved in whole numbers whenever the short forecast leaves the plan."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from optimizer.fleet.columns import ColumnLimits, ColumnSolver, is_large, supports
from optimizer.fleet.fallback import plan_fleet
from optimizer.fleet.mip import MipLimits
from optimizer.fleet.problem import FleetPlan, FleetProblem
from optimizer.fleet.solvers import SOLVERS
from optimizer.options import check_number, check_whole, suggestion
from optimizer.policies.reactive import ReactiveOptions, ReactivePolicy
from simulator.policy import PolicyContext
from workloads.errors import InputError

__all__ = ["Mip", "MipOptions"]


@dataclass(frozen=True)
class MipOptions(ReactiveOptions):
    """Options of `Mip`, beside those of `ReactiveOptions`.

    Attributes
    ----------
    gap
        Relative gap at which the search stops.
    nodes
        Branch-and-bound nodes at most, in one solve.
    solver
        ``scip``, ``highs`` or ``cp_sat``; ``columns`` for `optimizer.fleet.columns`; ``auto`` for that where the
        problem is large, else SCIP. What ``columns`` does not solve, SCIP does.
    time_limit_s
        Seconds for one solve, on top of the nodes; none if not given. A run with one depends on the machine.
    """

    gap: float = 0.01
    nodes: int = 500
    solver: str = "scip"
    time_limit_s: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("gap", self.gap, 0.0, 1.0)
        check_whole("nodes", self.nodes, 1)
        known = (*SOLVERS, "columns", "auto")
        if self.solver not in known:
            fix = suggestion(str(self.solver), known, "solvers")
            raise InputError("solver", f"there is no solver {self.solver!r}", fix)
        if self.time_limit_s is not None:
            check_number("time_limit_s", self.time_limit_s, 0.0, above=True)


class Mip(ReactivePolicy):
    """`optimizer.fleet.mip` on a short forecast, with the fallback chain of `optimizer.fleet.fallback`."""

    name: ClassVar[str] = "mip"
    Options = MipOptions

    def __init__(self, context: PolicyContext, options: Any) -> None:
        super().__init__(context, options)
        seconds = options.time_limit_s
        self._columns = ColumnSolver(ColumnLimits(gap=options.gap, nodes=options.nodes, wall_s=seconds))

    def plan(self, problem: FleetProblem) -> FleetPlan:
        """The solver asked for, else the MIP, else rounded relaxation, else greedy, else hold."""
        chosen: MipOptions = self.options
        limit_s = math.inf if chosen.time_limit_s is None else chosen.time_limit_s
        by_columns = chosen.solver == "columns" or (chosen.solver == "auto" and is_large(problem))
        solver = chosen.solver if chosen.solver in SOLVERS else "scip"
        limits = MipLimits(gap=chosen.gap, nodes=chosen.nodes, solver=solver, time_limit_s=limit_s)
        return plan_fleet(problem, limits, self._columns if by_columns and supports(problem) is None else None)
