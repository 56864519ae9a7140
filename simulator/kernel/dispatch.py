"""A task of the lean and the whole path finds a replica: chosen, held, sent over a link, hedged, or refused."""

from __future__ import annotations

from typing import Any

import numpy as np

from simulator.kernel.compiled import inlined
from simulator.kernel.gathering import join_queue
from simulator.kernel.journey_state import Whole, is_wide
from simulator.kernel.lines import await_hedge, line_up
from simulator.kernel.links import carry
from simulator.kernel.pools import least_other
from simulator.kernel.routers import choose
from simulator.kernel.routing import choose_plain, receive
from simulator.kernel.state import NO_SLOT, NOBODY, NONE, READY, REJECTED, Fleet
from simulator.kernel.tasks import begin_task, change_load, end_request, end_task, is_void, items_of, lose, task_number

__all__ = ["hedge", "join", "pass_on_held", "route_task"]


@inlined
def _choose(fleet: Fleet, whole: Whole, task: int) -> int:
    """Slot of the replica that the router picks for a task, `NO_SLOT` where no ready one is in reach."""
    its = fleet.tasks[task]
    if not is_wide(whole):
        return choose_plain(fleet.stages[its.stage], fleet.members, fleet.costs)
    journey = whole.journeys[its.request]
    number = task_number(fleet, whole, task)
    request_id = fleet.requests[its.request].id
    seed = fleet.clock[0].noise_seed
    position = choose(whole.pools, its.stage, journey.site, journey.user, seed, request_id, number)
    return NO_SLOT if position < 0 else whole.pools.members[np.uint32(position)].slot


@inlined
def _payload_bytes(fleet: Fleet, whole: Whole, task: int) -> float:
    its = fleet.tasks[task]
    return fleet.requests[its.request].bytes_in + items_of(fleet, whole, task) * fleet.stages[its.stage].item_bytes


@inlined
def join(fleet: Fleet, whole: Whole, task: int, slot: int, now: float) -> None:
    """A task has come to the node of its replica: it passes the card and joins the queue."""
    replica = fleet.replicas[slot]
    free_s = receive(fleet.nodes[replica.node], now, _payload_bytes(fleet, whole, task))
    fleet.tasks[task].ready_s = free_s + fleet.clock[0].hop_delay_s
    fleet.tasks[task].units = items_of(fleet, whole, task) if replica.counts_items else 1
    join_queue(fleet, whole, slot, task)


@inlined
def _is_full(replica: Any) -> bool:
    return replica.queue_limit > 0 and replica.queue_length >= replica.queue_limit


@inlined
def _give(fleet: Fleet, whole: Whole, task: int, slot: int, now: float) -> None:
    """A replica takes a task, which sets out to it."""
    its = fleet.tasks[task]
    stage = fleet.stages[its.stage]
    replica = fleet.replicas[slot]
    replica.queue_length += 1
    stage.queue += 1
    change_load(fleet, whole, replica, 1)
    if not is_wide(whole):
        join(fleet, whole, task, slot, now)
        return
    part = whole.parts[task]
    part.slot = slot
    part.life = replica.life
    if stage.hedge_after_s > 0.0 and not part.is_twin:
        await_hedge(fleet, whole, task, now + stage.hedge_after_s)
    site = whole.journeys[its.request].site
    if site == replica.site:
        join(fleet, whole, task, slot, now)
    else:
        place = whole.link_of[site, replica.site]
        line_up(fleet, whole, place, task, carry(whole.links[place], now, _payload_bytes(fleet, whole, task)))


@inlined
def _assign(fleet: Fleet, whole: Whole, task: int, slot: int, now: float) -> None:
    """Give a task to a replica, or reject its request where the queue there is full."""
    if _is_full(fleet.replicas[slot]):
        end_request(fleet, whole, fleet.tasks[task].request, REJECTED, now)
        end_task(fleet, whole, task)
    else:
        _give(fleet, whole, task, slot, now)


@inlined
def _hold(fleet: Fleet, whole: Whole, task: int) -> None:
    """Keep a task at the router, behind those of its class."""
    stage_index = fleet.tasks[task].stage
    priority = whole.journeys[fleet.tasks[task].request].priority if is_wide(whole) else 0
    fleet.tasks[task].next = NOBODY
    if whole.held_head[stage_index, priority] == NOBODY:
        whole.held_head[stage_index, priority] = task
    else:
        fleet.tasks[whole.held_tail[stage_index, priority]].next = task
    whole.held_tail[stage_index, priority] = task
    fleet.stages[stage_index].held += 1
    fleet.stages[stage_index].queue += 1


@inlined
def route_task(fleet: Fleet, whole: Whole, task: int, now: float) -> None:
    """Bring a task to its stage's router: a replica takes it, or it is held, refused or lost."""
    stage = fleet.stages[fleet.tasks[task].stage]
    slot = _choose(fleet, whole, task)
    if slot == NO_SLOT:
        lose(fleet, whole, task, now)
    elif stage.max_outstanding > 0 and (stage.held > 0 or fleet.replicas[slot].outstanding >= stage.max_outstanding):
        _hold(fleet, whole, task)
    else:
        _assign(fleet, whole, task, slot, now)


@inlined
def _class_of_next_held(whole: Whole, stage_index: int) -> int:
    """The highest class of which a stage holds tasks, of those it holds."""
    priority = 0
    while is_wide(whole) and whole.held_head[stage_index, priority] == NOBODY:
        priority += 1
    return priority


@inlined
def pass_on_held(fleet: Fleet, whole: Whole, stage_index: int, now: float) -> None:
    """Send held tasks on, in order, while the replica chosen is below the limit; where there is none they are lost."""
    stage = fleet.stages[stage_index]
    while stage.held > 0:
        priority = _class_of_next_held(whole, stage_index)
        task = whole.held_head[stage_index, priority]
        void = is_void(fleet, whole, task)
        slot = NO_SLOT if void else _choose(fleet, whole, task)
        if slot != NO_SLOT and fleet.replicas[slot].outstanding >= stage.max_outstanding:
            return
        whole.held_head[stage_index, priority] = fleet.tasks[task].next
        stage.held -= 1
        stage.queue -= 1
        if slot != NO_SLOT:
            _assign(fleet, whole, task, slot, now)
        else:
            lose(fleet, whole, task, now)


@inlined
def hedge(fleet: Fleet, whole: Whole, task: int, now: float) -> None:
    """A task has not completed for long: the least outstanding other replica gets a twin of it, if it takes it."""
    its, part = fleet.tasks[task], whole.parts[task]
    stage = fleet.stages[its.stage]
    replica = fleet.replicas[part.slot]
    own = replica.position if replica.life == part.life and replica.state == READY else NONE
    position = least_other(whole.pools, its.stage, whole.journeys[its.request].site, own)
    if position == NONE:
        return
    slot = whole.pools.members[np.uint32(position)].slot
    if _is_full(fleet.replicas[slot]):
        return
    twin = begin_task(fleet, whole, its.request, its.stage, its.part, part.items)
    other = whole.parts[twin]
    other.attempt = part.attempt
    other.is_twin = 1
    other.twin, part.twin = task, twin
    fleet.tasks[twin].routed_s = its.routed_s
    stage.hedged += 1
    _give(fleet, whole, twin, slot, now)
