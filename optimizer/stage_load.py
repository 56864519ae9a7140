"""The load of each stage, as an autoscaler's metrics would tell it: tasks in flight, tasks/s, busy replicas.

Tasks in flight are those waiting plus those in batches, as means over the last interval.

* Waiting: the larger of Little's law (``observation.stage_waiting``: exact for a steady queue, late for one that grows)
  and the mean of the queue's length at the interval's two ends, which is exact for one that grows steadily.
* In batches: ``observation.stage_computing``, exact but for batches that lie across an end of the interval.
* Where an observation does not tell these (at 0, or one that somebody made): the queue's length, and in batches the
  larger of the busy replicas (each has at least one task) and what Little's law leaves of the service's latency:
  requests completed per second times the median latency, shared among stages by their busy replicas, less what waits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from simulator.policy import FleetFacts, Observation

__all__ = ["LoadReader", "StageLoad"]

HELD_S = 1.0
"""Requests of so many seconds count as held while no replica is ready."""


@dataclass(frozen=True)
class StageLoad:
    """One stage over the last interval.

    Attributes
    ----------
    waiting, computing
        Mean tasks waiting and in batches.
    tasks_per_s
        Tasks that came.
    busy
        Mean busy fraction of the replicas that report one; NaN where none does.
    ready, unready
        Replicas now: ready, and starting.
    """

    waiting: float
    computing: float
    tasks_per_s: float
    busy: float
    ready: int
    unready: int

    @property
    def in_flight(self) -> float:
        """Mean tasks waiting and in batches.

        Requests fail here while no replica is ready; a real front would hold them. Those of the last second count as
        held then, so that a stage without replicas is woken.
        """
        now = self.waiting + self.computing
        return now if self.ready > 0 else max(now, self.tasks_per_s * HELD_S)


class LoadReader:
    """Reads the stages' load, observation by observation."""

    def __init__(self, facts: FleetFacts) -> None:
        self._facts = facts
        self._queue = np.zeros(len(facts.stages))

    def read(self, observation: Observation) -> list[StageLoad]:
        """One load a stage."""
        facts = self._facts
        ends_mean = 0.5 * (self._queue + observation.queue_requests)
        self._queue = np.asarray(observation.queue_requests, dtype=np.float64)
        waiting = np.fmax(observation.stage_waiting, ends_mean)
        counted = np.where(np.isfinite(observation.busy_fraction), observation.ready + observation.draining, 0)
        serving = facts.by_stage(counted.sum(axis=1))
        busy_replicas = facts.by_stage((counted * np.nan_to_num(observation.busy_fraction)).sum(axis=1))
        known = np.isfinite(observation.stage_computing)
        guessed = np.maximum(busy_replicas, self._from_latency(observation, busy_replicas) - waiting)
        computing = np.where(known, observation.stage_computing, guessed)
        tasks_per_s = observation.stage_rps * facts.tasks_per_request
        ready = facts.by_stage(observation.ready.sum(axis=1)).astype(int)
        starting = facts.by_stage(observation.starting.sum(axis=1)).astype(int)
        return [
            StageLoad(
                float(waiting[k]),
                float(computing[k]),
                float(tasks_per_s[k]),
                float(busy_replicas[k] / serving[k]) if serving[k] else math.nan,
                int(ready[k]),
                int(starting[k]),
            )
            for k in range(len(facts.stages))
        ]

    def _from_latency(self, observation: Observation, busy_replicas: np.ndarray) -> np.ndarray:
        """``[stage]`` requests in flight by Little's law of each service, shared by busy replicas."""
        facts = self._facts
        per_s = observation.completed / facts.control_interval_s
        in_flight = per_s * np.nan_to_num(observation.p50_s)
        of_service = np.bincount(facts.stage_service, weights=busy_replicas, minlength=len(facts.services))
        total = of_service[facts.stage_service]
        share = np.divide(busy_replicas, total, out=np.zeros_like(busy_replicas), where=total > 0.0)
        return np.asarray(in_flight[facts.stage_service] * share)
