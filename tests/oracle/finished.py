"""What a run of the oracle tells."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from .cache import ResultCache
from .lookup import Tiers
from .network import Network
from .outcome import Outcome
from .request import Request, Stay


@dataclass(frozen=True)
class Snapshot:
    """Counts by service at one time: of clients' requests, and how many of them are somewhere, counted one by one."""

    time_s: float
    service: int
    arrived: int
    completed: int
    rejected: int
    failed: int
    in_flight: int


@dataclass(frozen=True)
class Finished:
    """What a run tells.

    Attributes
    ----------
    outcomes
        One for each arrival.
    released_s
        When each drained slot was released; of a slot used again, the last time.
    counts
        By what and index of the stage or service: ``lost``, ``retried``, ``hedged``, ``hedges_won``, ``expired`` and
        ``budget_met`` by stage; ``arrived``, ``completed``, ``rejected``, ``failed``, ``slo_met``,
        ``background started`` and ``background ended`` by service.
    requests, stays
        All requests, those in the background too, and all stays of tasks at replicas, in order of beginning.
    snapshots
        At every control and at the end.
    """

    outcomes: list[Outcome]
    released_s: dict[int, float]
    counts: Counter[tuple[str, int]]
    requests: list[Request]
    stays: list[Stay]
    snapshots: list[Snapshot]
    network: Network
    tiers: Tiers
    caches: list[ResultCache | None]
