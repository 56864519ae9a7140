"""Random worlds of the whole request path: those of `worlds`, dressed with any of its features."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from . import routers_of_users
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
from .model import (
    OracleArrival,
    OracleCache,
    OracleInterference,
    OracleLevel,
    OracleLink,
    OracleLookup,
    OraclePreload,
    OracleReplica,
    OracleService,
    OracleSite,
    OracleStage,
    OracleTier,
    OracleVariant,
    OracleWorld,
    Router,
)
from .simpy_oracle import simulate
from .worlds import Draw, draw_lattice, moment_s, random_world

WholeScenario = tuple[OracleWorld, list[OracleArrival], list[AnyControl]]


@dataclass
class Making:
    """A world on its way, with the scale of its times."""

    draw: Draw
    world: OracleWorld
    arrivals: list[OracleArrival]
    controls: list[AnyControl]
    scale_s: float
    horizon_s: float

    def each_stage(self, change: Callable[[OracleStage], OracleStage]) -> None:
        self.world = replace(self.world, stages=tuple(map(change, self.world.stages)))

    def each_service(self, change: Callable[[OracleService], OracleService]) -> None:
        plans = self.world.service_plans or (OracleService(),) * self.world.services
        self.world = replace(self.world, service_plans=tuple(map(change, plans)))

    def each_variant(self, change: Callable[[OracleVariant], OracleVariant]) -> None:
        self.world = replace(self.world, variants=tuple(map(change, self.world.variants)))

    def moment_s(self, low_s: float = 0.0) -> float:
        return moment_s(self.draw, low_s, max(low_s, self.horizon_s))


def whole_world(
    rng: np.random.Generator,
    *,
    requests: int = 150,
    features: Iterable[str] | None = None,
    lattice: bool | None = None,
) -> WholeScenario:
    """Draw a world, its trace and its controls.

    Parameters
    ----------
    rng
        The source of every choice.
    requests
        Length of the trace.
    features
        Which of `FEATURES` to dress it with; if left out, any of them with even chances, or all but a few.
    lattice
        As in `random_world`.
    """
    lattice = draw_lattice(rng) if lattice is None else lattice
    world, arrivals, controls = random_world(rng, requests=requests, lattice=lattice, reuse_slots=False)
    draw = Draw(rng, lattice)
    chance = float(rng.choice([0.15, 0.4, 0.8]))
    chosen = {name for name in FEATURES if draw.chance(chance)} if features is None else set(features)
    scale_s = float(np.mean([variant.mean_s[0] for variant in world.variants]))
    horizon_s = max(arrivals[-1].arrival_s, scale_s) if arrivals else scale_s
    making = Making(draw, world, arrivals, list(controls), scale_s, horizon_s)
    name_users(making)
    making.each_service(lambda service: replace(service, slo_s=4 * scale_s, bytes_out=draw.size_bytes(2048)))
    for name, dress in FEATURES.items():
        if name in chosen:
            dress(making)
    making.world = replace(making.world, features=frozenset(chosen))
    return making.world, making.arrivals, sorted(making.controls, key=lambda control: control.time_s)


def name_users(making: Making) -> None:
    """Few users and items, so that keys come again; some of them large numbers."""
    draw = making.draw
    users = draw.rng.integers(0, 2**31, draw.integer(1, 40)) if draw.chance(0.5) else np.arange(draw.integer(1, 12))
    items = draw.integer(1, 20) + (10**9 if draw.chance(0.2) else 0)
    making.arrivals = [
        replace(
            arrival,
            user=int(draw.rng.choice(users)),
            item=int(items - 1 - min(draw.rng.geometric(0.2), items - 1)),
        )
        for arrival in making.arrivals
    ]


# Where things are, and what lies between them.


def random_link(making: Making) -> OracleLink:
    """A link that is mostly fast, at times slow, at times takes no time at all."""
    draw, scale_s = making.draw, making.scale_s
    slow = draw.chance(0.4)
    if draw.lattice:
        per_byte = 2.0 ** -draw.integer(12, 15) if slow else 2.0**-30
    else:
        per_byte = scale_s * float(draw.rng.uniform(0.1, 1)) / 4096 if slow else 1e-12
    return OracleLink(
        s_per_byte=per_byte if draw.chance(0.8) else 0.0,
        s_per_message=draw.duration_s(scale_s / 4) if draw.chance(0.4) else 0.0,
        delay_s=draw.duration_s(scale_s) if draw.chance(0.6) else 0.0,
    )


def dress_sites(making: Making) -> None:
    """Two or three sites, users at any of them, most pairs linked."""
    draw, world = making.draw, making.world
    sites = draw.integer(2, 3)
    pairs = [(one, other) for one in range(sites) for other in range(sites) if one != other]
    chance = draw.rng.choice([0.6, 0.9, 1.0])
    making.world = replace(
        world,
        sites=(OracleSite(),) * sites,
        node_site=tuple(draw.integer(0, sites - 1) for _ in world.nic_bytes_per_s),
        links={pair: random_link(making) for pair in pairs if draw.chance(chance)},
    )

    def settle(service: OracleService) -> OracleService:
        shares = draw.rng.dirichlet([1.0] * sites) if draw.chance(0.7) else np.eye(sites)[draw.integer(0, sites - 1)]
        return replace(service, home_shares=tuple(shares.tolist()))

    making.each_service(settle)


def dress_access(making: Making) -> None:
    """Access links in or out, or both, at most sites."""

    def connect(site: OracleSite) -> OracleSite:
        way_in, way_out = making.draw.chance(0.6), making.draw.chance(0.6)
        return replace(
            site,
            access_in=random_link(making) if way_in else None,
            access_out=random_link(making) if way_out else None,
        )

    making.world = replace(making.world, sites=tuple(map(connect, making.world.sites)))


# What stages do.


def dress_splits(making: Making) -> None:
    def split(stage: OracleStage) -> OracleStage:
        return replace(stage, split_items=making.draw.integer(1, stage.candidates) if making.draw.chance(0.7) else 0)

    making.each_stage(split)


def dress_classes(making: Making) -> None:
    def rank(service: OracleService) -> OracleService:
        return replace(service, class_shares=tuple(making.draw.rng.dirichlet([1.0] * making.draw.integer(2, 4))))

    making.each_service(rank)


def dress_expiry(making: Making) -> None:
    def limit(stage: OracleStage) -> OracleStage:
        draw = making.draw
        expire_s = draw.duration_s(making.scale_s * 3 * (stage.position + 1)) if draw.chance(0.7) else stage.expire_s
        return replace(stage, expire_s=expire_s, budget_s=draw.duration_s(2 * making.scale_s))

    making.each_stage(limit)


def dress_routers(making: Making) -> None:
    """Any router, where the stage does not hold; users' functions on one site only."""
    names: list[Router] = ["round_robin", "weighted", "power_of_two", "consistent_hash", "locality", "function"]
    if len(making.world.sites) > 1:
        names.remove("function")

    def route(stage: OracleStage) -> OracleStage:
        draw = making.draw
        if stage.max_outstanding:
            return stage
        return replace(
            stage,
            router=names[draw.integer(0, len(names) - 1)],
            hash_bound=float(draw.rng.choice([0.0, 0.1, 0.25, 1.0])),
            spill_outstanding=draw.integer(0, 4),
            function=str(draw.rng.choice(sorted(routers_of_users.FUNCTIONS))),
        )

    making.each_stage(route)
    making.each_variant(lambda variant: replace(variant, weight=float(making.draw.rng.choice([1.0, 3.0, 7.5, 10.0]))))


