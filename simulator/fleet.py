"""The data plane as the control plane sees it: replicas to add and drain, and ``advance`` to serve requests."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from simulator.histogram import N_BINS
from simulator.kernel.loop import advance, settle
from simulator.kernel.routing import pass_on_all
from simulator.kernel.state import (
    ABSENT,
    ADVANCED,
    CLOCK,
    DRAINING,
    MEMBER,
    NEED_BLOCK,
    NEED_ROOM,
    NODE,
    NONE,
    OUTCOME,
    READY,
    REPLICA,
    REQUEST,
    SERVICE,
    STAGE,
    STARTING,
    STEP,
    Arrivals,
    Record,
)  # fmt: skip
from simulator.kernel.state import Fleet as State
from simulator.kernel.winner_tree import build_events, build_loads
from simulator.latency_tables import flatten
from simulator.plan import ROUTERS, FleetPlan, RecordPlan

if TYPE_CHECKING:
    from workloads.trace import TraceBlock

__all__ = ["Fleet"]


def _power_of_two(n: int) -> int:
    return 1 << max(1, math.ceil(math.log2(max(n, 2))))


def _empty_replicas(slots: int) -> np.ndarray:
    replicas = np.zeros(slots, REPLICA)
    for field in ("event_s", "fill_s", "released_s"):
        replicas[field] = np.inf
    for field in ("head", "tail", "batch_head"):
        replicas[field] = NONE
    return replicas


def _empty_requests(room: int) -> np.ndarray:
    requests = np.zeros(room, REQUEST)
    requests["free"] = np.arange(room - 1, -1, -1)
    return requests


def _stages(plan: FleetPlan) -> np.ndarray:
    stages = np.zeros(len(plan.stages), STAGE)
    for k, stage in enumerate(plan.stages):
        same = [i for i, other in enumerate(plan.stages) if other.service == stage.service]
        row = stages[k]
        row.service, row.candidates, row.item_bytes = stage.service, stage.candidates, stage.item_bytes
        row.router, row.max_outstanding = ROUTERS.index(stage.router), stage.max_outstanding
        row.held_head = row.held_tail = NONE
        row.first_stage, row.is_last = same[0], k == same[-1]
    return stages


def _services(plan: FleetPlan) -> np.ndarray:
    services = np.zeros(len(plan.services), SERVICE)
    services["slo_s"] = [service.slo_s for service in plan.services]
    for k in range(len(plan.stages) - 1, -1, -1):
        services["first_stage"][plan.stages[k].service] = k
    return services


def _clock(plan: FleetPlan, room: int) -> np.ndarray:
    clock = np.zeros(1, CLOCK)
    clock["noise_seed"] = np.uint64(plan.noise_seed % 2**64)
    clock["hop_delay_s"] = plan.hop_delay_s
    clock["free_requests"] = room
    return clock


def _record(plan: FleetPlan, requests: int) -> Record:
    positions = max(sum(s.service == v for s in plan.stages) for v in range(len(plan.services)))
    outcome = np.zeros(requests, OUTCOME)
    step = np.zeros((requests, positions), STEP)
    outcome["done_s"] = np.nan
    step["slot"] = NONE
    for field in ("ready_s", "start_s", "end_s"):
        step[field] = np.nan
    return Record(outcome, step)


def _rows(block: TraceBlock | None) -> Arrivals:
    if block is None:
        return Arrivals(np.zeros(0), np.zeros(0, np.int16), np.zeros(0, np.int32), np.zeros(0, np.int32))
    return Arrivals(
        arrival_s=np.ascontiguousarray(block.arrival_s, dtype=np.float64),
        service=np.ascontiguousarray(block.service, dtype=np.int16),
        items=np.ascontiguousarray(block.items, dtype=np.int32),
        bytes_in=np.ascontiguousarray(block.bytes_in, dtype=np.int32),
    )


class Fleet:
    """The replicas, their queues and the requests in flight.

    Parameters
    ----------
    plan
        What stays the same.
    blocks
        The trace, block by block.
    record
        Which requests to keep one by one; none unless given.

    Attributes
    ----------
    now_s
        Up to where requests have been served.
    """

    def __init__(self, plan: FleetPlan, blocks: Iterator[TraceBlock], record: RecordPlan | None = None) -> None:
        self.plan = plan
        self.now_s = 0.0
        self._blocks = blocks
        tables, self._latencies = flatten(plan.tables)
        nodes = np.zeros(len(plan.nic_bytes_per_s), NODE)
        nodes["nic_bytes_per_s"] = plan.nic_bytes_per_s
        slots, room = 64, 4096
        self.state = State(
            clock=_clock(plan, room),
            requests=_empty_requests(room),
            replicas=_empty_replicas(slots),
            event_tree=np.zeros(2 * slots, np.int64),
            stages=_stages(plan),
            members=np.zeros(0, MEMBER),
            pool_tree=np.zeros(0, np.int64),
            nodes=nodes,
            services=_services(plan),
            histogram=np.zeros((len(plan.services), N_BINS), np.int64),
            tables=tables,
            record=_record(plan, (record or RecordPlan()).rows),
        )
        build_events(self.state.event_tree, self.state.replicas)
        self._rebuild_pools()
        self._arrivals = _rows(None)

    # --- requests --------------------------------------------------------------------------------------

    def advance(self, until_s: float) -> None:
        """Serve every event of the request path up to and including ``until_s``."""
        with np.errstate(over="ignore"):
            while (why := advance(until_s, self._arrivals, self.state, self._latencies)) != ADVANCED:
                if why == NEED_BLOCK:
                    self._next_block()
                elif why == NEED_ROOM:
                    self._grow_requests()
        if math.isfinite(until_s):
            self.now_s = until_s
            settle(self.state.replicas, self.state.tables, until_s)

    def finish(self) -> None:
        """Serve what is in flight to the end, with no replica coming or going."""
        self.advance(math.inf)

    def in_flight(self) -> np.ndarray:
        """``[service]`` requests that have arrived and have no outcome yet."""
        s = self.state.services
        return s["arrived"] - s["completed"] - s["rejected"] - s["failed"]

    def received_bytes(self) -> float:
        """Bytes that the nodes' cards have received by now."""
        nodes = self.state.nodes
        backlog = np.maximum(nodes["nic_free_s"] - self.now_s, 0.0) * nodes["nic_bytes_per_s"]
        return float((nodes["nic_bytes"] - backlog).sum())

    def _next_block(self) -> None:
        block = next(self._blocks, None)
        clock = self.state.clock
        clock["cursor"] = 0
        clock["exhausted"] = block is None
        clock["first_id"] = 0 if block is None else block.start_index
        self._arrivals = _rows(block)

    def _grow_requests(self) -> None:
        old = self.state.requests
        grown = np.concatenate([old, np.zeros(len(old), REQUEST)])
        grown["free"][: len(old)] = np.arange(2 * len(old) - 1, len(old) - 1, -1)
        self.state.clock["free_requests"] = len(old)
        self.state = self.state._replace(requests=grown)

    # --- replicas --------------------------------------------------------------------------------------

    @property
    def replicas(self) -> np.ndarray:
        """The replica slots, structs of `simulator.kernel.state.REPLICA`; to read."""
        return self.state.replicas

    def add_replica(self, rule: int, table: int, node: int, slot: int | None = None) -> int:
        """Reserve a slot (the lowest free one unless given) for a replica that is starting; returns the slot.

        ``rule`` and ``table`` index the plan's batch rules and latency tables.
        """
        if slot is None:
            absent = np.flatnonzero(self.replicas["state"] == ABSENT)
            slot = int(absent[0]) if len(absent) else len(self.replicas)
        while slot >= len(self.replicas):
            self._grow_replicas()
        replica, batch = self.replicas[slot], self.plan.rules[rule]
        replica.state, replica.stage, replica.table, replica.node = STARTING, batch.stage, table, node
        replica.counts_items, replica.max_batch = batch.counts_items, batch.max_batch
        replica.max_wait_s, replica.queue_limit = batch.max_wait_s, batch.queue_limit
        replica.released_s = np.inf
        return slot

    def activate(self, *slots: int) -> None:
        """Let starting replicas receive requests from now on, and first those that routers hold."""
        holding = bool((self.state.stages["held_head"] != NONE).any())
        for some in ([slot] for slot in slots) if holding else [list(slots)]:
            self.replicas["state"][some] = READY
            self.replicas["free_s"][some] = self.now_s
            self._rebuild_pools()
            self._pass_on()

    def drain(self, *slots: int) -> None:
        """Send ready replicas no more requests; each is released when it holds none."""
        for slot in slots:
            replica = self.replicas[slot]
            replica.state = DRAINING
            if replica.outstanding == 0:
                replica.released_s = self.now_s
        self._rebuild_pools()
        self._pass_on()

    def is_released(self, slot: int) -> bool:
        """True when a draining replica holds no request any more."""
        return bool(np.isfinite(self.replicas[slot].released_s))

    def remove(self, slot: int) -> None:
        """Free the slot of a replica that is starting or released."""
        self.replicas[slot].state = ABSENT

    def _pass_on(self) -> None:
        with np.errstate(over="ignore"):
            pass_on_all(self.state, self.now_s)

    def _grow_replicas(self) -> None:
        old = self.replicas
        grown = np.concatenate([old, _empty_replicas(len(old))])
        tree = np.zeros(2 * len(grown), np.int64)
        build_events(tree, grown)
        self.state = self.state._replace(replicas=grown, event_tree=tree)

    def _rebuild_pools(self) -> None:
        """Lay out every stage's ready replicas, in order of slot, with their winner trees."""
        replicas, stages = self.replicas, self.state.stages
        ready = np.flatnonzero(replicas["state"] == READY)
        pools = [ready[replicas["stage"][ready] == k] for k in range(len(stages))]
        stages["ready"] = [len(pool) for pool in pools]
        stages["capacity"] = [_power_of_two(len(pool)) for pool in pools]
        stages["offset"] = np.cumsum(stages["capacity"]) - stages["capacity"]
        members = np.zeros(stages["capacity"].sum(), MEMBER)
        members["load"] = np.iinfo(np.int64).max
        tree = np.zeros(2 * len(members), np.int64)
        for stage, pool in zip(stages, pools):
            first = stage["offset"]
            members["slot"][first : first + len(pool)] = pool
            members["load"][first : first + len(pool)] = replicas["outstanding"][pool]
            replicas["position"][pool] = np.arange(len(pool))
            build_loads(tree, members, first, stage["capacity"])
        self.state = self.state._replace(members=members, pool_tree=tree)
