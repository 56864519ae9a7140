"""Everything about the data plane that does not change during a run; `docs/request-path.md` says what each means."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from workloads.errors import InputError

if TYPE_CHECKING:
    from simulator.latency_tables import LatencyTable

__all__ = [
    "CACHE_KEYS", "ROUTERS", "BatchRule", "CacheLevelPlan", "CachePlan", "FleetPlan", "LinkPlan", "LookupPlan",
    "RecordPlan", "ServicePlan", "SitePlan", "StagePlan", "TierPlan",
]  # fmt: skip

ROUTERS = (
    "least_outstanding",
    "round_robin",
    "weighted",
    "power_of_two",
    "consistent_hash",
    "locality",
    "function",
)
"""Routers by their number in the kernel."""

CACHE_KEYS = ("user", "item", "user_item")

MOST_PARTS = 4096
"""Most tasks of a request at a stage: an arrival needs room for them all."""

MOST_TASKS = 16_000
"""Most tasks of a request at all its stages: the kernel counts them in 16 bits."""

MOST_PREFETCH = 1022
"""Most background requests of a miss: as many have random numbers of their own."""


@dataclass(frozen=True)
class StagePlan:
    """One stage of a service's funnel.

    Attributes
    ----------
    split_items
        Most items of a task; 0: requests are not split.
    expire_s
        After so long since its arrival a request is rejected where the stage meets it.
    budget_s
        The stage's share of the objective, only counted: tasks from reaching the stage to their completion.
    retries, retry_delay_s, hedge_after_s
        See "Loss, retry, hedge"; ``hedge_after_s`` 0: none.
    hash_bound
        Of consistent hashing: a replica holds at most 1 + this times the mean.
    spill_outstanding
        Of locality: from so many outstanding tasks on other sites are looked at; 0: only where there is no replica.
    function
        Name of the user's router function (`simulator.routers`), where ``router`` is ``function``.
    """

    service: int
    candidates: int
    item_bytes: float
    router: str
    max_outstanding: int = 0
    split_items: int = 0
    expire_s: float = math.inf
    budget_s: float = math.inf
    retries: int = 0
    retry_delay_s: float = 0.0
    hedge_after_s: float = 0.0
    hash_bound: float = 0.25
    spill_outstanding: int = 0
    function: str = ""

    def most_parts(self) -> int:
        """Tasks of a request, at most."""
        return -(-self.candidates // self.split_items) if self.split_items else 1


@dataclass(frozen=True)
class BatchRule:
    """How a variant batches: ``max_batch`` in items or requests, ``queue_limit`` in tasks (0: none)."""

    stage: int
    counts_items: bool
    max_batch: int
    max_wait_s: float
    queue_limit: int


@dataclass(frozen=True)
class CacheLevelPlan:
    """One level: entries of each instance, and whether one instance serves all sites or each site has its own."""

    entries: int
    hit_s: float = 0.0
    ttl_s: float = math.inf
    refresh_after_s: float = math.inf
    is_shared: bool = False


@dataclass(frozen=True)
class CachePlan:
    """A service's result cache; ``key`` is one of `CACHE_KEYS`."""

    key: str
    levels: tuple[CacheLevelPlan, ...]
    coalesces: bool = True
    prefetch: int = 0


@dataclass(frozen=True)
class ServicePlan:
    """A service: its objective, its answers, and who its users are.

    ``home_shares[site]`` (empty: all at site 0) and ``class_shares[class]`` (at most 4) each sum to 1.
    """

    slo_s: float
    bytes_out: float = 0.0
    home_shares: tuple[float, ...] = ()
    class_shares: tuple[float, ...] = (1.0,)
    cache: CachePlan | None = None


@dataclass(frozen=True)
class LinkPlan:
    """A link: seconds for a message, for a byte, and until what was sent is there.

    Payloads below ``small_bytes`` take ``small_s_per_message`` and ``small_s_per_byte`` instead, as where a network
    sends them by another protocol; 0: none do.
    """

    s_per_byte: float
    s_per_message: float = 0.0
    delay_s: float = 0.0
    small_bytes: float = 0.0
    small_s_per_byte: float = 0.0
    small_s_per_message: float = 0.0


