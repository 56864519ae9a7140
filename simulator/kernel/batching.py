"""The batcher: when an idle replica starts a batch, and with which requests."""

from __future__ import annotations

from typing import Any

import numpy as np

from simulator.kernel.compiled import inlined
from simulator.kernel.latency import batch_latency, uniform
from simulator.kernel.state import NONE, Fleet, Latencies
from simulator.kernel.winner_tree import update_event

__all__ = ["enqueue", "schedule_next", "start_batch"]


@inlined
def schedule_next(fleet: Fleet, slot: int) -> None:
    """Write the start of an idle replica's next batch: free, and its queue is full or its head has waited enough."""
    replica = fleet.replicas[slot]
    start = np.inf
    if replica.head != NONE:
        due = fleet.requests[replica.head].ready_s + replica.max_wait_s
        start = max(replica.free_s, min(due, replica.fill_s))
    if start != replica.event_s:
        replica.event_s = start
        update_event(fleet.event_tree, fleet.replicas, slot)


@inlined
def enqueue(fleet: Fleet, slot: int, number: int) -> None:
    """Append a request to a replica's queue and bring the next batch forward if that fills it."""
    replica = fleet.replicas[slot]
    request = fleet.requests[number]
    request.next = NONE
    if replica.head == NONE:
        replica.head = number
    else:
        fleet.requests[replica.tail].next = number
    replica.tail = number
    replica.queue_length += 1
    replica.queue_units += request.units
    if replica.fill_s == np.inf and replica.queue_units >= replica.max_batch:
        replica.fill_s = request.ready_s
    if not replica.running:
        schedule_next(fleet, slot)


@inlined
def _take(requests: np.ndarray, replica: Any, now: float) -> int:
    """Move the ready head of the queue, as far as the cap allows, into the batch; the units taken."""
    last = replica.head
    units = requests[last].units
    count = 1
    following = requests[last].next
    while (
        following != NONE
        and requests[following].ready_s <= now
        and units + requests[following].units <= replica.max_batch
    ):
        last = following
        units += requests[last].units
        count += 1
        following = requests[last].next
    replica.batch_head = replica.head
    replica.batch_count = count
    requests[last].next = NONE
    replica.head = following
    replica.queue_length -= count
    replica.queue_units -= units
    return units


@inlined
def _find_fill(requests: np.ndarray, replica: Any) -> float:
    """Ready time of the first queued request with which the queue reaches the cap; infinite if none does."""
    if replica.queue_units < replica.max_batch:
        return np.inf
    number = replica.head
    units = requests[number].units
    while units < replica.max_batch:
        number = requests[number].next
        units += requests[number].units
    return requests[number].ready_s


@inlined
def _book_start(fleet: Fleet, head: int, stage: Any, position: int, now: float, end_s: float) -> None:
    """Count how long the batch's requests waited, and record their start and end if asked for."""
    recording = fleet.record.outcome.shape[0] > 0
    waited = 0.0
    number = head
    while number != NONE:
        request = fleet.requests[number]
        waited += now - request.routed_s
        if recording:
            step = fleet.record.step[request.id, position]
            step.start_s = now
            step.end_s = end_s
        number = request.next
    stage.wait_s += waited


@inlined
def start_batch(fleet: Fleet, latencies: Latencies, slot: int, now: float) -> None:
    """Start a batch at ``now`` on an idle replica and write its end."""
    replica = fleet.replicas[slot]
    stage = fleet.stages[replica.stage]
    table = fleet.tables[replica.table]
    units = _take(fleet.requests, replica, now)
    replica.fill_s = _find_fill(fleet.requests, replica)
    u = uniform(fleet.clock[0].noise_seed, fleet.requests[replica.batch_head].id, replica.stage)
    latency, cores_busy, beyond = batch_latency(table, latencies, units, u)
    end_s = now + latency
    replica.running = 1
    replica.settled_s = now
    replica.cores_busy = cores_busy
    stage.queue -= replica.batch_count
    stage.compute_s += latency * replica.batch_count
    table.batches += 1
    table.extrapolated += beyond
    _book_start(fleet, replica.batch_head, stage, replica.stage - stage.first_stage, now, end_s)
    replica.event_s = end_s
    update_event(fleet.event_tree, fleet.replicas, slot)
