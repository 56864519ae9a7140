"""What a run leaves behind: records only; `simulator.metrics` computes from them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from simulator.life.events import PURPOSES, Event, JobReport
from simulator.monitoring.requests import RequestSample
from simulator.monitoring.series import Series
from simulator.policy import FleetFacts

__all__ = ["Decision", "Intervals", "RunResult"]


@dataclass(frozen=True)
class Intervals:
    """Time series, one row a control interval; the first axis of every array is ``interval``.

    Attributes
    ----------
    start_s, length_s
        ``[interval]``.
    arrived, completed, rejected, failed, slo_met
        ``[interval, service]`` requests; ``slo_met`` are the completed ones within the service's objective.
    in_flight
        ``[interval, service]`` at the end of the interval.
    p50_s, p95_s, p99_s
        ``[interval, service]`` latencies of requests completed in the interval, NaN where none was.
    queue_requests
        ``[interval, stage]`` waiting at the end of the interval.
    ready, starting, draining
        ``[interval, variant, node_type]`` replicas at the end of the interval (before the next decision).
    open_nodes
        ``[interval, node_type]`` nodes paid for at the end of the interval.
    provisioned, allocated, used
        ``[interval, resource]`` resource-seconds (unit of the resource times s): of nodes paid for; claimed by replicas
        in any state; really used. Memory counts as used while weights are loaded. Claims on the network are plans at
        the SLO-feasible throughput, not limits; nothing claims storage bandwidth.
    cost_usd
        ``[interval]``.
    training_gpu_s
        ``[interval]`` GPU-seconds held by jobs beside serving; no part of what is used.
    replicas_lost
        ``[interval, variant, node_type]`` that failed in the interval.
    usable_nodes
        ``[interval, node_type]`` at its end: not failed, and not given notice.
    stage_rps
        ``[interval, stage]`` requests/s that passed the result cache to the funnel (`simulator.policy.Observation`).
    """

    start_s: np.ndarray
    length_s: np.ndarray
    arrived: np.ndarray
    completed: np.ndarray
    rejected: np.ndarray
    failed: np.ndarray
    slo_met: np.ndarray
    in_flight: np.ndarray
    p50_s: np.ndarray
    p95_s: np.ndarray
    p99_s: np.ndarray
    queue_requests: np.ndarray
    ready: np.ndarray
    starting: np.ndarray
    draining: np.ndarray
    open_nodes: np.ndarray
    provisioned: np.ndarray
    allocated: np.ndarray
    used: np.ndarray
    cost_usd: np.ndarray
    training_gpu_s: np.ndarray = field(default_factory=lambda: np.zeros(0))
    replicas_lost: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, 0), np.int64))
    usable_nodes: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.int64))
    stage_rps: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))


@dataclass(frozen=True, slots=True)
class Decision:
    """One line of the decision log."""

    slot: int
    now_s: float
    wanted: np.ndarray
    """``[variant, node_type]``."""
    started: int
    drained: int
    unplaced: int
    status: str
    objective_usd_per_hour: float | None
    bound_usd_per_hour: float | None
    note: str
    expected_rps: tuple[float, ...] | None = None
    """By stage, where the policy says it (`simulator.policy.Allocation`)."""

    @property
    def gap(self) -> float | None:
        """``(objective - bound) / objective`` of the planning problem; None without a solve or its bound."""
        objective, bound = self.objective_usd_per_hour, self.bound_usd_per_hour
        if objective is None or bound is None:
            return None
        return max(0.0, (objective - bound) / objective) if objective > 0.0 else 0.0


@dataclass(frozen=True)
class RunResult:
    """One policy on one seed of a scenario.

    The run pays and measures resources until ``duration_s``; requests in flight then are served to the end, so that
    every request has an outcome.

    Attributes
    ----------
    arrived, completed, rejected, failed, slo_met
        ``[service]`` requests over the whole run, the tail after ``duration_s`` included.
    histogram
        ``[service, bin]`` latencies (`simulator.histogram`), the tail included.
    served_requests, served_batches
        ``[variant, node_type]`` requests whose batch ended, and batches that began, by ``duration_s``.
    stage_wait_s, stage_compute_s
        ``[stage]`` summed over requests: from reaching the stage to the start of the batch, and in batches.
    extrapolated_batches
        ``[variant, node_type]`` those of ``served_batches`` that were larger than any that was measured.
    cold_starts
        Replicas started after time 0.
    storage_bytes_loaded
        Moved over the shared store: weights, images, and what jobs read and write.
    duration_s
        Length of the trace.
    monitored
        Series that the monitor kept beside ``intervals`` (`simulator.monitoring`).
    sample
        Requests kept one by one, where that was asked for.
    events
        Failures and repairs, refreshes, and jobs that came and gave way, in order of time.
    jobs
        What became of work beside serving.
    replicas_lost
        That failed.
    storage_bytes_by_purpose
        ``storage_bytes_loaded`` in the order of `simulator.life.events.PURPOSES`.
    """

    scenario: str
    policy: str
    seed: int
    trace_name: str
    facts: FleetFacts
    intervals: Intervals
    decisions: tuple[Decision, ...]
    arrived: np.ndarray
    completed: np.ndarray
    rejected: np.ndarray
    failed: np.ndarray
    slo_met: np.ndarray
    histogram: np.ndarray
    served_requests: np.ndarray
    served_batches: np.ndarray
    extrapolated_batches: np.ndarray
    stage_wait_s: np.ndarray
    stage_compute_s: np.ndarray
    cold_starts: int
    duration_s: float
    storage_bytes_loaded: float
    monitored: tuple[Series, ...] = ()
    sample: RequestSample | None = None
    events: tuple[Event, ...] = ()
    jobs: tuple[JobReport, ...] = ()
    replicas_lost: int = 0
    storage_bytes_by_purpose: np.ndarray = field(default_factory=lambda: np.zeros(len(PURPOSES)))

    def __post_init__(self) -> None:
        # Read from a file, they are plain lists.
        object.__setattr__(self, "events", tuple(Event(*event) for event in self.events))
        object.__setattr__(self, "jobs", tuple(JobReport(*job) for job in self.jobs))