@dataclass(frozen=True)
class SitePlan:
    """A site and its access links; None: users reach it, or it them, at once."""

    access_in: LinkPlan | None = None
    access_out: LinkPlan | None = None


@dataclass(frozen=True)
class TierPlan:
    """A tier of embedding rows: one for each node, or one for all."""

    name: str
    bytes_per_s: float
    delay_s: float
    is_shared: bool = False


@dataclass(frozen=True)
class LookupPlan:
    """What a batch reads for each unit, of a variant on a node type.

    ``bytes_per_unit[tier]``; ``sharded_bytes_per_unit`` come over the node's card; ``decode_s_per_unit`` to unpack.
    """

    bytes_per_unit: tuple[float, ...]
    sharded_bytes_per_unit: float = 0.0
    decode_s_per_unit: float = 0.0


@dataclass(frozen=True)
class RecordPlan:
    """Which requests are kept one by one: numbers ``first_id + every * i``, ``i < rows``; none where ``rows`` is 0."""

    rows: int = 0
    first_id: int = 0
    every: int = 1


@dataclass(frozen=True)
class FleetPlan:
    """The data plane.

    Attributes
    ----------
    stages
        Service by service, in funnel order.
    rules, tables
        Addressed by the caller's own numbering; a table is of one variant on one node type.
    nic_bytes_per_s, node_site
        ``[node]``; ``node_site`` of length 0: all at site 0.
    hop_delay_s
        Of the request path's "hop".
    services
        One each.
    links
        By ``(from site, to site)``.
    tiers, lookups
        ``lookups[table]``; empty: none reads any.
    noise_seed
        Unsigned, 64 bits.

    Raises
    ------
    InputError
        A negative ``hash_bound``, too many tasks of a request at a stage (`MOST_PARTS`) or at all (`MOST_TASKS`; with
        their twins they are counted in 16 bits), too many prefetches (`MOST_PREFETCH`), a tier that gives nothing.
    """

    stages: tuple[StagePlan, ...]
    rules: tuple[BatchRule, ...]
    tables: tuple[LatencyTable, ...]
    nic_bytes_per_s: np.ndarray
    hop_delay_s: float
    services: tuple[ServicePlan, ...]
    noise_seed: int
    sites: tuple[SitePlan, ...] = (SitePlan(),)
    node_site: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    links: dict[tuple[int, int], LinkPlan] = field(default_factory=dict)
    tiers: tuple[TierPlan, ...] = ()
    lookups: tuple[LookupPlan | None, ...] = ()

    def __post_init__(self) -> None:
        for k, stage in enumerate(self.stages):
            _check_stage(f"stage {k}", stage)
        for s, service in enumerate(self.services):
            prefetch = service.cache.prefetch if service.cache else 0
            if not 0 <= prefetch <= MOST_PREFETCH:
                raise InputError(f"service {s}", f"prefetch {prefetch}", f"give 0 to {MOST_PREFETCH}")
            tasks = sum(stage.most_parts() for stage in self.stages if stage.service == s)
            if tasks > MOST_TASKS:
                problem = f"splits a request into {tasks} tasks over its stages, over {MOST_TASKS}"
                raise InputError(f"service {s}", problem, "give a larger split_items")
        for tier in self.tiers:
            if not tier.bytes_per_s > 0.0:
                raise InputError(f"tier {tier.name}", f"bytes_per_s {tier.bytes_per_s}", "give more than 0")


def _check_stage(where: str, stage: StagePlan) -> None:
    """What would go wrong unseen: a search on the ring that does not end, parts that are not told apart."""
    if not stage.hash_bound >= 0.0:
        raise InputError(where, f"hash_bound {stage.hash_bound}", "give 0 or more")
    parts = stage.most_parts()
    if parts > MOST_PARTS:
        problem = f"splits {stage.candidates} candidates into {parts} tasks, over {MOST_PARTS}"
        raise InputError(where, problem, "give a larger split_items")
