"""Queues with classes and void tasks: how a task joins one, and which tasks a batch takes from it."""

from __future__ import annotations

from typing import Any

from simulator.kernel.batching import enqueue
from simulator.kernel.compiled import inlined
from simulator.kernel.journey_state import Whole
from simulator.kernel.state import NOBODY, REJECTED, Fleet
from simulator.kernel.tasks import change_load, end_request, end_task, is_void, release_if_empty

__all__ = ["gather", "join_queue"]


@inlined
def join_queue(fleet: Fleet, whole: Whole, slot: int, task: int) -> None:
    """Append a task to a replica's queue, and to those of its class there."""
    if whole.class_head.shape[1] > 1:
        replica = fleet.replicas[slot]
        part = whole.parts[task]
        priority = whole.journeys[part.request].priority
        part.previous = replica.tail if replica.head != NOBODY else NOBODY
        part.class_next = NOBODY
        if whole.class_head[slot, priority] == NOBODY:
            whole.class_head[slot, priority] = task
        else:
            whole.parts[whole.class_tail[slot, priority]].class_next = task
        whole.class_tail[slot, priority] = task
    enqueue(fleet, slot, task)


@inlined
def _leave(fleet: Fleet, whole: Whole, replica: Any, slot: int, priority: int, task: int) -> None:
    """Take a task, the first of its class in the queue, out of it."""
    following = fleet.tasks[task].next
    if whole.class_head.shape[1] == 1:
        replica.head = following
    else:
        before = whole.parts[task].previous
        whole.class_head[slot, priority] = whole.parts[task].class_next
        if before == NOBODY:
            replica.head = following
        else:
            fleet.tasks[before].next = following
        if following == NOBODY:
            replica.tail = before
        else:
            whole.parts[following].previous = before
    replica.queue_units -= fleet.tasks[task].units


@inlined
def _is_late(fleet: Fleet, whole: Whole, stage: Any, task: int, now: float) -> bool:
    """Whether a task's request is past the time until which the stage takes it."""
    return now > fleet.requests[whole.parts[task].request].arrival_s + stage.expire_s


@inlined
def _drop(fleet: Fleet, whole: Whole, stage: Any, task: int, now: float) -> None:
    """End a task that is void or late."""
    if not is_void(whole, task):
        stage.expired += 1
        end_request(fleet, whole, whole.parts[task].request, REJECTED, now)
    end_task(fleet, whole, task)


@inlined
def gather(fleet: Fleet, whole: Whole, slot: int, now: float) -> int:
    """Move what a batch takes at ``now`` out of the queue and into the batch; the units taken.

    The tasks that are ready, class after class and in order of joining, as far as the cap allows. Those met on the way
    that are void or too late are dropped.
    """
    replica = fleet.replicas[slot]
    stage = fleet.stages[replica.stage]
    classes = whole.class_head.shape[1]
    units = 0
    count = 0
    dropped = 0
    waited_s = 0.0
    is_full = False
    last = replica.head
    for priority in range(classes):
        task = whole.class_head[slot, priority] if classes > 1 else replica.head
        while not is_full and task != NOBODY and fleet.tasks[task].ready_s <= now:
            following = whole.parts[task].class_next if classes > 1 else fleet.tasks[task].next
            total = units + fleet.tasks[task].units
            if is_void(whole, task) or _is_late(fleet, whole, stage, task, now):
                _leave(fleet, whole, replica, slot, priority, task)
                _drop(fleet, whole, stage, task, now)
                dropped += 1
            elif count > 0 and total > replica.max_batch:
                is_full = True
            else:
                _leave(fleet, whole, replica, slot, priority, task)
                if count == 0:
                    replica.batch_head = task
                else:
                    fleet.tasks[last].next = task
                fleet.tasks[task].next = NOBODY
                waited_s += now - fleet.tasks[task].routed_s
                last = task
                units = total
                count += 1
            task = following
    replica.batch_count = count
    replica.queue_length -= count + dropped
    stage.queue -= count + dropped
    stage.wait_s += waited_s
    if dropped > 0:
        change_load(whole, replica, -dropped)
        release_if_empty(replica, now)
        whole.todo[0].pass_stage = replica.stage
    return units
