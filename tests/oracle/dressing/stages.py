"""What stages do with requests: split, rank, let expire, route, try again and hedge."""

from __future__ import annotations

from dataclasses import replace

from .. import routers_of_users
from ..controls import AnyControl, Control
from ..model import OracleService, OracleStage, Router
from .making import Making


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
