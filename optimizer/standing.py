"""Replicas that stand whatever a policy wants (`FleetFacts.min_replicas`): a policy plans what comes on top of them.

The wrapper shows a policy the fleet without them: the demand that they do not serve, the nodes that they leave, and the
replicas beyond them. What it answers is added to them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from optimizer.fleet.cards import node_shares
from optimizer.fleet.packing import first_fit, per_node
from simulator.policy import Allocation, FleetFacts, Observation, Policy, PolicyContext

__all__ = ["AboveStanding", "above_standing"]


def above_standing(context: PolicyContext) -> PolicyContext:
    """What a policy may know before a run, of the fleet without the replicas that stand."""
    return replace(context, facts=_without(context.facts))


def _without(facts: FleetFacts) -> FleetFacts:
    """Less demand by what standing replicas serve, and fewer nodes by those that they are on."""
    least = facts.min_replicas
    share = node_shares(facts.need, facts.capacity)
    used = [first_fit(share[:, n], least[:, n], int(count)).nodes for n, count in enumerate(facts.node_count)]
    node_count = np.maximum(facts.node_count - np.array(used), 0)
    standing_rps = facts.served_rps(least)
    # What one node may hold of them at most, wherever they are placed.
    held = np.minimum(least, per_node(share))
    loss = [facts.served_rps(held * (np.arange(len(used)) == n)) for n in range(len(used))]
    standing_loss_rps = np.minimum(np.max(loss, axis=0, initial=0.0), standing_rps)
    for values in (node_count, standing_rps, standing_loss_rps):
        values.flags.writeable = False
    spent = float(np.dot(facts.price_usd_per_hour, used))
    return replace(
        facts,
        node_count=node_count,
        standing_rps=standing_rps,
        standing_loss_rps=standing_loss_rps,
        min_replicas=np.zeros_like(least),
        budget_usd_per_hour=max(0.0, facts.budget_usd_per_hour - spent),
    )


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
        most, expected = allocation.most_per_node, allocation.expected_rps
        if most is not None:
            facts = self._facts
            most = np.maximum(most, np.minimum(self._least, per_node(node_shares(facts.need, facts.capacity))))
        if expected is not None:
            expected = expected + self._facts.standing_rps
        return replace(
            allocation,
            replicas=np.asarray(allocation.replicas) + self._least,
            expected_rps=expected,
            most_per_node=most,
        )

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
