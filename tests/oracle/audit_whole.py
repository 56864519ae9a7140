"""Rules of docs/request-path.md as statements about everything that a finished run of the whole path tells.

Unlike `audit`, which needs the requests' fates alone, this reads every stay of a task at a replica, so that splits,
lost tries and twins can be judged. It simulates nothing.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from .controls import AnyControl, Control, FailReplicas
from .finished import Finished
from .model import OracleArrival, OracleWorld
from .request import Request, Stay
from .service_time import batch_latency_s

TOLERANCE_S = 1e-9


def audit_whole(
    world: OracleWorld, arrivals: Sequence[OracleArrival], controls: Sequence[AnyControl], finished: Finished
) -> list[str]:
    """Return one line for each breach of a rule by a run that was served to its end."""
    return [
        *check_conservation(finished),
        *check_ends(world, arrivals, finished),
        *check_stages(world, finished),
        *check_tasks(world, finished),
        *check_replicas(world, finished),
        *check_lives(controls, finished),
        *check_caches(world, finished),
    ]


def check_conservation(finished: Finished) -> Iterator[str]:
    """Arrived = completed + rejected + failed + in flight, for every service, whenever somebody looked."""
    for snap in finished.snapshots:
        if snap.arrived != snap.completed + snap.rejected + snap.failed + snap.in_flight:
            yield f"service {snap.service} at {snap.time_s}: {snap}"
    for snap in finished.snapshots[-1:]:
        if snap.in_flight:
            yield f"{snap.in_flight} requests are left"


def check_ends(world: OracleWorld, arrivals: Sequence[OracleArrival], finished: Finished) -> Iterator[str]:
    """Every request ends once, and no answer is there before its result."""
    clients = [request for request in finished.requests if not request.is_background]
    if [request.id for request in clients] != list(range(len(arrivals))):
        yield "not all requests of the trace came"
    for what, status in (("completed", "completed"), ("rejected", "rejected"), ("failed", "failed")):
        told = sum(finished.counts[what, service] for service in range(world.services))
        if told != sum(request.outcome.status == status for request in clients):
            yield f"{told} counted as {what}"
    started = sum(finished.counts["background started", service] for service in range(world.services))
    if started != len(finished.requests) - len(clients):
        yield f"{started} counted as started in the background"
    for request in finished.requests:
        outcome, name = request.outcome, name_of(request)
        if outcome.status == "in_flight" or not request.is_over:
            yield f"{name}: never ends"
        elif outcome.over_s < request.arrived_s or outcome.done_s < outcome.over_s:
            yield f"{name}: arrives {request.arrived_s}, over {outcome.over_s}, answered {outcome.done_s}"
        elif outcome.status == "completed" and not request.is_background:
            if outcome.done_s < outcome.over_s + world.hop_delay_s - TOLERANCE_S:
                yield f"{name}: answered without a hop"
        elif outcome.status != "completed" and outcome.done_s != outcome.over_s:
            yield f"{name}: {outcome.status} at {outcome.over_s} and {outcome.done_s}"


def check_stages(world: OracleWorld, finished: Finished) -> Iterator[str]:
    """A completed request has passed all stages in order, all parts of each; a hit or a wait none."""
    completed: dict[int, Counter[tuple[int, int]]] = defaultdict(Counter)
    last_s: dict[tuple[int, int], float] = defaultdict(lambda: -math.inf)
    for stay in finished.stays:
        if stay.fate == "completed":
            request, k = stay.task.request, stay.task.k
            completed[id(request)][k, stay.task.part] += 1
            last_s[id(request), k] = max(last_s[id(request), k], stay.end_s)
    for request in finished.requests:
        outcome, name, parts = request.outcome, name_of(request), completed[id(request)]
        if any(count > 1 for count in parts.values()):
            yield f"{name}: a part completes twice"
        if outcome.cache.startswith("hit") or outcome.cache == "wait":
            if parts or outcome.stage_slot:
                yield f"{name}: {outcome.cache}, and served"
            continue
        passed_s = request.arrived_s
        for position, k in enumerate(world.funnel(request.service)):
            is_passed = position < len(outcome.stage_slot) and outcome.stage_slot[position] >= 0
            stage = world.stages[k]
            n = min(request.items, stage.candidates) if request.items else stage.candidates
            p = -(-n // stage.split_items) if stage.split_items else 1
            done = sum(1 for of_k, _ in parts if of_k == k)
            if is_passed != (done == p):
                yield f"{name}, stage {k}: {done} of {p} parts are done"
            if is_passed and (
                outcome.stage_end_s[position] != last_s[id(request), k] or last_s[id(request), k] < passed_s
            ):
                yield f"{name}, stage {k}: ends at {outcome.stage_end_s[position]}, its last part at another time"
            if not is_passed and outcome.status == "completed":
                yield f"{name}: completed without stage {k}"
            if is_passed:
                passed_s = last_s[id(request), k]


def check_tasks(world: OracleWorld, finished: Finished) -> Iterator[str]:
    """Tries, twins and times of tasks."""
    lost: Counter[int] = Counter()
    for stay in finished.stays:
        task, stage, name = stay.task, stay.task.stage, name_of(stay.task.request)
        times = [stay.taken_s, stay.ready_s, stay.start_s, stay.end_s]
        known = [time_s for time_s in times if not math.isnan(time_s)]
        if known != sorted(known):
            yield f"{name}, stage {task.k}: {times}"
        if not stay.fate or (stay.fate == "completed" and stay.over_s != stay.end_s):
            yield f"{name}, stage {task.k}: {stay.fate!r} at {stay.over_s}"
        if stay.fate in ("lost", "void", "expired") and stay.over_s < stay.taken_s:
            yield f"{name}, stage {task.k}: gone before it came"
        if not task.is_twin and stay.attempt > stage.retries:
            yield f"{name}, stage {task.k}: try {stay.attempt} of {stage.retries} more"
        if task.is_twin and (stay.attempt < 32 or stage.hedge_after_s <= 0):
            yield f"{name}, stage {task.k}: a twin of no hedge"
        if stay.fate == "expired" and not stay.over_s > task.request.arrived_s + stage.expire_s:
            yield f"{name}, stage {task.k}: expired early"
        if stay.fate == "completed" and stay.start_s > task.request.arrived_s + stage.expire_s:
            yield f"{name}, stage {task.k}: begun too late"
        lost[task.k] += stay.fate == "lost"
    for k, count in lost.items():
        if finished.counts["lost", k] < count:  # more are lost that no replica took
            yield f"stage {k}: {count} lost, {finished.counts['lost', k]} counted"
        if finished.counts["retried", k] > finished.counts["lost", k]:
            yield f"stage {k}: more retried than lost"
    for k in range(len(world.stages)):
        twins = [stay for stay in finished.stays if stay.task.k == k and stay.task.is_twin]
        won = sum(stay.fate == "completed" for stay in twins)
        if (finished.counts["hedged", k], finished.counts["hedges_won", k]) != (len(twins), won):
            yield f"stage {k}: {len(twins)} twins, {won} first"


def check_replicas(world: OracleWorld, finished: Finished) -> Iterator[str]:
    """One batch at a time, none over its cap, in order of class; and none waits while it could start.

    A task that is ready at the very instant at which a batch begins may have come after it was formed.
    """
    of_replica: dict[int, list[Stay]] = defaultdict(list)
    for stay in finished.stays:
        of_replica[id(stay.replica)].append(stay)
    for stays in of_replica.values():
        replica = stays[0].replica
        batches: dict[float, list[Stay]] = defaultdict(list)
        for stay in stays:
            if not math.isnan(stay.start_s):
                batches[stay.start_s].append(stay)
        before_s = -math.inf
        for start_s, batch in sorted(batches.items()):
            name = f"slot {replica.slot} at {start_s}"
            units = sum(stay.units for stay in batch)
            if start_s < before_s:
                yield f"{name}: begins before {before_s}"
            if len({stay.end_s for stay in batch}) != 1 or {stay.batch_units for stay in batch} != {units}:
                yield f"{name}: not one batch"
            if units > replica.variant.max_batch and len(batch) > 1:
                yield f"{name}: {units} units"
            if any(stay.ready_s > start_s for stay in batch):
                yield f"{name}: begins before all are ready"
            latencies_s = [batch_latency_s(replica.variant, units, replica.plan.speed, u) for u in (0.0, 1.0)]
            if not world.noise:
                latencies_s = [batch_latency_s(replica.variant, units, replica.plan.speed, None)]
            fastest = min(latencies_s) / 2  # stragglers may also be twice as fast
            if batch[0].end_s - start_s < fastest - TOLERANCE_S:
                yield f"{name}: takes {batch[0].end_s - start_s}, at least {fastest}"
            lowest = max(stay.task.request.priority for stay in batch)
            for stay in stays:
                if stay.ready_s < start_s and (math.isnan(stay.over_s) or stay.over_s > start_s) and stay not in batch:
                    waits = math.isnan(stay.start_s) or stay.start_s > start_s
                    if waits and stay.task.request.priority < lowest:
                        yield f"{name}: takes class {lowest} before {stay.task.request.priority}"
            before_s = batch[0].end_s if batch[0].fate != "lost" else batch[0].over_s


def check_lives(controls: Sequence[AnyControl], finished: Finished) -> Iterator[str]:
    """No replica takes a task after its drain or its failure, and none keeps one beyond its failure."""
    ends: dict[tuple[int, float], tuple[float, float]] = {}  # of a slot's life that began then: drain and failure
    begun_s: dict[int, float] = {}
    for control in controls:
        if isinstance(control, Control):
            slot = control.replica.slot
            if control.action == "activate":
                begun_s[slot] = control.time_s
                ends[slot, control.time_s] = (math.inf, math.inf)
            else:
                ends[slot, begun_s[slot]] = (control.time_s, math.inf)
        elif isinstance(control, FailReplicas):
            for slot in control.slots:
                ends[slot, begun_s[slot]] = (ends[slot, begun_s[slot]][0], control.time_s)
    for stay in finished.stays:
        slot = stay.replica.slot
        drained_s, failed_s = ends[slot, stay.replica.activated_s]
        if stay.taken_s > min(drained_s, failed_s):
            yield f"slot {slot}: takes a task at {stay.taken_s}, after {drained_s} or {failed_s}"
        if not math.isnan(stay.ready_s) and stay.over_s > failed_s:
            yield f"slot {slot}: keeps a task until {stay.over_s}, after {failed_s}"


def check_caches(world: OracleWorld, finished: Finished) -> Iterator[str]:
    """A hit needs an answer or a preload of its key before; a wait ends with a leader; no level is over its size."""
    cached = [number for number in range(world.services) if world.plan(number).cache is not None]
    for service in cached:
        plan, cache = world.plan(service).cache, finished.caches[service]
        assert plan is not None
        assert cache is not None
        mine = [request for request in finished.requests if request.service == service]
        known_s: dict[int | None, float] = {key: 0.0 for each in world.preloads for key in each.keys}
        for request in mine:
            passed = request.outcome.cache in ("", "miss") and request.unfinished == 0 and request.outcome.stage_slot
            if passed:  # also one that fails on the way out, or falsely one whose answer is lost on the way home
                known_s[request.key] = min(known_s.get(request.key, math.inf), request.outcome.over_s)
        for request in mine:
            if request.outcome.cache.startswith("hit") and known_s.get(request.key, math.inf) > request.outcome.over_s:
                yield f"{name_of(request)}: hits what was never there"
        leaders = {
            (each.key, each.home, each.outcome.over_s): each.outcome.status
            for each in mine
            if each.outcome.cache in ("", "miss")
        }
        for request in mine:
            end = leaders.get((request.key, request.home, request.outcome.over_s))
            if request.outcome.cache == "wait" and end is None:
                yield f"{name_of(request)}: waits for nobody"
        if cache.in_flight:
            yield f"service {service}: {len(cache.in_flight)} keys left in flight"
        for level in cache.levels:
            for instance in level:
                if len(instance.filled_s) > instance.plan.entries:
                    yield f"service {service}: {len(instance.filled_s)} entries in {instance.plan.entries}"


def name_of(request: Request) -> str:
    return f"request {request.id}" + (f" in the background ({request.branch})" if request.branch else "")
