"""The batcher: when an idle replica starts a batch, and with which tasks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from simulator.kernel.compiled import inlined
from simulator.kernel.draws import draw, draw_number
from simulator.kernel.event_tree import bits, event_of, set_event
from simulator.kernel.interference import slowdown_of
from simulator.kernel.latency import batch_latency
from simulator.kernel.lookup import look_up
from simulator.kernel.state import NOBODY, NONE, Fleet, Latencies

__all__ = ["enqueue", "find_fill", "run_batch", "schedule_next", "start_batch"]


@inlined
def schedule_next(fleet: Fleet, slot: int) -> None:
    """Write the start of an idle replica's next batch: free, and its queue is full or its head has waited enough."""
    replica = fleet.replicas[slot]
    start_s = np.inf
    if replica.head != NOBODY:
        due_s = fleet.tasks[replica.head].ready_s + replica.max_wait_s
        start_s = max(replica.free_s, min(due_s, replica.fill_s))
    start = bits(start_s)
    if start != event_of(fleet.events, slot):
        set_event(fleet.events, slot, start)


@inlined
def enqueue(fleet: Fleet, slot: int, number: int) -> None:
    """Append a task to a replica's queue and bring the next batch forward if that fills it."""
    replica = fleet.replicas[slot]
    task = fleet.tasks[number]
    task.next = NOBODY
    is_first = replica.head == NOBODY
    if is_first:
        replica.head = number
    else:
        fleet.tasks[replica.tail].next = number
    replica.tail = number
    replica.queue_units += task.units
    fills = replica.fill_s == np.inf and replica.queue_units >= replica.max_batch
    if fills:
        replica.fill_s = task.ready_s
    if not replica.running and (fills or is_first):
        schedule_next(fleet, slot)


@inlined
def _take(tasks: np.ndarray, replica: Any, stage: Any, now: float) -> int:
    """Move the ready head of the queue, as far as the cap allows, into the batch; the units taken."""
    max_batch = replica.max_batch
    number = replica.head
    last = number
    units = 0
    count = 0
    waited_s = 0.0
    while number != NOBODY:
        task = tasks[number]
        total = units + task.units
        if count > 0 and (task.ready_s > now or total > max_batch):
            break
        waited_s += now - task.routed_s
        units = total
        count += 1
        last = number
        number = task.next
    tasks[last].next = NOBODY
    replica.batch_head = replica.head
    replica.batch_count = count
    replica.head = number
    replica.queue_length -= count
    replica.queue_units -= units
    stage.wait_s += waited_s
    stage.queue -= count
    return units


@inlined
def find_fill(tasks: np.ndarray, replica: Any) -> float:
    """Ready time of the first queued task with which the queue reaches the cap; infinite if none does."""
    if replica.queue_units < replica.max_batch:
        return np.inf
    number = replica.head
    units = tasks[number].units
    while units < replica.max_batch:
        number = tasks[number].next
        units += tasks[number].units
    return tasks[number].ready_s


@inlined
def _end_beside(fleet: Fleet, replica: Any, slot: int, compute_s: float, latency_s: float, units: int) -> float:
    """When a batch ends that starts on a device, and alone there would take ``latency_s`` from ``compute_s`` on."""
    device = replica.device_index
    fleet.running[device] += 1
    measured = fleet.interferences.table[replica.table]
    if measured.takes_turns:
        if fleet.device_last[device] != 0 and fleet.device_last[device] != slot + 1:
            latency_s += measured.turn_waiting_s if fleet.device_free_s[device] > compute_s else measured.turn_s
        compute_s = max(compute_s, fleet.device_free_s[device])
    else:
        latency_s *= slowdown_of(fleet.interferences, replica.table, fleet.running[device], units)
    end_s = compute_s + latency_s
    fleet.device_free_s[device] = max(fleet.device_free_s[device], end_s)
    fleet.device_last[device] = slot + 1
    return end_s


@inlined
def run_batch(fleet: Fleet, latencies: Latencies, slot: int, now: float, units: int, u: float) -> None:
    """Run the batch that an idle replica has taken at ``now``: it looks up its rows, then computes."""
    replica = fleet.replicas[slot]
    stage = fleet.stages[replica.stage]
    table = fleet.tables[replica.table]
    compute_s = look_up(fleet.lookups, fleet.nodes, replica.table, replica.node, units, now)
    latency_s, cores_busy, beyond = batch_latency(table, latencies, units, u)
    if table.cold_s > 0.0:
        latency_s += table.cold_s * (1.0 - math.exp((replica.free_s - now) / table.cold_after_s))
    if replica.device_index == NONE:
        end_s = compute_s + latency_s * replica.slowness
    else:
        end_s = _end_beside(fleet, replica, slot, compute_s, latency_s * replica.slowness, units)
    set_event(fleet.events, slot, bits(end_s))
    replica.running = 1
    replica.started_s = now
    replica.settled_s = now
    replica.batch_units = units
    replica.cores_busy = cores_busy
    stage.compute_s += (end_s - now) * replica.batch_count
    table.batches += 1
    table.extrapolated += beyond


@inlined
def start_batch(fleet: Fleet, latencies: Latencies, slot: int, now: float) -> None:
    """Start a batch at ``now`` on an idle replica."""
    replica = fleet.replicas[slot]
    units = _take(fleet.tasks, replica, fleet.stages[replica.stage], now)
    replica.fill_s = find_fill(fleet.tasks, replica)
    head = fleet.requests[replica.batch_head]
    u = draw(fleet.clock[0].noise_seed, head.id, draw_number(replica.stage, 0, 0, 0), 0)
    run_batch(fleet, latencies, slot, now, units, u)
