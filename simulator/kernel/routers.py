"""Routers: which of the replicas in reach takes a task; `docs/request-path.md`, "Routers".

`choose` is one rule a router. None is longer than logarithmic in the number of replicas, but for the consistent hash,
which goes up the ring past replicas that are above their share or out of reach. All return a position in
`Pools.members`, or -1 where no replica is in reach.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from simulator.kernel.compiled import inlined
from simulator.kernel.cost_tree import EMPTY, PLACE_BITS, PLACE_MASK, least_cost
from simulator.kernel.draws import draw, hashed
from simulator.kernel.pool_state import Pools
from simulator.kernel.pools import least_key, reachable, reached_position
from simulator.kernel.user_function import call_user_function

__all__ = ["choose"]

LEAST_OUTSTANDING, ROUND_ROBIN, WEIGHTED, POWER_OF_TWO, CONSISTENT_HASH, LOCALITY, FUNCTION = range(7)
"""Places of the names in `simulator.plan.ROUTERS`."""

_USER_SALT = 3


@inlined
def _member(pool: Any, key: int) -> int:
    return -1 if key == EMPTY else pool.first + (key & PLACE_MASK)


@inlined
def _round_robin(pools: Pools, pool: Any, site: int) -> int:
    size = reachable(pools, pool.group, site)
    if size == 0:
        return -1
    number = pool.counter % size
    pool.counter += 1
    return reached_position(pools, pool.group, site, number)


@inlined
def _power_of_two(pools: Pools, pool: Any, site: int, seed: np.uint64, request_id: int, number: np.uint64) -> int:
    size = reachable(pools, pool.group, site)
    if size == 0:
        return -1
    one = reached_position(pools, pool.group, site, int(draw(seed, request_id, number, 1) * size))
    other = reached_position(pools, pool.group, site, int(draw(seed, request_id, number, 2) * size))
    return other if pools.outstanding[other] < pools.outstanding[one] else one


@inlined
def _first_point(pools: Pools, pool: Any, x: float) -> int:
    """Number of the first point on the ring that is not below ``x``, or of the first of all.

    The search starts in the part of [0, 1) where ``x`` lies, which on average holds one point.
    """
    at = pools.ring_start[pool.ring + int(x * pool.ring_points)]
    while at < pool.ring_points and pools.ring_point[pool.ring + at] < x:
        at += 1
    return 0 if at == pool.ring_points else at


@inlined
def _is_in_reach(pools: Pools, pool: Any, group: int, site: int) -> bool:
    found = False
    for i in range(pools.reach_count[site]):
        found |= pool.group + pools.reach_site[site, i] == group
    return found


@inlined
def _consistent_hash(pools: Pools, pool: Any, site: int, user: int) -> int:
    """Up the ring from the user's point to the first replica in reach that is not above its share.

    Where sites are out of reach, their points are passed over one by one.
    """
    size = 0
    outstanding = 0
    for i in range(pools.reach_count[site]):
        group = pools.groups[pool.group + pools.reach_site[site, i]]
        size += group.count
        outstanding += group.outstanding
    if size == 0:
        return -1
    limit = math.ceil((1.0 + pool.hash_bound) * (outstanding + 1) / size)
    at = _first_point(pools, pool, hashed(user, _USER_SALT))
    while True:
        position = pool.first + pools.ring_place[pool.ring + at]
        if pools.outstanding[position] + 1 <= limit and _is_in_reach(pools, pool, pools.members[position].group, site):
            return position
        at = 0 if at + 1 == pool.ring_points else at + 1


@inlined
def _locality(pools: Pools, pool: Any, site: int) -> int:
    own = least_cost(pools.costs, pools.groups[pool.group + site].tree)
    if own != EMPTY and (pool.spill == 0 or (own >> PLACE_BITS) <= pool.spill):  # a key's cost is outstanding + 1
        return _member(pool, own)
    others = EMPTY
    for i in range(pools.reach_count[site]):
        other_site = pools.reach_site[site, i]
        if other_site != site:
            others = min(others, least_cost(pools.costs, pools.groups[pool.group + other_site].tree))
    if own == EMPTY or (others >> PLACE_BITS) < (own >> PLACE_BITS):
        return _member(pool, others)
    return _member(pool, own)


@inlined
def _user_function(pools: Pools, pool: Any, user: int, seed: np.uint64, request_id: int, number: np.uint64) -> int:
    if pool.count == 0:
        return -1
    u = draw(seed, request_id, number, 1)
    place, is_fault = call_user_function(
        pool.function, pools.outstanding, pools.weight, pool.first, pool.count, user, u
    )
    pool.faults += is_fault
    return min(max(place, pool.first), pool.first + pool.count - 1)


@inlined
def choose(pools: Pools, stage: int, site: int, user: int, seed: np.uint64, request_id: int, number: np.uint64) -> int:
    """Position of the member that takes a task which is at ``site``, -1 where none is in reach.

    ``seed``, ``request_id`` and ``number`` (`draws.draw_number`) say which random numbers are the task's own.
    """
    pool = pools.pools[stage]
    router = pool.router
    if router in (LEAST_OUTSTANDING, WEIGHTED):
        return _member(pool, least_key(pools, pool.group, site))
    if router == ROUND_ROBIN:
        return _round_robin(pools, pool, site)
    if router == POWER_OF_TWO:
        return _power_of_two(pools, pool, site, seed, request_id, number)
    if router == CONSISTENT_HASH:
        return _consistent_hash(pools, pool, site, user)
    if router == LOCALITY:
        return _locality(pools, pool, site)
    return _user_function(pools, pool, user, seed, request_id, number)
