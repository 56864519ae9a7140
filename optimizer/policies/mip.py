"""The allocation problem solved in whole numbers whenever the short forecast leaves the plan."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from optimizer.fleet.fallback import plan_fleet
from optimizer.fleet.mip import MipLimits
from optimizer.fleet.problem import FleetPlan, FleetProblem
from optimizer.fleet.solvers import SOLVERS
from optimizer.options import check_number, check_whole, suggestion
from optimizer.policies.reactive import ReactiveOptions, ReactivePolicy
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
        ``scip``, ``highs`` or ``cp_sat``.
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
        if self.solver not in SOLVERS:
            fix = suggestion(str(self.solver), SOLVERS, "solvers")
            raise InputError("solver", f"there is no solver {self.solver!r}", fix)
        if self.time_limit_s is not None:
            check_number("time_limit_s", self.time_limit_s, 0.0, above=True)


class Mip(ReactivePolicy):
    """`optimizer.fleet.mip` on a short forecast, with the fallback chain of `optimizer.fleet.fallback`."""

    name: ClassVar[str] = "mip"
    Options = MipOptions

    def plan(self, problem: FleetProblem) -> FleetPlan:
        """MIP, else rounded relaxation, else greedy, else hold."""
        chosen: MipOptions = self.options
        limit_s = math.inf if chosen.time_limit_s is None else chosen.time_limit_s
        limits = MipLimits(gap=chosen.gap, nodes=chosen.nodes, solver=chosen.solver, time_limit_s=limit_s)
        return plan_fleet(problem, limits)
