"""A request reaches a stage: choose a replica, pass its network card, join its queue."""

from __future__ import annotations

from typing import Any

import numpy as np

from simulator.kernel.batching import enqueue
from simulator.kernel.compiled import inlined
from simulator.kernel.state import FAILED, NONE, READY, REJECTED, ROUND_ROBIN, Fleet
from simulator.kernel.winner_tree import update_load

__all__ = ["change_outstanding", "release_request", "route"]


@inlined
def _choose(stage: Any, members: np.ndarray, pool_tree: np.ndarray) -> int:
    """Slot of the replica that the stage's router picks, or `NONE` where the pool is empty."""
    if stage.size == 0:
        return NONE
    if stage.router == ROUND_ROBIN:
        position = stage.counter % stage.size
        stage.counter += 1
    else:
        position = pool_tree[2 * stage.offset + 1]
    return members[stage.offset + position].slot  # type: ignore[no-any-return]


@inlined
def change_outstanding(fleet: Fleet, replica: Any, change: int) -> None:
    """Count requests routed to a replica and not completed there, and let its pool know."""
    replica.outstanding += change
    if replica.state == READY:
        stage = fleet.stages[replica.stage]
        fleet.members[stage.offset + replica.position].load = replica.outstanding
        update_load(fleet.pool_tree, fleet.members, stage.offset, stage.capacity, replica.position)


@inlined
def release_request(clock: Any, requests: np.ndarray, number: int) -> None:
    """Give the slot of a finished request back."""
    requests[clock.free_requests].free = number
    clock.free_requests += 1


@inlined
def _refuse(fleet: Fleet, number: int, outcome: int) -> None:
    """End a request that no replica takes."""
    request = fleet.requests[number]
    service = fleet.services[request.service]
    if outcome == FAILED:
        service.failed += 1
    else:
        service.rejected += 1
    if fleet.record.outcome.shape[0] > 0:
        fleet.record.outcome[request.id].status = outcome
    release_request(fleet.clock[0], fleet.requests, number)


@inlined
def _receive(node: Any, now: float, payload_bytes: float) -> float:
    """Pass a payload through a node's card, first come first served; when the node has it."""
    node.nic_free_s = max(now, node.nic_free_s) + payload_bytes / node.nic_bytes_per_s
    node.nic_bytes += payload_bytes
    return node.nic_free_s  # type: ignore[no-any-return]


@inlined
def route(fleet: Fleet, number: int, stage_index: int, now: float) -> None:
    """Bring a request to a stage at ``now``: it is queued at a replica, rejected or failed."""
    stage = fleet.stages[stage_index]
    slot = _choose(stage, fleet.members, fleet.pool_tree)
    if slot == NONE:
        _refuse(fleet, number, FAILED)
        return
    replica = fleet.replicas[slot]
    if replica.queue_limit > 0 and replica.queue_length >= replica.queue_limit:
        _refuse(fleet, number, REJECTED)
        return
    request = fleet.requests[number]
    items = request.items
    if items == 0 or items > stage.candidates:
        items = stage.candidates
    request.units = items if replica.counts_items else 1
    request.routed_s = now
    payload_bytes = request.bytes_in + items * stage.item_bytes
    request.ready_s = _receive(fleet.nodes[replica.node], now, payload_bytes) + fleet.clock[0].hop_delay_s
    if fleet.record.outcome.shape[0] > 0:
        step = fleet.record.step[request.id, stage_index - stage.first_stage]
        step.slot = slot
        step.ready_s = request.ready_s
    stage.queue += 1
    change_outstanding(fleet, replica, 1)
    enqueue(fleet, slot, number)
