"""Random fleets with everything that the whole path knows but caches and tiers, and what must hold of any of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from simulator.fleet import Fleet
from simulator.kernel.state import ABSENT, COMPLETED, FAILED, NOBODY, READY, REJECTED
from simulator.latency_tables import LatencyTable
from simulator.plan import (
    ROUTERS,
    BatchRule,
    FleetPlan,
    LinkPlan,
    RecordPlan,
    ServicePlan,
    SitePlan,
    StagePlan,
)
from workloads.trace import TraceBlock

__all__ = ["WholeWorld", "check", "draw_world", "serve"]


@dataclass(frozen=True)
class WholeWorld:
    """A plan, its trace, its replicas ``(rule, table, node)``, and a seed for what the control plane does."""

    plan: FleetPlan
    block: TraceBlock
    replicas: tuple[tuple[int, int, int], ...]
    seed: int
    failures: int


def _link(rng: np.random.Generator) -> LinkPlan:
    return LinkPlan(rng.uniform(0, 2e-6), rng.choice([0.0, 1e-3]), rng.choice([0.0, 0.004, 0.02]))


def _stage(rng: np.random.Generator, service: int) -> StagePlan:
    routers = [r for r in ROUTERS if r != "function"]
    router = str(rng.choice(["least_outstanding", "least_outstanding", *routers]))
    return StagePlan(
        service=service,
        candidates=int(rng.integers(1, 40)),
        item_bytes=float(rng.choice([0.0, 200.0])),
        router=router,
        max_outstanding=int(rng.integers(1, 6)) if router == "least_outstanding" and rng.random() < 0.3 else 0,
        split_items=int(rng.integers(3, 20)) if rng.random() < 0.5 else 0,
        expire_s=float(rng.uniform(0.05, 0.5)) if rng.random() < 0.3 else math.inf,
        budget_s=float(rng.uniform(0.05, 0.5)),
        retries=int(rng.integers(0, 3)),
        retry_delay_s=float(rng.choice([0.0, 0.01, 0.05])),
        hedge_after_s=float(rng.uniform(0.01, 0.15)) if rng.random() < 0.5 else 0.0,
        spill_outstanding=int(rng.integers(0, 3)),
    )


def draw_world(seed: int, requests: int = 300) -> WholeWorld:
    """A fleet of one or two services of up to three stages, on up to three sites, about as loaded as it can bear."""
    rng = np.random.default_rng([7, seed])
    sites = int(rng.integers(1, 4))
    services = int(rng.integers(1, 3))
    stages = tuple(_stage(rng, s) for s in range(services) for _ in range(rng.integers(1, 4)))
    sizes = np.array([1, 4, 16])
    tables = tuple(
        LatencyTable(sizes, np.array([0.0, 0.5, 1.0]), rng.uniform(0.004, 0.02) * np.outer([1, 2, 4], [1, 1.2, 3]),
                     np.ones(3))
        for _ in stages
    )  # fmt: skip
    rules = tuple(
        BatchRule(k, bool(rng.random() < 0.6), int(rng.integers(1, 24)), float(rng.choice([0.0, 0.005])),
                  int(rng.choice([0, 0, 8])))
        for k in range(len(stages))
    )  # fmt: skip
    nodes = sites * 2
    classes = int(rng.integers(1, 4))
    plan = FleetPlan(
        stages=stages,
        rules=rules,
        tables=tables,
        nic_bytes_per_s=np.full(nodes, 1e6),
        hop_delay_s=float(rng.choice([0.0, 0.001])),
        services=tuple(
            ServicePlan(0.3, 500.0, tuple(np.full(sites, 1 / sites)), tuple(np.full(classes, 1 / classes)))
            for _ in range(services)
        ),
        noise_seed=seed,
        sites=tuple(
            SitePlan(_link(rng) if rng.random() < 0.5 else None, _link(rng) if rng.random() < 0.5 else None)
            for _ in range(sites)
        ),
        node_site=np.arange(nodes) % sites,
        links={(a, b): _link(rng) for a in range(sites) for b in range(sites) if a != b and rng.random() < 0.8},
    )
    replicas = tuple((k, k, int(rng.integers(0, nodes))) for k in range(len(stages)) for _ in range(rng.integers(2, 6)))
    rate_rps = float(rng.uniform(60, 400))
    block = TraceBlock(
        start_index=0,
        arrival_s=np.round(np.cumsum(rng.exponential(1 / rate_rps, requests)), int(rng.choice([2, 12]))),
        service=rng.integers(0, services, requests).astype(np.int16),
        items=rng.integers(0, 50, requests).astype(np.int32),
        bytes_in=rng.integers(0, 4000, requests).astype(np.int32),
        user=rng.integers(0, 100, requests),
        item=rng.integers(0, 100, requests),
    )
    return WholeWorld(plan, block, replicas, seed, int(rng.choice([0, 3, 12])))


def _blocks(block: TraceBlock, rows: int) -> Iterator[TraceBlock]:
    for first in range(0, len(block), rows):
        cut = slice(first, first + rows)
        assert block.user is not None
        assert block.item is not None
        columns = (block.arrival_s, block.service, block.items, block.bytes_in, block.user, block.item)
        yield TraceBlock(first, *(column[cut] for column in columns))


def _disturb(fleet: Fleet, world: WholeWorld, rng: np.random.Generator) -> None:
    """One thing that the control plane may do."""
    states = fleet.replicas["state"]
    ready = np.flatnonzero(states == READY)
    what = rng.integers(0, 7)
    if what == 0 and len(ready):
        fleet.fail(*rng.choice(ready, min(len(ready), 2), replace=False).tolist())
    elif what == 1:
        rule, table, node = world.replicas[rng.integers(0, len(world.replicas))]
        fleet.activate(fleet.add_replica(rule, table, node))
    elif what == 2 and len(ready):
        fleet.drain(int(rng.choice(ready)))
    elif what == 3 and world.plan.links:
        ends = list(world.plan.links)[rng.integers(0, len(world.plan.links))]
        fleet.set_link(*ends, bool(rng.random() < 0.5))
    elif what == 4:
        site = int(rng.integers(0, len(world.plan.sites)))
        fleet.set_access(site, "in" if rng.random() < 0.5 else "out", bool(rng.random() < 0.5))
    elif what == 5 and len(ready):
        fleet.set_slowness(int(rng.choice(ready)), float(rng.uniform(1, 5)))
    elif what == 6:
        for slot in np.flatnonzero(np.isfinite(fleet.replicas["released_s"]) & (states != ABSENT)):
            fleet.remove(int(slot))


def serve(world: WholeWorld) -> Fleet:
    """Serve a world's trace, with what its seed has the control plane do; what must hold, holds at every such time."""
    rng = np.random.default_rng([8, world.seed])
    requests = len(world.block)
    fleet = Fleet(world.plan, _blocks(world.block, int(rng.integers(20, 200))), RecordPlan(requests), path="whole")
    fleet.activate(*[fleet.add_replica(*replica) for replica in world.replicas])
    for time_s in np.sort(rng.uniform(0, world.block.arrival_s[-1] + 0.2, world.failures)):
        fleet.advance(float(time_s))
        _check_now(fleet)
        _disturb(fleet, world, rng)
        _check_now(fleet)
    for stage in range(len(world.plan.stages)):
        rule = [r.stage for r in world.plan.rules].index(stage)
        fleet.activate(*[fleet.add_replica(rule, stage, node) for node in range(len(world.plan.nic_bytes_per_s))])
    fleet.finish()
    return fleet


