"""Who gives way to services of higher priority."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence

import numpy as np

from simulator.life.fairness import Standing
from simulator.placement import Placement
from simulator.policy import FleetFacts
from simulator.roster import Replica, Roster

__all__ = ["victims"]


def victims(
    placement: Placement,
    roster: Roster,
    facts: FleetFacts,
    unplaced: np.ndarray,
    standing: Standing,
    is_draining: np.ndarray,
) -> list[Replica]:
    """Replicas to drain, so that ``unplaced[variant, node_type]`` ones of higher priority find room when they are gone.

    Kinds are looked at from the highest priority; for each replica the node is taken that must lose fewest, what is
    draining there already counted as free. On it the lowest priority goes first, and of one the youngest, but nobody
    whose leaving does not help. The placement is tried on and is as before in the end.

    Parameters
    ----------
    is_draining
        ``[slot]``.
    """
    rank = standing.priority[facts.stage_service[facts.variant_stage]]
    kinds = sorted(np.argwhere(unplaced > 0).tolist(), key=lambda kind: (rank[kind[0]], kind))
    highest = min((rank[v] for v, _ in kinds), default=0)
    staying: dict[int, list[Replica]] = {}
    before = placement.save()
    for node in np.flatnonzero(placement.hosted).tolist():
        going = [r for r in roster.on(node) if is_draining[r.slot]]
        lower = [r for r in roster.on(node) if rank[r.variant] > highest and not is_draining[r.slot]]
        if going or lower:  # elsewhere there is no room, and none can be made
            _take_off(placement, facts, going)
            staying[node] = sorted(lower, key=lambda r: (-rank[r.variant], -r.order))
    gone: list[Replica] = []
    for v, n in kinds:
        trial = _Trial(placement, facts, staying, rank, facts.need[v, n], int(rank[v]))
        gone += trial.make_room(staying.keys() & placement.nodes_of(n), int(unplaced[v, n]))
    placement.restore(before)
    return gone


class _Trial:
    """Room on some nodes for replicas of one kind, made by taking others off them."""

    def __init__(
        self,
        placement: Placement,
        facts: FleetFacts,
        staying: dict[int, list[Replica]],
        rank: np.ndarray,
        need: np.ndarray,
        own_rank: int,
    ) -> None:
        self._placement, self._facts, self._staying = placement, facts, staying
        self._rank, self._need, self._own_rank = rank, need, own_rank

    def make_room(self, nodes: Iterable[int], count: int) -> list[Replica]:
        """Put up to ``count`` replicas where fewest must go; those that went."""
        gone: list[Replica] = []
        queue = [(len(leaving), node, leaving) for node in nodes if (leaving := self._leaving(node)) is not None]
        heapq.heapify(queue)
        while queue and count:
            count -= 1
            _, node, leaving = queue[0]
            _take_off(self._placement, self._facts, leaving)
            self._placement.take(node, self._need)
            self._staying[node] = [r for r in self._staying[node] if r not in leaving]
            gone += leaving
            again = self._leaving(node)
            if again is None:
                heapq.heappop(queue)
            else:
                heapq.heapreplace(queue, (len(again), node, again))
        return gone

    def _leaving(self, node: int) -> list[Replica] | None:
        """Replicas that must leave a node before it takes one of the kind; None where that is not enough."""
        if not self._placement.is_usable[node]:
            return None
        placement, leaving = self._placement, list[Replica]()
        before = placement.save(node)
        for replica in self._staying[node]:
            if self._rank[replica.variant] <= self._own_rank or placement.fits(node, self._need):
                break
            _take_off(placement, self._facts, [replica])
            leaving.append(replica)
        fits = placement.fits(node, self._need)
        placement.restore(before, node)
        if not fits:
            return None
        for replica in leaving[::-1]:
            others = [r for r in leaving if r is not replica]
            if self._fits_without(node, others):
                leaving = others
        return leaving

    def _fits_without(self, node: int, leaving: Sequence[Replica]) -> bool:
        before = self._placement.save(node)
        _take_off(self._placement, self._facts, leaving)
        fits = self._placement.fits(node, self._need)
        self._placement.restore(before, node)
        return fits


def _take_off(placement: Placement, facts: FleetFacts, replicas: Iterable[Replica]) -> None:
    """Release what replicas claim, and what they have borrowed."""
    for replica in replicas:
        if replica.borrowed is not None:
            placement.return_borrowed(replica.seat, replica.borrowed)
        placement.release(replica.seat, facts.need[replica.variant, replica.node_type])
