"""The arrays of structs that the kernel carries between calls.

Everything that changes lives in these arrays (single numbers too, in `CLOCK` of length 1), so that a call mutates in
place. Structs keep what is used together on one cache line, and numba passes one array where it would pass a dozen.
Index names: ``number`` a slot of the pool of requests and tasks, ``slot`` a replica slot, ``stage`` a stage of the
fleet, ``table`` a latency table (one per variant and node type), ``node``, ``service``.

Requests and tasks share one pool of numbers: a request that is not split is its own task, under the same number.
Number 0 is nobody's, so that 0 in a link means that there is none.

Numbers and indices are unsigned: for an index that may be negative numba computes the address of both places, that from
the start and that from the end, before it knows which is meant.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from simulator.kernel.interference import Interferences
from simulator.kernel.lookup import Lookups
from simulator.kernel.structs import struct

__all__ = [
    "ABSENT",
    "ADVANCED",
    "CLOCK",
    "COMPLETED",
    "DRAINING",
    "FAILED",
    "NEED_BLOCK",
    "NEED_ROOM",
    "NOBODY",
    "NODE",
    "NONE",
    "NO_SLOT",
    "OUTCOME",
    "PENDING",
    "READY",
    "REJECTED",
    "REPLICA",
    "REQUEST",
    "ROUND_ROBIN",
    "SERVICE",
    "STAGE",
    "STARTING",
    "STEP",
    "TABLE",
    "TASK",
    "Arrivals",
    "Fleet",
    "Latencies",
    "Record",
]  # fmt: skip

NONE = -1
"""No row, no link, no device."""

NO_SLOT: Any = np.uint32(0xFFFFFFFF)
"""No replica, in the kernel."""

NOBODY = 0
"""No request, no task."""

ABSENT, STARTING, READY, DRAINING = 0, 1, 2, 3
"""States of a replica slot."""

PENDING, COMPLETED, REJECTED, FAILED = 0, 1, 2, 3
"""Outcomes of a request."""

ROUND_ROBIN = 1
"""The router of the plain path that is not least outstanding; its place in `simulator.plan.ROUTERS`."""

ADVANCED, NEED_BLOCK, NEED_ROOM = 0, 1, 2
"""Why `loop.advance` returned: done, no more rows of the trace at hand, too few free numbers."""

CLOCK = struct(
    noise_seed="u8", hop_delay_s="f8", cursor="i8", first_id="i8", free_numbers="i8", exhausted="i8",
    record_rows="i8", record_first="i8", record_every="i8",
)  # fmt: skip
"""Position in the trace, how many numbers are free, which requests are recorded, and what is the same for all."""

REQUEST = struct(
    arrival_s="f8", id="i8", items="i4", bytes_in="i4", service="u2", tasks_about="i2", parts_left="i2",
    has_ended="i1", is_in_flight="i1",
)  # fmt: skip
"""A request in flight, as its trace says. The plain path leaves alone what comes after ``service``: ``parts_left`` of
its stage are not complete, ``tasks_about`` are somewhere, void ones among them; ``is_in_flight`` where others may wait
for its result."""

TASK = struct(ready_s="f8", routed_s="f8", next="u4", units="i4", request="u4", stage="u2", part="i2")
"""A task: ``next`` links it in a queue or batch, ``routed_s`` is when it came to its stage. The plain path leaves
alone what comes after ``units``: it is part ``part`` of a request at a stage."""

REPLICA = struct(
    fill_s="f8", free_s="f8", max_wait_s="f8", queue_units="i8", head="u4", tail="u4", queue_length="i4",
    outstanding="i4", max_batch="i4", queue_limit="i4", stage="u4", node="u4", table="u4", position="u4",
    batch_head="u4", batch_count="i4", slowness="f8", started_s="f8", settled_s="f8", cores_busy="f8", released_s="f8",
    batch_units="i8", site="u4", life="i4", device_index="i4", state="i1", running="i1", counts_items="i1",
)  # fmt: skip
"""A replica: its queue, its batch and its variant's batch rule. The time of its next event is in `Fleet.events`.

