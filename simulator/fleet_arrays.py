"""The arrays of the data plane's plain path, made from the plan (`simulator.kernel.state` says what they mean)."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from simulator.histogram import N_BINS
from simulator.kernel.cost_tree import EMPTY, PLACE_BITS, PLACE_MASK, build_costs
from simulator.kernel.event_tree import NEVER, build_events
from simulator.kernel.state import (
    CLOCK,
    NODE,
    NONE,
    OUTCOME,
    READY,
    REPLICA,
    REQUEST,
    SERVICE,
    STAGE,
    STEP,
    TASK,
    Arrivals,
    Fleet,
    Record,
)  # fmt: skip
from simulator.latency_tables import flatten_interference
from simulator.lookups import lookup_state
from simulator.plan import ROUTERS, FleetPlan, RecordPlan
from workloads.errors import InputError

if TYPE_CHECKING:
    from workloads.trace import TraceBlock

__all__ = ["add_numbers", "arrivals_of", "build_fleet", "check_pool_size", "grow_replicas", "rebuild_plain_pools"]

FIRST_NUMBERS = 4096
FIRST_SLOTS = 64


def _power_of_two(n: int) -> int:
    return 1 << max(1, math.ceil(math.log2(max(n, 2))))


def _empty_replicas(slots: int) -> np.ndarray:
    replicas = np.zeros(slots, REPLICA)
    replicas["fill_s"] = replicas["released_s"] = np.inf
    return replicas


def _stages(plan: FleetPlan) -> np.ndarray:
    stages = np.zeros(len(plan.stages), STAGE)
    for name in ("service", "candidates", "item_bytes", "max_outstanding", "split_items", "retries", "expire_s",
                 "budget_s", "retry_delay_s", "hedge_after_s"):  # fmt: skip
        stages[name] = [getattr(stage, name) for stage in plan.stages]
    for k, (row, stage) in enumerate(zip(stages, plan.stages)):
        same = [i for i, other in enumerate(plan.stages) if other.service == stage.service]
        row.router = ROUTERS.index(stage.router)
        row.first_stage, row.is_last = same[0], k == same[-1]
    return stages


def _services(plan: FleetPlan) -> np.ndarray:
    services = np.zeros(len(plan.services), SERVICE)
    services["slo_s"] = [service.slo_s for service in plan.services]
    services["bytes_out"] = [service.bytes_out for service in plan.services]
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


def build_fleet(plan: FleetPlan, tables: np.ndarray, lines: int, record: RecordPlan) -> Fleet:
    """All arrays, with no replica and no request yet; ``lines`` sources of events beside replicas."""
    nodes = np.zeros(len(plan.nic_bytes_per_s), NODE)
    nodes["nic_s_per_byte"] = 1.0 / plan.nic_bytes_per_s
    fleet = Fleet(
        clock=_clock(plan, record),
        requests=np.zeros(1, REQUEST),
        tasks=np.zeros(1, TASK),
        free=np.zeros(1, np.uint32),
        replicas=_empty_replicas(FIRST_SLOTS),
        events=np.full(2 * _power_of_two(FIRST_SLOTS + lines), NEVER),
        stages=_stages(plan),
        members=np.zeros(0, np.uint32),
        costs=np.zeros(0, np.int64),
        nodes=nodes,
        services=_services(plan),
        histogram=np.zeros((len(plan.services), N_BINS), np.int64),
        tables=tables,
        running=np.zeros(0, np.int64),
        device_free_s=np.zeros(0),
        device_last=np.zeros(0, np.int64),
        lookups=lookup_state(plan),
        interferences=flatten_interference(plan.tables),
        record=_record(plan, record.rows),
    )
    return rebuild_plain_pools(add_numbers(fleet, FIRST_NUMBERS - 1))


def add_numbers(fleet: Fleet, count: int) -> Fleet:
    """The same with room for more requests and tasks in flight."""
    clock = fleet.clock[0]
    first, unused = len(fleet.tasks), int(clock.free_numbers)
    free = np.zeros(first + count, np.uint32)
    free[:count] = np.arange(first + count - 1, first - 1, -1)
    free[count : count + unused] = fleet.free[:unused]
    clock.free_numbers = count + unused
    return fleet._replace(
        requests=np.concatenate([fleet.requests, np.zeros(count, REQUEST)]),
        tasks=np.concatenate([fleet.tasks, np.zeros(count, TASK)]),
        free=free,
    )


def grow_replicas(fleet: Fleet, lines: int) -> Fleet:
    """The same with twice as many slots; the events of lines move behind them."""
    slots, leaves = len(fleet.replicas), len(fleet.events) // 2
    events = np.full(2 * _power_of_two(2 * slots + lines), NEVER)
    first = len(events) // 2
    events[first : first + slots] = fleet.events[leaves : leaves + slots]
    events[first + 2 * slots :][:lines] = fleet.events[leaves + slots :][:lines]
    build_events(events)
    return fleet._replace(replicas=np.concatenate([fleet.replicas, _empty_replicas(slots)]), events=events)


def check_pool_size(stage: int, replicas: int) -> None:
    """Raise an `InputError` if a stage's pool is larger than cost keys have room for."""
    if replicas > PLACE_MASK + 1:
        raise InputError(f"stage {stage}", f"has {replicas} replicas, over {PLACE_MASK + 1}", "use fewer, larger ones")


