"""Random small worlds that together meet every rule of docs/request-path.md."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from .model import Control, OracleArrival, OracleReplica, OracleStage, OracleVariant, OracleWorld, Router
from .simpy_oracle import run

FINE_TICK_S, COARSE_TICK_S = 1 / 16, 1 / 8
ROUTERS: tuple[Router, ...] = ("least_outstanding", "round_robin")
Scenario = tuple[OracleWorld, list[OracleArrival], list[Control]]


class Draw:
    """Random durations and sizes; on a lattice they are dyadic, so that sums are exact and ties common.

    A coarse lattice has no transfers, one speed and latencies that rarely depend on the batch, so that whole
    groups of replicas end together and the order of slots decides much.
    """

    def __init__(self, rng: np.random.Generator, lattice: bool) -> None:
        self.rng = rng
        self.lattice = lattice
        self.coarse = lattice and self.chance(0.6)
        self.tick_s = COARSE_TICK_S if self.coarse else FINE_TICK_S

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def integer(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included."""
        return int(self.rng.integers(low, high + 1))

    def duration_s(self, mean_s: float) -> float:
        """A positive duration; on the lattice a whole number of ticks."""
        if self.lattice:
            return self.tick_s * int(self.rng.geometric(min(1.0, self.tick_s / mean_s)))
        return float(self.rng.uniform(0.1, 1.9) * mean_s)

    def gap_s(self, mean_s: float) -> float:
        """Time between arrivals, zero included on the lattice."""
        if self.lattice:
            return self.tick_s * int(self.rng.poisson(mean_s / self.tick_s))
        return float(self.rng.exponential(mean_s))

    def size_bytes(self, mean_bytes: float) -> float:
        """A whole number of bytes; on the lattice a multiple of 64, as cards there take a power of two."""
        if self.coarse:
            return 0.0
        if self.lattice:
            return 64.0 * int(self.rng.poisson(mean_bytes / 64))
        return float(round(self.rng.exponential(mean_bytes)))


def random_world(
    rng: np.random.Generator,
    *,
    requests: int = 200,
    lattice: bool | None = None,
    reuse_slots: bool = True,
) -> Scenario:
    """Draw a world, its trace and its controls.

    Parameters
    ----------
    rng
        The source of every choice.
    requests
        Length of the trace.
    lattice
        Whether all times are dyadic, so that events often coincide and every sum is exact in any order of
        evaluation. Left out, three worlds in ten are. Off the lattice times coincide only by construction
        (bursts, transfers of no bytes), never by rounding.
    reuse_slots
        Whether some slots are activated again after their release.
    """
    draw = Draw(rng, draw_lattice(rng) if lattice is None else lattice)
    services = draw.integer(1, 3)
    stages = tuple(
        random_stage(draw, service, position) for service in range(services) for position in range(draw.integer(1, 3))
    )
    latency_mean_s = 0.25 if draw.lattice else float(10 ** rng.uniform(-2.5, -0.5))
    slow_cards = draw.chance(0.4)
    nodes = draw.integer(1, 4)
    variants = tuple(
        random_variant(draw, k, stages[k], latency_mean_s)
        for k in range(len(stages))
        for _ in range(draw.integer(1, 3))
    )
    world = OracleWorld(
        services=services,
        stages=stages,
        variants=variants,
        nic_bytes_per_s=tuple(random_card(draw, latency_mean_s, slow_cards) for _ in range(nodes)),
        hop_delay_s=draw.duration_s(latency_mean_s / 4) if draw.chance(0.5) else 0.0,
        noise_seed=int(rng.integers(0, 2**64, dtype=np.uint64)),
        noise=draw.chance(0.6),
    )
    replicas = random_replicas(draw, world)
    mean_gap_s = random_gap_s(draw, world, len(replicas), latency_mean_s)
    arrivals = random_arrivals(draw, world, requests, mean_gap_s)
    controls = random_controls(draw, world, replicas, arrivals[-1].arrival_s if arrivals else 1.0)
    if reuse_slots and draw.chance(0.4):
        controls += second_lives(draw, world, arrivals, controls)
    return world, arrivals, sorted(controls, key=lambda control: control.time_s)


def draw_lattice(rng: np.random.Generator) -> bool:
    return bool(rng.random() < 0.3)


