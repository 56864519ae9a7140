"""Whole fleets over a whole day: what a sequence of fleets costs when starts take time, and a cheap sequence.

Time goes in control intervals (slots), since fleets change at decisions only. With ``D`` the interval,

* a replica of pair ``(v, n)`` that serves slot ``s`` was decided ``k[v, n] = ceil(start_delay / D)`` slots before, and
  claims its room from then on: what is present in slot ``t`` holds every replica that serves one of ``t .. t + k``;
* a node is paid for from ``b[n] = min_v ceil((boot + start_delay) / D) - k[v, n]`` slots before it first holds one;
* the fleet of the first slot stands at once; a replica or node that is not needed any more goes at once;
* replicas may be placed anew in every slot. No real fleet can do that, so this makes a sequence cheaper, never dearer.

The last two favour the sequence: what a policy paid for a fleet that served as much is never less.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optimizer.certificate.covering import ROUNDING, Covering
from optimizer.certificate.levels import Levels
from simulator.policy import FleetFacts

__all__ = ["Leads", "cheap_sequence_usd", "forward_max", "leads", "sequence_usd"]

MOST_FLEETS = 48
"""Of those found, so many are considered for a sequence: those that serve most of the time at least cost."""


@dataclass(frozen=True)
class Leads:
    """Start-up in slots.

    Attributes
    ----------
    replica
        ``[variant, node_type]``, ``k`` of the module; 0 where the variant cannot run.
    node
        ``[node_type]``, ``b`` of the module.
    least_replica, least_node
        Smallest of those that can occur.
    """

    replica: np.ndarray
    node: np.ndarray
    least_replica: int
    least_node: int


def leads(facts: FleetFacts, problem: Covering, *, at_once: bool = False) -> Leads:
    """Leads of a fleet; all 0 if starts are taken to be ``at_once``."""
    runs = problem.rate_rps > 0.0
    interval = facts.control_interval_s
    replica = np.where(runs & (not at_once), np.ceil(facts.start_delay_s / interval - 1e-9), 0.0).astype(np.int64)
    ready = np.ceil((facts.boot_s + facts.start_delay_s) / interval - 1e-9).astype(np.int64) - replica
    none = np.iinfo(np.int64).max
    node = np.where(runs, ready, none).min(axis=0, initial=none)
    node = np.where((node == none) | at_once, 0, node)
    used = runs.any(axis=0)
    return Leads(
        replica,
        node,
        int(replica[runs].min(initial=none)) if runs.any() else 0,
        int(node[used].min()) if used.any() else 0,
    )


def forward_max(values: np.ndarray, ahead: int) -> np.ndarray:
    """``out[slot] = max(values[slot .. slot + ahead])`` along the first axis."""
    out = np.array(values)
    for shift in range(1, min(ahead, len(out) - 1) + 1):
        np.maximum(out[:-shift], values[shift:], out=out[:-shift])
    return out


def sequence_usd(problem: Covering, lead: Leads, replicas: np.ndarray, length_s: np.ndarray) -> float:
    """Cost of fleets ``replicas[slot, variant, node_type]`` that serve slots of ``length_s[slot]``.

    ``inf`` where what is present in some slot finds no room, by first fit.
    """
    present = np.array(replicas)
    for ahead in np.unique(lead.replica):
        pairs = lead.replica == ahead
        present[:, pairs] = forward_max(replicas[:, pairs], int(ahead))
    distinct, index = np.unique(present.reshape(len(present), -1), axis=0, return_inverse=True)
    placed = [problem.nodes(row.reshape(replicas.shape[1:])) for row in distinct]
    if any(nodes is None for nodes in placed):
        return float("inf")
    paid = np.array(placed)[index.ravel()]
    for n, ahead in enumerate(lead.node):
        paid[:, n] = forward_max(paid[:, n], int(ahead))
    return float((paid @ problem.price_usd_per_hour) @ length_s) / 3600.0


def cheap_sequence_usd(levels: Levels, lead: Leads, demand_rps: np.ndarray, length_s: np.ndarray) -> float:
    """Cost of the best of some sequences of fleets in ``levels`` that serve ``demand_rps[slot, stage]``, checked by
    `sequence_usd`: one fleet for all slots, and shortest paths in which a change costs about its start-up.

    ``inf`` where in some slot none of the fleets serves.
    """
    serves = levels.serves(demand_rps)
    if not len(levels.nodes) or not serves.any(axis=1).all():
        return float("inf")
    problem, price = levels.problem, levels.problem.price_usd_per_hour
    usd_per_hour = levels.nodes @ price
    kept = _worth_considering(serves, usd_per_hour)
    serves, usd_per_hour, fleets = serves[:, kept], usd_per_hour[kept], levels.fleets[kept]
    always = np.flatnonzero(serves.all(axis=0))
    found = [float("inf")]
    if len(always):
        one = fleets[always[np.argmin(usd_per_hour[always])]]
        found.append(sequence_usd(problem, lead, np.broadcast_to(one, (len(demand_rps), *one.shape)), length_s))
    change = _change_usd(problem, lead, fleets, levels.nodes[kept], float(length_s[0]))
    for factor in (1.0, 3.0):
        path = _shortest_path(np.where(serves, usd_per_hour, np.inf) * length_s[:, None] / 3600.0, factor * change)
        found.append(sequence_usd(problem, lead, _trimmed(problem, fleets, path, demand_rps), length_s))
    return min(found)


def _trimmed(problem: Covering, fleets: np.ndarray, path: np.ndarray, demand_rps: np.ndarray) -> np.ndarray:
    """``replicas[slot, ...]`` of a path, each stay at a fleet without the replicas that its demand does not ask for."""
    replicas = fleets[path]
    starts = np.flatnonzero(np.concatenate([[True], path[1:] != path[:-1]]))
    for start, end in zip(starts, [*starts[1:], len(path)]):
        need = demand_rps[start:end].max(axis=0) * (1.0 - ROUNDING)
        fleet = np.array(fleets[path[start]])
        for v, n in np.argwhere(fleet > problem.standing):
            stage = problem.variant_stage[v]
            spare = problem.served_rps(fleet)[stage] - need[stage]
            dropped = min(int(spare / problem.rate_rps[v, n]), int(fleet[v, n] - problem.standing[v, n]))
            if problem.rate_rps[v, n] > 0.0 and dropped > 0:
                fleet[v, n] -= dropped
                if not problem.keeps_floor(fleet) or (problem.served_rps(fleet) < need).any():
                    fleet[v, n] += dropped
        replicas[start:end] = fleet
    return replicas


def _worth_considering(serves: np.ndarray, usd_per_hour: np.ndarray) -> np.ndarray:
    """Fleets that are cheapest in most slots, and the cheapest that serves always."""
    order = np.lexsort((-serves.sum(axis=0), usd_per_hour))
    first = order[np.argmax(serves[:, order], axis=1)]
    often = np.bincount(first, minlength=len(usd_per_hour))
    kept = set(np.argsort(-often, kind="stable")[:MOST_FLEETS].tolist()) & set(np.flatnonzero(often).tolist())
    always = np.flatnonzero(serves.all(axis=0))
    if len(always):
        kept.add(int(always[np.argmin(usd_per_hour[always])]))
    return np.array(sorted(kept), dtype=np.int64)


def _change_usd(problem: Covering, lead: Leads, fleets: np.ndarray, nodes: np.ndarray, slot_s: float) -> np.ndarray:
    """``usd[before, after]``: nodes are paid for while they boot, replicas hold their part while they load."""
    hours = slot_s / 3600.0
    opened = np.maximum(nodes[None] - nodes[:, None], 0)
    boot = opened @ (problem.price_usd_per_hour * lead.node)
    part = np.where(np.isfinite(problem.share).all(axis=2), problem.share.max(axis=2), 0.0)
    claim = part * problem.price_usd_per_hour * lead.replica
    started = np.maximum(fleets[None] - fleets[:, None], 0)
    return hours * np.asarray(boot + np.einsum("ijvn,vn->ij", started, claim))


def _shortest_path(stand_usd: np.ndarray, change_usd: np.ndarray) -> np.ndarray:
    """``fleet[slot]`` of least ``stand_usd[slot, fleet]`` and ``change_usd[before, after]``; a path must exist."""
    slots, fleets = stand_usd.shape
    came_from = np.zeros((slots, fleets), dtype=np.int64)
    value = stand_usd[0]
    for slot in range(1, slots):
        through = value[:, None] + change_usd
        came_from[slot] = np.argmin(through, axis=0)
        value = through[came_from[slot], np.arange(fleets)] + stand_usd[slot]
    path = np.empty(slots, dtype=np.int64)
    path[-1] = int(np.argmin(value))
    for slot in range(slots - 1, 0, -1):
        path[slot - 1] = came_from[slot, path[slot]]
    return path
