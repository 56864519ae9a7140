"""A request reaches a stage: choose a replica (or hold the request), pass its network card, join its queue."""

from __future__ import annotations

from typing import Any

import numpy as np

from simulator.kernel.batching import enqueue
from simulator.kernel.compiled import compiled, inlined
from simulator.kernel.cost_tree import EMPTY, PLACE_MASK, cost_key, least_cost, set_cost
from simulator.kernel.counting import count_refused
from simulator.kernel.state import FAILED, NO_SLOT, NOBODY, READY, REJECTED, ROUND_ROBIN, Fleet

__all__ = ["change_outstanding", "choose_plain", "free_number", "pass_on", "pass_on_all", "receive", "refuse", "route"]


@inlined
def choose_plain(stage: Any, members: np.ndarray, costs: np.ndarray) -> int:
    """Slot of the replica that the stage's router picks, `NO_SLOT` where the pool is empty."""
    if stage.router == ROUND_ROBIN:
        if stage.ready == 0:
            return NO_SLOT
        position = stage.counter % stage.ready
        stage.counter += 1
    else:
        least = least_cost(costs, 2 * stage.offset)
        if least == EMPTY:
            return NO_SLOT
        position = least & PLACE_MASK
    return members[np.uint32(stage.offset + position)]


@inlined
def change_outstanding(fleet: Fleet, replica: Any, change: int) -> None:
    """Count tasks routed to a replica and not completed there, and let its pool know."""
    replica.outstanding += change
    if replica.state == READY:
        stage = fleet.stages[replica.stage]
        key = cost_key(replica.outstanding + 1, replica.position)
        set_cost(fleet.costs, 2 * stage.offset, stage.capacity, replica.position, key)


@inlined
def free_number(fleet: Fleet, number: int) -> None:
    """Give the number of a request that has ended back."""
    clock = fleet.clock[0]
    fleet.free[clock.free_numbers] = number
    clock.free_numbers += 1


@inlined
def refuse(fleet: Fleet, number: int, status: int, now: float) -> None:
    """End a request that no replica takes."""
    count_refused(fleet, fleet.requests[number], status, now)
    free_number(fleet, number)


@inlined
def receive(node: Any, now: float, payload_bytes: float) -> float:
    """Pass a payload through a node's card, first come first served; when the node has it."""
    free_s = max(now, node.nic_free_s) + payload_bytes * node.nic_s_per_byte
    node.nic_free_s = free_s
    node.nic_bytes += payload_bytes
    return free_s


@inlined
def _assign(fleet: Fleet, number: int, stage_index: int, slot: int, now: float) -> None:
    """Send a request to a replica: it passes the card and is queued, or finds the queue full and is rejected."""
    stage = fleet.stages[stage_index]
    replica = fleet.replicas[slot]
    if replica.queue_limit > 0 and replica.queue_length >= replica.queue_limit:
        refuse(fleet, number, REJECTED, now)
        return
    replica.queue_length += 1
    change_outstanding(fleet, replica, 1)
    request = fleet.requests[number]
    items = request.items
    if items == 0 or items > stage.candidates:
        items = stage.candidates
    payload_bytes = request.bytes_in + items * stage.item_bytes
    ready_s = receive(fleet.nodes[replica.node], now, payload_bytes) + fleet.clock[0].hop_delay_s
    task = fleet.tasks[number]
    task.units = items if replica.counts_items else 1
    task.ready_s = ready_s
    stage.queue += 1
    enqueue(fleet, slot, number)


@inlined
def _hold(tasks: np.ndarray, stage: Any, number: int) -> None:
    """Keep a request at the router, behind those already held."""
    tasks[number].next = NOBODY
    if stage.held_head == NOBODY:
        stage.held_head = number
    else:
        tasks[stage.held_tail].next = number
    stage.held_tail = number
    stage.queue += 1


@inlined
def _next_held(tasks: np.ndarray, stage: Any) -> int:
    """Take the oldest held request from the router's queue."""
    number = stage.held_head
    stage.held_head = tasks[number].next
    stage.queue -= 1
    return number


@inlined
def pass_on(fleet: Fleet, stage_index: int, now: float) -> None:
    """Send held requests, oldest first, to replicas below the limit; where no replica is left, they fail."""
    stage = fleet.stages[stage_index]
    while stage.held_head != NOBODY:
        slot = choose_plain(stage, fleet.members, fleet.costs)
        if slot == NO_SLOT:
            refuse(fleet, _next_held(fleet.tasks, stage), FAILED, now)
        elif fleet.replicas[slot].outstanding < stage.max_outstanding:
            _assign(fleet, _next_held(fleet.tasks, stage), stage_index, slot, now)
        else:
            return


@compiled
def pass_on_all(fleet: Fleet, now: float) -> None:
    """`pass_on` for every stage, after a pool has changed."""
    for stage_index in range(fleet.stages.shape[0]):
        pass_on(fleet, np.uint32(stage_index), now)


@inlined
def route(fleet: Fleet, number: int, stage_index: int, now: float) -> None:
    """Bring a request to a stage at ``now``: it is queued at a replica, held, rejected or failed."""
    stage = fleet.stages[stage_index]
    fleet.tasks[number].routed_s = now
    slot = choose_plain(stage, fleet.members, fleet.costs)
    if slot == NO_SLOT:
        refuse(fleet, number, FAILED, now)
    elif stage.max_outstanding > 0 and (
        stage.held_head != NOBODY or fleet.replicas[slot].outstanding >= stage.max_outstanding
    ):
        _hold(fleet.tasks, stage, number)
    else:
        _assign(fleet, number, stage_index, slot, now)