def random_stage(draw: Draw, service: int, position: int) -> OracleStage:
    """A stage; a third of those with least outstanding hold what its replicas may not take yet."""
    router = ROUTERS[draw.integer(0, 1)]
    holds = router == "least_outstanding" and draw.chance(1 / 3)
    return OracleStage(
        service=service,
        position=position,
        candidates=draw.integer(1, 40),
        item_bytes=draw.size_bytes(256) if draw.chance(0.7) else 0.0,
        router=router,
        max_outstanding=draw.integer(1, 3 if draw.chance(0.3) else 12) if holds else 0,
    )


def random_variant(draw: Draw, k: int, stage: OracleStage, latency_mean_s: float) -> OracleVariant:
    """A variant whose cap may lie below one request's items and above its largest measured size."""
    unit_items = draw.chance(0.5)
    max_batch = draw.integer(1, 2 * stage.candidates) if unit_items else draw.integer(1, 8)
    sizes = random_sizes(draw, max_batch)
    levels = random_levels(draw)
    rows: list[tuple[float, ...]] = []
    floor_s = draw.duration_s(latency_mean_s)
    for _ in sizes:
        if draw.lattice:  # one value at all levels: a draw that stays on the lattice
            rows.append((floor_s,) * len(levels))
        else:
            rows.append(tuple(floor_s * np.cumprod(draw.rng.uniform(1.0, 1.6, len(levels)))))
        flat = draw.chance(0.9 if draw.coarse else 0.2)
        floor_s = rows[-1][-1] if flat else rows[-1][-1] + draw.duration_s(latency_mean_s / 4)
    return OracleVariant(
        stage=k,
        unit_items=unit_items,
        max_batch=max_batch,
        max_wait_s=draw.duration_s(latency_mean_s) if draw.chance(0.6) else 0.0,
        queue_limit=random_queue_limit(draw, stage),
        batch_sizes=sizes,
        levels=levels,
        latency_s=tuple(rows),
        mean_s=tuple(row[0] if draw.lattice else float(np.mean(row)) for row in rows),
    )


def random_queue_limit(draw: Draw, stage: OracleStage) -> int:
    """A limit in two cases of five; where requests may be held, mostly near what makes both limits bite."""
    if not draw.chance(0.4):
        return 0
    if stage.max_outstanding and draw.chance(0.7):
        return max(1, stage.max_outstanding - draw.integer(0, 2))
    return draw.integer(1, 6)


def random_sizes(draw: Draw, max_batch: int) -> tuple[int, ...]:
    """Measured sizes; on the lattice consecutive powers of two, so that interpolation is exact."""
    if draw.lattice:
        first = draw.integer(0, 2)
        return tuple(2 ** (first + i) for i in range(draw.integer(1, 4)))
    reach = max(4, int(max_batch * draw.rng.uniform(0.4, 1.5)))
    count = draw.integer(1, min(4, reach))
    return tuple(sorted(int(size) for size in draw.rng.choice(np.arange(1, reach + 1), count, replace=False)))


def random_levels(draw: Draw) -> tuple[float, ...]:
    """Quantile levels, mostly from 0 to 1 and sometimes short of both."""
    inner = sorted(float(level) for level in draw.rng.uniform(0.05, 0.95, draw.integer(1, 4)))
    return (0.0, *inner, 1.0) if draw.chance(0.7) else (0.02, *inner, 0.98)


def random_card(draw: Draw, latency_mean_s: float, slow: bool) -> float:
    """Receiving rate of a node's card; a slow one takes about as long for a request as a small batch does."""
    if draw.lattice:
        return 2.0 ** (draw.integer(14, 16) if slow else 40)
    return float(draw.rng.uniform(3e3, 3e4) / latency_mean_s) if slow else 1e10


def random_replicas(draw: Draw, world: OracleWorld) -> list[OracleReplica]:
    """Up to five replicas a stage, their slots shuffled over the fleet."""
    stage_of = [k for k in range(len(world.stages)) for _ in range(draw.integer(1, 5))]
    slots = draw.rng.permutation(len(stage_of))
    speed = {
        (node, v): random_speed(draw) for node in range(len(world.nic_bytes_per_s)) for v in range(len(world.variants))
    }
    replicas = []
    for k, slot in zip(stage_of, slots):
        variant = int(draw.rng.choice([v for v, each in enumerate(world.variants) if each.stage == k]))
        node = draw.integer(0, len(world.nic_bytes_per_s) - 1)
        replicas.append(OracleReplica(int(slot), variant, node, speed[node, variant]))
    return replicas


