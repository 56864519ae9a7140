"""Replicas that stand whatever a policy wants (`FleetFacts.min_replicas`): a policy plans what comes on top of them.

The wrapper shows a policy the fleet without them: the demand that they do not serve, the nodes that they leave, and the
replicas beyond them. What it answers is added to them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from optimizer.fleet.packing import first_fit, shares
from simulator.policy import Allocation, FleetFacts, Observation, Policy, PolicyContext

__all__ = ["AboveStanding", "above_standing"]


def above_standing(context: PolicyContext) -> PolicyContext:
    """What a policy may know before a run, of the fleet without the replicas that stand."""
    return replace(context, facts=_without(context.facts))


def _without(facts: FleetFacts) -> FleetFacts:
    """Less demand by what standing replicas serve, and fewer nodes by those that they are on."""
    least = facts.min_replicas
    share = shares(facts.need, facts.capacity)
    used = [first_fit(share[:, n], least[:, n], int(count)).nodes for n, count in enumerate(facts.node_count)]
    node_count = np.maximum(facts.node_count - np.array(used), 0)
    standing_rps = facts.served_rps(least)
    for values in (node_count, standing_rps):
        values.flags.writeable = False
    return replace(facts, node_count=node_count, standing_rps=standing_rps, min_replicas=np.zeros_like(least))


class AboveStanding:
    """A policy for what comes on top of ``facts.min_replicas``."""

    def __init__(self, inner: Policy, facts: FleetFacts) -> None:
        self.inner = inner
        self._least = facts.min_replicas
        self._facts = _without(facts)

    @property
    def clairvoyant(self) -> bool:
        """Whether the inner policy sees the future."""
        return bool(getattr(self.inner, "clairvoyant", False))

    def decide(self, observation: Observation) -> Allocation:
        """What the inner policy wants of the rest, and what stands."""
        allocation = self.inner.decide(self._rest(observation))
        replicas = np.asarray(allocation.replicas) + self._least
        if allocation.expected_rps is None:
            return replace(allocation, replicas=replicas)
        return replace(allocation, replicas=replicas, expected_rps=allocation.expected_rps + self._facts.standing_rps)

    def _rest(self, observation: Observation) -> Observation:
        standing_rps = self._facts.standing_rps
        starting = np.minimum(observation.starting, np.maximum(self._least - observation.ready, 0))
        above = np.maximum(observation.stage_rps - standing_rps, 0.0)
        share = np.divide(above, observation.stage_rps, out=np.zeros_like(above), where=observation.stage_rps > 0.0)
        values = {
            "ready": np.maximum(observation.ready - self._least, 0),
            "starting": observation.starting - starting,
            "stage_rps": above,
            "stage_waiting": observation.stage_waiting * share,
            "stage_computing": observation.stage_computing * share,
            "queue_requests": np.rint(observation.queue_requests * share).astype(np.int64),
            "stage_history_rps": np.maximum(observation.stage_history_rps - standing_rps[:, None], 0.0),
            "usable_nodes": np.minimum(observation.usable_nodes, self._facts.node_count),
        }
        for array in values.values():
            array.flags.writeable = False
        return replace(observation, facts=self._facts, **values)
