"""The rules of docs/request-path.md as statements about a finished run, checked one by one.

Nothing is simulated here: given the trace and what an engine says became of every request, each rule either
holds or does not. Where several events that bear on a routing fall on one instant the page orders them by
more than a finished run shows, and the choice of the replica is then left out.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from .model import Control, OracleArrival, OracleWorld, Outcome
from .service_time import batch_latency_s, uniform
from .visits import Life, Visit, lives_of, visits_of

TOLERANCE_S = 1e-9


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
        *check_turned_away(world, visits, lives),
        *check_holding(world, visits, lives),
        *check_routing(world, visits, lives),
    ]


def check_fates(world: OracleWorld, arrivals: Sequence[OracleArrival], outcomes: Sequence[Outcome]) -> Iterable[str]:
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
        for visit in sorted(mine, key=lambda visit: (visit.routed_s, visit.ready_s, -visit.size_bytes)):
            free_s = max(visit.routed_s, free_s) + visit.size_bytes / world.nic_bytes_per_s[node]
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


def check_batch(world: OracleWorld, batch: Sequence[Visit], queue: Sequence[Visit], free_s: float) -> Iterable[str]:
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


def check_turned_away(world: OracleWorld, visits: Sequence[Visit], lives: Sequence[Life]) -> Iterable[str]:
    """Steps 3 and 4: requests fail where the pool is empty, or runs empty, and are rejected when routed."""
    for visit in visits:
        if visit.life is not None:
            continue
        name = f"request {visit.request_id}, stage {visit.stage}"
        mine = [life for life in lives if life.stage == visit.stage]
        now_s = visit.over_s
        if visit.fate == "rejected" and now_s != visit.room_s:
            yield f"{name}: rejected at {now_s}, not when routed at {visit.room_s}"
        if visit.fate != "failed":
            continue
        if now_s == visit.reached_s and not any(life.from_s < now_s <= life.drain_s for life in mine):
            continue
        ran_empty = any(life.drain_s == now_s for life in mine)
        ran_empty = ran_empty and not any(life.from_s < now_s < life.drain_s for life in mine)
        holds = world.stages[visit.stage].max_outstanding > 0
        if not (holds and ran_empty and now_s <= visit.room_s):
            yield f"{name}: failed at {now_s}, when the pool neither was nor ran empty"


def check_holding(world: OracleWorld, visits: Sequence[Visit], lives: Sequence[Life]) -> Iterable[str]:
    """Step 3: what is held is passed on in order, at the first room, and fails where the pool runs empty."""
    for visit in visits:
        name = f"request {visit.request_id}, stage {visit.stage}"
        if not math.isfinite(visit.routed_s):
            yield f"{name}: served, though no replica ever had room"
        if visit.life is None or not visit.was_held:
            continue
        mine = [life for life in lives if life.stage == visit.stage]
        for gone in mine:
            left = any(life.from_s <= gone.drain_s < life.drain_s for life in mine)
            if visit.reached_s <= gone.drain_s < visit.routed_s and not left:
                yield f"{name}: held on at {gone.drain_s}, when the pool ran empty"


def check_routing(world: OracleWorld, visits: Sequence[Visit], lives: Sequence[Life]) -> Iterable[str]:
    """Steps 3 and 4: the replica chosen, where nothing else happens at the same instant."""
    instants = Counter(visit.reached_s for visit in visits)
    instants.update({time_s: 2 for life in lives for time_s in (life.from_s, life.drain_s)})
    instants.update({visit.start_s for visit in visits})
    for k, stage in enumerate(world.stages):
        mine = [visit for visit in visits if visit.stage == k]
        peers = [life for life in lives if life.stage == k]
        causes = Counter(end_s for end_s, _ in {(v.end_s, id(v.life)) for v in mine if v.life is not None})
        ends = set(causes)
        causes.update(life.from_s for life in peers)
        causes.update({life.drain_s: 2 for life in peers})
        routed = 0
        for i, visit in enumerate(mine):
            now_s = visit.routed_s
            pool = [life for life in peers if life.from_s < now_s <= life.drain_s]
            if visit.was_held:  # passed on at a completion, or at an activation
                pool = [life for life in peers if life.from_s <= now_s <= life.drain_s]
            pool.sort(key=lambda life: life.replica.slot)
            order = routed
            routed += bool(pool)
            is_tied = causes[now_s] != 1 if visit.was_held else instants[now_s] > 1 or now_s in ends
            failed_while_held = visit.life is None and visit.fate == "failed" and visit.was_held
            if is_tied or failed_while_held:
                continue
            if not pool:
                if visit.life is not None:
                    yield f"request {visit.request_id}, stage {k}: served at {now_s} by an empty pool"
                continue
            before = [v for v in mine[:i] if v.life is not None and v.end_s > now_s]
            if stage.router == "round_robin":
                chosen = pool[order % len(pool)]
            else:
                load = Counter(id(v.life) for v in before)
                chosen = min(pool, key=lambda life: (load[id(life)], life.replica.slot))
            limit = world.variants[chosen.replica.variant].queue_limit
            queued = sum(v.life is chosen and v.start_s >= now_s for v in before)
            expected = None if limit and queued >= limit else chosen
            if visit.life is not expected:
                yield f"request {visit.request_id}, stage {k}: routed at {now_s} against the rule"
