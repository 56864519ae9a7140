"""Where things are, and what lies between them: sites, access links, and links that fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ..controls import AnyControl, SetAccess, SetLink
from ..model import OracleLink, OracleService, OracleSite
from ..worlds import moment_s
from .making import Making


def random_link(making: Making) -> OracleLink:
    """A link that is mostly fast, at times slow, at times takes no time at all."""
    draw, scale_s = making.draw, making.scale_s
    slow = draw.chance(0.4)
    if draw.lattice:
        per_byte = 2.0 ** -draw.integer(12, 15) if slow else 2.0**-30
    else:
        per_byte = scale_s * float(draw.rng.uniform(0.1, 1)) / 4096 if slow else 1e-12
    link = OracleLink(
        s_per_byte=per_byte if draw.chance(0.8) else 0.0,
        s_per_message=draw.duration_s(scale_s / 4) if draw.chance(0.4) else 0.0,
        delay_s=draw.duration_s(scale_s) if draw.chance(0.6) else 0.0,
    )
    if draw.chance(0.7):
        return link
    return replace(
        link,
        small_bytes=2.0 ** draw.integer(6, 13),
        small_s_per_byte=2.0 * per_byte,
        small_s_per_message=draw.duration_s(scale_s / 4),
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
