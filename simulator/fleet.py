"""The data plane as the control plane sees it: replicas to add and drain, and ``advance`` to serve requests."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from simulator.histogram import N_BINS
from simulator.kernel.completing import settle
from simulator.kernel.cost_tree import EMPTY, PLACE_BITS, build_costs
from simulator.kernel.event_tree import NEVER, build_events
from simulator.kernel.loop import advance
from simulator.kernel.routing import pass_on_all
from simulator.kernel.state import (
    ABSENT,
    ADVANCED,
    CLOCK,
    DRAINING,
    NEED_BLOCK,
    NEED_ROOM,
    NOBODY,
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
    TASK,
    Arrivals,
    Record,
)  # fmt: skip
from simulator.kernel.state import Fleet as State
from simulator.latency_tables import flatten
from simulator.plan import ROUTERS, FleetPlan, RecordPlan

if TYPE_CHECKING:
    from workloads.trace import TraceBlock

__all__ = ["Fleet"]


def _power_of_two(n: int) -> int:
    return 1 << max(1, math.ceil(math.log2(max(n, 2))))


def _empty_replicas(slots: int) -> np.ndarray:
    replicas = np.zeros(slots, REPLICA)
    replicas["fill_s"] = replicas["released_s"] = np.inf
    return replicas


def _stages(plan: FleetPlan) -> np.ndarray:
    stages = np.zeros(len(plan.stages), STAGE)
    for k, stage in enumerate(plan.stages):
        same = [i for i, other in enumerate(plan.stages) if other.service == stage.service]
        row = stages[k]
        row.service, row.candidates, row.item_bytes = stage.service, stage.candidates, stage.item_bytes
        row.router, row.max_outstanding = ROUTERS.index(stage.router), stage.max_outstanding
        row.first_stage, row.is_last = same[0], k == same[-1]
    return stages


def _services(plan: FleetPlan) -> np.ndarray:
    services = np.zeros(len(plan.services), SERVICE)
    services["slo_s"] = [service.slo_s for service in plan.services]
    for k in range(len(plan.stages) - 1, -1, -1):
        services["first_stage"][plan.stages[k].service] = k
    return services


def _clock(plan: FleetPlan, record: RecordPlan) -> np.ndarray:
    clock = np.zeros(1, CLOCK)
    clock["noise_seed"] = np.uint64(plan.noise_seed % 2**64)
    clock["hop_delay_s"] = plan.hop_delay_s
    clock["record_rows"], clock["record_first"], clock["record_every"] = record.rows, record.first_id, record.every
    return clock


def _record(plan: FleetPlan, rows: int) -> Record:
    positions = max(sum(s.service == v for s in plan.stages) for v in range(len(plan.services)))
    outcome = np.zeros(rows, OUTCOME)
    step = np.zeros((rows, positions), STEP)
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
        record = record or RecordPlan()
        self.state = State(
            clock=_clock(plan, record),
            requests=np.zeros(1, REQUEST),
            tasks=np.zeros(1, TASK),
            free=np.zeros(1, np.uint32),
            replicas=_empty_replicas(64),
            events=np.full(128, NEVER),
            stages=_stages(plan),
            members=np.zeros(0, np.int64),
            costs=np.zeros(0, np.int64),
            nodes=nodes,
            services=_services(plan),
            histogram=np.zeros((len(plan.services), N_BINS), np.int64),
            tables=tables,
            record=_record(plan, record.rows),
        )
        self._add_numbers(4095)
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
                    self._add_numbers(len(self.state.tasks))
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

    def _add_numbers(self, count: int) -> None:
        """Make room for more requests and tasks in flight."""
        state, clock = self.state, self.state.clock[0]
        first, unused = len(state.tasks), int(clock.free_numbers)
        free = np.zeros(first + count, np.uint32)
        free[:count] = np.arange(first + count - 1, first - 1, -1)
        free[count : count + unused] = state.free[:unused]
        clock.free_numbers = count + unused
        self.state = state._replace(
            requests=np.concatenate([state.requests, np.zeros(count, REQUEST)]),
            tasks=np.concatenate([state.tasks, np.zeros(count, TASK)]),
            free=free,
        )

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
        holding = bool((self.state.stages["held_head"] != NOBODY).any())
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
        events = np.full(4 * len(old), NEVER)
        events[2 * len(old) : 3 * len(old)] = self.state.events[len(old) :]
        build_events(events)
        self.state = self.state._replace(replicas=np.concatenate([old, _empty_replicas(len(old))]), events=events)

    def _rebuild_pools(self) -> None:
        """Lay out every stage's ready replicas, in order of slot, with the trees of their costs."""
        replicas, stages = self.replicas, self.state.stages
        ready = np.flatnonzero(replicas["state"] == READY)
        pools = [ready[replicas["stage"][ready] == k] for k in range(len(stages))]
        stages["ready"] = [len(pool) for pool in pools]
        stages["capacity"] = [_power_of_two(len(pool)) for pool in pools]
        stages["offset"] = np.cumsum(stages["capacity"]) - stages["capacity"]
        members = np.zeros(stages["capacity"].sum(), np.int64)
        costs = np.full(2 * len(members), EMPTY)
        for stage, pool in zip(stages, pools):
            first, places = stage["offset"], np.arange(len(pool))
            members[first : first + len(pool)] = pool
            replicas["position"][pool] = places
            leaf = 2 * first + stage["capacity"]
            cost = replicas["outstanding"][pool].astype(np.int64) + 1
            costs[leaf : leaf + len(pool)] = (cost << PLACE_BITS) | places
            build_costs(costs, 2 * first, stage["capacity"])
        self.state = self.state._replace(members=members, costs=costs)
