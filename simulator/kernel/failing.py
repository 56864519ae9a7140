"""What fails takes with it what it held: replicas their batch and queue, links what they carry."""

from __future__ import annotations

import numpy as np

from simulator.kernel.at_home import end_those_waiting
from simulator.kernel.compiled import compiled, inlined
from simulator.kernel.completing import book_compute
from simulator.kernel.dispatch import pass_on_held
from simulator.kernel.event_tree import NEVER, set_event
from simulator.kernel.journey_state import INCOMING, Whole
from simulator.kernel.lines import take_first
from simulator.kernel.routing import refuse
from simulator.kernel.state import FAILED, NOBODY, NONE, Fleet
from simulator.kernel.tasks import end_request, end_task, leave_queue, lose

__all__ = ["lose_link", "lose_replica", "lose_whole_replica", "pass_on_all_held"]


_NOBODY = np.uint32(NOBODY)


@inlined
def _empty(fleet: Fleet, slot: int, now: float) -> tuple[int, int]:
    """Take all from a replica that is gone: the first of its batch, and the first of its queue."""
    replica = fleet.replicas[slot]
    batch, queue = _NOBODY, replica.head
    if replica.running:
        batch = replica.batch_head
        book_compute(replica, fleet.tables, now)
        replica.running = 0
        if replica.device_index != NONE:
            fleet.running[replica.device_index] -= 1
    set_event(fleet.events, slot, NEVER)
    replica.head = NOBODY
    replica.queue_units = 0
    replica.queue_length = 0
    replica.outstanding = 0
    return batch, queue  # type: ignore[return-value]


@compiled
def lose_replica(fleet: Fleet, slot: int, now: float) -> None:
    """Plain path: the requests of a replica that is gone fail, those of its batch before those queued."""
    stage = fleet.stages[fleet.replicas[slot].stage]
    batch, queue = _empty(fleet, slot, now)
    for is_queued in range(2):
        task = queue if is_queued else batch
        while task != NOBODY:
            following = fleet.tasks[task].next
            stage.queue -= is_queued
            refuse(fleet, task, FAILED, now)
            task = following


@compiled
def lose_whole_replica(fleet: Fleet, whole: Whole, slot: int, now: float) -> None:
    """Lean and whole path: the tasks of a replica that is gone are lost, those of its batch before those queued."""
    replica = fleet.replicas[slot]
    stage = fleet.stages[replica.stage]
    batch, queue = _empty(fleet, slot, now)
    for priority in range(whole.class_head.shape[1]):
        whole.class_head[slot, priority] = NOBODY
    for is_queued in range(2):
        task = queue if is_queued else batch
        while task != NOBODY:
            following = fleet.tasks[task].next
            stage.queue -= is_queued
            lose(fleet, whole, task, now)
            task = following


@compiled
def lose_link(fleet: Fleet, whole: Whole, place: int, now: float) -> None:
    """What a link carries is lost, in order: tasks may be tried again, requests on their way in and answers fail."""
    link, line = whole.links[place], whole.lines[place]
    while line.head != NOBODY:
        task = take_first(fleet, whole, place)
        its = fleet.tasks[task]
        link.lost += 1
        if its.stage < INCOMING:
            leave_queue(fleet, whole, task, now)
            lose(fleet, whole, task, now)
        else:
            end_request(fleet, whole, its.request, FAILED, now)
            end_task(fleet, whole, task)


@compiled
def pass_on_all_held(fleet: Fleet, whole: Whole, now: float) -> None:
    """Send held tasks on at every stage, after pools or links have changed; others end that waited for what failed."""
    for stage_index in range(fleet.stages.shape[0]):
        pass_on_held(fleet, whole, np.uint32(stage_index), now)
    end_those_waiting(fleet, whole, now)