def dress_retries(making: Making) -> None:
    def retry(stage: OracleStage) -> OracleStage:
        draw = making.draw
        if draw.chance(0.1):
            return replace(stage, retries=40, retry_delay_s=draw.tick_s if draw.lattice else making.scale_s / 4)
        delay_s = draw.duration_s(making.scale_s) if draw.chance(0.7) else 0.0
        return replace(stage, retries=draw.integer(0, 3), retry_delay_s=delay_s)

    making.each_stage(retry)
    for k, stage in enumerate(making.world.stages):
        if stage.retries == 40:  # nobody is there until the tries are more than their draws tell apart
            from_s = making.arrivals[0].arrival_s if making.arrivals else 0.0
            making.controls = [
                come_late(making, control, k, from_s + 33 * stage.retry_delay_s) for control in making.controls
            ]


def come_late(making: Making, control: AnyControl, k: int, time_s: float) -> AnyControl:
    """The control put off to `time_s`, if it is about a replica of stage `k` and would be earlier."""
    if isinstance(control, Control) and making.world.variants[control.replica.variant].stage == k:
        return replace(control, time_s=max(control.time_s, time_s))
    return control


def dress_hedges(making: Making) -> None:
    def hedge(stage: OracleStage) -> OracleStage:
        draw = making.draw
        return replace(stage, hedge_after_s=draw.duration_s(1.5 * making.scale_s) if draw.chance(0.8) else 0.0)

    making.each_stage(hedge)


# What replicas do.


