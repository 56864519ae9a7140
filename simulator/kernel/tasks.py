"""Tasks and requests come and end: their numbers, what is void, what is lost."""

from __future__ import annotations

from typing import Any

from simulator.kernel.compiled import inlined
from simulator.kernel.counting import count_refused
from simulator.kernel.journey_state import TWIN, Whole, is_wide
from simulator.kernel.lines import leave_hedge_line, line_up, retry_line
from simulator.kernel.pools import change_cost, change_near_cost
from simulator.kernel.routing import free_number
from simulator.kernel.state import DRAINING, FAILED, NOBODY, READY, Fleet

__all__ = [
    "begin_task", "change_load", "end_request", "end_task", "is_void", "leave_queue", "lose", "release_if_empty",
    "take_number", "todo", "told_apart",
]  # fmt: skip


@inlined
def take_number(fleet: Fleet) -> int:
    """A number that is free; whoever asks has seen to it that there is one."""
    clock = fleet.clock[0]
    clock.free_numbers -= 1
    return fleet.free[clock.free_numbers]


@inlined
def begin_task(fleet: Fleet, whole: Whole, request: int, stage_index: int) -> int:
    """A new task of a request: under the request's own number, unless another task has that still."""
    task = request
    if whole.parts[request].is_about:
        task = take_number(fleet)
    part = whole.parts[task]
    part.request = request
    part.stage = stage_index
    part.part = 0
    part.is_about = 1
    if is_wide(whole):
        part.attempt = 0
        part.is_twin = 0
        part.twin = NOBODY
        part.is_void = 0
    whole.journeys[request].tasks_about += 1
    return task


@inlined
def told_apart(whole: Whole, part: Any) -> int:
    """The attempt that a task's draws are made for."""
    if not is_wide(whole):
        return 0
    return min(part.attempt, TWIN - 1) + TWIN * part.is_twin


@inlined
def is_void(whole: Whole, task: int) -> bool:
    """Whether nothing depends on a task any more."""
    part = whole.parts[task]
    return (is_wide(whole) and part.is_void) or whole.journeys[part.request].has_ended


@inlined
def end_task(fleet: Fleet, whole: Whole, task: int) -> None:
    """A task is about no more; with the last one of a request that has ended, the request's number is free."""
    part = whole.parts[task]
    if is_wide(whole):
        leave_hedge_line(fleet, whole, task)
        if part.twin != NOBODY:
            whole.parts[part.twin].twin = NOBODY
            part.twin = NOBODY
    part.is_about = 0
    request = part.request
    journey = whole.journeys[request]
    journey.tasks_about -= 1
    if task != request:
        free_number(fleet, task)
    if journey.has_ended and journey.tasks_about == 0:
        free_number(fleet, request)


@inlined
def end_request(fleet: Fleet, whole: Whole, number: int, status: int, now: float) -> None:
    """A request is rejected or fails; its tasks are void from now on. Its number stays while others wait for it."""
    journey = whole.journeys[number]
    journey.has_ended = 1
    journey.status = status
    if journey.tasks_about > 1:  # one is at hand, and ends with the request
        whole.todo[0].has_void = 1
    if journey.is_in_flight:
        journey.tasks_about += 1
        journey.next = whole.todo[0].ended
        whole.todo[0].ended = number
    if journey.is_background:
        fleet.services[fleet.requests[number].service].background_ended += 1
    else:
        count_refused(fleet, fleet.requests[number], status, now)
    if journey.tasks_about == 0:
        free_number(fleet, number)


@inlined
def todo(whole: Whole, number: int) -> None:
    """Let a request go on when the event at hand is done, after those that do so already."""
    todo = whole.todo[0]
    whole.journeys[number].next = NOBODY
    if todo.head == NOBODY:
        todo.head = number
    else:
        whole.journeys[todo.tail].next = number
    todo.tail = number


@inlined
def change_load(whole: Whole, replica: Any, change: int) -> None:
    """Count tasks that a replica holds, and let its pool know."""
    replica.outstanding += change
    if replica.state == READY:
        if is_wide(whole):
            change_cost(whole.pools, replica.stage, replica.position, change)
        else:
            change_near_cost(whole.pools, replica.stage, replica.position, change)


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
    fleet.stages[part.stage].queue -= 1
    if replica.life == part.life:
        replica.queue_length -= 1
        change_load(whole, replica, -1)
        release_if_empty(replica, now)


@inlined
def lose(fleet: Fleet, whole: Whole, task: int, now: float) -> None:
    """A task is lost: it is void, or its twin goes on, or it is tried again, or its request fails."""
    part = whole.parts[task]
    stage = fleet.stages[part.stage]
    if is_void(whole, task):
        end_task(fleet, whole, task)
        return
    stage.lost += 1
    if not is_wide(whole):
        end_request(fleet, whole, part.request, FAILED, now)
        end_task(fleet, whole, task)
        return
    if part.twin == NOBODY and not part.is_twin and part.attempt < stage.retries:
        leave_hedge_line(fleet, whole, task)
        part.attempt += 1
        stage.retried += 1
        line_up(fleet, whole, retry_line(fleet, whole, part.stage), task, now + stage.retry_delay_s)
        return
    if part.twin == NOBODY:
        end_request(fleet, whole, part.request, FAILED, now)
    end_task(fleet, whole, task)
