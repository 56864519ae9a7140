"""Pools: which replicas are ready for a stage, how many tasks each holds, and which of those in reach costs least.

Each pool keeps a `cost_tree` for each site, so that the least of any set of sites is the least of their roots.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from simulator.kernel.compiled import inlined
from simulator.kernel.cost_tree import EMPTY, PLACE_BITS, PLACE_MASK, least_cost, set_cost
from simulator.kernel.pool_state import Pools

__all__ = ["change_cost", "least_key", "least_other", "reachable", "reached_position"]

_ONE_TASK = 1 << PLACE_BITS


@inlined
def _key(costs: np.ndarray, group: Any, place: int) -> int:
    """Key of the member at ``place`` of its group."""
    return costs[group.tree + group.capacity + place]


@inlined
def change_cost(pools: Pools, stage: int, position: int, change: int) -> None:
    """Count ``change`` more outstanding tasks of a member; O(log members)."""
    pool = pools.pools[stage]
    member = pools.members[position]
    group = pools.groups[member.group]
    pools.outstanding[position] += change
    group.outstanding += change
    if pool.has_tree:
        place = position - group.first
        key = _key(pools.costs, group, place) + change * member.step
        set_cost(pools.costs, group.tree, group.capacity, place, key)
        if pool.plain_group != pool.group:
            plain = pools.groups[member.group - pool.group + pool.plain_group]
            key = _key(pools.costs, plain, place) + change * _ONE_TASK
            set_cost(pools.costs, plain.tree, plain.capacity, place, key)


@inlined
def least_key(pools: Pools, first_group: int, site: int) -> int:
    """The least key in reach of a site, `EMPTY` if there is none."""
    least = EMPTY
    for i in range(pools.reach_count[site]):
        group = pools.groups[first_group + pools.reach_site[site, i]]
        least = min(least, least_cost(pools.costs, group.tree))
    return least


@inlined
def least_other(pools: Pools, stage: int, site: int, position: int) -> int:
    """Position of the least outstanding replica in reach other than the one at ``position``, -1 if there is none.

    A replica that is no member any more has position -1 and needs no exception.
    """
    pool = pools.pools[stage]
    if position < 0:
        least = least_key(pools, pool.plain_group, site)
    else:
        group = pools.groups[pools.members[position].group - pool.group + pool.plain_group]
        place = position - group.first
        kept = _key(pools.costs, group, place)
        set_cost(pools.costs, group.tree, group.capacity, place, EMPTY)
        least = least_key(pools, pool.plain_group, site)
        set_cost(pools.costs, group.tree, group.capacity, place, kept)
    return -1 if least == EMPTY else pool.first + (least & PLACE_MASK)


@inlined
def reachable(pools: Pools, first_group: int, site: int) -> int:
    """How many replicas are in reach of a site."""
    count = 0
    for i in range(pools.reach_count[site]):
        count += pools.groups[first_group + pools.reach_site[site, i]].count
    return count


@inlined
def reached_position(pools: Pools, first_group: int, site: int, number: int) -> int:
    """Position of the replica in reach that has ``number`` others before it."""
    position = -1
    for i in range(pools.reach_count[site]):
        group = pools.groups[first_group + pools.reach_site[site, i]]
        if position < 0:
            if number < group.count:
                position = group.first + number
            number -= group.count
    return position
