"""The arrays of structs of the pools: who is in them, what each costs, and which sites are in reach."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from simulator.kernel.structs import struct

__all__ = ["GROUP", "MEMBER", "POOL", "Pools"]

POOL = struct(
    first="i8", count="i8", group="i8", plain_group="i8", counter="i8", ring="i8", ring_points="i8", function="u8",
    faults="i8", hash_bound="f8", spill="i8", router="i1", has_tree="i1",
)  # fmt: skip
"""A stage's pool, ``[stage]``: members ``first`` to ``first + count - 1`` in order of site, then slot.

``group``: its group of site 0. ``plain_group``: the same, or, where hedges need a tree of plain costs beside that of
weighted ones, another with that. ``counter``: tasks routed by round robin. ``ring`` and ``ring_points``: where its
points lie. ``function``: address of the user's router, and ``faults`` how often that raised. ``has_tree``: whether
anything asks for the least cost."""

GROUP = struct(first="i8", count="i8", outstanding="i8", tree="i8", capacity="i8")
"""The members of a pool at one site, ``[stage * sites + site]``: from ``first``; their keys are a `cost_tree` of
``capacity`` leaves at ``tree``, in which a replica's place is that in the pool."""

MEMBER = struct(slot="u4", group="u4", step="i8")
"""A ready replica, ``[position]``; one more outstanding task adds ``step`` to its key."""


class Pools(NamedTuple):
    """All pools.

    ``pools[stage]``, ``groups[group]``, ``members[position]``, ``costs``; ``outstanding[position]`` and
    ``weight[position]``; ring after ring, ``ring_point``, ``ring_place`` (a place in the pool) and, for as many equal
    parts of [0, 1) as there are points, ``ring_start`` (the first point in that part or after it, all if none); from a
    site tasks reach ``reach_site[site, :reach_count[site]]``, ascending and itself among them.
    """

    pools: np.ndarray
    groups: np.ndarray
    members: np.ndarray
    costs: np.ndarray
    outstanding: np.ndarray
    weight: np.ndarray
    ring_point: np.ndarray
    ring_place: np.ndarray
    ring_start: np.ndarray
    reach_count: np.ndarray
    reach_site: np.ndarray
