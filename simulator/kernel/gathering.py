"""Queues with classes and void tasks: how a task joins one, and which tasks a batch takes from it."""

from __future__ import annotations

from typing import Any

import numpy as np

from simulator.kernel.batching import enqueue
from simulator.kernel.compiled import inlined
from simulator.kernel.journey_state import Whole, is_wide
from simulator.kernel.state import NOBODY, REJECTED, Fleet
from simulator.kernel.tasks import change_load, end_request, end_task, is_void, release_if_empty

__all__ = ["gather", "join_queue"]


@inlined
def join_queue(fleet: Fleet, whole: Whole, slot: int, task: int) -> None:
    """Append a task to a replica's queue, and to those of its class there."""
    if is_wide(whole) and whole.class_head.shape[1] > 1:
        replica = fleet.replicas[slot]
        place = whole.places[task]
        priority = whole.journeys[fleet.tasks[task].request].priority
        place.previous = replica.tail if replica.head != NOBODY else NOBODY
        place.class_next = NOBODY
        if whole.class_head[slot, priority] == NOBODY:
            whole.class_head[slot, priority] = task
        else:
            whole.places[whole.class_tail[slot, priority]].class_next = task
        whole.class_tail[slot, priority] = task
    enqueue(fleet, slot, task)


@inlined
def _leave(fleet: Fleet, whole: Whole, replica: Any, slot: int, priority: int, task: int) -> None:
    """Take a task, the first of its class in the queue, out of it."""
    following, before = fleet.tasks[task].next, whole.places[task].previous
    whole.class_head[slot, priority] = whole.places[task].class_next
    if before == NOBODY:
        replica.head = following
    else:
        fleet.tasks[before].next = following
    if following == NOBODY:
        replica.tail = before
    else:
        whole.places[following].previous = before


@inlined
def _is_late(fleet: Fleet, stage: Any, task: int, now: float) -> bool:
    """Whether a task's request is past the time until which the stage takes it."""
    if stage.expire_s == np.inf:
        return False
    return now > fleet.requests[fleet.tasks[task].request].arrival_s + stage.expire_s


@inlined
def _drop(fleet: Fleet, whole: Whole, stage: Any, task: int, now: float) -> None:
    """End a task that is void or late."""
    if not is_void(fleet, whole, task):
        stage.expired += 1
        end_request(fleet, whole, fleet.tasks[task].request, REJECTED, now)
    end_task(fleet, whole, task)


@inlined
def _book(fleet: Fleet, replica: Any, taken: int, dropped: int, units: int, waited_s: float) -> None:
    """Book what left the queue; ``units`` those of the tasks dropped among them."""
    stage = fleet.stages[replica.stage]
    replica.batch_count = taken
    replica.queue_length -= taken + dropped
    replica.queue_units -= units
    stage.queue -= taken + dropped
    stage.wait_s += waited_s


@inlined
def _gather_in_order(fleet: Fleet, whole: Whole, slot: int, now: float) -> tuple[int, int]:
    """`gather` where there is one class: the batch is the head of the queue, less what is dropped."""
    replica = fleet.replicas[slot]
    stage = fleet.stages[replica.stage]
    task = replica.head
    last = task
    units, dropped_units, taken, dropped = 0, 0, 0, 0
    waited_s = 0.0
    has_void = whole.todo[0].has_void
    while task != NOBODY and fleet.tasks[task].ready_s <= now:
        following = fleet.tasks[task].next
        own = fleet.tasks[task].units
        if (has_void and is_void(fleet, whole, task)) or (is_wide(whole) and _is_late(fleet, stage, task, now)):
            _drop(fleet, whole, stage, task, now)
            dropped += 1
            dropped_units += own
        elif taken > 0 and units + own > replica.max_batch:
            break
        else:
            if taken == 0:
                replica.batch_head = task
            elif dropped > 0:
                fleet.tasks[last].next = task
            waited_s += now - fleet.tasks[task].routed_s
            last = task
            units += own
            taken += 1
        task = following
    replica.head = task
    if taken > 0:
        fleet.tasks[last].next = NOBODY
    _book(fleet, replica, taken, dropped, units + dropped_units, waited_s)
    return units, dropped


@inlined
def _gather_by_class(fleet: Fleet, whole: Whole, slot: int, now: float) -> tuple[int, int]:
    """`gather` where there are several classes."""
    replica = fleet.replicas[slot]
    stage = fleet.stages[replica.stage]
    units, dropped_units, taken, dropped = 0, 0, 0, 0
    waited_s = 0.0
    is_full = False
    last = replica.head
    for priority in range(whole.class_head.shape[1]):
        task = whole.class_head[slot, priority]
        while not is_full and task != NOBODY and fleet.tasks[task].ready_s <= now:
            following = whole.places[task].class_next
            own = fleet.tasks[task].units
            if is_void(fleet, whole, task) or _is_late(fleet, stage, task, now):
                _leave(fleet, whole, replica, slot, priority, task)
                _drop(fleet, whole, stage, task, now)
                dropped += 1
                dropped_units += own
            elif taken > 0 and units + own > replica.max_batch:
                is_full = True
            else:
                _leave(fleet, whole, replica, slot, priority, task)
                if taken == 0:
                    replica.batch_head = task
                else:
                    fleet.tasks[last].next = task
                fleet.tasks[task].next = NOBODY
                waited_s += now - fleet.tasks[task].routed_s
                last = task
                units += own
                taken += 1
            task = following
    _book(fleet, replica, taken, dropped, units + dropped_units, waited_s)
    return units, dropped


@inlined
def gather(fleet: Fleet, whole: Whole, slot: int, now: float) -> int:
    """Move what a batch takes at ``now`` out of the queue and into the batch; the units taken.

    The tasks that are ready, class after class and in order of joining, as far as the cap allows. Those met on the way
    that are void or too late are dropped.
    """
    if not is_wide(whole) or whole.class_head.shape[1] == 1:
        units, dropped = _gather_in_order(fleet, whole, slot, now)
    else:
        units, dropped = _gather_by_class(fleet, whole, slot, now)
    if dropped > 0:
        replica = fleet.replicas[slot]
        change_load(fleet, whole, replica, -dropped)
        release_if_empty(replica, now)
        whole.todo[0].pass_stage = replica.stage
    return units
