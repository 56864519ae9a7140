"""The rules of docs/request-path.md as statements about a finished run, checked one by one.

Nothing is simulated here: given the trace and what an engine says became of every request, each rule either
holds or does not. Where several requests reach a router at one instant the page orders them by events that a
finished run does not show, and those routings are left out.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .model import Control, OracleArrival, OracleReplica, OracleWorld, Outcome
from .service_time import batch_latency_s, uniform

TOLERANCE_S = 1e-9


@dataclass
class Life:
    """A replica from its activation to its drain; a slot may have several."""

    replica: OracleReplica
    stage: int
    from_s: float
    drain_s: float = math.inf


@dataclass(frozen=True)
class Visit:
    """A request at the router of one stage; `life` is None where it was turned away."""

    request_id: int
    stage: int
    reached_s: float
    units: int
    size_bytes: float
    ready_s: float
    start_s: float
    end_s: float
    batch_units: int
    life: Life | None


def lives_of(world: OracleWorld, controls: Iterable[Control]) -> list[Life]:
    """All replicas that ever were, in order of activation."""
    lives: list[Life] = []
    for control in sorted(controls, key=lambda control: control.time_s):
        if control.action == "activate":
            stage = world.variants[control.replica.variant].stage
            lives.append(Life(control.replica, stage, control.time_s))
        else:
            last = [life for life in lives if life.replica.slot == control.replica.slot][-1]
            last.drain_s = control.time_s
    return lives


def visits_of(
    world: OracleWorld, arrivals: Sequence[OracleArrival], outcomes: Sequence[Outcome], lives: Sequence[Life]
) -> list[Visit]:
    """Every request at every stage that it reached."""
    visits = []
    for request_id, (arrival, outcome) in enumerate(zip(arrivals, outcomes, strict=True)):
        reached_s = arrival.arrival_s
        for position, (k, slot) in enumerate(zip(world.funnel(arrival.service), outcome.stage_slot)):
            stage = world.stages[k]
            items = stage.candidates if arrival.items == 0 else min(arrival.items, stage.candidates)
            life = None
            if slot >= 0:
                life = [each for each in lives if each.replica.slot == slot and each.from_s < reached_s][-1]
            in_items = life is not None and world.variants[life.replica.variant].unit_items
            visits.append(
                Visit(
                    request_id=request_id,
                    stage=k,
                    reached_s=reached_s,
                    units=items if in_items else 1,
                    size_bytes=arrival.bytes_in + items * stage.item_bytes,
                    ready_s=outcome.stage_ready_s[position],
                    start_s=outcome.stage_start_s[position],
                    end_s=outcome.stage_end_s[position],
                    batch_units=outcome.stage_batch_units[position],
                    life=life,
                )
            )
            reached_s = outcome.stage_end_s[position]
    return visits


def audit(
    world: OracleWorld,
    arrivals: Sequence[OracleArrival],
    controls: Iterable[Control],
    outcomes: Sequence[Outcome],
) -> list[str]:
    """Return one line for each breach of a rule by a run that was served to its end."""
    lives = lives_of(world, controls)
    visits = visits_of(world, arrivals, outcomes, lives)
    return [
        *check_fates(world, arrivals, outcomes),
        *check_network(world, visits),
        *check_batches(world, visits),
        *check_routing(world, visits, lives),
    ]


def check_fates(
    world: OracleWorld, arrivals: Sequence[OracleArrival], outcomes: Sequence[Outcome]
) -> Iterable[str]:
    """Steps 1 and 8: all stages or turned away at the last one reached, and when it was over."""
    for i, (arrival, outcome) in enumerate(zip(arrivals, outcomes, strict=True)):
        funnel = world.funnel(arrival.service)
        served = [slot >= 0 for slot in outcome.stage_slot]
        if outcome.status == "completed":
            if len(served) != len(funnel) or not all(served):
                yield f"request {i}: completed after stages {served} of {len(funnel)}"
            elif abs(outcome.done_s - outcome.stage_end_s[-1] - world.hop_delay_s) > TOLERANCE_S:
                yield f"request {i}: answered at {outcome.done_s}, not a hop after its last batch"
        elif outcome.status in ("rejected", "failed"):
            if not served or served[-1] or not all(served[:-1]):
                yield f"request {i}: {outcome.status} after stages {served}"
        else:
            yield f"request {i}: {outcome.status} at the end"


def check_network(world: OracleWorld, visits: Sequence[Visit]) -> Iterable[str]:
    """Step 5: each node's card serves first come, first served."""
    by_node: dict[int, list[Visit]] = defaultdict(list)
    for visit in visits:
        if visit.life is not None:
            by_node[visit.life.replica.node].append(visit)
    for node, mine in by_node.items():
        free_s = -math.inf
        # Of those routed at one instant, transfers of no bytes that are ready with another follow it.
        for visit in sorted(mine, key=lambda visit: (visit.reached_s, visit.ready_s, -visit.size_bytes)):
            free_s = max(visit.reached_s, free_s) + visit.size_bytes / world.nic_bytes_per_s[node]
            expected_s = free_s + world.hop_delay_s
            if abs(visit.ready_s - expected_s) > TOLERANCE_S:
                name = f"request {visit.request_id}, stage {visit.stage}"
                yield f"{name}: ready {visit.ready_s}, not {expected_s}"


