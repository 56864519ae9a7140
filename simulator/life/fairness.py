"""Who is placed first where not all fits: by priority, and within one by weighted dominant shares; and Jain's index."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from simulator.packing_orders import PlaceKind, pack
from simulator.placement import Placement, Seat
from simulator.policy import FleetFacts
from simulator.result import RunResult

__all__ = [
    "Standing", "dominant_share", "jain_index", "mean_dominant_share", "place_all", "place_fairly", "share_fairness",
    "slo_fairness",
]  # fmt: skip


@dataclass(frozen=True)
class Standing:
    """What services are worth beside each other: ``weight[service]``, and ``priority[service]``, 0 the highest."""

    weight: np.ndarray
    priority: np.ndarray


def dominant_share(facts: FleetFacts, replicas: np.ndarray) -> np.ndarray:
    """``[service]`` largest share, over resources, of the whole cluster that ``replicas[variant, node_type]`` claim.

    Ghodsi et al., Dominant Resource Fairness, NSDI 2011.
    """
    total = facts.node_count @ facts.capacity
    service = facts.stage_service[facts.variant_stage]
    claims = np.zeros((len(facts.services), len(total)))
    np.add.at(claims, service, (replicas[..., None] * facts.need).sum(axis=1))
    return np.divide(claims, total, out=np.zeros_like(claims), where=total > 0).max(axis=1)


def jain_index(values: np.ndarray, weight: np.ndarray | None = None) -> float:
    """``(sum w x)^2 / (sum w sum w x^2)``: 1 where all are alike, ``1 / n`` where one of ``n`` alike has all.

    Jain, Chiu and Hawe, DEC-TR-301, 1984, with each value counted ``weight`` times. NaN without a value above 0.

    Examples
    --------
    >>> jain_index(np.array([1.0, 0.0, 0.0, 0.0]))
    0.25
    """
    w = np.ones(len(values)) if weight is None else weight
    squares = float(w.sum() * (w @ values**2))
    return float(w @ values) ** 2 / squares if squares > 0.0 else float("nan")


def slo_fairness(result: RunResult) -> float:
    """Jain's index of the attainment of services that had requests, each counted by its weight."""
    some = result.arrived > 0
    attainment = result.slo_met[some] / result.arrived[some]
    return jain_index(attainment, result.facts.service_weight[some])


def mean_dominant_share(result: RunResult) -> np.ndarray:
    """``[service]`` dominant share of what its replicas, in any state, claimed in the mean over the run."""
    i = result.intervals
    replicas = np.tensordot(i.length_s, i.ready + i.starting + i.draining, 1) / i.length_s.sum()
    return dominant_share(result.facts, replicas)


def share_fairness(result: RunResult) -> float:
    """Jain's index of dominant share over weight, of services that had requests."""
    some = result.arrived > 0
    return jain_index(mean_dominant_share(result)[some] / result.facts.service_weight[some])


Placed = list[tuple[int, int, Seat]]
"""Variant, node type and seat of each replica."""


Place = Callable[[int, int, int], list[Seat]]
"""From a variant, a node type and a number of replicas to the seats of those that found room."""


def place_anywhere(placement: Placement, facts: FleetFacts) -> Place:
    """Seats wherever there is room."""
    return lambda v, n, count: placement.place(n, facts.need[v, n], count)


def place_all(
    placement: Placement, facts: FleetFacts, missing: np.ndarray, new_place: Callable[[], Place] | None = None
) -> Placed | None:
    """Place ``missing[variant, node_type]`` replicas; None, and nothing placed, if not all fit.

    On each node type variants go in their order, and only where that leaves some without room, the largest first (see
    `simulator.packing_orders`). The replicas come in the order of variant and node type, whichever it was.

    Parameters
    ----------
    new_place
        Makes, for each attempt, what places replicas; by default wherever there is room.
    """
    before = placement.save()
    placed: Placed = []
    for n in np.flatnonzero(missing.any(axis=0)).tolist():
        found = pack(placement, n, facts.need[:, n], missing[:, n], new_place and _on(n, new_place))
        if found is None:
            placement.restore(before)
            return None
        placed += [(v, n, seat) for v, seat in found]
    return sorted(placed, key=lambda each: each[:2])


def _on(node_type: int, new_place: Callable[[], Place]) -> Callable[[], PlaceKind]:
    """The same for variants on one node type."""

    def make() -> PlaceKind:
        place = new_place()
        return lambda v, count: place(v, node_type, count)

    return make


def place_fairly(
    placement: Placement,
    facts: FleetFacts,
    missing: np.ndarray,
    present: np.ndarray,
    standing: Standing,
    place: Place | None = None,
) -> Placed:
    """Place what fits of ``missing[variant, node_type]`` beside the ``present`` ones.

    Services of the highest priority come first. Among those of one priority, the next replica goes to the service
    with the least dominant share over weight (dominant resource fairness, by filling), and within it to the kind that
    has least of what it should have.
    """
    place = place or place_anywhere(placement, facts)
    service_of = facts.stage_service[facts.variant_stage]
    total = facts.node_count @ facts.capacity
    unit = np.divide(facts.need, total, out=np.zeros_like(facts.need), where=total > 0)
    claims = np.zeros((len(facts.services), len(total)))
    np.add.at(claims, service_of, (present[..., None] * unit).sum(axis=1))
    have, goal = present.copy(), present + missing
    kinds: list[list[tuple[float, int, int]]] = [[] for _ in facts.services]
    for v, n in np.argwhere(missing > 0).tolist():
        kinds[service_of[v]].append((have[v, n] / goal[v, n], v, n))
    queue = []
    for s, mine in enumerate(kinds):
        heapq.heapify(mine)
        if mine:
            queue.append((int(standing.priority[s]), float(claims[s].max() / standing.weight[s]), s))
    heapq.heapify(queue)
    placed: Placed = []
    while queue:
        priority, _, s = queue[0]
        _, v, n = kinds[s][0]
        seats = place(v, n, 1)
        if seats:
            placed.append((v, n, seats[0]))
            have[v, n] += 1
            claims[s] += unit[v, n]
        if not seats or have[v, n] == goal[v, n]:
            heapq.heappop(kinds[s])
        else:
            heapq.heapreplace(kinds[s], (have[v, n] / goal[v, n], v, n))
        if kinds[s]:
            heapq.heapreplace(queue, (priority, float(claims[s].max() / standing.weight[s]), s))
        else:
            heapq.heappop(queue)
    return placed