def rebuild_plain_pools(fleet: Fleet) -> Fleet:
    """Lay out every stage's ready replicas, in order of slot, with the trees of their costs.

    Raises
    ------
    InputError
        As `check_pool_size`.
    """
    replicas, stages = fleet.replicas, fleet.stages
    ready = np.flatnonzero(replicas["state"] == READY)
    pools = [ready[replicas["stage"][ready] == k] for k in range(len(stages))]
    for k, pool in enumerate(pools):
        check_pool_size(k, len(pool))
    stages["ready"] = [len(pool) for pool in pools]
    stages["capacity"] = [_power_of_two(len(pool)) for pool in pools]
    stages["offset"] = np.cumsum(stages["capacity"]) - stages["capacity"]
    members = np.zeros(stages["capacity"].sum(), np.uint32)
    costs = np.full(2 * len(members), EMPTY)
    for stage, pool in zip(stages, pools):
        first, places = stage["offset"], np.arange(len(pool))
        members[first : first + len(pool)] = pool
        replicas["position"][pool] = places
        leaf = 2 * first + stage["capacity"]
        cost = replicas["outstanding"][pool].astype(np.int64) + 1
        costs[leaf : leaf + len(pool)] = (cost << PLACE_BITS) | places
        build_costs(costs, 2 * first, stage["capacity"])
    return fleet._replace(members=members, costs=costs)


def arrivals_of(block: TraceBlock | None, with_keys: bool) -> Arrivals:
    """A block of the trace as the kernel takes it; ``with_keys`` users and items too, 0 where it has none."""
    if block is None:
        kinds = (np.float64, np.uint16, np.int32, np.int32, np.int64, np.int64)
        return Arrivals(*(np.zeros(0, kind) for kind in kinds))
    rows = len(block) if with_keys else 0
    unknown = _zeros(1 << rows.bit_length())[:rows]
    user, item = (column if with_keys and column is not None else unknown for column in (block.user, block.item))
    return Arrivals(
        arrival_s=_column(block.arrival_s, np.float64),
        service=_column(block.service, np.int16).view(np.uint16),
        items=_column(block.items, np.int32),
        bytes_in=_column(block.bytes_in, np.int32),
        user=_column(user, np.int64),
        item=_column(item, np.int64),
    )


def _column(values: np.ndarray, kind: type[np.generic]) -> np.ndarray:
    """One column, in one piece and writeable: the kernel is compiled for such arrays alone."""
    return np.require(values, kind, ["C", "W"])


@lru_cache(maxsize=4)
def _zeros(room: int) -> np.ndarray:
    """Users or items where there are none; nobody writes to them."""
    return np.zeros(room, np.int64)
