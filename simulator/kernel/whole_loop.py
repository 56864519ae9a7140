"""The event loop of the lean and the whole path: arrivals, replicas, and lines."""

from __future__ import annotations

import numpy as np

from simulator.kernel.at_home import arrive_home, end_those_waiting
from simulator.kernel.compiled import compiled, inlined
from simulator.kernel.dispatch import hedge, join, pass_on_held, route_task
from simulator.kernel.event_tree import NEVER, bits, first_source, seconds
from simulator.kernel.flight import has_room
from simulator.kernel.going_on import take_todo
from simulator.kernel.journey_state import ANSWER, Whole, is_wide
from simulator.kernel.journeys import admit, answer, come_home, enter_stage, touch_ahead
from simulator.kernel.lines import leave_hedge_line, take_first
from simulator.kernel.serving import complete_whole_batch, start_whole_batch
from simulator.kernel.state import ADVANCED, NEED_BLOCK, NEED_ROOM, NOBODY, NONE, Arrivals, Fleet, Latencies
from simulator.kernel.tasks import end_task, is_void, leave_queue, lose

__all__ = ["advance_lean", "advance_whole"]


@inlined
def _come_off_link(fleet: Fleet, whole: Whole, task: int, now: float) -> None:
    """A task has come to the site of its replica, or an answer home."""
    its, part = fleet.tasks[task], whole.parts[task]
    if its.stage == ANSWER:
        arrive_home(fleet, whole, its.request, now)
        end_task(fleet, whole, task)
    elif is_void(fleet, whole, task) or fleet.replicas[part.slot].life != part.life:
        whole.todo[0].pass_stage = its.stage
        leave_queue(fleet, whole, task, now)
        lose(fleet, whole, task, now)
    else:
        join(fleet, whole, task, part.slot, now)


@inlined
def _try_again(fleet: Fleet, whole: Whole, task: int, now: float) -> None:
    """The retry of a task is due."""
    if is_void(fleet, whole, task):
        end_task(fleet, whole, task)
    else:
        route_task(fleet, whole, task, now)


@inlined
def _line_event(fleet: Fleet, whole: Whole, line_index: int, now: float) -> None:
    """The head of a line is due."""
    stages, sites = fleet.stages.shape[0], whole.link_of.shape[0]
    lines = whole.lines.shape[0]
    if line_index >= lines - stages:
        task = whole.lines[line_index].head
        leave_hedge_line(fleet, whole, task)
        if not is_void(fleet, whole, task):
            hedge(fleet, whole, task, now)
        return
    task = take_first(fleet, whole, line_index)
    if line_index >= lines - 2 * stages:
        _try_again(fleet, whole, task, now)
    elif line_index >= sites:
        _come_off_link(fleet, whole, task, now)
    else:
        request = fleet.tasks[task].request
        end_task(fleet, whole, task)
        come_home(fleet, whole, request, now)


@inlined
def _finish_event(fleet: Fleet, whole: Whole, now: float) -> None:
    """Do what the event has left to be done: held tasks are passed on, requests go on, those that waited end."""
    todo = whole.todo[0]
    if todo.pass_stage != NONE:
        pass_on_held(fleet, whole, np.uint32(todo.pass_stage), now)
        todo.pass_stage = NONE
    while todo.head != NOBODY:
        number, stage_index = take_todo(fleet, whole)
        if stage_index == ANSWER:
            answer(fleet, whole, number, now)
        else:
            enter_stage(fleet, whole, number, stage_index, now)
    end_those_waiting(fleet, whole, now)


@inlined
def _has_room(fleet: Fleet, whole: Whole, source: int) -> bool:
    """Whether an event of a source finds the numbers that it may take, and the places for keys in flight."""
    todo, free_numbers = whole.todo[0], fleet.clock[0].free_numbers
    if source < fleet.replicas.shape[0] and fleet.replicas[source].running:
        return free_numbers >= fleet.replicas[source].batch_count * todo.most_parts
    return free_numbers >= todo.most_new and has_room(whole.caches)


@inlined
def _advance(until_s: float, arrivals: Arrivals, fleet: Fleet, whole: Whole, latencies: Latencies) -> int:
    clock = fleet.clock[0]
    until = bits(until_s)
    rows = arrivals.arrival_s.shape[0]
    replicas = fleet.replicas.shape[0]
    row = clock.cursor
    why = ADVANCED
    while True:
        event = fleet.events[1]
        arrival = NEVER
        if row < rows:
            arrival = bits(arrivals.arrival_s[row])
        elif not clock.exhausted:
            why = NEED_BLOCK
            break
        time = min(event, arrival)
        if time > until or time == NEVER:
            break
        now = seconds(time)
        if arrival < event:
            if not _has_room(fleet, whole, replicas):
                why = NEED_ROOM
                break
            touch_ahead(whole, arrivals, row)
            admit(fleet, whole, arrivals, row)
            row += 1
        else:
            source = first_source(fleet.events)
            if not _has_room(fleet, whole, source):
                why = NEED_ROOM
                break
            if is_wide(whole) and source >= replicas:
                _line_event(fleet, whole, source - replicas, now)
            elif fleet.replicas[source].running:
                complete_whole_batch(fleet, whole, source, now)
            else:
                start_whole_batch(fleet, whole, latencies, source, now)
        _finish_event(fleet, whole, now)
    clock.cursor = row
    return why


@compiled
def advance_whole(until_s: float, arrivals: Arrivals, fleet: Fleet, whole: Whole, latencies: Latencies) -> int:
    """Serve every event up to and including ``until_s``; returns why it stopped (`state.ADVANCED` and its siblings)."""
    return _advance(until_s, arrivals, fleet, whole, latencies)


@compiled
def advance_lean(until_s: float, arrivals: Arrivals, fleet: Fleet, whole: Whole, latencies: Latencies) -> int:
    """`advance_whole` where `Whole.wide` is `LEAN`."""
    return _advance(until_s, arrivals, fleet, whole, latencies)