def dress_tiers(making: Making) -> None:
    """Up to three tiers; most variants read from some of them, some from other nodes, some unpack."""
    draw, scale_s = making.draw, making.scale_s

    def rate() -> float:
        return 2.0 ** draw.integer(10, 14) if draw.lattice else float(draw.rng.uniform(1e3, 3e4) / scale_s)

    def lookup(tiers: int) -> OracleLookup:
        sizes = [draw.rng.choice([0.0, 64.0, 256.0, 512.0]) for _ in range(tiers)]
        has_far_rows = draw.chance(0.3) and not draw.coarse
        return OracleLookup(
            bytes_per_unit=tuple(map(float, sizes)),
            sharded_bytes_per_unit=128.0 if has_far_rows else 0.0,
            decode_s_per_unit=(2.0**-8 if draw.lattice else scale_s / 50) if draw.chance(0.3) else 0.0,
        )

    tiers = tuple(
        OracleTier(rate(), draw.duration_s(scale_s / 8) if draw.chance(0.5) else 0.0, is_shared=draw.chance(0.5))
        for _ in range(draw.integer(1, 3))
    )
    world = making.world
    places = [(v, node) for v in range(len(world.variants)) for node in range(len(world.nic_bytes_per_s))]
    lookups = {place: lookup(len(tiers)) for place in places if draw.chance(0.7)}
    making.world = replace(world, tiers=tiers, lookups=lookups)
    if draw.chance(0.5):
        tier, node = draw.integer(0, len(tiers) - 1), draw.integer(0, len(world.nic_bytes_per_s) - 1)
        which = None if tiers[tier].is_shared or draw.chance(0.5) else node
        making.controls.append(SetTierRate(making.moment_s(), tier, rate(), which))
    used = {(c.replica.variant, c.replica.node) for c in making.controls if isinstance(c, Control)}
    if (known := sorted(used & set(lookups))) and draw.chance(0.5):
        variant, node = known[draw.integer(0, len(known) - 1)]
        making.controls.append(SetLookup(making.moment_s(), variant, node, lookup(len(tiers))))


def dress_interference(making: Making) -> None:
    """Two devices a node, slowdowns measured for up to four replicas on one."""
    draw = making.draw
    device = {
        control.replica.slot: 2 * control.replica.node + draw.integer(0, 1) if draw.chance(0.8) else -1
        for control in making.controls
        if isinstance(control, Control)
    }
    making.controls = [
        replace(control, replica=replace(control.replica, device=device[control.replica.slot]))
        if isinstance(control, Control)
        else control
        for control in making.controls
    ]

    def slow(variant: OracleVariant) -> OracleVariant:
        counts = ((2,), (2, 4), (4,))[draw.integer(0, 2)] if draw.lattice else (2, 3, 5)[: draw.integer(1, 3)]
        sizes = (2, 4, 8)[: draw.integer(1, 3)]
        rows = tuple(
            tuple(1 + float(draw.rng.choice([0.0, 0.25, 0.5, 1.0])) + i / 2 for _ in sizes) for i in range(len(counts))
        )
        return replace(variant, interference=OracleInterference(counts, sizes, rows) if draw.chance(0.8) else None)

    making.each_variant(slow)


# What goes wrong.


def lives(making: Making) -> list[tuple[OracleReplica, float, float]]:
    """Each replica with the times of its activation and of its drain."""
    drains = {c.replica.slot: c.time_s for c in making.controls if isinstance(c, Control) and c.action == "drain"}
    return [
        (c.replica, c.time_s, drains.get(c.replica.slot, making.horizon_s))
        for c in making.controls
        if isinstance(c, Control) and c.action == "activate"
    ]


def dress_stragglers(making: Making) -> None:
    draw = making.draw
    for replica, from_s, to_s in lives(making):
        if draw.chance(0.3) and to_s > from_s:
            factor = float(draw.rng.choice([0.5, 2.0, 4.0, 8.0]))
            making.controls.append(SetSlowness(moment_s(draw, from_s, to_s), replica.slot, factor))


def dress_replica_failures(making: Making) -> None:
    """Replicas fail, some at the very instant of something else, some together; most come back, some at once.

    Off the lattice, where another engine's sums may round otherwise, just before or after it.
    """
    draw = making.draw
    stays = simulate(making.world, making.arrivals, making.controls).stays
    instants = [t for stay in stays for t in (stay.taken_s, stay.ready_s, stay.start_s, stay.end_s) if t == t]
    for node in range(len(making.world.nic_bytes_per_s)):
        mine = [(replica, from_s) for replica, from_s, _ in lives(making) if replica.node == node]
        if not mine or not draw.chance(0.6):
            continue
        together = draw.chance(0.3)
        for replica, from_s in mine if not together else mine[:1]:
            if not together and not draw.chance(0.4):
                continue
            time_s = making.moment_s(from_s)
            if instants and draw.chance(0.5):
                time_s = float(draw.rng.choice(instants))
                if not draw.lattice:
                    time_s = max(0.0, time_s + float(draw.rng.choice([-1e-4, 1e-4])) * making.scale_s)
            gone = [one for one, begun_s in mine if begun_s <= time_s] if together else [replica]
            if from_s > time_s or not gone:
                continue
            slots = tuple(one.slot for one in gone)
            making.controls = [
                control for control in making.controls if not (is_about(control, slots) and control.time_s > time_s)
            ]
            making.controls.append(FailReplicas(time_s, slots))
            if draw.chance(0.7):
                later_s = time_s if draw.chance(0.3) else making.moment_s(time_s)
                making.controls += [Control(later_s, "activate", one) for one in gone]


