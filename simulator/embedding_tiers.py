"""Where embedding rows lie, and what a batch therefore reads: hottest rows first, from the device outwards.

With ``M(r)`` the share of look-ups of the ``r`` hottest rows (`popularity`), a device that holds ``K`` rows, and tiers
that hold ``R_1 <= R_2 <= ...`` further rows up to and with each, placed by today's popularity, the shares of look-ups
are ``M(K)``, ``M(K + R_1) - M(K)`` and so on.

*Drift.* The rows on the device stay as they were placed, those outside follow today's popularity. Two things happen to
rows meanwhile. Newcomers become the hottest of all, and every row loses as many ranks, ``D`` after some time. And rows
swap their popularity with others at random, so that a share ``m = 1 - exp(-turnover * time)`` of them have another. So
the row of a rank is on the device with probability ``q = 1 - m + m K / N`` for ranks from ``D`` to ``D + K``, and with
``m K / N`` for all others, ``N`` being all rows. The device's share is the sum of ``q`` over the popularity of all
ranks; tiers fill with the others in order. A new placement begins at ``D = 0`` and ``m = 0``.

*Sharding.* Rows outside the remote store may be spread over ``N`` nodes, which hold ``N`` times as many; of their
look-ups ``(N - 1) / N`` come over the network card, as they are stored. As every node asks the others for as much as
they ask of it, its own tiers are as busy as if it read all of its look-ups there.

*Compression.* Rows outside the device may be stored smaller; the replica unpacks them after reading.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from simulator.plan import LookupPlan, TierPlan
from simulator.popularity import Popularity, ZipfPopularity

if TYPE_CHECKING:
    from simulator.scenario_embedding import EmbeddingFile

__all__ = ["EmbeddingRows", "RowRoom", "lookup_plan", "of_scenario", "placed_bytes", "replaced_bytes", "tier_shares"]

_GIB = 2**30


@dataclass(frozen=True)
class EmbeddingRows:
    """The rows of a variant's embedding tables, all alike but for their popularity.

    Attributes
    ----------
    row_bytes
        As used.
    lookups_per_unit
        Rows that one request or item of a batch reads.
    stored_ratio
        Bytes stored outside the device over bytes used, at most 1.
    decode_bytes_per_s
        Bytes used that one replica unpacks a second, where rows are stored compressed.
    drift_rows_per_s
        Ranks that rows lose to newcomers.
    turnover_per_s
        Share of rows that swap their popularity with others, of those that have not yet.
    """

    popularity: Popularity
    row_bytes: float
    lookups_per_unit: float
    stored_ratio: float = 1.0
    decode_bytes_per_s: float = math.inf
    drift_rows_per_s: float = 0.0
    turnover_per_s: float = 0.0


@dataclass(frozen=True)
class RowRoom:
    """Room for rows of one replica: ``device_bytes``, ``tier_bytes[tier]`` in the order of the plan's tiers.

    ``is_remote[tier]``: such a tier is one for all nodes. Rows elsewhere are spread over ``shards`` nodes.
    """

    device_bytes: float
    tier_bytes: tuple[float, ...]
    is_remote: tuple[bool, ...]
    shards: int = 1


def _rows_held(rows: EmbeddingRows, room: RowRoom) -> tuple[float, Iterator[float]]:
    """Rows on the device, and those up to and with each tier outside it."""
    stored_bytes = rows.row_bytes * rows.stored_ratio
    nodes = [1 if remote else room.shards for remote in room.is_remote]
    held = [n * size / stored_bytes for n, size in zip(nodes, room.tier_bytes)]
    return min(room.shards * room.device_bytes / rows.row_bytes, rows.popularity.rows), itertools.accumulate(held)


def tier_shares(rows: EmbeddingRows, room: RowRoom, age_s: float = 0.0) -> np.ndarray:
    """Shares of look-ups, ``float64[1 + tier]``: of the device, then of each tier; they sum to 1.

    Parameters
    ----------
    age_s
        Time since the rows on the device were placed.

    Raises
    ------
    ValueError
        If there is not room for all rows.

    Examples
    --------
    >>> rows = EmbeddingRows(ZipfPopularity(4, 0.0), row_bytes=8.0, lookups_per_unit=1.0)
    >>> tier_shares(rows, RowRoom(8.0, (16.0, math.inf), (False, True)))
    array([0.25, 0.5 , 0.25])
    """
    mass, everything = rows.popularity.mass, rows.popularity.rows
    on_device, ends = _rows_held(rows, room)
    spans = _spans(rows, on_device, age_s)
    shares = [sum(on * (mass(last) - mass(first)) for first, last, on in spans)]
    before, end = 0.0, 0.0
    for end in ends:
        outside = _hottest_outside(rows, spans, end)
        shares.append(max(outside - before, 0.0))
        before = max(outside, before)
    if on_device + end < everything * (1.0 - 1e-9):
        raise ValueError(f"{everything:g} rows, but room for {on_device + end:g}")
    return np.array(shares)


def _spans(rows: EmbeddingRows, on_device: float, age_s: float) -> tuple[tuple[float, float, float], ...]:
    """Spans of ranks, from and to, and the share of their rows that the device holds."""
    everything = rows.popularity.rows
    lost = min(rows.drift_rows_per_s * age_s, everything)
    swapped = -math.expm1(-rows.turnover_per_s * age_s)
    by_chance = swapped * on_device / everything
    last = min(lost + on_device, everything)
    return (0.0, lost, by_chance), (lost, last, 1.0 - swapped + by_chance), (last, everything, by_chance)


def _hottest_outside(rows: EmbeddingRows, spans: tuple[tuple[float, float, float], ...], count: float) -> float:
    """Share of look-ups of the ``count`` hottest rows that are not on the device."""
    mass, share = rows.popularity.mass, 0.0
    for first, last, on_device in spans:
        taken = min(count, (1.0 - on_device) * (last - first))
        if taken > 0.0:
            share += (1.0 - on_device) * (mass(first + taken / (1.0 - on_device)) - mass(first))
            count -= taken
    return share


def lookup_plan(rows: EmbeddingRows, room: RowRoom, age_s: float = 0.0) -> LookupPlan:
    """What a batch reads for each unit, ``age_s`` after the rows on its device were placed.

    Examples
    --------
    >>> rows = EmbeddingRows(ZipfPopularity(4, 0.0), row_bytes=8.0, lookups_per_unit=10.0)
    >>> lookup_plan(rows, RowRoom(8.0, (16.0, math.inf), (False, True))).bytes_per_unit
    (40.0, 20.0)
    """
    shares = tier_shares(rows, room, age_s)
    used_bytes = rows.lookups_per_unit * rows.row_bytes * shares
    read_bytes = used_bytes[1:] * rows.stored_ratio
    spread = used_bytes[0] + read_bytes[~np.array(room.is_remote, np.bool_)].sum()
    decode_s = used_bytes[1:].sum() / rows.decode_bytes_per_s if rows.stored_ratio < 1.0 else 0.0
    return LookupPlan(
        bytes_per_unit=tuple(read_bytes.tolist()),
        sharded_bytes_per_unit=float(spread) * (room.shards - 1) / room.shards,
        decode_s_per_unit=float(decode_s),
    )


def placed_bytes(rows: EmbeddingRows, room: RowRoom) -> np.ndarray:
    """Bytes of rows on each node's device and tiers, ``float64[1 + tier]``; of a remote tier, for all nodes."""
    on_device, ends = _rows_held(rows, room)
    outside = np.minimum(np.array([0.0, *ends]), rows.popularity.rows - on_device)
    nodes = np.array([1 if remote else room.shards for remote in room.is_remote])
    stored = np.diff(outside) * rows.row_bytes * rows.stored_ratio / nodes
    return np.append(on_device * rows.row_bytes / room.shards, stored)


