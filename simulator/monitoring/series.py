"""Named time series of a run, one value a control interval and label, as a monitoring system would keep them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from simulator.cluster import RESOURCES

if TYPE_CHECKING:
    from simulator.result import RunResult

__all__ = ["Series", "all_series", "find_series"]


@dataclass(frozen=True, eq=False)
class Series:
    """One quantity over time.

    Attributes
    ----------
    name, unit
        As ``queue_requests`` in ``requests``.
    labels
        What the columns are: services, stages, resources, caches, links.
    values
        ``float64[interval, label]``; NaN where there was nothing to measure.
    """

    name: str
    unit: str
    labels: tuple[str, ...]
    values: np.ndarray


def all_series(result: RunResult) -> tuple[Series, ...]:
    """Every series of a run: traffic, latency, queues, use of resources, replicas, and what the monitor kept beside."""
    return (*_traffic(result), *_resources(result), *_fleet(result), *result.monitored)


def find_series(result: RunResult, name: str) -> Series:
    """The series of a name.

    Raises
    ------
    KeyError
        If the run has none of that name.
    """
    return {series.name: series for series in all_series(result)}[name]


def _traffic(result: RunResult) -> list[Series]:
    rows, services = result.intervals, result.facts.services
    length_s = rows.length_s[:, None]
    per_second = [
        Series(f"{name}_rps", "requests/s", services, getattr(rows, name) / length_s)
        for name in ("arrived", "completed", "rejected", "failed")
    ]
    ended = rows.completed + rows.rejected + rows.failed
    with np.errstate(invalid="ignore", divide="ignore"):
        attainment = np.where(ended > 0, rows.slo_met / ended, np.nan)
    latency = [Series(f"{name}_ms", "ms", services, 1e3 * getattr(rows, f"{name}_s")) for name in ("p50", "p95", "p99")]
    return [
        *per_second,
        *latency,
        Series("slo_attainment", "share of requests ended", services, attainment),
        Series("in_flight_requests", "requests", services, rows.in_flight.astype(float)),
        Series("queue_requests", "requests", result.facts.stages, rows.queue_requests.astype(float)),
    ]


def _resources(result: RunResult) -> list[Series]:
    rows = result.intervals
    with np.errstate(invalid="ignore", divide="ignore"):
        used = np.where(rows.provisioned > 0, rows.used / rows.provisioned, np.nan)
        allocated = np.where(rows.provisioned > 0, rows.allocated / rows.provisioned, np.nan)
    return [
        Series("utilisation", "used / provisioned", RESOURCES, used),
        Series("allocation", "allocated / provisioned", RESOURCES, allocated),
    ]


def _fleet(result: RunResult) -> list[Series]:
    rows, facts = result.intervals, result.facts
    intervals = len(rows.start_s)
    pairs = tuple(f"{v} on {n}" for v in facts.variants for n in facts.node_types)
    hourly = 3600.0 * rows.cost_usd / rows.length_s
    replicas = [
        Series(f"{state}_replicas", "replicas", pairs, getattr(rows, state).reshape(intervals, -1).astype(float))
        for state in ("ready", "starting", "draining")
    ]
    return [
        *replicas,
        Series("replicas_lost", "replicas", pairs, rows.replicas_lost.reshape(intervals, -1).astype(float)),
        Series("open_nodes", "nodes", facts.node_types, rows.open_nodes.astype(float)),
        Series("usable_nodes", "nodes", facts.node_types, rows.usable_nodes.astype(float)),
        Series("training_gpu_s", "GPU s", ("fleet",), rows.training_gpu_s[:, None]),
        Series("cost_usd_per_hour", "USD/h", ("fleet",), hourly[:, None]),
    ]
