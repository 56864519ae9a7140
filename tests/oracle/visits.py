"""A finished run laid out by stage: who came to its router, in which order, and when each was routed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .model import Control, OracleArrival, OracleReplica, OracleWorld, Outcome, Status


@dataclass
class Life:
    """A replica from its activation to its drain; a slot may have several."""

    replica: OracleReplica
    stage: int
    from_s: float
    drain_s: float = math.inf


@dataclass
class Visit:
    """A request at the router of one stage.

    `life` and the times of its batch are those of the replica that served it; where it was turned away
    `life` is None, `fate` says how and `over_s` when. `room_s` is the earliest time at which the rule of
    holding lets it be routed, given those before it; infinite if it never does.
    """

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
    fate: Status
    over_s: float
    room_s: float = math.nan

    @property
    def routed_s(self) -> float:
        """When a replica was chosen, or the request was turned away."""
        return self.over_s if self.life is None else self.room_s

    @property
    def was_held(self) -> bool:
        return self.routed_s > self.reached_s


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
    """Every request at every stage that it reached, by stage and in the order of coming there.

    The trace comes in its order. Requests that end one batch come in the order in which they came to that
    stage, and of batches that end together those of the lower slot come first.
    """
    visits: list[Visit] = []
    for service in range(world.services):
        coming = [i for i, arrival in enumerate(arrivals) if arrival.service == service]
        for position, k in enumerate(world.funnel(service)):
            mine = [
                visit_of(world, k, i, arrivals[i], outcomes[i], lives)
                for i in coming
                if len(outcomes[i].stage_slot) > position
            ]
            find_room(world.stages[k].max_outstanding, mine, [life for life in lives if life.stage == k])
            visits += mine
            served = [visit for visit in mine if visit.life is not None]
            served.sort(key=lambda visit: (visit.end_s, outcomes[visit.request_id].stage_slot[position]))
            coming = [visit.request_id for visit in served]
    return visits


def visit_of(
    world: OracleWorld,
    k: int,
    request_id: int,
    arrival: OracleArrival,
    outcome: Outcome,
    lives: Sequence[Life],
) -> Visit:
    """One request at stage `k`, all but `room_s`."""
    stage = world.stages[k]
    here = world.funnel(arrival.service).index(k)
    items = stage.candidates if arrival.items == 0 else min(arrival.items, stage.candidates)
    slot, ready_s = outcome.stage_slot[here], outcome.stage_ready_s[here]
    life = None
    if slot >= 0:
        # Its transfer ended in the life that served it, and the next one begins after the end of that batch.
        life = [each for each in lives if each.replica.slot == slot and each.from_s <= ready_s][-1]
    in_items = life is not None and world.variants[life.replica.variant].unit_items
    return Visit(
        request_id=request_id,
        stage=k,
        reached_s=outcome.stage_end_s[here - 1] if here else arrival.arrival_s,
        units=items if in_items else 1,
        size_bytes=arrival.bytes_in + items * stage.item_bytes,
        ready_s=ready_s,
        start_s=outcome.stage_start_s[here],
        end_s=outcome.stage_end_s[here],
        batch_units=outcome.stage_batch_units[here],
        life=life,
        fate=outcome.status,
        over_s=outcome.done_s,
    )


def find_room(limit: int, coming: Sequence[Visit], lives: Sequence[Life]) -> None:
    """Set `room_s` of the visits of one stage: the first time with a member below the limit, none overtaken.

    The time is exact though events of one instant have an order: one that finds no room at an instant at
    which room appears is held and passed on at that instant.
    """
    floor_s = -math.inf
    for i, visit in enumerate(coming):
        floor_s = max(floor_s, visit.reached_s)
        visit.room_s = floor_s
        if limit:
            before = [v for v in coming[:i] if v.life is not None and v.end_s > floor_s]
            moments_s = {floor_s, *(v.end_s for v in before), *(life.from_s for life in lives)}
            later_s = sorted(time_s for time_s in moments_s if time_s >= floor_s)
            visit.room_s = next((t for t in later_s if has_room(limit, t, before, lives)), math.inf)
        if math.isfinite(visit.routed_s):
            floor_s = max(floor_s, visit.routed_s)


def has_room(limit: int, now_s: float, before: Sequence[Visit], lives: Sequence[Life]) -> bool:
    """Whether a replica in the pool at some moment of this instant had fewer than `limit` requests."""
    load = Counter(id(v.life) for v in before if v.end_s > now_s)
    return any(life.from_s <= now_s <= life.drain_s and load[id(life)] < limit for life in lives)