def replaced_bytes(rows: EmbeddingRows, room: RowRoom, age_s: float) -> float:
    """Bytes that a new placement writes to one device: its rows that are no longer among the hottest."""
    hottest, _ = _rows_held(rows, room)
    spans = _spans(rows, hottest, age_s)
    still = sum(on * max(min(last, hottest) - first, 0.0) for first, last, on in spans)
    return (hottest - still) * rows.row_bytes / room.shards


def of_scenario(file: EmbeddingFile, tiers: tuple[TierPlan, ...]) -> tuple[EmbeddingRows, RowRoom]:
    """A scenario's ``embedding`` section, with room in the cluster's tiers ``dram``, ``ssd`` and ``remote``."""
    compression = file.compression
    rows = EmbeddingRows(
        popularity=ZipfPopularity(file.rows, file.zipf_s),
        row_bytes=file.row_bytes,
        lookups_per_unit=file.lookups_per_unit,
        stored_ratio=1.0 if compression is None else compression.ratio,
        decode_bytes_per_s=math.inf if compression is None else compression.decode_gbyte_per_s * 1e9,
        drift_rows_per_s=file.drift_rows_per_hour / 3600.0,
    )
    gib = {"dram": file.dram_gib, "ssd": file.ssd_gib, "remote": math.inf}
    room = RowRoom(
        device_bytes=file.device_gib * _GIB,
        tier_bytes=tuple(gib[tier.name] * _GIB for tier in tiers),
        is_remote=tuple(tier.name == "remote" for tier in tiers),
        shards=file.shards,
    )
    return rows, room
