"""What the oracle is told, and what it tells: a small data plane, its traffic and each request's fate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Router = Literal["least_outstanding", "round_robin"]
Status = Literal["in_flight", "completed", "rejected", "failed"]
STATUSES: tuple[Status, ...] = ("in_flight", "completed", "rejected", "failed")


@dataclass(frozen=True)
class OracleStage:
    """One stage of one service's funnel; its number `k` is its place in `OracleWorld.stages`.

    `max_outstanding` is for least outstanding only: where the chosen replica has that many requests, the
    router holds the next ones; 0 means none.
    """

    service: int
    position: int
    candidates: int
    item_bytes: float
    router: Router
    max_outstanding: int = 0


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


@dataclass(frozen=True)
class OracleReplica:
    """A replica of `variant` on `node`; `speed` divides the profile's latency."""

    slot: int
    variant: int
    node: int
    speed: float


@dataclass(frozen=True)
class OracleWorld:
    """Everything that does not change during a run; `nic_bytes_per_s` is by node."""

    services: int
    stages: tuple[OracleStage, ...]
    variants: tuple[OracleVariant, ...]
    nic_bytes_per_s: tuple[float, ...]
    hop_delay_s: float
    noise_seed: int
    noise: bool

    def funnel(self, service: int) -> list[int]:
        """Stage numbers of a service, in order of position."""
        mine = [k for k, stage in enumerate(self.stages) if stage.service == service]
        return sorted(mine, key=lambda k: self.stages[k].position)


@dataclass(frozen=True)
class Control:
    """What the control plane does to one replica at one time; controls of equal time keep their order."""

    time_s: float
    action: Literal["activate", "drain"]
    replica: OracleReplica


@dataclass(frozen=True)
class OracleArrival:
    """One row of the trace; the request's id is its index. `items = 0` means the trace states no number."""

    arrival_s: float
    service: int
    items: int
    bytes_in: float


@dataclass
class Outcome:
    """What became of a request.

    The stage lists have one entry for each stage whose router the request reached. At a stage that turned it
    away (rejected or failed) the entries are NaN, slot -1 and 0 units, and `done_s` is the time of that
    routing; where a request fails that was held, the time at which the pool ran empty. The entries of a held
    request are the same until it is passed on. Of a completed request `done_s` is `end + hop_delay`; of one
    in flight it is NaN.
    """

    status: Status = "in_flight"
    stage_ready_s: list[float] = field(default_factory=list)
    stage_start_s: list[float] = field(default_factory=list)
    stage_end_s: list[float] = field(default_factory=list)
    stage_slot: list[int] = field(default_factory=list)
    stage_batch_units: list[int] = field(default_factory=list)
    done_s: float = math.nan

    def reach_stage(self) -> None:
        """Open the entries of the next stage."""
        for times in (self.stage_ready_s, self.stage_start_s, self.stage_end_s):
            times.append(math.nan)
        self.stage_slot.append(-1)
        self.stage_batch_units.append(0)


@dataclass(frozen=True)
class OutcomeArrays:
    """Outcomes as arrays, padded with NaN and -1.

    `status[request]` (index into `STATUSES`), `done_s[request]`, and `ready_s`, `start_s`, `end_s`, `slot`,
    each `[request, position]`.
    """

    status: NDArray[np.int64]
    done_s: NDArray[np.float64]
    ready_s: NDArray[np.float64]
    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]
    slot: NDArray[np.int64]


def as_arrays(outcomes: Sequence[Outcome], positions: int) -> OutcomeArrays:
    """Lay outcomes out as arrays with `positions` columns a request, for comparison with another engine."""
    times = np.full((3, len(outcomes), positions), math.nan)
    slot = np.full((len(outcomes), positions), -1, dtype=np.int64)
    for row, outcome in enumerate(outcomes):
        reached = len(outcome.stage_slot)
        times[0, row, :reached] = outcome.stage_ready_s
        times[1, row, :reached] = outcome.stage_start_s
        times[2, row, :reached] = outcome.stage_end_s
        slot[row, :reached] = outcome.stage_slot
    return OutcomeArrays(
        status=np.array([STATUSES.index(outcome.status) for outcome in outcomes], dtype=np.int64),
        done_s=np.array([outcome.done_s for outcome in outcomes], dtype=np.float64),
        ready_s=times[0],
        start_s=times[1],
        end_s=times[2],
        slot=slot,
    )
