"""The event loop: arrivals of the trace against the earliest event of a replica, up to a given time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from simulator.histogram import BINS_PER_UNIT_LOG, LOWEST_S
from simulator.kernel.batching import schedule_next, start_batch
from simulator.kernel.compiled import compiled, inlined
from simulator.kernel.routing import change_outstanding, pass_on, release_request, route
from simulator.kernel.state import (
    ADVANCED,
    COMPLETED,
    DRAINING,
    NEED_BLOCK,
    NEED_ROOM,
    NONE,
    Arrivals,
    Fleet,
    Latencies,
)

__all__ = ["advance", "settle"]

_LOG_LOWEST = math.log(LOWEST_S)


@inlined
def _finish(fleet: Fleet, number: int, done_s: float) -> None:
    """Count a request that has passed its last stage."""
    request = fleet.requests[number]
    service = fleet.services[request.service]
    latency = done_s - request.arrival_s
    service.completed += 1
    service.slo_met += latency <= service.slo_s
    place = 0
    if latency > LOWEST_S:
        place = min(int((math.log(latency) - _LOG_LOWEST) * BINS_PER_UNIT_LOG), fleet.histogram.shape[1] - 1)
    fleet.histogram[request.service, place] += 1
    if fleet.record.outcome.shape[0] > 0:
        outcome = fleet.record.outcome[request.id]
        outcome.status = COMPLETED
        outcome.done_s = done_s
    release_request(fleet.clock[0], fleet.requests, number)


@inlined
def _settle(replica: Any, tables: np.ndarray, now: float) -> None:
    """Book the compute time of a running batch up to ``now``."""
    elapsed = now - replica.settled_s
    table = tables[replica.table]
    table.busy_s += elapsed
    table.cpu_core_s += elapsed * replica.cores_busy
    replica.settled_s = now


@compiled
def settle(replicas: np.ndarray, tables: np.ndarray, now: float) -> None:
    """Book the compute time of all running batches up to ``now``, so that an interval holds what fell into it."""
    for slot in range(replicas.shape[0]):
        if replicas[slot].running:
            _settle(replicas[slot], tables, now)


@inlined
def _complete_batch(fleet: Fleet, slot: int, now: float) -> None:
    """End a replica's batch: its requests leave or go on to the next stage, and the next batch is planned."""
    replica = fleet.replicas[slot]
    stage_index = replica.stage
    is_last = fleet.stages[stage_index].is_last
    _settle(replica, fleet.tables, now)
    fleet.tables[replica.table].requests += replica.batch_count
    replica.running = 0
    replica.free_s = now
    change_outstanding(fleet, replica, -replica.batch_count)
    schedule_next(fleet, slot)
    if replica.state == DRAINING and replica.outstanding == 0:
        replica.released_s = now
    pass_on(fleet, stage_index, now)
    number = replica.batch_head
    while number != NONE:
        following = fleet.requests[number].next
        if is_last:
            _finish(fleet, number, now + fleet.clock[0].hop_delay_s)
        else:
            route(fleet, number, stage_index + 1, now)
        number = following


@inlined
def _admit(fleet: Fleet, arrivals: Arrivals) -> None:
    """Take the trace's next row into the fleet."""
    clock = fleet.clock[0]
    row = clock.cursor
    clock.cursor = row + 1
    clock.free_requests -= 1
    number = fleet.requests[clock.free_requests].free
    request = fleet.requests[number]
    service = arrivals.service[row]
    request.id = clock.first_id + row
    request.arrival_s = arrivals.arrival_s[row]
    request.service = service
    request.items = arrivals.items[row]
    request.bytes_in = arrivals.bytes_in[row]
    fleet.services[service].arrived += 1
    route(fleet, number, fleet.services[service].first_stage, request.arrival_s)


@compiled
def advance(until_s: float, arrivals: Arrivals, fleet: Fleet, latencies: Latencies) -> int:
    """Serve every event up to and including ``until_s``; returns why it stopped (`state.ADVANCED` and its siblings)."""
    clock = fleet.clock[0]
    while True:
        slot = fleet.event_tree[1]
        event_s = fleet.replicas[slot].event_s
        arrival_s = np.inf
        if clock.cursor < arrivals.arrival_s.shape[0]:
            arrival_s = arrivals.arrival_s[clock.cursor]
        elif not clock.exhausted:
            return NEED_BLOCK
        now = min(event_s, arrival_s)
        if now > until_s or now == np.inf:
            return ADVANCED
        if event_s > arrival_s:
            if clock.free_requests == 0:
                return NEED_ROOM
            _admit(fleet, arrivals)
        elif fleet.replicas[slot].running:
            _complete_batch(fleet, slot, event_s)
        else:
            start_batch(fleet, latencies, slot, event_s)
