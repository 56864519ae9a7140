"""Results kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..controls import ClearCaches
from ..model import OracleArrival, OracleCache, OracleLevel, OraclePreload, OracleService
from .making import Making


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
