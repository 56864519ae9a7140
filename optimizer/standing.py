"""Replicas that stand whatever a policy wants (`FleetFacts.min_replicas`): what comes on top of them is planned.

`beyond_standing` is the fleet without them: the nodes that they leave, and the budget. A policy that plans for a
demand (`counts_standing`) sees the whole fleet and solves for the rest (`Standing`), so that headroom and reserve are
those of the whole demand. Any other is wrapped (`AboveStanding`): it is shown the fleet without them, the demand that
they do not serve, and the replicas beyond them; what it answers is added to them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from optimizer.fleet.cards import node_shares
from optimizer.fleet.packing import Room, first_fit, per_node
from simulator.policy import Allocation, FleetFacts, Observation, Policy, PolicyContext

__all__ = ["AboveStanding", "Standing", "above_standing", "beyond_standing"]

PAID = 0.01
"""Part of its price that the room on a node costs which standing replicas pay for; not 0, so that ratios exist."""


def above_standing(context: PolicyContext) -> PolicyContext:
    """What a policy may know before a run, of the fleet without the replicas that stand."""
    return replace(context, facts=beyond_standing(context.facts))


def beyond_standing(facts: FleetFacts) -> FleetFacts:
    """The fleet without its standing replicas and the nodes that they are on; the same facts where none stand.

    Where they are on every node of a type, the roomiest of these stays with what is left of it, at `PAID` of its
    price; not where plans keep a reserve, for then two things would be lost with it.
    """
    least = facts.min_replicas
    if not least.any():
        return facts
    share = node_shares(facts.need, facts.capacity)
    used = [first_fit(share[:, n], least[:, n], int(count)).nodes for n, count in enumerate(facts.node_count)]
    node_count = np.maximum(facts.node_count - np.array(used), 0)
    capacity, price = np.array(facts.capacity, dtype=np.float64), np.array(facts.price_usd_per_hour, dtype=np.float64)
    for n in np.flatnonzero((node_count == 0) & (np.array(used) > 0) & (facts.headroom_after_loss is None)):
        left = _roomiest(share[:, n], least[:, n], int(facts.node_count[n]))[: capacity.shape[1]] * capacity[n]
        fits = per_node(node_shares(facts.need[:, n : n + 1], left[None]))[:, 0] > 0
        if (fits & facts.runs_on()[:, n]).any():
            node_count[n], capacity[n], price[n] = 1, left, PAID * price[n]
    standing_rps = facts.served_rps(least)
    # What one node may hold of them at most, wherever they are placed.
    held = np.minimum(least, per_node(share))
    loss = [facts.served_rps(held * (np.arange(len(used)) == n)) for n in range(len(used))]
    standing_loss_rps = np.minimum(np.max(loss, axis=0, initial=0.0), standing_rps)
    for values in (node_count, capacity, price, standing_rps, standing_loss_rps):
        values.flags.writeable = False
    spent = float(np.dot(facts.price_usd_per_hour, used))
    return replace(
        facts,
        node_count=node_count,
        capacity=capacity,
        price_usd_per_hour=price,
        standing_rps=standing_rps,
        standing_loss_rps=standing_loss_rps,
        min_replicas=np.zeros_like(least),
        budget_usd_per_hour=max(0.0, facts.budget_usd_per_hour - spent),
    )


def _roomiest(share: np.ndarray, replicas: np.ndarray, nodes: int) -> np.ndarray:
    """``[resource or cut]`` part left of the node with most room of those of a type, replicas placed first fit."""
    room = Room(share[:, None], np.array([nodes]))
    for v in np.argsort(-share.max(axis=1), kind="stable"):
        room.take(int(v), 0, int(replicas[v]))
    left = room.left(0)
    roomiest = left[np.lexsort((left.sum(axis=1), left.min(axis=1)))[-1]]
    return np.where(roomiest > 1e-9, roomiest, 0.0)


class Standing:
    """What always stands of a fleet, for a policy that plans the whole demand and solves for the rest.

    Attributes
    ----------
    replicas
        ``[variant, node_type]``; zeros where none stand, and then every method gives back what it is given.
    """

    def __init__(self, facts: FleetFacts) -> None:
        self.replicas = facts.min_replicas
        self._most = np.minimum(self.replicas, per_node(node_shares(facts.need, facts.capacity)))

    def without(self, replicas: np.ndarray) -> np.ndarray:
        """``[variant, node_type]`` what there is of ``replicas`` beyond them."""
        return np.maximum(replicas - self.replicas, 0)

    def beside(self, allocation: Allocation) -> Allocation:
        """An allocation of the rest, and them."""
        most = None if allocation.most_per_node is None else np.maximum(allocation.most_per_node, self._most)
        return replace(allocation, replicas=np.asarray(allocation.replicas) + self.replicas, most_per_node=most)


class AboveStanding:
    """A policy for what comes on top of ``facts.min_replicas``."""

    def __init__(self, inner: Policy, facts: FleetFacts) -> None:
        self.inner = inner
        self._standing = Standing(facts)
        self._least = facts.min_replicas
        self._facts = beyond_standing(facts)
        self._taken = facts.node_count - self._facts.node_count

    @property
    def clairvoyant(self) -> bool:
        """Whether the inner policy sees the future."""
        return bool(getattr(self.inner, "clairvoyant", False))

    def decide(self, observation: Observation) -> Allocation:
        """What the inner policy wants of the rest, and what stands."""
        allocation = self._standing.beside(self.inner.decide(self._rest(observation)))
        if allocation.expected_rps is None:
            return allocation
        # Where nothing is expected beyond what they serve, they are taken to serve what came last.
        standing_rps, beyond = self._facts.standing_rps, np.asarray(allocation.expected_rps)
        within = np.minimum(observation.stage_rps, standing_rps)
        return replace(allocation, expected_rps=np.where(beyond > 0.0, beyond + standing_rps, within))

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
            "usable_nodes": np.maximum(observation.usable_nodes - self._taken, 0),
        }
        for array in values.values():
            array.flags.writeable = False
        return replace(observation, facts=self._facts, **values)