``queue_length`` counts tasks in transfer too. ``life`` counts failures in this slot, so that what was on its way
knows."""

STAGE = struct(
    offset="i8", capacity="i8", ready="i8", counter="i8", queue="i8", wait_s="f8", compute_s="f8", item_bytes="f8",
    candidates="i4", service="u4", first_stage="u4", max_outstanding="i4", held_head="u4", held_tail="u4",
    router="i1", is_last="i1", split_items="i4", retries="i4", held="i8",
    expire_s="f8", budget_s="f8", retry_delay_s="f8", hedge_after_s="f8",
    budget_met="i8", expired="i8", lost="i8", retried="i8", hedged="i8", hedges_won="i8",
)  # fmt: skip
"""A stage and where its pool lies: slots of members ``offset`` to ``offset + ready`` in order, and a tree of their
costs from ``2 * offset`` (`cost_tree`). ``queue`` tasks wait, those that the router holds (from ``held_head``) among
them; ``wait_s`` and ``compute_s`` sum over tasks. The plain path leaves alone what comes after ``is_last``, but for
``budget_s`` and ``budget_met``; the others hold tasks in ``Whole.held_head`` (``held`` of them). ``budget_met`` to
``hedges_won`` count tasks."""

NODE = struct(nic_s_per_byte="f8", nic_free_s="f8", nic_bytes="f8")
"""A network card: when it is free, and what it was given to receive."""

SERVICE = struct(
    slo_s="f8", arrived="i8", completed="i8", rejected="i8", failed="i8", slo_met="i8", first_stage="u4",
    background_started="i8", background_ended="i8", bytes_out="f8",
)  # fmt: skip
"""A service's counters."""

TABLE = struct(
    busy_s="f8", cpu_core_s="f8", requests="i8", batches="i8", extrapolated="i8",
    size_offset="i8", sizes="i8", level_offset="i8", levels="i8", latency_offset="i8", row="u4",
    cold_s="f8", cold_after_s="f8",
)  # fmt: skip
"""Counters of all replicas of one variant on one node type (``requests`` counts tasks), and where its latencies lie in
`Latencies`. After an idle time a batch takes up to ``cold_s`` longer."""

OUTCOME = struct(status="i1", cache="i1", done_s="f8")
"""Recorded outcome of a request, ``[row]``; ``done_s`` is when it was answered, rejected or failed. ``cache``:
0 where it looked in none, -1 a miss, -2 where it waited for another one, else the level of its hit, from 1."""

STEP = struct(slot="i8", ready_s="f8", start_s="f8", end_s="f8", batch_units="i8")
"""Recorded pass of a request through a stage, ``[row, position in funnel]``; of the task that ended last."""


class Arrivals(NamedTuple):
    """A block of the trace, ``[row]``; `CLOCK.cursor` is the next row. The plain path has no ``user`` and ``item``."""

    arrival_s: np.ndarray
    service: np.ndarray
    items: np.ndarray
    bytes_in: np.ndarray
    user: np.ndarray
    item: np.ndarray


class Latencies(NamedTuple):
    """All latency tables end to end: ``batch_size`` and ``cores_busy`` at a table's sizes, ``level`` at its levels,
    ``latency_s`` row by row of sizes. ``level_cell`` and ``size_cell`` of ``[TABLE.row, cell]`` are the index of the
    last level or size up to where the cell starts."""

    batch_size: np.ndarray
    cores_busy: np.ndarray
    level: np.ndarray
    latency_s: np.ndarray
    level_cell: np.ndarray
    size_cell: np.ndarray


class Record(NamedTuple):
    """What happened to requests one by one, of length 0 when not asked for."""

    outcome: np.ndarray
    step: np.ndarray


class Fleet(NamedTuple):
    """Everything that the plain path carries, but for the trace and the latencies.

    ``events`` is an `event_tree`; ``members[offset]`` and ``costs`` are the pools (see `STAGE`); ``free`` is a stack
    of the `CLOCK.free_numbers` unused numbers. ``running[device]`` counts batches, ``device_free_s[device]`` is when
    the last of those that began will end, and ``device_last[device]`` the slot of the replica that began last, plus 1.
    """

    clock: np.ndarray
    requests: np.ndarray
    tasks: np.ndarray
    free: np.ndarray
    replicas: np.ndarray
    events: np.ndarray
    stages: np.ndarray
    members: np.ndarray
    costs: np.ndarray
    nodes: np.ndarray
    services: np.ndarray
    histogram: np.ndarray
    tables: np.ndarray
    running: np.ndarray
    device_free_s: np.ndarray
    device_last: np.ndarray
    lookups: Lookups
    interferences: Interferences
    record: Record
