"""docs/request-path.md in SimPy: a process for every request and every replica, each part of the page in its file.

`clock` keeps the order of events at one instant, `journey` takes a request through "One request", `pool` and
`router` choose, `replica` batches and computes, `loss` retries and hedges, `cache` keeps results.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field

import simpy

from .cache import ResultCache, key_of
from .clock import CONTROL, STOP, TRACE, Clock
from .controls import (
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
from .draws import share
from .finished import Finished, Snapshot
from .journey import Journeys
from .link import Link
from .lookup import Tiers
from .loss import Losses
from .model import OracleArrival, OracleReplica, OracleWorld, Outcome
from .network import Network
from .pool import Pool
from .replica import Replica
from .request import Request, Stay

Steps = Generator[simpy.Event, object, None]
HOME, CLASS = 1, 2


@dataclass
class Fleet:
    """All that the parts share."""

    world: OracleWorld
    fastest: float
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        world = self.world
        self.counts: Counter[tuple[str, int]] = Counter()
        self.requests: list[Request] = []
        self.stays: list[Stay] = []
        self.snapshots: list[Snapshot] = []
        self.alive: dict[int, Replica] = {}
        self.released_s: dict[int, float] = {}
        self.device_free_s: defaultdict[int, float] = defaultdict(float)
        self.device_last: dict[int, int] = {}
        self.network = Network(self.clock, world)
        self.tiers = Tiers(world, self.network)
        self.losses = Losses(self)
        self.journeys = Journeys(self)
        self.pools = [Pool(self, k) for k in range(len(world.stages))]
        self.funnels = [world.funnel(service) for service in range(world.services)]
        plans = [world.plan(service).cache for service in range(world.services)]
        self.caches = [ResultCache(plan, len(world.sites)) if plan else None for plan in plans]
        for preload in world.preloads:
            cache = self.caches[preload.service]
            assert cache is not None
            instances = cache.levels[preload.level]
            for instance in instances if preload.site is None else [instances[preload.site]]:
                for key in preload.keys:
                    instance.put(key, 0.0)

    def trace(self, arrivals: Sequence[OracleArrival]) -> Steps:
        """Send in the requests, one after the other."""
        for request_id, arrival in enumerate(arrivals):
            yield self.clock.at(arrival.arrival_s, TRACE)
            plan = self.world.plan(arrival.service)
            self.start(
                Request(
                    id=request_id,
                    branch=0,
                    service=arrival.service,
                    arrived_s=self.clock.now,
                    user=arrival.user,
                    item=arrival.item,
                    items=arrival.items,
                    bytes_in=arrival.bytes_in,
                    home=by_share(plan.home_shares or (1.0,), share(arrival.user, HOME)),
                    priority=by_share(plan.class_shares, share(arrival.user, CLASS)),
                    key=key_of(self.world, arrival.service, arrival.user, arrival.item),
                )
            )

    def start(self, request: Request) -> None:
        self.requests.append(request)
        self.counts["background started" if request.is_background else "arrived", request.service] += 1
        self.clock.process(self.journeys.live(request))

    def count_end(self, request: Request) -> None:
        outcome = request.outcome
        if request.is_background:
            self.counts["background ended", request.service] += 1
            return
        self.counts[outcome.status, request.service] += 1
        latency_s = outcome.done_s - request.arrived_s
        is_met = outcome.status == "completed" and latency_s <= self.world.plan(request.service).slo_s
        self.counts["slo_met", request.service] += int(is_met)

    def control_plane(self, controls: Iterable[AnyControl]) -> Steps:
        """Do what is to be done, at the stated times."""
        for control in sorted(controls, key=lambda control: control.time_s):
            yield self.clock.at(control.time_s, CONTROL)
            self.snap()
            self.obey(control)
            self.snap()

    def obey(self, control: AnyControl) -> None:
        match control:
            case Control(action="activate", replica=replica):
                self.activate(replica)
            case Control(action="drain", replica=replica):
                self.drain(replica.slot)
            case FailReplicas(slots=slots):
                self.losses.fail_replicas(slots)
            case SetLink(from_site=one, to_site=other, is_up=is_up):
                self.set_link(self.network.links[one, other], is_up)
            case SetAccess(site=site, way=way, is_up=is_up):
                access = self.network.access_in if way == "in" else self.network.access_out
                self.set_link(access[site], is_up)
            case SetSlowness(slot=slot, factor=factor):
                if slot in self.alive:
                    self.alive[slot].slowness = factor
            case SetTierRate(tier=tier, node=node, bytes_per_s=rate):
                self.tiers.set_rate(tier, node, rate)
            case SetLookup(variant=variant, node=node, lookup=lookup):
                self.tiers.lookups[variant, node] = lookup
            case ClearCaches(site=site):
                for cache in self.caches:
                    if cache is not None:
                        cache.clear(site)

    def activate(self, plan: OracleReplica) -> None:
        if plan.slot in self.alive:
            raise ValueError(f"slot {plan.slot}: activated at {self.clock.now} s before it was released")
        replica = self.alive[plan.slot] = Replica(self, plan)
        replica.pool.join(replica)
        self.pass_on()

    def drain(self, slot: int) -> None:
        replica = self.alive[slot]
        replica.pool.leave(replica)
        replica.drain()
        self.pass_on()

    def released(self, replica: Replica) -> None:
        self.released_s[replica.slot] = self.clock.now
        del self.alive[replica.slot]

    def set_link(self, link: Link | None, is_up: bool) -> None:
        """A link fails or comes back, which may change what every router can reach."""
        assert link is not None
        if link.is_up == is_up:
            return
        if is_up:
            link.come_back()
        else:
            link.fail()
        self.pass_on()

    def pass_on(self) -> None:
        """Let every router pass on what it holds."""
        for pool in self.pools:
            pool.pass_on()

    def snap(self) -> None:
        """Count what there is, and what is under way."""
        alive = Counter(each.service for each in self.requests if not each.is_over and not each.is_background)
        for service in range(self.world.services):
            arrived, completed, rejected, failed = (
                self.counts[what, service] for what in ("arrived", "completed", "rejected", "failed")
            )
            snapshot = Snapshot(self.clock.now, service, arrived, completed, rejected, failed, alive[service])
            self.snapshots.append(snapshot)


def by_share(shares: Sequence[float], u: float) -> int:
    """The first whose cumulative share exceeds `u`."""
    total = 0.0
    for number, each in enumerate(shares):
        total += each
        if total > u:
            return number
    return len(shares) - 1


def simulate(
    world: OracleWorld,
    arrivals: Sequence[OracleArrival],
    controls: Iterable[AnyControl],
    *,
    until_s: float | None = None,
) -> Finished:
    """Serve a trace.

    Parameters
    ----------
    world, arrivals, controls
        The data plane, the trace in order of arrival, and what the control plane does. A control at time `t`
        comes after every event of the requests at `t`.
    until_s
        If given, stop after the events of this time; otherwise run until nothing is left to do.

    Raises
    ------
    ValueError
        If a slot is activated while its last replica is still alive, arrivals are not in order, a router is unknown,
        or a stage limits what is outstanding under another router than least outstanding.
    """
    for i in range(1, len(arrivals)):
        if arrivals[i].arrival_s < arrivals[i - 1].arrival_s:
            raise ValueError(f"arrival {i}: earlier than arrival {i - 1}")
    controls = list(controls)
    weights = [world.variants[plan.variant].weight * plan.speed for plan in replicas_of(controls)]
    fleet = Fleet(world, max(weights, default=math.nan))
    fleet.clock.process(fleet.trace(arrivals))
    fleet.clock.process(fleet.control_plane(controls))
    fleet.clock.run(until=None if until_s is None else fleet.clock.at(until_s, STOP))
    fleet.snap()
    outcomes = [request.outcome for request in fleet.requests if not request.is_background]
    outcomes += [Outcome() for _ in range(len(arrivals) - len(outcomes))]
    return Finished(
        outcomes,
        fleet.released_s,
        fleet.counts,
        fleet.requests,
        fleet.stays,
        fleet.snapshots,
        fleet.network,
        fleet.tiers,
        fleet.caches,
    )


def replicas_of(controls: Iterable[AnyControl]) -> list[OracleReplica]:
    """The replicas that the controls speak of, in order."""
    return [control.replica for control in controls if isinstance(control, Control)]


def run(
    world: OracleWorld,
    arrivals: Sequence[OracleArrival],
    controls: Iterable[AnyControl],
    *,
    until_s: float | None = None,
) -> tuple[list[Outcome], dict[int, float]]:
    """Serve a trace; the outcomes and release times of `simulate`."""
    finished = simulate(world, arrivals, controls, until_s=until_s)
    return finished.outcomes, finished.released_s
