"""Which node to lose, and when, so that it hurts most."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recfleet.plan_runs import Loss
from recfleet.run_record import RunRecord
from simulator.policy import FleetFacts

if TYPE_CHECKING:
    from optimizer.planner.static_fleet import StaticFleet

__all__ = ["losses_of_autoscaled", "losses_of_static"]

MOST_NODES = 24
"""Of a static fleet, nodes that are lost one by one; those beyond are of the least worth."""


def losses_of_static(facts: FleetFacts, fleet: StaticFleet, record: RunRecord, *, every: bool) -> list[Loss]:
    """Losses of the distinct nodes of a static fleet, the worst first: those that hold most of some stage.

    Each at the start of the interval with the largest demand of the stage that the node holds most of. Without
    ``every``, the worst node of each type.
    """
    from optimizer.planner.seats import seated

    nodes, replicas = fleet.nodes, fleet.replicas
    placement, found_room = seated(facts, replicas, nodes, fleet.most_per_node)
    placed = found_room or []
    holds = np.zeros((len(placement.node_type), len(facts.variants)), dtype=np.int64)
    for v, _, seat in placed:
        holds[seat.node, v] += 1
    first = np.cumsum(nodes) - nodes
    served = np.maximum(facts.served_rps(replicas), 1e-12)
    found: list[tuple[float, Loss]] = []
    seen: set[tuple[int, bytes]] = set()
    for node, kind in enumerate(placement.node_type.tolist()):
        content = (kind, holds[node].tobytes())
        if not holds[node].any() or content in seen:
            continue
        seen.add(content)
        share = facts.by_stage(holds[node] * facts.throughput_rps[:, kind]) / served
        stage = int(share.argmax())
        found.append((float(share[stage]), Loss(kind, node - int(first[kind]), _peak_s(record, stage))))
    found.sort(key=lambda item: (-item[0], item[1].node_type, item[1].number))
    if every:
        return [loss for _, loss in found[:MOST_NODES]]
    worst: dict[int, Loss] = {}
    for _, loss in found:
        worst.setdefault(loss.node_type, loss)
    return list(worst.values())


def losses_of_autoscaled(record: RunRecord) -> list[Loss]:
    """The first node of each type that was ever open, lost when most of its type were (the busiest such interval).

    The first node is open whenever any of its type is, and is among the fullest.
    """
    intervals = record.result.intervals
    rate = intervals.arrived.sum(axis=1) / intervals.length_s
    found = []
    for n in range(intervals.open_nodes.shape[1]):
        opened = intervals.open_nodes[:, n]
        if opened.any():
            slot = max(range(len(opened)), key=lambda t: (opened[t], rate[t], -t))
            found.append(Loss(n, 0, float(intervals.start_s[slot])))
    return found


def _peak_s(record: RunRecord, stage: int) -> float:
    intervals = record.result.intervals
    service = int(record.result.facts.stage_service[stage])
    return float(intervals.start_s[int((intervals.arrived[:, service] / intervals.length_s).argmax())])
