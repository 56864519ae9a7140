"""What the oracle is told of a data plane: everything that does not change during a run, and the trace."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from .controls import Control
from .outcome import STATUSES, Outcome, OutcomeArrays, Status, as_arrays

__all__ = [
    "STATUSES", "CacheKey", "Control", "OracleArrival", "OracleCache", "OracleInterference", "OracleLevel",
    "OracleLink", "OracleLookup", "OraclePreload", "OracleReplica", "OracleService", "OracleSite", "OracleStage",
    "OracleTier", "OracleVariant", "OracleWorld", "Outcome", "OutcomeArrays", "Router", "Status", "as_arrays",
]  # fmt: skip

Router = Literal[
    "least_outstanding", "round_robin", "weighted", "power_of_two", "consistent_hash", "locality", "function"
]
CacheKey = Literal["user", "item", "user_item"]


@dataclass(frozen=True)
class OracleStage:
    """One stage of one service's funnel; its number `k` is its place in `OracleWorld.stages`.

    `max_outstanding` is for least outstanding only: where the chosen replica has that many tasks, the
    router holds the next ones; 0 means none. `split_items`, `hedge_after_s` and `spill_outstanding` are off at 0.
    """

    service: int
    position: int
    candidates: int
    item_bytes: float
    router: Router
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


@dataclass(frozen=True)
class OracleInterference:
    """Measured slowdowns `slowdown[count][size]` of a batch while `replicas[count]` replicas of its device run one.

    Where it `takes_turns`, a batch waits for those of its device that began before it, and takes longer after one of
    another slot: `turn_waiting_s` where it waited, `turn_s` where it did not.
    """

    replicas: tuple[int, ...]
    batch_sizes: tuple[int, ...]
    slowdown: tuple[tuple[float, ...], ...]
    takes_turns: bool = False
    turn_s: float = 0.0
    turn_waiting_s: float = 0.0


@dataclass(frozen=True)
class OracleVariant:
    """A profile with a batch rule.

    Attributes
    ----------
    stage
        Number of the stage this variant serves.
    unit_items
        Whether a batch counts items rather than requests.
    max_batch, max_wait_s, queue_limit
        The batch rule; a queue limit of 0 means none.
    batch_sizes
        Measured sizes in units, ascending.
    levels
        Quantile levels, ascending.
    latency_s
        Measured quantiles `latency_s[size][level]`.
    mean_s
        Mean latency `mean_s[size]`, used where noise is off.
    weight
        Throughput of the best batch at speed 1, to the scale of all variants.
    cold_s, cold_after_s
        How much longer a batch takes after a long idle time, and what is long.
    """

    stage: int
    unit_items: bool
    max_batch: int
    max_wait_s: float
    queue_limit: int
    batch_sizes: tuple[int, ...]
    levels: tuple[float, ...]
    latency_s: tuple[tuple[float, ...], ...]
    mean_s: tuple[float, ...]
    weight: float = 1.0
    interference: OracleInterference | None = None
    cold_s: float = 0.0
    cold_after_s: float = 1e-3


@dataclass(frozen=True)
class OracleReplica:
    """A replica of `variant` on `node`; `speed` divides the profile's latency; of one `device` unless that is -1."""

    slot: int
    variant: int
    node: int
    speed: float
    device: int = -1


@dataclass(frozen=True)
class OracleLevel:
    """One level of a result cache."""

    entries: int
    hit_s: float = 0.0
    ttl_s: float = math.inf
    refresh_after_s: float = math.inf
    is_shared: bool = False


@dataclass(frozen=True)
class OracleCache:
    """A service's result cache."""

    key: CacheKey
    levels: tuple[OracleLevel, ...]
    coalesces: bool = True
    prefetch: int = 0


@dataclass(frozen=True)
class OraclePreload:
    """Keys that a level holds from the start, the last most recent; in the caches of all sites if `site` is None."""

    service: int
    level: int
    keys: tuple[int, ...]
    site: int | None = None


@dataclass(frozen=True)
class OracleService:
    """A service: its objective, its answers, whose they are, and its result cache."""

    slo_s: float = 1.0
    bytes_out: float = 0.0
    home_shares: tuple[float, ...] = ()
    class_shares: tuple[float, ...] = (1.0,)
    cache: OracleCache | None = None


@dataclass(frozen=True)
class OracleLink:
    """What a link takes for each byte and for each message, and until what was sent is there.

    Payloads below `small_bytes` take other times for bytes and messages.
    """

    s_per_byte: float
    s_per_message: float = 0.0
    delay_s: float = 0.0
    small_bytes: float = 0.0
    small_s_per_byte: float = 0.0
    small_s_per_message: float = 0.0


@dataclass(frozen=True)
class OracleSite:
    """A site and its access links, if it has any."""

    access_in: OracleLink | None = None
    access_out: OracleLink | None = None


@dataclass(frozen=True)
class OracleTier:
    """A place of embedding rows: one for each node, or one for all."""

    bytes_per_s: float
    delay_s: float
    is_shared: bool = False


@dataclass(frozen=True)
class OracleLookup:
    """What a variant reads for each unit of a batch on a node."""

    bytes_per_unit: tuple[float, ...]
    sharded_bytes_per_unit: float = 0.0
    decode_s_per_unit: float = 0.0


@dataclass(frozen=True)
class OracleWorld:
    """Everything that does not change during a run.

    Attributes
    ----------
    services
        How many there are.
    nic_bytes_per_s, node_site
        By node; all are at site 0 if `node_site` is empty.
    service_plans
        By service; if empty, all are plain.
    links
        By (from site, to site), numbered in this order.
    lookups
        By (variant, node), where rows are read from tiers or other nodes.
    features
        Which parts of the page this world is made to use; for choosing worlds, without effect.
    """

    services: int
    stages: tuple[OracleStage, ...]
    variants: tuple[OracleVariant, ...]
    nic_bytes_per_s: tuple[float, ...]
    hop_delay_s: float
    noise_seed: int
    noise: bool
    service_plans: tuple[OracleService, ...] = ()
    sites: tuple[OracleSite, ...] = (OracleSite(),)
    node_site: tuple[int, ...] = ()
    links: dict[tuple[int, int], OracleLink] = field(default_factory=dict)
    tiers: tuple[OracleTier, ...] = ()
    lookups: dict[tuple[int, int], OracleLookup] = field(default_factory=dict)
    preloads: tuple[OraclePreload, ...] = ()
    features: frozenset[str] = frozenset()

    def funnel(self, service: int) -> list[int]:
        """Stage numbers of a service, in order of position."""
        mine = [k for k, stage in enumerate(self.stages) if stage.service == service]
        return sorted(mine, key=lambda k: self.stages[k].position)

    def plan(self, service: int) -> OracleService:
        return self.service_plans[service] if self.service_plans else OracleService()

    def site_of(self, node: int) -> int:
        return self.node_site[node] if self.node_site else 0


@dataclass(frozen=True)
class OracleArrival:
    """One row of the trace; the request's id is its index. `items = 0` means the trace states no number."""

    arrival_s: float
    service: int
    items: int
    bytes_in: float
    user: int = 0
    item: int = 0
