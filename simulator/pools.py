"""The pools as Python lays them out: a stage's ready replicas, their costs, their points on the ring."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from simulator.fleet_arrays import check_pool_size
from simulator.hash_ring import HashRing
from simulator.kernel.cost_tree import EMPTY, PLACE_BITS
from simulator.kernel.pool_state import GROUP, MEMBER, POOL, Pools
from simulator.plan import ROUTERS, StagePlan
from simulator.routers import address_of
from workloads.errors import InputError

__all__ = ["WEIGHT_UNIT", "PoolLayout"]

WEIGHT_UNIT = 1024
"""Cost of a task on the fastest replica, where the router is ``weighted``."""

_NOBODY = np.full(2, EMPTY)
"""The tree of a group without members, at 0."""

_NEED_TREE = ("least_outstanding", "weighted", "locality")


class _Room:
    """Who has which part of an array that all stages share; who outgrows his gets one twice as large at the end."""

    def __init__(self, stages: int, reserved: int) -> None:
        self.first = np.zeros(stages, np.int64)
        self.room = np.zeros(stages, np.int64)
        self.end = reserved

    def reserve(self, stage: int, count: int) -> int:
        """Where a stage's ``count`` entries lie from now on."""
        if count > self.room[stage]:
            self.first[stage], self.room[stage] = self.end, 2 * count
            self.end += 2 * count
        return int(self.first[stage])

    def grown(self, array: np.ndarray) -> np.ndarray:
        """The array, or a longer copy if it has become too short."""
        if len(array) >= self.end:
            return array
        return np.concatenate([array, np.zeros(self.end + self.end // 2 - len(array), array.dtype)])


def _tree(keys: np.ndarray) -> np.ndarray:
    """A `cost_tree` over ``keys``: ``[1]`` the least, ``[capacity + place]`` each one's own."""
    level = np.full(1 << (len(keys) - 1).bit_length(), EMPTY)
    level[: len(keys)] = keys
    levels = [level]
    while len(level) > 1:
        level = level.reshape(-1, 2).min(axis=1)
        levels.append(level)
    return np.concatenate([[EMPTY], *levels[::-1]])


class PoolLayout:
    """All pools, to be laid out anew stage by stage when replicas come and go.

    Parameters
    ----------
    stages, sites
        The plan's stages, and how many sites there are; each reaches itself alone until `set_reach`.
    fastest
        Highest `LatencyTable.weight` of the plan: a task costs 1024 there where the router is ``weighted``.

    Attributes
    ----------
    state
        What the kernel carries; a new tuple whenever arrays had to grow.
    """

    def __init__(self, stages: Sequence[StagePlan], sites: int = 1, fastest: float = 1.0) -> None:
        self._stages, self._sites, self._fastest = stages, sites, fastest
        self._members = _Room(len(stages), 0)
        self._costs = _Room(len(stages), len(_NOBODY))
        self._ring_room = _Room(len(stages), 0)
        self._rings: dict[int, HashRing] = {}
        pools = np.zeros(len(stages), POOL)
        for k, stage in enumerate(stages):
            row = pools[k]
            row.router = ROUTERS.index(stage.router)
            row.hash_bound, row.spill = stage.hash_bound, stage.spill_outstanding
            row.has_tree = stage.router in _NEED_TREE or stage.hedge_after_s > 0
            needs_plain = stage.router == "weighted" and stage.hedge_after_s > 0
            row.group = k * sites
            row.plain_group = row.group + len(stages) * sites * needs_plain
            if stage.router == "function":
                if sites > 1:
                    raise InputError(f"stage {k}", f"a router function, and {sites} sites", "use another router")
                row.function = address_of(stage.function)
        self.state = Pools(
            pools=pools,
            groups=np.zeros(2 * len(stages) * sites, GROUP),
            members=np.zeros(0, MEMBER),
            costs=_NOBODY.copy(),
            outstanding=np.zeros(0, np.int64),
            weight=np.zeros(0),
            ring_point=np.zeros(0),
            ring_place=np.zeros(0, np.int32),
            ring_start=np.zeros(0, np.int32),
            reach_count=np.zeros(sites, np.int64),
            reach_site=np.zeros((sites, sites), np.int64),
        )
        self.set_reach(np.eye(sites, dtype=np.bool_))

    def set_reach(self, is_reached: np.ndarray) -> None:
        """``is_reached[from_site, to_site]``: whether tasks may go there; each site reaches itself."""
        for site, row in enumerate(is_reached):
            reached = np.flatnonzero(row)
            self.state.reach_count[site] = len(reached)
            self.state.reach_site[site, : len(reached)] = reached

    def check_functions(self) -> None:
        """Raise an `InputError` if a router function of the user's has raised."""
        for stage, faults in zip(self._stages, self.state.pools["faults"].tolist()):
            if faults:
                where, problem = f"router function {stage.function}", f"raised an error, {faults} times"
                raise InputError(where, problem, "run once with NUMBA_DISABLE_JIT=1, which shows the first one")

    def rebuild(
        self, stage: int, slot: np.ndarray, site: np.ndarray, outstanding: np.ndarray, weight: np.ndarray
    ) -> np.ndarray:
        """Lay out a stage's pool from its ready replicas' sites, outstanding tasks and throughputs, ``[replica]``.

        Returns ``position[replica]`` in `Pools.members`. Positions of other stages stay.

        Raises
        ------
        InputError
            If the pool is larger than cost keys have room for.
        """
        check_pool_size(stage, len(slot))
        order = np.lexsort((slot, site))
        slot, site, outstanding, weight = slot[order], site[order], outstanding[order], weight[order]
        count, first = len(slot), self._members.reserve(stage, len(slot))
        self._grow_members()
        where = slice(first, first + count)
        pool, members = self.state.pools[stage], self.state.members[where]
        pool.first, pool.count = first, count
        self.state.outstanding[where], self.state.weight[where] = outstanding, weight

        unit = np.ones(count, np.int64)
        if pool.router == ROUTERS.index("weighted") and count:
            unit = np.rint(WEIGHT_UNIT * self._fastest / weight).astype(np.int64)
        members["slot"], members["group"] = slot, pool.group + site
        members["step"] = unit << PLACE_BITS
        place = np.arange(count)
        self._lay_groups(stage, site, outstanding, unit * (outstanding + 1) << PLACE_BITS | place)
        if pool.router == ROUTERS.index("consistent_hash"):
            self._lay_ring(stage, slot)
        position = np.empty(count, np.int64)
        position[order] = first + place
        return position

    def _grow_members(self) -> None:
        state = self.state
        if len(state.members) < self._members.end:
            names = ("members", "outstanding", "weight")
            self.state = state._replace(**{name: self._members.grown(getattr(state, name)) for name in names})

    def _lay_groups(self, stage: int, site: np.ndarray, outstanding: np.ndarray, keys: np.ndarray) -> None:
        """Write the pool's groups, and their trees if anything asks for them."""
        pool = self.state.pools[stage]
        sizes = np.bincount(site, minlength=self._sites)
        ends = np.cumsum(sizes)
        sets = [(int(pool.group), keys)]
        if pool.plain_group != pool.group:
            sets.append((int(pool.plain_group), outstanding + 1 << PLACE_BITS | np.arange(len(keys))))
        trees = []
        for first_group, its_keys in sets:
            groups = self.state.groups[first_group : first_group + self._sites]
            groups["count"], groups["first"] = sizes, pool.first + ends - sizes
            groups["outstanding"] = np.bincount(site, outstanding, self._sites)
            groups["tree"], groups["capacity"] = 0, 1
            if pool.has_tree:
                trees += [(groups[g], _tree(its_keys[ends[g] - sizes[g] : ends[g]])) for g in np.flatnonzero(sizes)]
        at = self._costs.reserve(stage, sum(len(tree) for _, tree in trees))
        self.state = self.state._replace(costs=self._costs.grown(self.state.costs))
        for group, tree in trees:
            group.tree, group.capacity = at, len(tree) // 2
            self.state.costs[at : at + len(tree)] = tree
            at += len(tree)

    def _lay_ring(self, stage: int, slot: np.ndarray) -> None:
        """Write the ring of the members."""
        ring = self._rings[stage] = self._rings.get(stage, HashRing()).with_slots(slot)
        pool, count = self.state.pools[stage], len(ring.point)
        pool.ring, pool.ring_points = self._ring_room.reserve(stage, count), count
        names = ("ring_point", "ring_place", "ring_start")
        self.state = self.state._replace(**{name: self._ring_room.grown(getattr(self.state, name)) for name in names})
        where = slice(pool.ring, pool.ring + count)
        place = np.empty(slot.max(initial=-1) + 1, np.int32)
        place[slot] = np.arange(len(slot))
        self.state.ring_point[where] = ring.point
        self.state.ring_place[where] = place[ring.slot]
        self.state.ring_start[where] = ring.starts()