def check_batches(world: OracleWorld, visits: Sequence[Visit]) -> Iterable[str]:
    """Steps 6 and 7: when each batch starts, what it takes and how long it runs."""
    by_life: dict[int, list[Visit]] = defaultdict(list)
    for visit in visits:
        if visit.life is not None:
            by_life[id(visit.life)].append(visit)
    for mine in by_life.values():
        queue = sorted(mine, key=lambda visit: (visit.ready_s, visit.start_s))
        free_s = -math.inf
        while queue:
            batch = [visit for visit in queue if visit.start_s == queue[0].start_s]
            if batch != queue[: len(batch)]:
                yield f"request {queue[0].request_id}, stage {queue[0].stage}: overtaken in its queue"
                break
            yield from check_batch(world, batch, queue, free_s)
            free_s = batch[0].end_s
            queue = queue[len(batch) :]


def check_batch(
    world: OracleWorld, batch: Sequence[Visit], queue: Sequence[Visit], free_s: float
) -> Iterable[str]:
    """One batch against its replica's queue, itself included, in order."""
    head, life = batch[0], batch[0].life
    assert life is not None
    variant = world.variants[life.replica.variant]
    name = f"request {head.request_id}, stage {head.stage}"

    fill_s, units = math.inf, 0
    for visit in queue:
        units += visit.units
        if units >= variant.max_batch:
            fill_s = visit.ready_s
            break
    due_s = max(free_s, min(head.ready_s + variant.max_wait_s, fill_s))
    if abs(head.start_s - due_s) > TOLERANCE_S:
        yield f"{name}: its batch starts at {head.start_s}, not {due_s}"

    units = sum(visit.units for visit in batch)
    if units != head.batch_units:
        yield f"{name}: its batch counts {head.batch_units} units, its requests {units}"
    if units > variant.max_batch and len(batch) > 1:
        yield f"{name}: its batch has {units} units over the cap {variant.max_batch}"
    if any(visit.ready_s > head.start_s + TOLERANCE_S for visit in batch):
        yield f"{name}: its batch holds a request that was not ready"
    left = queue[len(batch) :]
    if left and left[0].ready_s < head.start_s - TOLERANCE_S:
        # Any of those that got ready together may be the next in the queue.
        next_units = [visit.units for visit in left if visit.ready_s == left[0].ready_s]
        if units + max(next_units) <= variant.max_batch:
            yield f"{name}: its batch leaves out request {left[0].request_id}, which was ready and fits"

    heads = [visit for visit in batch if visit.ready_s == head.ready_s]  # any of these may be first
    latencies_s = [
        batch_latency_s(
            variant,
            units,
            life.replica.speed,
            uniform(world.noise_seed, visit.request_id, visit.stage) if world.noise else None,
        )
        for visit in heads
    ]
    if all(abs(head.end_s - head.start_s - latency_s) > TOLERANCE_S for latency_s in latencies_s):
        yield f"{name}: its batch takes {head.end_s - head.start_s} s, not {latencies_s}"


def check_routing(world: OracleWorld, visits: Sequence[Visit], lives: Sequence[Life]) -> Iterable[str]:
    """Steps 3 and 4, where nothing else happens at the same instant."""
    instants = Counter(visit.reached_s for visit in visits)
    instants.update({time_s: 2 for life in lives for time_s in (life.from_s, life.drain_s)})
    instants.update({visit.start_s for visit in visits})
    for k, stage in enumerate(world.stages):
        mine = sorted((visit for visit in visits if visit.stage == k), key=lambda visit: visit.reached_s)
        ends = {visit.end_s for visit in mine}
        routed = 0
        for visit in mine:
            now_s = visit.reached_s
            pool = [life for life in lives if life.stage == k and life.from_s < now_s <= life.drain_s]
            pool.sort(key=lambda life: life.replica.slot)
            order = routed
            routed += bool(pool)
            if instants[now_s] > 1 or now_s in ends:
                continue
            if not pool:
                if visit.life is not None:
                    yield f"request {visit.request_id}, stage {k}: served at {now_s} by an empty pool"
                continue
            before = [v for v in mine if v.life is not None and v.reached_s < now_s < v.end_s]
            if stage.router == "round_robin":
                chosen = pool[order % len(pool)]
            else:
                load = Counter(id(v.life) for v in before)
                chosen = min(pool, key=lambda life: (load[id(life)], life.replica.slot))
            limit = world.variants[chosen.replica.variant].queue_limit
            queued = sum(v.life is chosen and v.start_s > now_s for v in before)
            expected = None if limit and queued >= limit else chosen
            if visit.life is not expected:
                yield f"request {visit.request_id}, stage {k}: routed at {now_s} against the rule"
