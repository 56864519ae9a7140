"""A request reaches a stage: choose a replica (or hold the request), pass its network card, join its queue."""

from __future__ import annotations

from typing import Any

import numpy as np

from simulator.kernel.batching import enqueue
from simulator.kernel.compiled import compiled, inlined
from simulator.kernel.state import FAILED, NONE, READY, REJECTED, ROUND_ROBIN, Fleet
from simulator.kernel.winner_tree import update_load

__all__ = ["change_outstanding", "pass_on", "pass_on_all", "release_request", "route"]


@inlined
def _choose(stage: Any, members: np.ndarray, pool_tree: np.ndarray) -> int:
    """Slot of the replica that the stage's router picks, or `NONE` where the pool is empty."""
    if stage.ready == 0:
        return NONE
    if stage.router == ROUND_ROBIN:
        position = stage.counter % stage.ready
        stage.counter += 1
    else:
        position = pool_tree[2 * stage.offset + 1]
    return members[stage.offset + position].slot


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
    return node.nic_free_s


@inlined
def _assign(fleet: Fleet, number: int, stage_index: int, slot: int, now: float) -> None:
    """Send a request to a replica: it passes the card and is queued, or finds the queue full and is rejected."""
    stage = fleet.stages[stage_index]
    replica = fleet.replicas[slot]
    if replica.queue_limit > 0 and replica.queue_length >= replica.queue_limit:
        _refuse(fleet, number, REJECTED)
        return
    request = fleet.requests[number]
    items = request.items
    if items == 0 or items > stage.candidates:
        items = stage.candidates
    request.units = items if replica.counts_items else 1
    payload_bytes = request.bytes_in + items * stage.item_bytes
    request.ready_s = _receive(fleet.nodes[replica.node], now, payload_bytes) + fleet.clock[0].hop_delay_s
    if fleet.record.outcome.shape[0] > 0:
        step = fleet.record.step[request.id, stage_index - stage.first_stage]
        step.slot = slot
        step.ready_s = request.ready_s
    stage.queue += 1
    change_outstanding(fleet, replica, 1)
    enqueue(fleet, slot, number)


@inlined
def _hold(requests: np.ndarray, stage: Any, number: int) -> None:
    """Keep a request at the router, behind those already held."""
    requests[number].next = NONE
    if stage.held_head == NONE:
        stage.held_head = number
    else:
        requests[stage.held_tail].next = number
    stage.held_tail = number
    stage.queue += 1


@inlined
def _next_held(requests: np.ndarray, stage: Any) -> int:
    """Take the oldest held request from the router's queue."""
    number = stage.held_head
    stage.held_head = requests[number].next
    stage.queue -= 1
    return number


@inlined
def pass_on(fleet: Fleet, stage_index: int, now: float) -> None:
    """Send held requests, oldest first, to replicas below the limit; where no replica is left, they fail."""
    stage = fleet.stages[stage_index]
    while stage.held_head != NONE:
        slot = _choose(stage, fleet.members, fleet.pool_tree)
        if slot == NONE:
            _refuse(fleet, _next_held(fleet.requests, stage), FAILED)
        elif fleet.replicas[slot].outstanding < stage.max_outstanding:
            _assign(fleet, _next_held(fleet.requests, stage), stage_index, slot, now)
        else:
            return


@compiled
def pass_on_all(fleet: Fleet, now: float) -> None:
    """`pass_on` for every stage, after a pool has changed."""
    for stage_index in range(fleet.stages.shape[0]):
        pass_on(fleet, stage_index, now)


@inlined
def route(fleet: Fleet, number: int, stage_index: int, now: float) -> None:
    """Bring a request to a stage at ``now``: it is queued at a replica, held, rejected or failed."""
    stage = fleet.stages[stage_index]
    fleet.requests[number].routed_s = now
    slot = _choose(stage, fleet.members, fleet.pool_tree)
    if slot == NONE:
        _refuse(fleet, number, FAILED)
    elif stage.max_outstanding > 0 and (
        stage.held_head != NONE or fleet.replicas[slot].outstanding >= stage.max_outstanding
    ):
        _hold(fleet.requests, stage, number)
    else:
        _assign(fleet, number, stage_index, slot, now)
