"""A batch ends: its requests leave or go on to the next stage, and the replica's next batch is planned."""

from __future__ import annotations

from typing import Any

import numpy as np

from simulator.kernel.batching import schedule_next
from simulator.kernel.compiled import compiled, inlined
from simulator.kernel.counting import count_completed, record_step
from simulator.kernel.routing import change_outstanding, free_number, pass_on, route
from simulator.kernel.state import DRAINING, NOBODY, NONE, Fleet

__all__ = ["book_compute", "complete_batch", "end_batch", "settle"]


@inlined
def book_compute(replica: Any, tables: np.ndarray, now: float) -> None:
    """Book the compute time of a running batch up to ``now``."""
    elapsed_s = now - replica.settled_s
    table = tables[replica.table]
    table.busy_s += elapsed_s
    table.cpu_core_s += elapsed_s * replica.cores_busy
    replica.settled_s = now


@compiled
def settle(replicas: np.ndarray, tables: np.ndarray, now: float) -> None:
    """Book the compute time of all running batches up to ``now``, so that an interval holds what fell into it."""
    for slot in range(replicas.shape[0]):
        if replicas[slot].running:
            book_compute(replicas[slot], tables, now)


@inlined
def end_batch(fleet: Fleet, slot: int, now: float) -> None:
    """Book a batch that ends, and let the replica be idle."""
    replica = fleet.replicas[slot]
    book_compute(replica, fleet.tables, now)
    fleet.tables[replica.table].requests += replica.batch_count
    replica.running = 0
    replica.free_s = now
    if replica.device_index != NONE:
        fleet.running[replica.device_index] -= 1


@inlined
def _record_batch(fleet: Fleet, slot: int, now: float) -> None:
    number = fleet.replicas[slot].batch_head
    while number != NOBODY:
        record_step(fleet, fleet.requests[number].id, slot, fleet.tasks[number].ready_s, now)
        number = fleet.tasks[number].next


@inlined
def _answer_all(fleet: Fleet, stage: Any, number: int, now: float) -> None:
    """Answer the requests of a batch of a last stage."""
    done_s = now + fleet.clock[0].hop_delay_s
    while number != NOBODY:
        following = fleet.tasks[number].next
        stage.budget_met += now - fleet.tasks[number].routed_s <= stage.budget_s
        count_completed(fleet, fleet.requests[number], done_s)
        free_number(fleet, number)
        number = following


@inlined
def _send_on(fleet: Fleet, number: int, stage_index: int, now: float) -> None:
    """Bring the requests of a batch to the stage after their own, number ``stage_index``."""
    stage = fleet.stages[stage_index - np.uint32(1)]
    while number != NOBODY:
        following = fleet.tasks[number].next
        stage.budget_met += now - fleet.tasks[number].routed_s <= stage.budget_s
        route(fleet, number, stage_index, now)
        number = following


@inlined
def complete_batch(fleet: Fleet, slot: int, now: float) -> None:
    """End a replica's batch: its requests leave or go on, and the next batch is planned."""
    replica = fleet.replicas[slot]
    stage_index = replica.stage
    stage = fleet.stages[stage_index]
    end_batch(fleet, slot, now)
    change_outstanding(fleet, replica, -replica.batch_count)
    schedule_next(fleet, slot)
    if replica.state == DRAINING and replica.outstanding == 0:
        replica.released_s = now
    if fleet.clock[0].record_rows > 0:
        _record_batch(fleet, slot, now)
    if stage.max_outstanding > 0:
        pass_on(fleet, stage_index, now)
    if stage.is_last:
        _answer_all(fleet, stage, replica.batch_head, now)
    else:
        _send_on(fleet, replica.batch_head, np.uint32(stage_index + 1), now)
