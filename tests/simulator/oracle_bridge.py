"""Run a world of the oracle on the compiled data plane."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace

import numpy as np

from simulator.fleet import Fleet
from simulator.journey_arrays import Path
from simulator.latency_tables import Interference, LatencyTable
from simulator.plan import (
    BatchRule,
    CacheLevelPlan,
    CachePlan,
    FleetPlan,
    LinkPlan,
    LookupPlan,
    RecordPlan,
    ServicePlan,
    SitePlan,
    StagePlan,
    TierPlan,
)
from tests.oracle.controls import (
    AnyControl,
    ClearCaches,
    Control,
    FailReplicas,
    SetAccess,
    SetLink,
    SetLookup,
    SetSlowness,
    SetTierRate,
)
from tests.oracle.model import (
    OracleArrival,
    OracleCache,
    OracleLink,
    OracleLookup,
    OracleReplica,
    OracleService,
    OracleStage,
    OracleVariant,
    OracleWorld,
)
from tests.simulator import oracle_routers
from workloads.trace import TraceBlock

TableKey = tuple[int, int, float]
"""Variant, node and speed: what has a latency table of its own (its node only where rows are looked up)."""


def plan_of(world: OracleWorld, controls: Sequence[AnyControl]) -> tuple[FleetPlan, dict[TableKey, int]]:
    """The world as a plan of the fleet, with a latency table for each variant, node and speed in use."""
    keys = {table_key(world, control.replica): None for control in controls if isinstance(control, Control)}
    lookups = tuple(lookup_plan(world.lookups.get(key[:2])) for key in keys) if world.lookups else ()
    return FleetPlan(
        stages=tuple(map(stage_plan, world.stages)),
        rules=tuple(BatchRule(v.stage, v.unit_items, v.max_batch, v.max_wait_s, v.queue_limit) for v in world.variants),
        tables=tuple(latency_table(world.variants[variant], speed, world.noise) for variant, _, speed in keys),
        nic_bytes_per_s=np.array(world.nic_bytes_per_s),
        hop_delay_s=world.hop_delay_s,
        services=tuple(service_plan(world.plan(service)) for service in range(world.services)),
        noise_seed=world.noise_seed,
        sites=tuple(SitePlan(link_plan(site.access_in), link_plan(site.access_out)) for site in world.sites),
        node_site=np.array(world.node_site, np.int64),
        links={pair: LinkPlan(**asdict(link)) for pair, link in world.links.items()},
        tiers=tuple(TierPlan(f"tier {i}", t.bytes_per_s, t.delay_s, t.is_shared) for i, t in enumerate(world.tiers)),
        lookups=lookups,
    ), {key: number for number, key in enumerate(keys)}


def table_key(world: OracleWorld, replica: OracleReplica) -> TableKey:
    return replica.variant, replica.node if world.lookups else -1, replica.speed


def latency_table(variant: OracleVariant, speed: float, noise: bool) -> LatencyTable:
    sizes = np.array(variant.batch_sizes)
    table = LatencyTable(sizes, np.array(variant.levels), np.array(variant.latency_s), np.zeros(len(sizes)))
    measured = variant.interference
    if measured is not None:
        slow = Interference(
            measured.replicas,
            np.array(measured.batch_sizes, float),
            np.array(measured.slowdown),
            measured.takes_turns,
            measured.turn_s,
            measured.turn_waiting_s,
        )
        table = replace(table, interference=slow)
    table = replace(table, weight=variant.weight, cold_s=variant.cold_s, cold_after_s=variant.cold_after_s)
    if not noise:
        table = table.without_noise(np.array(variant.mean_s))
    return table.scaled(speed)


def stage_plan(stage: OracleStage) -> StagePlan:
    return StagePlan(
        service=stage.service,
        candidates=stage.candidates,
        item_bytes=stage.item_bytes,
        router=stage.router,
        max_outstanding=stage.max_outstanding,
        split_items=stage.split_items,
        expire_s=stage.expire_s,
        budget_s=stage.budget_s,
        retries=stage.retries,
        retry_delay_s=stage.retry_delay_s,
        hedge_after_s=stage.hedge_after_s,
        hash_bound=stage.hash_bound,
        spill_outstanding=stage.spill_outstanding,
        function=oracle_routers.name_of(stage.function) if stage.router == "function" else "",
    )


def service_plan(service: OracleService) -> ServicePlan:
    return ServicePlan(
        slo_s=service.slo_s,
        bytes_out=service.bytes_out,
        home_shares=service.home_shares,
        class_shares=service.class_shares,
        cache=None if service.cache is None else cache_plan(service.cache),
    )


def cache_plan(cache: OracleCache) -> CachePlan:
    return CachePlan(
        key=cache.key,
        levels=tuple(
            CacheLevelPlan(each.entries, each.hit_s, each.ttl_s, each.refresh_after_s, each.is_shared)
            for each in cache.levels
        ),
        coalesces=cache.coalesces,
        prefetch=cache.prefetch,
    )


def link_plan(link: OracleLink | None) -> LinkPlan | None:
    return None if link is None else LinkPlan(**asdict(link))


def lookup_plan(lookup: OracleLookup | None) -> LookupPlan | None:
    if lookup is None:
        return None
    return LookupPlan(lookup.bytes_per_unit, lookup.sharded_bytes_per_unit, lookup.decode_s_per_unit)


def blocks_of(arrivals: Sequence[OracleArrival], rows: int) -> Iterator[TraceBlock]:
    """The arrivals in blocks of ``rows``."""
    for first in range(0, len(arrivals), rows):
        some = arrivals[first : first + rows]
        yield TraceBlock(
            start_index=first,
            arrival_s=np.array([a.arrival_s for a in some]),
            service=np.array([a.service for a in some], dtype=np.int16),
            user=np.array([a.user for a in some], dtype=np.int64),
            item=np.array([a.item for a in some], dtype=np.int64),
            items=np.array([a.items for a in some], dtype=np.int32),
            bytes_in=np.array([a.bytes_in for a in some], dtype=np.int32),
        )


def run_on_fleet(
    world: OracleWorld,
    arrivals: Sequence[OracleArrival],
    controls: Sequence[AnyControl],
    *,
    rows: int = 64,
    path: Path | None = None,
    watch: Callable[[Fleet], None] = lambda _: None,
) -> tuple[Fleet, dict[int, float]]:
    """Serve the arrivals; the fleet with all outcomes recorded, and when each drained slot was released.

    `watch` sees the fleet before every control.
    """
    plan, tables = plan_of(world, controls)
    fleet = Fleet(plan, blocks_of(arrivals, rows), RecordPlan(rows=len(arrivals)), path=path)
    for each in world.preloads:
        fleet.preload(each.service, each.level, np.array(each.keys, np.int64), each.site)
    released_s: dict[int, float] = {}
    for control in controls:
        fleet.advance(control.time_s)
        watch(fleet)
        obey(fleet, world, tables, control, released_s)
    fleet.finish()
    for slot in np.flatnonzero(np.isfinite(fleet.replicas["released_s"]) & (fleet.replicas["state"] > 0)):
        released_s[int(slot)] = float(fleet.replicas[slot].released_s)
    return fleet, released_s


def obey(
    fleet: Fleet,
    world: OracleWorld,
    tables: dict[TableKey, int],
    control: AnyControl,
    released_s: dict[int, float],
) -> None:
    """Do to the fleet what a control says; `released_s` learns of slots that are used again."""
    match control:
        case Control(action="activate", replica=replica):
            if is_alive_or_released(fleet, replica.slot):
                released_s[replica.slot] = float(fleet.replicas[replica.slot].released_s)
                fleet.remove(replica.slot)
            table = tables[table_key(world, replica)]
            fleet.activate(
                fleet.add_replica(replica.variant, table, replica.node, slot=replica.slot, device=replica.device)
            )
        case Control(replica=replica):
            fleet.drain(replica.slot)
        case FailReplicas(slots=slots):
            alive = [slot for slot in slots if is_alive_or_released(fleet, slot) and not fleet.is_released(slot)]
            if alive:
                fleet.fail(*alive)
        case SetLink(from_site=one, to_site=other, is_up=is_up):
            fleet.set_link(one, other, is_up)
        case SetAccess(site=site, way=way, is_up=is_up):
            fleet.set_access(site, way, is_up)
        case SetSlowness(slot=slot, factor=factor):
            if is_alive_or_released(fleet, slot):
                fleet.set_slowness(slot, factor)
        case SetTierRate(tier=tier, bytes_per_s=rate, node=node):
            fleet.set_tier_rate(tier, rate, node)
        case SetLookup(variant=variant, node=node, lookup=lookup):
            for key, table in tables.items():
                if key[:2] == (variant, node):
                    fleet.set_lookup(table, lookup_plan(lookup))
        case ClearCaches(site=site):
            fleet.clear_caches(site)


def is_alive_or_released(fleet: Fleet, slot: int) -> bool:
    return slot < len(fleet.replicas) and bool(fleet.replicas[slot]["state"])
