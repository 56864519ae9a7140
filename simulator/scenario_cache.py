"""A service's result cache: what the file says of it, and what the data plane makes of it."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from simulator.cluster import GIB
from simulator.plan import CacheLevelPlan, CachePlan
from simulator.scenario_fields import Fraction, Name, NotNegative, NumberOf, Positive, Section
from simulator.scenario_reading import Place, Reading
from workloads.errors import InputError

__all__ = ["CacheFile", "CacheLevelFile", "PreloadFile", "resolve_cache"]


class CacheLevelFile(Section):
    """A level: least recently used entries go first."""

    name: Name | None = Field(None, description="what tables call it; else L1, L2, ...")
    entries: NumberOf | None = Field(None, description="of each instance; or give capacity_gib")
    capacity_gib: Positive | None = Field(None, description="of each instance, in entries of entry_bytes")
    hit_ms: NotNegative = Field(0.0, description="from a look-up to the answer's leaving home")
    ttl_s: Positive | None = Field(None, description="age from which an entry is no longer served; else it never is")
    refresh_after_s: Positive | None = Field(
        None, description="age from which a hit sends a background request for a fresh entry; else none does"
    )
    shared: bool = Field(False, description="one instance for all sites; else one each")

    @model_validator(mode="after")
    def _one_size(self) -> CacheLevelFile:
        if (self.entries is None) == (self.capacity_gib is None):
            raise ValueError("give either entries or capacity_gib")
        if self.refresh_after_s is not None and self.ttl_s is not None and self.refresh_after_s >= self.ttl_s:
            raise ValueError(
                f"refresh_after_s {self.refresh_after_s:g} is not before ttl_s {self.ttl_s:g}: nothing is refreshed"
            )
        return self


class PreloadFile(Section):
    """Fills the caches before the start with the hottest keys of requests that were drawn like the run's."""

    hottest: NumberOf = Field(description="keys, into every level as far as they fit")
    seen_s: Positive = Field(3600.0, description="seconds of requests, from the beginning, in which they are counted")


class CacheFile(Section):
    """Answers are kept, and given again to requests with the same key."""

    key: Literal["user", "item", "user_item"] = Field(description="what two requests of the service must share")
    levels: Annotated[list[CacheLevelFile], Field(min_length=1, max_length=8)]
    entry_bytes: Positive | None = Field(
        None, description="of one entry, where a level's size is in GiB; else the service's bytes_out"
    )
    coalesce: bool = Field(True, description="a miss waits for one with the same key and home that is in flight")
    prefetch: Annotated[int, Field(ge=0, le=1000)] = Field(
        0,
        description="background requests at a miss, for so many keys after it (with user_item, of the same user)",
    )
    preload: PreloadFile | None = None
    planned_hit_share: Fraction = Field(
        0.0, description="share of the requests that plans made before the run leave to the cache"
    )


def resolve_cache(reading: Reading, place: Place, file: CacheFile, bytes_out: float) -> CachePlan:
    """The cache with every level's size in entries.

    Parameters
    ----------
    place
        Of the cache in the file.
    bytes_out
        Size of the service's answers.
    """
    levels = tuple(
        CacheLevelPlan(
            entries=_entries(reading, (*place, "levels", i), file, level, bytes_out),
            hit_s=level.hit_ms / 1e3,
            ttl_s=math.inf if level.ttl_s is None else level.ttl_s,
            refresh_after_s=math.inf if level.refresh_after_s is None else level.refresh_after_s,
            is_shared=level.shared,
        )
        for i, level in enumerate(file.levels)
    )
    reading.refuse_twins((*place, "levels"), level_names(file))
    return CachePlan(file.key, levels, file.coalesce, file.prefetch)


def level_names(file: CacheFile) -> list[str]:
    """Names of the levels, given or by number."""
    return [level.name or f"L{i + 1}" for i, level in enumerate(file.levels)]


def _entries(reading: Reading, place: Place, file: CacheFile, level: CacheLevelFile, bytes_out: float) -> int:
    if level.entries is not None:
        return level.entries
    assert level.capacity_gib is not None
    entry_bytes = file.entry_bytes or bytes_out
    if not entry_bytes:
        raise InputError(
            reading.where(*place, "capacity_gib"),
            "the size of an entry is not known",
            "give the cache's entry_bytes or the service's bytes_out, or entries instead of capacity_gib",
        )
    entries = int(level.capacity_gib * GIB // entry_bytes)
    if not 1 <= entries <= 10**9:
        raise InputError(
            reading.where(*place, "capacity_gib"),
            f"{level.capacity_gib:g} GiB hold {entries} entries of {entry_bytes:g} bytes",
            "give a size that holds 1 to 1000000000",
        )
    return entries
