"""Single requests of a run, as they passed through the stages: a sample, or all of a window."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["STATUSES", "RequestSample"]

STATUSES = ("in flight", "completed", "rejected", "failed")


@dataclass(frozen=True, eq=False)
class RequestSample:
    """Requests by row.

    Attributes
    ----------
    id, service, arrival_s, status, done_s
        ``[row]``; ``status`` indexes `STATUSES`, ``done_s`` is NaN where there was no answer.
    stage
        ``[row, position]`` number of the stage, -1 where the funnel is shorter.
    slot, ready_s, start_s, end_s
        ``[row, position]`` replica and times at that stage; of a request that was split, those of the task that ended
        last; -1 and NaN where it did not get so far.
    stages
        Names of the stages.
    """

    id: np.ndarray
    service: np.ndarray
    arrival_s: np.ndarray
    status: np.ndarray
    done_s: np.ndarray
    stage: np.ndarray
    slot: np.ndarray
    ready_s: np.ndarray
    start_s: np.ndarray
    end_s: np.ndarray
    stages: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.id)

    def within(self, start_s: float, end_s: float) -> RequestSample:
        """Those that arrived in ``[start_s, end_s)``."""
        keep = (self.arrival_s >= start_s) & (self.arrival_s < end_s)
        columns = {name: getattr(self, name)[keep] for name in _COLUMNS}
        return RequestSample(**columns, stages=self.stages)


_COLUMNS = ("id", "service", "arrival_s", "status", "done_s", "stage", "slot", "ready_s", "start_s", "end_s")
