"""Embedding look-ups: what a batch reads from outside the device before it computes; `docs/request-path.md`, step 7.

Each tier serves one batch after another at its rate; a batch asks all tiers at once and waits for the last of them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from simulator.kernel.compiled import inlined
from simulator.kernel.structs import struct

__all__ = ["LOOKUP", "TIER", "TIER_KIND", "Lookups", "look_up"]

TIER = struct(s_per_byte="f8", delay_s="f8", free_s="f8", bytes="f8", busy_s="f8")
"""One place of rows, ``[instance]``: when it is free, and what it was asked for."""

TIER_KIND = struct(first="i8", step="i8")
"""A tier of the plan, ``[tier]``: a node's is instance ``first + step * node``; ``step`` is 0 if all share one."""

LOOKUP = struct(sharded_bytes_per_unit="f8", decode_s_per_unit="f8", reads="i1")
"""What a batch of a latency table reads, ``[table]``; ``reads``: whether it reads or unpacks anything."""


class Lookups(NamedTuple):
    """All look-ups: ``lookup[table]``, ``bytes_per_unit[table, tier]``, ``kinds[tier]``, ``tiers[instance]``."""

    lookup: np.ndarray
    bytes_per_unit: np.ndarray
    kinds: np.ndarray
    tiers: np.ndarray


@inlined
def _read(tier: Any, wanted_bytes: float, now: float) -> float:
    """Queue a read at a tier; when its rows are there."""
    busy_s = wanted_bytes * tier.s_per_byte
    tier.free_s = max(now, tier.free_s) + busy_s
    tier.bytes += wanted_bytes
    tier.busy_s += busy_s
    return tier.free_s + tier.delay_s


@inlined
def look_up(lookups: Lookups, nodes: np.ndarray, table: int, node: int, units: int, now: float) -> float:
    """When the rows for a batch of ``units`` that starts at ``now`` are there, unpacked."""
    lookup = lookups.lookup[table]
    end_s = now
    if lookup.reads:
        for tier in range(lookups.kinds.shape[0]):
            wanted = units * lookups.bytes_per_unit[table, tier]
            if wanted > 0.0:
                kind = lookups.kinds[tier]
                end_s = max(end_s, _read(lookups.tiers[kind.first + kind.step * node], wanted, now))
        wanted = units * lookup.sharded_bytes_per_unit
        if wanted > 0.0:
            card = nodes[node]
            card.nic_free_s = max(now, card.nic_free_s) + wanted * card.nic_s_per_byte
            card.nic_bytes += wanted
            end_s = max(end_s, card.nic_free_s)
        end_s += units * lookup.decode_s_per_unit
    return end_s
