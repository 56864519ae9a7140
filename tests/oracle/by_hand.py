"""Small fleets of dyadic times, in which each rule can be worked by hand and compared exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from .controls import AnyControl
from .draws import share
from .model import (
    Control,
    OracleArrival,
    OracleReplica,
    OracleStage,
    OracleVariant,
    OracleWorld,
    Outcome,
    Router,
)
from .simpy_oracle import run

STAGE = OracleStage(service=0, position=0, candidates=10, item_bytes=0.0, router="least_outstanding")
ONE_SECOND = OracleVariant(
    stage=0,
    unit_items=False,
    max_batch=4,
    max_wait_s=0.0,
    queue_limit=0,
    batch_sizes=(1, 64),
    levels=(0.0, 1.0),
    latency_s=((1.0, 1.0), (1.0, 1.0)),
    mean_s=(1.0, 1.0),
)
LONE = replace(ONE_SECOND, max_batch=1)


def one_stage(variant: OracleVariant, *, router: Router = "least_outstanding", **changes: Any) -> OracleWorld:
    """One service of one stage; cards and hops that take no time unless `changes` says so."""
    world = OracleWorld(
        services=1,
        stages=(replace(STAGE, router=router),),
        variants=(variant,),
        nic_bytes_per_s=(1024.0,),
        hop_delay_s=0.0,
        noise_seed=1,
        noise=False,
    )
    return replace(world, **changes)


def two_stages(first: OracleVariant, second: OracleVariant, **changes: Any) -> OracleWorld:
    """One service whose requests pass stages 0 and 1."""
    stages = (STAGE, replace(STAGE, position=1))
    variants = (first, replace(second, stage=1))
    return one_stage(first, stages=stages, variants=variants, **changes)


def on(slot: int, variant: int = 0, *, at_s: float = 0.0, node: int = 0, speed: float = 1.0) -> Control:
    return Control(at_s, "activate", OracleReplica(slot, variant, node, speed))


def off(slot: int, at_s: float, variant: int = 0) -> Control:
    return Control(at_s, "drain", OracleReplica(slot, variant, 0, 1.0))


def arriving(*times_s: float, items: Sequence[int] | int = 1, bytes_in: float = 0.0) -> list[OracleArrival]:
    each = [items] * len(times_s) if isinstance(items, int) else items
    return [OracleArrival(time_s, 0, n, bytes_in) for time_s, n in zip(times_s, each, strict=True)]


def serve(world: OracleWorld, arrivals: list[OracleArrival], *controls: AnyControl) -> list[Outcome]:
    return run(world, arrivals, controls)[0]


def user_with(salt: int, low: float, high: float) -> int:
    """The first user whose share of this salt lies in between: 1 decides on the home, 2 on the class."""
    return next(user for user in range(10_000) if low <= share(user, salt) < high)


def done(outcomes: Sequence[Outcome]) -> list[float]:
    return [outcome.done_s for outcome in outcomes]


def starts(outcomes: Sequence[Outcome], position: int = 0) -> list[float]:
    return [outcome.stage_start_s[position] for outcome in outcomes]


def ends(outcomes: Sequence[Outcome], position: int = 0) -> list[float]:
    return [outcome.stage_end_s[position] for outcome in outcomes]


def slots(outcomes: Sequence[Outcome], position: int = 0) -> list[int]:
    return [outcome.stage_slot[position] for outcome in outcomes]


def statuses(outcomes: Sequence[Outcome]) -> list[str]:
    return [outcome.status for outcome in outcomes]
