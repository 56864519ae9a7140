"""What the control plane does, and when; of equal times in the order given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from .model import OracleLookup, OracleReplica

__all__ = [
    "AnyControl", "ClearCaches", "Control", "FailReplicas", "SetAccess", "SetLink", "SetLookup", "SetSlowness",
    "SetTierRate",
]  # fmt: skip


@dataclass(frozen=True)
class Control:
    """A replica joins its pool, or leaves it and serves what it holds."""

    time_s: float
    action: Literal["activate", "drain"]
    replica: OracleReplica


@dataclass(frozen=True)
class FailReplicas:
    """The replicas of these slots are no more."""

    time_s: float
    slots: tuple[int, ...]


@dataclass(frozen=True)
class SetLink:
    time_s: float
    from_site: int
    to_site: int
    is_up: bool


@dataclass(frozen=True)
class SetAccess:
    time_s: float
    site: int
    way: Literal["in", "out"]
    is_up: bool


@dataclass(frozen=True)
class SetSlowness:
    """The replica takes `factor` times its usual latency for batches that start from now on."""

    time_s: float
    slot: int
    factor: float


@dataclass(frozen=True)
class SetTierRate:
    """The tier, on one node or (None) wherever it is, reads so fast for look-ups that start from now on."""

    time_s: float
    tier: int
    bytes_per_s: float
    node: int | None = None


@dataclass(frozen=True)
class SetLookup:
    """The variant reads this on the node from now on."""

    time_s: float
    variant: int
    node: int
    lookup: OracleLookup


@dataclass(frozen=True)
class ClearCaches:
    """The caches of a site, or (None) all, shared ones too, are empty from now on."""

    time_s: float
    site: int | None = None


AnyControl = Control | FailReplicas | SetLink | SetAccess | SetSlowness | SetTierRate | SetLookup | ClearCaches
