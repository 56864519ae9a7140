"""A replica of the lean and the whole path starts a batch, and ends one."""

from __future__ import annotations

import numpy as np

from simulator.kernel.batching import find_fill, run_batch, schedule_next
from simulator.kernel.cache import prepare
from simulator.kernel.compiled import inlined
from simulator.kernel.completing import end_batch
from simulator.kernel.counting import record_step
from simulator.kernel.draws import draw
from simulator.kernel.gathering import gather
from simulator.kernel.going_on import todo
from simulator.kernel.journey_state import ANSWER, Whole, has_caches, is_wide
from simulator.kernel.state import NOBODY, Fleet, Latencies
from simulator.kernel.tasks import change_load, end_task, is_background, is_void, release_if_empty, task_number

__all__ = ["complete_whole_batch", "start_whole_batch"]


@inlined
def start_whole_batch(fleet: Fleet, whole: Whole, latencies: Latencies, slot: int, now: float) -> None:
    """Start a batch at ``now`` on an idle replica, unless every task that is ready is void or late."""
    replica = fleet.replicas[slot]
    units = gather(fleet, whole, slot, now)
    replica.fill_s = find_fill(fleet.tasks, replica)
    if replica.batch_count == 0:
        schedule_next(fleet, slot)
        return
    first = replica.batch_head
    request_id = fleet.requests[fleet.tasks[first].request].id
    u = draw(fleet.clock[0].noise_seed, request_id, task_number(fleet, whole, first), 0)
    run_batch(fleet, latencies, slot, now, units, u)


@inlined
def _complete_task(fleet: Fleet, whole: Whole, slot: int, task: int, now: float) -> None:
    """A task of a batch that ends: with the last one of its stage, its request goes on."""
    if not is_void(fleet, whole, task):
        its = fleet.tasks[task]
        number = its.request
        replica, stage = fleet.replicas[slot], fleet.stages[its.stage]
        request = fleet.requests[number]
        stage.budget_met += now - its.routed_s <= stage.budget_s
        if is_wide(whole):
            part = whole.parts[task]
            if part.twin != NOBODY:
                whole.parts[part.twin].is_void = 1
                whole.todo[0].has_void = 1
            stage.hedges_won += part.is_twin
        request.parts_left -= 1
        if request.parts_left == 0:
            if fleet.clock[0].record_rows > 0 and not is_background(whole, number):
                record_step(fleet, request.id, slot, its.ready_s, now)
            if is_wide(whole):
                whole.journeys[number].site = replica.site
            if stage.is_last and has_caches(whole):
                journey = whole.journeys[number]
                prepare(whole.caches, request.service, journey.home, journey.key, 0)
            todo(fleet, whole, number, ANSWER if stage.is_last else its.stage + 1)
    end_task(fleet, whole, task)


@inlined
def _let_all_go_on(fleet: Fleet, whole: Whole, slot: int, now: float) -> None:
    """Lean path, a stage that splits nothing: no task is void and each has its request's number, so that the batch's
    links serve as those of `TODO`."""
    replica = fleet.replicas[slot]
    stage = fleet.stages[replica.stage]
    next_stage = ANSWER if stage.is_last else replica.stage + 1
    task = replica.batch_head
    whole.todo[0].head = task
    while task != NOBODY:
        its = fleet.tasks[task]
        stage.budget_met += now - its.routed_s <= stage.budget_s
        if fleet.clock[0].record_rows > 0 and not is_background(whole, task):
            record_step(fleet, fleet.requests[task].id, slot, its.ready_s, now)
        if stage.is_last and has_caches(whole):
            journey = whole.journeys[task]
            prepare(whole.caches, fleet.requests[task].service, journey.home, journey.key, 0)
        its.stage = next_stage
        fleet.requests[task].tasks_about = 0
        whole.todo[0].tail = task
        task = its.next


@inlined
def complete_whole_batch(fleet: Fleet, whole: Whole, slot: int, now: float) -> None:
    """End a replica's batch and plan the next; requests all of whose tasks are complete are left to go on."""
    replica = fleet.replicas[slot]
    end_batch(fleet, slot, now)
    change_load(fleet, whole, replica, -replica.batch_count)
    schedule_next(fleet, slot)
    release_if_empty(replica, now)
    whole.todo[0].pass_stage = replica.stage
    task = replica.batch_head
    if not is_wide(whole) and fleet.stages[replica.stage].split_items == 0:
        _let_all_go_on(fleet, whole, slot, now)
        task = np.uint32(NOBODY)
    while task != NOBODY:
        following = fleet.tasks[task].next
        _complete_task(fleet, whole, slot, task, now)
        task = following
