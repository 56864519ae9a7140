"""The six numbers by which a log and a prediction are compared, each defined once."""

from __future__ import annotations

import numpy as np

from workloads.server.log import RequestLog

__all__ = ["METRICS", "summarise"]

METRICS = ("p50_ms", "p95_ms", "p99_ms", "mean_ms", "throughput_rps", "mean_batch")
"""Latency is ``done_s - arrival_s`` of a request. Throughput is requests over the time from the first arrival to the
last answer. The mean batch is units over batches."""


def summarise(log: RequestLog, units: np.ndarray | None = None) -> np.ndarray:
    """`METRICS` of a log in their order; ``units[request]`` are 1 unless given.

    A request's batch of ``batch`` units is counted once by its requests together: each counts ``units / batch`` of it.
    """
    latency_ms = 1e3 * (log.done_s - log.arrival_s)
    units = np.ones(len(latency_ms)) if units is None else units
    took_s = log.done_s.max() - log.arrival_s.min()
    return np.array(
        [
            *np.quantile(latency_ms, [0.5, 0.95, 0.99]),
            latency_ms.mean(),
            len(latency_ms) / took_s,
            units.sum() / (units / log.batch).sum(),
        ]
    )
