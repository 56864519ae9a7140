"""Run a world of the oracle on the compiled data plane."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from simulator.fleet import Fleet
from simulator.latency_tables import LatencyTable
from simulator.plan import BatchRule, FleetPlan, RecordPlan, ServicePlan, StagePlan
from tests.oracle.model import Control, OracleArrival, OracleWorld
from workloads.trace import TraceBlock


def plan_of(world: OracleWorld, controls: Sequence[Control]) -> tuple[FleetPlan, dict[tuple[int, float], int]]:
    """The world as a plan of the fleet, with a latency table for each variant and speed in use."""
    tables: list[LatencyTable] = []
    numbers: dict[tuple[int, float], int] = {}
    for replica in (control.replica for control in controls):
        key = (replica.variant, replica.speed)
        if key not in numbers:
            variant = world.variants[replica.variant]
            sizes = np.array(variant.batch_sizes)
            measured = LatencyTable(sizes, np.array(variant.levels), np.array(variant.latency_s), np.zeros(len(sizes)))
            if not world.noise:
                measured = measured.without_noise(np.array(variant.mean_s))
            numbers[key] = len(tables)
            tables.append(measured.scaled(replica.speed))
    return FleetPlan(
        stages=tuple(
            StagePlan(s.service, s.candidates, s.item_bytes, s.router, s.max_outstanding) for s in world.stages
        ),
        rules=tuple(BatchRule(v.stage, v.unit_items, v.max_batch, v.max_wait_s, v.queue_limit) for v in world.variants),
        tables=tuple(tables),
        nic_bytes_per_s=np.array(world.nic_bytes_per_s),
        hop_delay_s=world.hop_delay_s,
        services=(ServicePlan(1.0),) * world.services,
        noise_seed=world.noise_seed,
    ), numbers


def blocks_of(arrivals: Sequence[OracleArrival], rows: int) -> Iterator[TraceBlock]:
    """The arrivals in blocks of ``rows``."""
    for first in range(0, len(arrivals), rows):
        some = arrivals[first : first + rows]
        yield TraceBlock(
            start_index=first,
            arrival_s=np.array([a.arrival_s for a in some]),
            service=np.array([a.service for a in some], dtype=np.int16),
            user=None,
            item=None,
            items=np.array([a.items for a in some], dtype=np.int32),
            bytes_in=np.array([a.bytes_in for a in some], dtype=np.int32),
        )


def run_on_fleet(
    world: OracleWorld, arrivals: Sequence[OracleArrival], controls: Sequence[Control], *, rows: int = 64
) -> tuple[Fleet, dict[int, float]]:
    """Serve the arrivals; the fleet with all outcomes recorded, and when each drained slot was released."""
    plan, tables = plan_of(world, controls)
    fleet = Fleet(plan, blocks_of(arrivals, rows), RecordPlan(len(arrivals)))
    released_s: dict[int, float] = {}
    for control in controls:
        fleet.advance(control.time_s)
        replica = control.replica
        if control.action == "activate":
            if fleet.replicas[replica.slot : replica.slot + 1]["state"].any():
                released_s[replica.slot] = float(fleet.replicas[replica.slot].released_s)
                fleet.remove(replica.slot)
            table = tables[replica.variant, replica.speed]
            fleet.activate(fleet.add_replica(replica.variant, table, replica.node, slot=replica.slot))
        else:
            fleet.drain(replica.slot)
    fleet.finish()
    for slot in np.flatnonzero(np.isfinite(fleet.replicas["released_s"]) & (fleet.replicas["state"] > 0)):
        released_s[int(slot)] = float(fleet.replicas[slot].released_s)
    return fleet, released_s