def _check_now(fleet: Fleet) -> None:
    """Conservation at an instant: of requests, of numbers, of what replicas hold."""
    assert fleet.whole is not None
    state, whole = fleet.state, fleet.whole
    free = state.free[: state.clock["free_numbers"][0]]
    assert len(np.unique(free)) == len(free)
    about = np.ones(len(state.tasks), np.bool_)
    about[free] = False
    about[NOBODY] = False
    tasks = np.flatnonzero(whole.parts["is_about"] & about)
    assert not whole.parts["is_about"][free].any()
    owners = state.tasks["request"][tasks]
    counted = np.bincount(owners, minlength=len(about))
    is_request = np.zeros(len(about), np.bool_)
    is_request[owners] = True
    assert (state.requests["tasks_about"][is_request] == counted[is_request]).all()
    alive = is_request & (state.requests["has_ended"] == 0) & (whole.journeys["is_background"] == 0)
    in_flight = np.bincount(state.requests["service"][alive], minlength=len(state.services))
    assert (fleet.in_flight() == in_flight).all(), (fleet.in_flight(), in_flight)
    assert (state.stages["queue"] >= 0).all()
    assert (fleet.replicas["outstanding"] >= 0).all()
    assert (fleet.replicas["outstanding"][fleet.replicas["state"] == ABSENT] == 0).all()


def check(fleet: Fleet) -> None:
    """What must hold at the end: every request has one outcome, and nothing is left anywhere."""
    assert fleet.whole is not None
    state, whole = fleet.state, fleet.whole
    status = state.record.outcome["status"]
    assert (status > 0).all()
    services = state.services
    for name, number in (("completed", COMPLETED), ("rejected", REJECTED), ("failed", FAILED)):
        assert services[name].sum() == (status == number).sum()
    assert (services["arrived"] == services["completed"] + services["rejected"] + services["failed"]).all()
    assert state.clock["free_numbers"][0] == len(state.tasks) - 1
    assert (state.stages["queue"] == 0).all()
    assert (state.stages["held"] == 0).all()
    assert (fleet.replicas["outstanding"] == 0).all()
    assert (fleet.replicas["queue_length"] == 0).all()
    assert not whole.lines["head"].any()
    assert state.histogram.sum() == services["completed"].sum()
    assert np.isfinite(state.record.outcome["done_s"]).all()