def is_about(control: AnyControl, slots: tuple[int, ...]) -> bool:
    return (isinstance(control, Control) and control.replica.slot in slots) or (
        isinstance(control, SetSlowness) and control.slot in slots
    )


def dress_link_failures(making: Making) -> None:
    """Links go down, most come back."""
    draw, world = making.draw, making.world

    def outage(make: Callable[[float, bool], AnyControl]) -> None:
        from_s = making.moment_s()
        making.controls.append(make(from_s, False))
        if draw.chance(0.7):
            making.controls.append(make(moment_s(draw, from_s, from_s + 10 * making.scale_s), True))

    for one, other in world.links:
        if draw.chance(0.5):
            outage(lambda t, is_up, one=one, other=other: SetLink(t, one, other, is_up))  # type: ignore[misc]
    for number, site in enumerate(world.sites):
        if site.access_in and draw.chance(0.3):
            outage(lambda t, is_up, number=number: SetAccess(t, number, "in", is_up))  # type: ignore[misc]
        if site.access_out and draw.chance(0.3):
            outage(lambda t, is_up, number=number: SetAccess(t, number, "out", is_up))  # type: ignore[misc]


# Results kept.


def dress_caches(making: Making) -> None:
    """Small caches of up to three levels, for most services."""
    draw = making.draw
    lasts_s = making.horizon_s / 4

    def level() -> OracleLevel:
        return OracleLevel(
            entries=draw.integer(1, 8),
            hit_s=draw.duration_s(making.scale_s / 4) if draw.chance(0.5) else 0.0,
            ttl_s=draw.duration_s(lasts_s) if draw.chance(0.5) else np.inf,
            refresh_after_s=draw.duration_s(lasts_s / 3) if draw.chance(0.5) else np.inf,
            is_shared=draw.chance(0.4),
        )

    def keep(service: OracleService) -> OracleService:
        key = ("user", "item", "user_item")[draw.integer(0, 2)]
        cache = OracleCache(
            key=key,  # type: ignore[arg-type]
            levels=tuple(level() for _ in range(draw.integer(1, 3))),
            coalesces=draw.chance(0.6),
            prefetch=draw.integer(1, 3) if draw.chance(0.4) else 0,
        )
        return replace(service, cache=cache if draw.chance(0.8) else None)

    making.each_service(keep)
    for number, service in enumerate(making.world.service_plans):
        if service.cache is not None and draw.chance(0.4):
            place = draw.integer(0, len(service.cache.levels) - 1)
            keys = [key_like(service.cache, arrival) for arrival in making.arrivals[:: draw.integer(1, 5)]]
            site = draw.integer(0, len(making.world.sites) - 1)
            where = None if service.cache.levels[place].is_shared or draw.chance(0.5) else site
            preload = OraclePreload(number, place, tuple(keys), where)
            making.world = replace(making.world, preloads=(*making.world.preloads, preload))
    if draw.chance(0.4):
        cleared = None if draw.chance(0.5) else draw.integer(0, len(making.world.sites) - 1)
        making.controls.append(ClearCaches(making.moment_s(), cleared))


def key_like(cache: OracleCache, arrival: OracleArrival) -> int:
    keys = {"user": arrival.user, "item": arrival.item, "user_item": arrival.user * 2**32 + arrival.item}
    return keys[cache.key]


FEATURES: dict[str, Callable[[Making], None]] = {
    "sites": dress_sites,
    "access": dress_access,
    "splits": dress_splits,
    "classes": dress_classes,
    "expiry": dress_expiry,
    "routers": dress_routers,
    "retries": dress_retries,
    "hedges": dress_hedges,
    "tiers": dress_tiers,
    "interference": dress_interference,
    "caches": dress_caches,
    "stragglers": dress_stragglers,
    "replica failures": dress_replica_failures,
    "link failures": dress_link_failures,
}
"""How to dress a world with each feature, in the order in which that is done."""
