"""The marginal-cost greedy as a policy: no solver, a new plan whenever demand leaves the old one."""

from __future__ import annotations

from typing import ClassVar

from optimizer.fleet.fallback import first_that_holds
from optimizer.fleet.greedy import solve_greedy
from optimizer.fleet.problem import FleetPlan, FleetProblem
from optimizer.policies.reactive import ReactivePolicy

__all__ = ["MarginalGreedy"]


class MarginalGreedy(ReactivePolicy):
    """`optimizer.fleet.greedy` on the same forecast, headroom, churn and hysteresis as the MIP.

    Between the two only the way of solving differs.
    """

    name: ClassVar[str] = "marginal_greedy"

    def plan(self, problem: FleetProblem) -> FleetPlan:
        """Greedy from nothing and from what runs now; the cheaper, churn included; else hold."""

        def cheaper() -> FleetPlan:
            plans = [solve_greedy(problem), solve_greedy(problem, start=problem.replicas_now)]
            return min(plans, key=lambda plan: plan.objective_usd_per_hour)

        return first_that_holds(problem, (("greedy", cheaper),))
