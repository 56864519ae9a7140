"""Who gives way to services of higher priority."""

from __future__ import annotations

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
    draining there already counted as free. On it the lowest priority goes first, and of one the youngest.

    Parameters
    ----------
    is_draining
        ``[slot]``.
    """
    service_of = facts.stage_service[facts.variant_stage]
    rank = standing.priority[service_of]
    going: dict[int, Replica] = {}
    room = placement.free.copy()
    for node in np.flatnonzero(placement.hosted).tolist():
        for replica in roster.on(node):
            if is_draining[replica.slot]:
                room[node] += facts.need[replica.variant, replica.node_type]
    kinds = sorted(np.argwhere(unplaced > 0).tolist(), key=lambda kind: (rank[kind[0]], kind))
    for v, n in kinds:
        need = facts.need[v, n]
        for _ in range(int(unplaced[v, n])):
            best = _cheapest_node(placement, roster, facts, room, need, n, int(rank[v]), rank, going, is_draining)
            if best is None:
                break
            node, leaving = best
            for replica in leaving:
                going[replica.slot] = replica
                room[node] += facts.need[replica.variant, replica.node_type]
            room[node] -= need
    return list(going.values())


def _cheapest_node(
    placement: Placement,
    roster: Roster,
    facts: FleetFacts,
    room: np.ndarray,
    need: np.ndarray,
    node_type: int,
    own_rank: int,
    rank: np.ndarray,
    going: dict[int, Replica],
    is_draining: np.ndarray,
) -> tuple[int, list[Replica]] | None:
    """The usable node of the type that must lose fewest replicas, and those; None where none can make room."""
    best: tuple[int, list[Replica]] | None = None
    slack = 1e-9 * facts.capacity[node_type]
    for node in placement.nodes_of(node_type):
        if not placement.is_usable[node]:
            continue
        free, leaving = room[node].copy(), []
        lower = [r for r in roster.on(node) if rank[r.variant] > own_rank and r.slot not in going]
        lower = [r for r in lower if not is_draining[r.slot]]
        lower.sort(key=lambda r: (-rank[r.variant], -r.order))
        while (free < need - slack).any() and lower:
            leaving.append(lower.pop(0))
            free += facts.need[leaving[-1].variant, leaving[-1].node_type]
        if (free >= need - slack).all() and (best is None or len(leaving) < len(best[1])):
            best = node, leaving
    return best
