"""What the oracle tells of each request."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Status = Literal["in_flight", "completed", "rejected", "failed"]
STATUSES: tuple[Status, ...] = ("in_flight", "completed", "rejected", "failed")


@dataclass
class Outcome:
    """What became of a request.

    The stage lists have one entry for each stage that the request reached, of the task that ended last there; as
    long as the stage lasts, of its task if it has but one. At a stage that turned it away (rejected or failed)
    the entries are NaN, slot -1 and 0 units. The entries of a held task are the same until it is passed on.

    Attributes
    ----------
    done_s
        When its answer was there, or when it was rejected or failed; NaN of one in flight.
    over_s
        When it was counted: when its result was at home, or when it was rejected or failed.
    cache
        "" without a cache or a look-up, else "hit 0", "hit 1" and so on by level, "wait", or "miss".
    """

    status: Status = "in_flight"
    stage_ready_s: list[float] = field(default_factory=list)
    stage_start_s: list[float] = field(default_factory=list)
    stage_end_s: list[float] = field(default_factory=list)
    stage_slot: list[int] = field(default_factory=list)
    stage_batch_units: list[int] = field(default_factory=list)
    done_s: float = math.nan
    over_s: float = field(default=math.nan, compare=False)
    cache: str = field(default="", compare=False)

    def reach_stage(self) -> None:
        """Open the entries of the next stage."""
        for times in (self.stage_ready_s, self.stage_start_s, self.stage_end_s):
            times.append(math.nan)
        self.stage_slot.append(-1)
        self.stage_batch_units.append(0)

    def leave_stage_open(self) -> None:
        """Show nothing of the stage reached last."""
        if self.stage_slot:
            for times in (self.stage_ready_s, self.stage_start_s, self.stage_end_s):
                times[-1] = math.nan
            self.stage_slot[-1], self.stage_batch_units[-1] = -1, 0


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
