"""The arrays of structs that the kernel carries between calls.

Everything that changes lives in these arrays (single numbers too, in `CLOCK` of length 1), so that a call mutates in
place. Structs keep what is used together on one cache line, and numba passes one array where it would pass, and count
references of, a dozen. Index names: ``request`` a slot of the request pool, ``slot`` a replica slot, ``stage`` a stage
of the fleet, ``table`` a latency table (one per variant and node type), ``node``, ``service``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

__all__ = [
    "ABSENT",
    "ADVANCED",
    "CLOCK",
    "COMPLETED",
    "DRAINING",
    "FAILED",
    "LEAST_OUTSTANDING",
    "MEMBER",
    "NEED_BLOCK",
    "NEED_ROOM",
    "NODE",
    "NONE",
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
    "Arrivals",
    "Fleet",
    "Latencies",
    "Record",
]  # fmt: skip

NONE = -1
"""No request, no replica."""

ABSENT, STARTING, READY, DRAINING = 0, 1, 2, 3
"""States of a replica slot."""

PENDING, COMPLETED, REJECTED, FAILED = 0, 1, 2, 3
"""Outcomes of a request."""

LEAST_OUTSTANDING, ROUND_ROBIN = 0, 1
"""Routers."""

ADVANCED, NEED_BLOCK, NEED_ROOM = 0, 1, 2
"""Why `loop.advance` returned: done, no more rows of the trace at hand, request pool full."""


def _struct(**fields: str) -> np.dtype[Any]:
    return np.dtype((np.record, np.dtype(list(fields.items()), align=True)))


CLOCK = _struct(noise_seed="u8", hop_delay_s="f8", cursor="i8", first_id="i8", free_requests="i8", exhausted="i8")
"""Position in the trace, free slots of the request pool, and what is the same for all."""

REQUEST = _struct(
    id="i8", arrival_s="f8", routed_s="f8", ready_s="f8", next="i4", units="i4", items="i4", bytes_in="i4",
    service="i4", free="i4",
)  # fmt: skip
"""A request in flight; ``next`` links it in a queue or batch. ``free`` of the first `CLOCK.free_requests` is a stack
of unused slots."""

REPLICA = _struct(
    event_s="f8", fill_s="f8", free_s="f8", max_wait_s="f8", settled_s="f8", cores_busy="f8", released_s="f8",
    queue_units="i8", head="i4", tail="i4", queue_length="i4", outstanding="i4", batch_head="i4", batch_count="i4",
    max_batch="i4", queue_limit="i4", stage="i4", table="i4", node="i4", position="i4",
    state="i1", running="i1", counts_items="i1",
)  # fmt: skip
"""A replica: its queue, its batch and its variant's batch rule."""

STAGE = _struct(
    offset="i8", capacity="i8", ready="i8", counter="i8", queue="i8", wait_s="f8", compute_s="f8", item_bytes="f8",
    candidates="i4", service="i4", first_stage="i4", max_outstanding="i4", held_head="i4", held_tail="i4",
    router="i1", is_last="i1",
)  # fmt: skip
"""A stage and where its pool lies: members ``offset`` to ``offset + ready`` in order of slot, and a winner tree over
them at ``2 * offset`` to ``2 * (offset + capacity)``. ``queue`` requests wait, those that the router
holds (from ``held_head``) among them; ``wait_s`` and ``compute_s`` sum over requests."""

MEMBER = _struct(load="i8", slot="i8")
"""A ready replica in its pool; ``load`` repeats its outstanding requests."""

NODE = _struct(nic_bytes_per_s="f8", nic_free_s="f8", nic_bytes="f8")
"""A network card: when it is free, and what it was given to receive."""

SERVICE = _struct(slo_s="f8", arrived="i8", completed="i8", rejected="i8", failed="i8", slo_met="i8", first_stage="i8")
"""A service's counters."""

TABLE = _struct(
    busy_s="f8", cpu_core_s="f8", requests="i8", batches="i8", extrapolated="i8",
    size_offset="i8", sizes="i8", level_offset="i8", levels="i8", latency_offset="i8",
)  # fmt: skip
"""Counters of all replicas of one variant on one node type, and where its latencies lie in `Latencies`."""

OUTCOME = _struct(status="i1", done_s="f8")
"""Recorded outcome of a request, ``[id]``."""

STEP = _struct(slot="i8", ready_s="f8", start_s="f8", end_s="f8")
"""Recorded pass of a request through a stage, ``[id, position in funnel]``."""


class Arrivals(NamedTuple):
    """A block of the trace, ``[row]``; `CLOCK.cursor` is the next row."""

    arrival_s: np.ndarray
    service: np.ndarray
    items: np.ndarray
    bytes_in: np.ndarray


class Latencies(NamedTuple):
    """All latency tables end to end: ``batch_size`` and ``cores_busy`` at a table's sizes, ``level`` at its levels,
    ``latency_s`` row by row of sizes."""

    batch_size: np.ndarray
    cores_busy: np.ndarray
    level: np.ndarray
    latency_s: np.ndarray


class Record(NamedTuple):
    """What happened to every request, of length 0 when not asked for."""

    outcome: np.ndarray
    step: np.ndarray


class Fleet(NamedTuple):
    """Everything that the loop carries, but for the trace and the latencies."""

    clock: np.ndarray
    requests: np.ndarray
    replicas: np.ndarray
    event_tree: np.ndarray
    stages: np.ndarray
    members: np.ndarray
    pool_tree: np.ndarray
    nodes: np.ndarray
    services: np.ndarray
    histogram: np.ndarray
    tables: np.ndarray
    record: Record
