"""The arrays of structs that the whole request path carries beside `simulator.kernel.state.Fleet`.

Every number of the pool has four structs: `REQUEST` and `JOURNEY` of a request, `TASK` and `PART` of a task. The plain
path has the first of each alone, the lean one `JOURNEY` too where there are result caches. What travels over a link
without being a task of a stage (a request on its way in, an answer) takes the place of a task meanwhile.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from simulator.kernel.cache_state import Caches
from simulator.kernel.compiled import inlined
from simulator.kernel.pool_state import Pools
from simulator.kernel.structs import struct

__all__ = [
    "ANSWER", "HEDGE", "INCOMING", "JOURNEY", "LEAN", "LINE", "LINK", "PART", "PLACE", "TODO", "TWIN", "WIDE", "Whole",
    "has_caches", "is_wide",
]  # fmt: skip

ANSWER, INCOMING = 0xFFFF, 0xFFFE
"""In place of a stage: an answer on its way home, a request on its way in."""

LEAN: tuple[int, ...] = ()
WIDE: tuple[int, ...] = (1,)
"""`Whole.wide`. The compiler knows the length of a tuple, and leaves what `is_wide` guards out of the lean path."""

TWIN = 32
"""Added to the losses of a twin in the number of its draws, where at most one less of them are told apart."""

PART = struct(
    slot="u4", life="i4", items="i4", twin="u4", attempt="i4", is_about="i1", is_void="i1", is_twin="i1",
    awaits_hedge="i1",
)  # fmt: skip
"""What the whole path knows of a task beside `TASK`: its items, ``attempt`` losses so far, and the replica it is at,
which is gone if its ``life`` is another."""

PLACE = struct(previous="u4", class_next="u4")
"""Where there are classes, a task's place in a queue: who is before it, and the next of its class."""

HEDGE = struct(due_s="f8", next="u4", previous="u4")
"""A task's place in its stage's hedge line."""

JOURNEY = struct(
    user="i8", item_id="i8", key="i8", next="u4", home="u2", site="u2", stage="u2", branch="i2", priority="i1",
    is_background="i1", is_absent="i1", status="i1",
)  # fmt: skip
"""Where a request is, and whose: the lean path writes it for result caches alone. ``next`` links it with others that
wait for the same result, and on the whole path in `TODO`, with ``stage``; ``key`` is the result cache's, ``is_absent``
where none but it can bring it; ``status`` is how it ended, unless well."""

LINE = struct(head="u4", tail="u4")
"""Tasks that wait for a time, first come first due: on a link, for a retry, or whether to be hedged."""

LINK = struct(
    s_per_byte="f8", s_per_message="f8", delay_s="f8", free_s="f8", bytes="f8", busy_s="f8", messages="i8", lost="i8",
    small_bytes="f8", small_s_per_byte="f8", small_s_per_message="f8",
    from_site="i4", to_site="i4", is_there="i1", is_up="i1",
)  # fmt: skip
"""A link and what was given to it; ``lost`` of its ``messages`` were on it when it failed. Payloads below
``small_bytes`` take its other rates."""

TODO = struct(head="u4", tail="u4", ended="u4", pass_stage="i8", most_parts="i8", most_new="i8", has_void="i1")
"""What an event leaves to be done at its own time, in order: a stage whose held tasks are to be passed on (`NONE`: no
stage), then requests that go on, each to a stage, then the end of what waits for requests that have ``ended``.
``most_parts``: tasks of a request at a stage, at most; ``most_new``: numbers that an arrival may take, at most.
``has_void``: a task was left void somewhere, so that queues must be looked through for such."""


class Whole(NamedTuple):
    """What the lean and the whole path carry more; the lean one leaves alone what `is_wide` guards.

    ``parts``, ``places``, ``hedges`` and ``journeys`` ``[number]``. ``links``: access in by site, site to site,
    access out by site, with ``link_of[from_site, to_site]`` the place of one between sites. ``lines``: one for each
    link but those out, then for each stage its retries, then for each stage its hedges; the source of line ``i`` in
    `Fleet.events` is ``len(replicas) + i``. ``class_head``, ``class_tail`` ``[slot, class]`` of queues,
    ``held_head``, ``held_tail`` ``[stage, class]`` of what routers hold. ``home_share[service, site]`` and
    ``class_share[service, class]`` are cumulative.
    ``wide`` is `LEAN` or `WIDE`; the lean path leaves ``pools`` alone, and uses those of `Fleet`.
    """

    parts: np.ndarray
    places: np.ndarray
    hedges: np.ndarray
    journeys: np.ndarray
    todo: np.ndarray
    lines: np.ndarray
    links: np.ndarray
    link_of: np.ndarray
    class_head: np.ndarray
    class_tail: np.ndarray
    held_head: np.ndarray
    held_tail: np.ndarray
    home_share: np.ndarray
    class_share: np.ndarray
    wide: tuple[int, ...]
    pools: Pools
    caches: Caches


@inlined
def has_caches(whole: Whole) -> bool:
    """Whether any service has a result cache."""
    return whole.caches.level.shape[0] > 0


@inlined
def is_wide(whole: Whole) -> bool:
    """Whether a plan may have several sites, links, classes, retries, hedges, expiry, or a router of the whole path."""
    return len(whole.wide) > 0