def random_speed(draw: Draw) -> float:
    if draw.coarse:
        return 1.0
    return float(draw.rng.choice([0.5, 1.0, 2.0]) if draw.lattice else draw.rng.uniform(0.5, 2))


def random_gap_s(draw: Draw, world: OracleWorld, replicas: int, latency_mean_s: float) -> float:
    """Mean time between arrivals: from a tenth to three times what the fleet does one request at a time.

    Where some stage may hold requests, from half to eight times, as batches do more than that.
    """
    holds = any(stage.max_outstanding for stage in world.stages)
    capacity_rps = replicas / len(world.stages) * world.services / latency_mean_s / 1.5
    return 1 / (capacity_rps * float(10 ** draw.rng.uniform(*((-0.3, 0.9) if holds else (-1.0, 0.5)))))


def random_arrivals(draw: Draw, world: OracleWorld, requests: int, mean_gap_s: float) -> list[OracleArrival]:
    """A trace with bursts at one instant; some rows state no items, some more than a stage takes."""
    burst_chance = 0.05 if draw.chance(0.5) else 0.0
    item_choice = [0, 1, 3, 10, 25, 60]
    now_s = 0.0 if draw.chance(0.2) else draw.duration_s(mean_gap_s)
    arrivals: list[OracleArrival] = []
    while len(arrivals) < requests:
        for _ in range(draw.integer(2, 12) if draw.chance(burst_chance) else 1):
            service = draw.integer(0, world.services - 1)
            items = int(draw.rng.choice(item_choice))
            size_bytes = draw.size_bytes(1024) if draw.chance(0.8) else 0.0
            arrivals.append(OracleArrival(now_s, service, items, size_bytes))
        now_s += draw.gap_s(mean_gap_s)
    return arrivals[:requests]


def random_controls(draw: Draw, world: OracleWorld, replicas: list[OracleReplica], horizon_s: float) -> list[Control]:
    """Most replicas are there from the start, some come later, some leave; pools may run empty.

    Where requests may be held, a pool in three loses all its replicas.
    """
    busy = draw.chance(0.7)
    closing = {k for k, stage in enumerate(world.stages) if stage.max_outstanding and draw.chance(1 / 3)}
    controls = []
    for replica in replicas:
        comes_s = moment_s(draw, 0.0, horizon_s) if busy and draw.chance(0.25) else 0.0
        controls.append(Control(comes_s, "activate", replica))
        leaves = 1.0 if world.variants[replica.variant].stage in closing else 0.35
        if busy and draw.chance(leaves):
            controls.append(Control(moment_s(draw, comes_s, horizon_s), "drain", replica))
    return controls


def moment_s(draw: Draw, low_s: float, high_s: float) -> float:
    """A time between two others, on the lattice if that is on."""
    time_s = float(draw.rng.uniform(low_s, max(low_s, high_s)))
    return max(low_s, math.floor(time_s / draw.tick_s) * draw.tick_s) if draw.lattice else time_s


def second_lives(
    draw: Draw, world: OracleWorld, arrivals: list[OracleArrival], controls: list[Control]
) -> list[Control]:
    """Activate up to two released slots again.

    A run up to some time does not depend on controls after it, so each is placed after a release of the run
    with the ones before it, and later than they are.
    """
    again: list[Control] = []
    for _ in range(2):
        _, released_s = run(world, arrivals, controls + again)
        used = {control.replica.slot for control in again}
        free = [
            slot
            for slot, time_s in released_s.items()
            if slot not in used and (not again or time_s >= again[-1].time_s)
        ]
        if not free:
            break
        slot = free[draw.integer(0, len(free) - 1)]
        later_s = released_s[slot] + (0.0 if draw.lattice and draw.chance(0.3) else draw.duration_s(0.1))
        if draw.lattice:
            later_s = math.ceil(later_s / draw.tick_s) * draw.tick_s
        former = next(control.replica for control in controls if control.replica.slot == slot)
        stage = world.variants[former.variant].stage
        peers = [c.replica for c in controls if world.variants[c.replica.variant].stage == stage]
        replica = replace(peers[draw.integer(0, len(peers) - 1)], slot=slot)
        again.append(Control(later_s, "activate", replica))
    return again
