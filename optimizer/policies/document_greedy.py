"""The document's greedy: slot by slot, give the smaller of what is demanded and what is available."""

from __future__ import annotations

from optimizer.policies.base import BuiltinPolicy
from optimizer.preference import spread
from simulator.policy import Allocation, Observation

__all__ = ["DocumentGreedy"]


class DocumentGreedy(BuiltinPolicy):
    """``allocation = min(demand, available)``, stage after stage in the order of services.

    Demand is the last interval's rate in whole replicas of the stage's preferred pair; available is what
    the node types have left of every resource after the stages before it. Where the preferred node type is
    full, the stage's next pair takes the rest. There is no headroom, no memory and no look ahead, as in the
    document.
    """

    def decide(self, observation: Observation) -> Allocation:
        """Replicas for the last interval's demand, as far as there is room."""
        demand = observation.stage_rps
        replicas = spread(self.preference, demand, worth=self.facts.throughput_rps, one_each=False)
        return Allocation(replicas, note="min(demand, available)")
