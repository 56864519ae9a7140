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
class AnyControl:
    """Anything, at a time."""

    time_s: float


@dataclass(frozen=True)
class Control(AnyControl):
    """A replica joins its pool, or leaves it and serves what it holds."""

    action: Literal["activate", "drain"]
    replica: OracleReplica


@dataclass(frozen=True)
class FailReplicas(AnyControl):
    """The replicas of these slots are no more."""

    slots: tuple[int, ...]


@dataclass(frozen=True)
class SetLink(AnyControl):
    """The link fails, or comes back."""

    from_site: int
    to_site: int
    is_up: bool


@dataclass(frozen=True)
class SetAccess(AnyControl):
    """The access link of a site fails, or comes back."""

    site: int
    way: Literal["in", "out"]
    is_up: bool


@dataclass(frozen=True)
class SetSlowness(AnyControl):
    """The replica takes `factor` times its usual latency for batches that start from now on."""

    slot: int
    factor: float


@dataclass(frozen=True)
class SetTierRate(AnyControl):
    """The tier, on one node or (None) wherever it is, reads so fast for look-ups that start from now on."""

    tier: int
    bytes_per_s: float
    node: int | None = None


@dataclass(frozen=True)
class SetLookup(AnyControl):
    """The variant reads this on the node from now on."""

    variant: int
    node: int
    lookup: OracleLookup


@dataclass(frozen=True)
class ClearCaches(AnyControl):
    """The caches of a site, or (None) all, shared ones too, are empty from now on."""

    site: int | None = None
