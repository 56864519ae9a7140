"""The arrays of the whole request path, made from the plan (`simulator.kernel.journey_state` says what they mean)."""

from __future__ import annotations

import math
from typing import Literal, get_args

import numpy as np

from simulator.caches import build_caches
from simulator.kernel.journey_state import HEDGE, JOURNEY, LEAN, LINE, LINK, PART, PLACE, TODO, WIDE, Whole
from simulator.kernel.pool_state import Pools
from simulator.kernel.state import NONE
from simulator.plan import ROUTERS, FleetPlan, LinkPlan, StagePlan

__all__ = [
    "PATHS", "Path", "add_journeys", "build_whole", "grow_classes", "lines_of", "path_of", "places_of_links", "reach",
]  # fmt: skip

PLAIN_ROUTERS = ROUTERS[:2]


Path = Literal["plain", "lean", "whole"]
"""How much of the request path is compiled; where several know a plan, all do the same."""

PATHS: tuple[Path, ...] = get_args(Path)
"""Each knows what those before it know."""


def _needs_whole(stage: StagePlan) -> bool:
    return (
        stage.router not in PLAIN_ROUTERS
        or math.isfinite(stage.expire_s)
        or stage.retries > 0
        or stage.hedge_after_s > 0
    )


def path_of(plan: FleetPlan) -> Path:
    """The smallest path that knows all that a plan names."""
    if (
        any(map(_needs_whole, plan.stages))
        or len(plan.sites) > 1
        or plan.sites[0].access_in is not None
        or plan.sites[0].access_out is not None
        or any(len(service.class_shares) > 1 for service in plan.services)
    ):
        return "whole"
    if any(stage.split_items > 0 for stage in plan.stages) or any(service.cache for service in plan.services):
        return "lean"
    return "plain"


def places_of_links(plan: FleetPlan) -> dict[tuple[int, int], int]:
    """Where the links between sites lie in `Whole.links`: by the site they leave, then by that they reach."""
    return {ends: len(plan.sites) + i for i, ends in enumerate(sorted(plan.links))}


def lines_of(plan: FleetPlan) -> int:
    """How many lines there are."""
    return len(plan.sites) + len(plan.links) + 2 * len(plan.stages)


def _links(plan: FleetPlan) -> np.ndarray:
    between = places_of_links(plan)
    links = np.zeros(2 * len(plan.sites) + len(between), LINK)
    links["from_site"] = links["to_site"] = NONE

    def write(place: int, link: LinkPlan | None, from_site: int, to_site: int) -> None:
        row = links[place]
        row.from_site, row.to_site = from_site, to_site
        if link is not None:
            row.s_per_byte, row.s_per_message, row.delay_s = link.s_per_byte, link.s_per_message, link.delay_s
            row.small_bytes, row.small_s_per_byte = link.small_bytes, link.small_s_per_byte
            row.small_s_per_message = link.small_s_per_message
            row.is_there = row.is_up = True

    for site, its in enumerate(plan.sites):
        write(site, its.access_in, NONE, site)
        write(len(links) - len(plan.sites) + site, its.access_out, site, NONE)
    for ends, place in between.items():
        write(place, plan.links[ends], *ends)
    return links


def _cumulative(shares: list[tuple[float, ...]], most: int) -> np.ndarray:
    """``[service, place]``; the last place that a service names has all that is left."""
    table = np.full((len(shares), most), np.inf)
    for row, share in zip(table, shares):
        row[: max(len(share) - 1, 0)] = np.cumsum(share[:-1])
    return table


def build_whole(plan: FleetPlan, pools: Pools, slots: int, numbers: int, path: Path) -> Whole:
    """All arrays, with no request yet."""
    sites, stages = len(plan.sites), len(plan.stages)
    classes = max(len(service.class_shares) for service in plan.services)
    homes = max(max(len(service.home_shares) for service in plan.services), 1)
    link_of = np.full((sites, sites), NONE)
    for (from_site, to_site), place in places_of_links(plan).items():
        link_of[from_site, to_site] = place
    todo = np.zeros(1, TODO)
    most = max(stage.most_parts() for stage in plan.stages)
    arrivals = 1 + max((s.cache.prefetch + 1 if s.cache else 0) for s in plan.services)
    todo["pass_stage"], todo["most_parts"], todo["most_new"] = NONE, most, arrivals * (1 + most)
    wide = WIDE if path == "whole" else LEAN
    caches = build_caches([service.cache for service in plan.services], sites)
    return Whole(
        parts=np.zeros(numbers if wide else 1, PART),
        places=np.zeros(numbers if wide else 1, PLACE),
        hedges=np.zeros(numbers if wide else 1, HEDGE),
        journeys=np.zeros(numbers if wide or len(caches.level) else 1, JOURNEY),
        todo=todo,
        lines=np.zeros(lines_of(plan), LINE),
        links=_links(plan),
        link_of=link_of,
        class_head=np.zeros((slots, classes), np.uint32),
        class_tail=np.zeros((slots, classes), np.uint32),
        held_head=np.zeros((stages, classes), np.uint32),
        held_tail=np.zeros((stages, classes), np.uint32),
        home_share=_cumulative([service.home_shares for service in plan.services], homes),
        class_share=_cumulative([service.class_shares for service in plan.services], classes),
        wide=wide,
        pools=pools,
        caches=caches,
    )


def _longer(array: np.ndarray, length: int) -> np.ndarray:
    return np.concatenate([array, np.zeros((length - len(array), *array.shape[1:]), array.dtype)])


def add_journeys(whole: Whole, numbers: int) -> Whole:
    """The same with room for that many requests and tasks in flight."""
    if not whole.wide:
        return whole._replace(journeys=_longer(whole.journeys, numbers)) if len(whole.caches.level) else whole
    return whole._replace(
        parts=_longer(whole.parts, numbers),
        places=_longer(whole.places, numbers),
        hedges=_longer(whole.hedges, numbers),
        journeys=_longer(whole.journeys, numbers),
    )


def grow_classes(whole: Whole, slots: int) -> Whole:
    """The same with room for that many replicas."""
    return whole._replace(class_head=_longer(whole.class_head, slots), class_tail=_longer(whole.class_tail, slots))


def reach(whole: Whole) -> np.ndarray:
    """``is_reached[from_site, to_site]``: itself, and over links that are up."""
    is_reached = np.eye(len(whole.link_of), dtype=np.bool_)
    between = whole.links[(whole.links["from_site"] != NONE) & (whole.links["to_site"] != NONE)]
    is_reached[between["from_site"], between["to_site"]] |= between["is_up"].astype(np.bool_)
    return is_reached
