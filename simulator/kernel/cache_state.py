"""The arrays of structs of result caches, part of the kernel's state (`simulator.kernel.state`).

A *level* here is one instance of a level: at one site, or the one for all. Index names: ``level`` such an instance,
``entry`` a place in the rings of all levels end to end, ``chain`` one in their hash tables. They are unsigned: numba
then leaves out what it does for an index below 0, a tenth of the time.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from simulator.kernel.structs import struct

__all__ = [
    "CACHE", "ENTRY", "FLIGHT", "KEY_ITEM", "KEY_USER", "KEY_USER_ITEM", "LEVEL", "RECORD_MISS",
    "RECORD_WAIT", "Caches",
]  # fmt: skip

KEY_USER, KEY_ITEM, KEY_USER_ITEM = 0, 1, 2
"""What makes the key, in the order of `simulator.plan.CACHE_KEYS`."""


RECORD_MISS, RECORD_WAIT = -1, -2
"""What `OUTCOME.cache` says where it is not a level's number (from 1), or 0: not looked for."""

ENTRY = struct(key="i8", filled_s="f8", next="u4", previous="u4", chain="u4", back="u4")
"""A result; two share a cache line. The entries of a level form a ring around its first, the anchor, which holds none:
``next`` of the anchor is the most recent, ``previous`` of it the least. Those in no use come last, with ``filled_s`` of
minus infinity. Entries whose keys meet in the hash table are a ``chain``, and ``back``, between anchors."""

LEVEL = struct(
    hit_s="f8", ttl_s="f8", refresh_after_s="f8", chain_offset="u8", chains="u8", hash_shift="u8", anchor="u8",
    entries="i8", filled="i8", hits="i8", misses="i8", expired="i8", evicted="i8", coalesced="i8", refreshed="i8",
    prefetched="i8", number="i4", serves_one="i1", scout="u4",
)  # fmt: skip
"""A level: which ``number`` of its service it is, whether it ``serves_one`` site, its rules, where its hash table and
its ring of ``entries`` lie, how many are ``filled``, the ``scout`` (`lru._scout`), and its counters.
``expired`` are among the ``misses``. What waited or was prefetched counts at the first level of its home, what was
refreshed at the level of the hit."""

CACHE = struct(
    first="i8", sites="i4", levels="i4", prefetch="i4", key="i1", coalesces="i1", follows_keys="i1", is_alone="i1"
)  # fmt: skip
"""A service's cache; ``levels`` 0: it has none. Level `l` of site `s` is ``Caches.place[first + l * sites + s]``.
``follows_keys``: it must be known which keys are in flight. ``is_alone``: requests coalesce and no level is shared with
another site, so that what a leader has missed nobody but it can bring."""

FLIGHT = struct(key="i8", where="i4", count="i4", first="u4", last="u4")
"""A key in flight for a service and home (``where``): how many requests are on their way for it (``count``, 0: nothing
is here), and the first and last of those that wait for them."""


class Caches(NamedTuple):
    """All result caches. ``cache[service]``; ``place`` as `CACHE` says; ``chain`` leads to the first entry of each;
    ``flight`` is a hash table, of the places of which ``flights[0]`` are in use and a request may take ``flights[1]``
    more."""

    cache: np.ndarray
    place: np.ndarray
    level: np.ndarray
    chain: np.ndarray
    entry: np.ndarray
    flight: np.ndarray
    flights: np.ndarray
