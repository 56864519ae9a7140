"""The allocation problem solved in whole numbers whenever the short forecast leaves the plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from optimizer.fleet.fallback import plan_fleet
from optimizer.fleet.mip import MipLimits
from optimizer.fleet.problem import FleetPlan, FleetProblem
from optimizer.options import check_number, check_whole
from optimizer.policies.reactive import ReactiveOptions, ReactivePolicy

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
    """

    gap: float = 0.01
    nodes: int = 500

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("gap", self.gap, 0.0, 1.0)
        check_whole("nodes", self.nodes, 1)


class Mip(ReactivePolicy):
    """`optimizer.fleet.mip` on a short forecast, with the fallback chain of `optimizer.fleet.fallback`."""

    name: ClassVar[str] = "mip"
    Options = MipOptions

    def plan(self, problem: FleetProblem) -> FleetPlan:
        """MIP, else rounded relaxation, else greedy, else hold."""
        return plan_fleet(problem, MipLimits(gap=self.options.gap, nodes=self.options.nodes))
