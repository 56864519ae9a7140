"""What is counted of requests, and what is recorded of some of them one by one."""

from __future__ import annotations

from typing import Any

from simulator.kernel.bins import bin_of
from simulator.kernel.compiled import inlined
from simulator.kernel.state import COMPLETED, FAILED, NONE, Fleet

__all__ = ["count_completed", "count_refused", "record_row", "record_step"]


@inlined
def record_row(clock: Any, request_id: int) -> int:
    """Row of a request among those recorded, `NONE` where it is not."""
    if clock.record_rows == 0:
        return NONE
    past = request_id - clock.record_first
    row = past // clock.record_every
    if past < 0 or row >= clock.record_rows or row * clock.record_every != past:
        return NONE
    return row


@inlined
def _record_outcome(fleet: Fleet, request_id: int, status: int, done_s: float) -> None:
    row = record_row(fleet.clock[0], request_id)
    if row != NONE:
        outcome = fleet.record.outcome[row]
        outcome.status = status
        outcome.done_s = done_s


@inlined
def count_completed(fleet: Fleet, request: Any, done_s: float) -> None:
    """Count a request whose answer is there at ``done_s``."""
    service = fleet.services[request.service]
    latency_s = done_s - request.arrival_s
    service.completed += 1
    service.slo_met += latency_s <= service.slo_s
    fleet.histogram[request.service, bin_of(latency_s)] += 1
    _record_outcome(fleet, request.id, COMPLETED, done_s)


@inlined
def count_refused(fleet: Fleet, request: Any, status: int, now: float) -> None:
    """Count a request that is rejected or fails."""
    service = fleet.services[request.service]
    if status == FAILED:
        service.failed += 1
    else:
        service.rejected += 1
    _record_outcome(fleet, request.id, status, now)


@inlined
def record_step(fleet: Fleet, request_id: int, slot: int, ready_s: float, now: float) -> None:
    """Record a request's pass through the stage of a replica, whose batch ends now."""
    row = record_row(fleet.clock[0], request_id)
    if row != NONE:
        replica = fleet.replicas[slot]
        step = fleet.record.step[row, replica.stage - fleet.stages[replica.stage].first_stage]
        step.slot = slot
        step.ready_s = ready_s
        step.start_s = replica.started_s
        step.end_s = now
        step.batch_units = replica.batch_units
