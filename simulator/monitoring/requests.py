"""Single requests of a run, as they passed through the stages: a sample, or all of a window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from simulator.plan import RecordPlan

if TYPE_CHECKING:
    from simulator.fleet import Fleet
    from workloads.trace import Trace

__all__ = ["STATUSES", "RequestSample", "requests_of"]

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


def requests_of(fleet: Fleet, trace: Trace, plan: RecordPlan, stages: tuple[str, ...]) -> RequestSample:
    """What a fleet recorded by ``plan`` of a trace that it has served; rows beyond the trace's end are left out."""
    record = fleet.state.record
    arrival_s, service = _arrivals(trace, plan)
    rows = len(arrival_s)
    step = record.step[:rows]
    first = fleet.state.services["first_stage"][service]
    stage = first[:, None] + np.arange(step.shape[1])
    return RequestSample(
        id=plan.first_id + plan.every * np.arange(rows),
        service=service,
        arrival_s=arrival_s,
        status=record.outcome["status"][:rows].copy(),
        done_s=record.outcome["done_s"][:rows].copy(),
        stage=np.where(step["slot"] >= 0, stage, -1),
        **{name: step[name].copy() for name in ("slot", "ready_s", "start_s", "end_s")},
        stages=stages,
    )


def _arrivals(trace: Trace, plan: RecordPlan) -> tuple[np.ndarray, np.ndarray]:
    """Times and services of the recorded requests, by a pass over the trace up to the last of them."""
    end = plan.first_id + plan.every * (plan.rows - 1) + 1
    times, services = [], []
    for block in trace.blocks(columns=("arrival_s", "service")):
        ids = block.start_index + np.arange(len(block))
        mine = (ids >= plan.first_id) & (ids < end) & ((ids - plan.first_id) % plan.every == 0)
        times.append(block.arrival_s[mine])
        services.append(block.service[mine])
        if block.start_index + len(block) >= end:
            break
    return np.concatenate(times), np.concatenate(services).astype(np.int64)
