"""Tasks and requests come and end: their numbers, what is void, what is lost."""

from __future__ import annotations

from typing import Any

import numpy as np

from simulator.kernel.compiled import inlined
from simulator.kernel.counting import count_refused
from simulator.kernel.draws import draw_number
from simulator.kernel.journey_state import TWIN, Whole, has_caches, is_wide
from simulator.kernel.lines import leave_hedge_line, line_up, retry_line
from simulator.kernel.pools import change_cost
from simulator.kernel.routing import change_outstanding, free_number
from simulator.kernel.state import DRAINING, FAILED, NOBODY, READY, Fleet

__all__ = [
    "begin_task", "change_load", "end_request", "end_task", "is_background", "is_void", "items_of", "leave_queue",
    "lose", "release_if_empty", "take_number", "task_number",
]  # fmt: skip


@inlined
def take_number(fleet: Fleet) -> int:
    """A number that is free; whoever asks has seen to it that there is one."""
    clock = fleet.clock[0]
    clock.free_numbers -= 1
    return fleet.free[clock.free_numbers]


@inlined
def begin_task(fleet: Fleet, whole: Whole, request: int, stage_index: int, part_number: int, items: int) -> int:
    """A new task of a request: under the request's own number, unless another task has that still."""
    task = request
    is_taken = whole.parts[request].is_about != 0 if is_wide(whole) else part_number > 0
    if is_taken:
        task = take_number(fleet)
    its = fleet.tasks[task]
    its.request = request
    its.stage = stage_index
    its.part = part_number
    its.units = items
    if is_wide(whole):
        part = whole.parts[task]
        part.items = items
        part.is_about = 1
        part.attempt = 0
        part.is_twin = 0
        part.twin = NOBODY
        part.is_void = 0
    fleet.requests[request].tasks_about += 1
    return task


@inlined
def items_of(fleet: Fleet, whole: Whole, task: int) -> int:
    """Candidates of a task; on the lean path, before it joins a queue, where its units take their place."""
    if is_wide(whole):
        return whole.parts[task].items
    return fleet.tasks[task].units


@inlined
def is_background(whole: Whole, number: int) -> bool:
    """Whether a request was sent to fill a cache, and nobody waits for its answer."""
    return has_caches(whole) and whole.journeys[number].is_background


@inlined
def task_number(fleet: Fleet, whole: Whole, task: int) -> np.uint64:
    """What a task's draws are made for (`draw_number`); losses and twins are told apart."""
    its = fleet.tasks[task]
    attempt, branch = 0, 0
    if is_wide(whole):
        part = whole.parts[task]
        attempt = min(part.attempt, TWIN - 1) + TWIN * part.is_twin
    if has_caches(whole):
        branch = whole.journeys[its.request].branch
    return draw_number(its.stage, its.part, attempt, branch)


@inlined
def is_void(fleet: Fleet, whole: Whole, task: int) -> bool:
    """Whether nothing depends on a task any more."""
    return (is_wide(whole) and whole.parts[task].is_void) or fleet.requests[fleet.tasks[task].request].has_ended


@inlined
def end_task(fleet: Fleet, whole: Whole, task: int) -> None:
    """A task is about no more; with the last one of a request that has ended, the request's number is free."""
    if is_wide(whole):
        part = whole.parts[task]
        part.is_about = 0
        leave_hedge_line(fleet, whole, task)
        if part.twin != NOBODY:
            whole.parts[part.twin].twin = NOBODY
            part.twin = NOBODY
    number = fleet.tasks[task].request
    request = fleet.requests[number]
    request.tasks_about -= 1
    if task != number:
        free_number(fleet, task)
    if request.has_ended and request.tasks_about == 0:
        free_number(fleet, number)


@inlined
def end_request(fleet: Fleet, whole: Whole, number: int, status: int, now: float) -> None:
    """A request is rejected or fails; its tasks are void from now on. Its number stays while others wait for it."""
    request = fleet.requests[number]
    request.has_ended = 1
    if request.tasks_about > 1:  # one is at hand, and ends with the request
        whole.todo[0].has_void = 1
    if request.is_in_flight:
        request.tasks_about += 1
        journey = whole.journeys[number]
        journey.status = status
        journey.next = whole.todo[0].ended
        whole.todo[0].ended = number
    if is_background(whole, number):
        fleet.services[request.service].background_ended += 1
    else:
        count_refused(fleet, request, status, now)
    if request.tasks_about == 0:
        free_number(fleet, number)


@inlined
def change_load(fleet: Fleet, whole: Whole, replica: Any, change: int) -> None:
    """Count tasks that a replica holds, and let its pool know."""
    if is_wide(whole):
        replica.outstanding += change
        if replica.state == READY:
            change_cost(whole.pools, replica.stage, replica.position, change)
    else:
        change_outstanding(fleet, replica, change)


@inlined
def release_if_empty(replica: Any, now: float) -> None:
    """A draining replica is released when it holds nothing."""
    if replica.state == DRAINING and replica.outstanding == 0:
        replica.released_s = now


@inlined
def leave_queue(fleet: Fleet, whole: Whole, task: int, now: float) -> None:
    """A task that is in transfer to a replica goes there no more."""
    part = whole.parts[task]
    replica = fleet.replicas[part.slot]
    fleet.stages[fleet.tasks[task].stage].queue -= 1
    if replica.life == part.life:
        replica.queue_length -= 1
        change_load(fleet, whole, replica, -1)
        release_if_empty(replica, now)


@inlined
def lose(fleet: Fleet, whole: Whole, task: int, now: float) -> None:
    """A task is lost: it is void, or its twin goes on, or it is tried again, or its request fails."""
    its = fleet.tasks[task]
    stage = fleet.stages[its.stage]
    if is_void(fleet, whole, task):
        end_task(fleet, whole, task)
        return
    stage.lost += 1
    if not is_wide(whole):
        end_request(fleet, whole, its.request, FAILED, now)
        end_task(fleet, whole, task)
        return
    part = whole.parts[task]
    if part.twin == NOBODY and not part.is_twin and part.attempt < stage.retries:
        leave_hedge_line(fleet, whole, task)
        part.attempt += 1
        stage.retried += 1
        line_up(fleet, whole, retry_line(fleet, whole, its.stage), task, now + stage.retry_delay_s)
        return
    if part.twin == NOBODY:
        end_request(fleet, whole, its.request, FAILED, now)
    end_task(fleet, whole, task)
