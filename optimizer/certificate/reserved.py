"""The cheapest fleet for a demand that keeps the scenario's reserve: it still serves it after the loss of any one node.

The problem is that of `optimizer.fleet.problem`, with headroom and reserve as policies plan them, solved by
`optimizer.fleet.fallback`. Demand may be left unserved there at a price; the price is raised until that never pays, and
a plan that leaves some is no answer. Its bound is a lower value all the same.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from optimizer.certificate.covering import ROUNDING, Answer, Covering, covering
from optimizer.certificate.levels import Levels
from optimizer.fleet.fallback import plan_fleet
from optimizer.fleet.problem import FleetProblem
from optimizer.fleet.solvers import MipLimits
from simulator.policy import FleetFacts

__all__ = ["MOST_SOLVES", "ReservedLevels"]

MOST_SOLVES = 40
GAP = 1e-3
NEVER = 10.0
"""Leaving a hundredth of the least demand unserved costs as much as so many of the dearest nodes."""


class ReservedLevels(Levels):
    """As `Levels`, of ``f(demand)`` with headroom and reserve on top of the demand."""

    def __init__(self, facts: FleetFacts) -> None:
        problem: Covering = covering(facts, facts.throughput_rps)
        super().__init__(problem, facts)
        self._plain = replace(
            facts,
            budget_usd_per_hour=np.inf,
            service_priority=np.zeros_like(facts.service_priority),
            service_weight=np.ones(len(facts.services)),
            lost_usd_per_request=np.zeros(len(facts.variants)),
        )

    def answer_at(self, demand_rps: np.ndarray) -> Answer:
        """What a plan proved and found."""
        positive = demand_rps[demand_rps > 0.0]
        if not len(positive):
            return super().answer_at(demand_rps)
        dearest = float(self.problem.price_usd_per_hour.max())
        penalty = NEVER * dearest / (3600.0 * 0.01 * float(positive.min()))
        facts = replace(self._plain, unserved_usd_per_request=max(penalty, self._plain.unserved_usd_per_request))
        plan = plan_fleet(FleetProblem.from_facts(facts, demand_rps), MipLimits(gap=GAP))
        lower = 0.0 if plan.bound_usd_per_hour is None else max(0.0, plan.bound_usd_per_hour * (1.0 - ROUNDING))
        if plan.status == "hold" or plan.unserved_rps.max(initial=0.0) > ROUNDING * float(positive.max()):
            return Answer(plan.status, lower, np.inf, None, None)
        usd = float(self.problem.price_usd_per_hour @ plan.open_nodes)
        return Answer(plan.status, min(lower, usd), usd, plan.replicas, plan.open_nodes)

    def fleet_of(self, answer: Answer, demand_rps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Its replicas and what it was asked for: what more it could serve depends on where replicas stand."""
        assert answer.replicas is not None
        return answer.replicas, demand_rps
