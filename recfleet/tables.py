"""Tables of a comparison as data frames, and the one way their numbers are written."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from recfleet.run_record import RunRecord
from simulator.cluster import RESOURCES
from simulator.metrics import METRICS, Metric, summarise, summarise_accuracy, summarise_services

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "accuracy_rows",
    "csv_text",
    "decisions_frame",
    "intervals_frame",
    "number_text",
    "replicas_frame",
    "service_intervals_frame",
    "service_rows",
    "summary_rows",
]


def summary_rows(runs: Sequence[RunRecord]) -> list[dict[str, Any]]:
    """A row a run, columns as in `simulator.metrics.METRICS`."""
    return [summarise(run.result, run.bound_usd) for run in runs]


def service_rows(runs: Sequence[RunRecord]) -> list[dict[str, Any]]:
    """A row a run and service, columns as in `simulator.metrics.SERVICE_METRICS`."""
    return [row for run in runs for row in summarise_services(run.result)]


def accuracy_rows(runs: Sequence[RunRecord]) -> list[dict[str, Any]]:
    """A row a run and stage that names a metric, columns as in `simulator.metrics.ACCURACY_METRICS`."""
    return [row for run in runs for row in summarise_accuracy(run.result)]


def number_text(value: Any) -> str:
    """Ten significant digits, empty for NaN and None: the same text in every process."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float):
        return format(value + 0.0, ".10g")
    return str(value)


def csv_text(rows: Sequence[Mapping[str, Any]], *, columns_of: Sequence[Metric] = METRICS) -> str:
    """Rows of `summary_rows`, `service_rows` or `accuracy_rows` as CSV with a header line."""
    columns = [metric.name for metric in columns_of]
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([number_text(row[column]) for column in columns] for row in rows)
    return sink.getvalue()


def intervals_frame(runs: Sequence[RunRecord]) -> pd.DataFrame:
    """A row a run and control interval: fleet-wide counts, replicas, nodes, cost and every resource.

    ``provisioned_r``, ``allocated_r`` and ``used_r`` are means over the interval, in the unit of
    `simulator.cluster.RESOURCE_UNITS`.
    """
    return _concat([_intervals(run) for run in runs])


def _intervals(run: RunRecord) -> dict[str, Any]:
    i = run.result.intervals
    columns: dict[str, Any] = {"start_s": i.start_s, "length_s": i.length_s, "cost_usd": i.cost_usd}
    for name in ("arrived", "completed", "rejected", "failed", "slo_met", "in_flight", "queue_requests"):
        columns[name] = getattr(i, name).sum(axis=1)
    for name in ("ready", "starting", "draining"):
        columns[f"replicas_{name}"] = getattr(i, name).sum(axis=(1, 2))
    for n, node_type in enumerate(run.result.facts.node_types):
        columns[f"open_nodes_{node_type}"] = i.open_nodes[:, n]
    for r, resource in enumerate(RESOURCES):
        for kind in ("provisioned", "allocated", "used"):
            columns[f"{kind}_{resource}"] = getattr(i, kind)[:, r] / i.length_s
    return _keyed(run, len(i.start_s)) | columns


def service_intervals_frame(runs: Sequence[RunRecord]) -> pd.DataFrame:
    """A row a run, control interval and service: counts, latencies in ms (NaN where none completed)."""
    return _concat([_service_intervals(run) for run in runs])


def _service_intervals(run: RunRecord) -> dict[str, Any]:
    i, services = run.result.intervals, run.result.facts.services
    shape = (len(i.start_s), len(services))
    columns: dict[str, Any] = {
        "start_s": np.repeat(i.start_s, shape[1]),
        "service": np.tile(np.array(services, dtype=object), shape[0]),
    }
    for name in ("arrived", "completed", "rejected", "failed", "slo_met", "in_flight"):
        columns[name] = getattr(i, name).ravel()
    for name in ("p50", "p95", "p99"):
        columns[f"{name}_ms"] = 1e3 * getattr(i, f"{name}_s").ravel()
    return _keyed(run, shape[0] * shape[1]) | columns


def replicas_frame(runs: Sequence[RunRecord]) -> pd.DataFrame:
    """A row a run, control interval, variant and node type that holds a replica."""
    return _concat([_replicas(run) for run in runs])


def _replicas(run: RunRecord) -> dict[str, Any]:
    i, facts = run.result.intervals, run.result.facts
    t, v, n = np.nonzero(i.ready + i.starting + i.draining)
    names = {"variant": np.array(facts.variants, dtype=object)[v]}
    names["node_type"] = np.array(facts.node_types, dtype=object)[n]
    counts = {kind: getattr(i, kind)[t, v, n] for kind in ("ready", "starting", "draining")}
    return _keyed(run, len(t)) | {"start_s": i.start_s[t]} | names | counts


def decisions_frame(runs: Sequence[RunRecord]) -> pd.DataFrame:
    """The decision log, a row a decision; ``wanted`` names replicas as ``variant@node_type=count``."""
    return _concat([_decisions(run) for run in runs])


def _decisions(run: RunRecord) -> dict[str, Any]:
    log, facts = run.result.decisions, run.result.facts
    columns: dict[str, Any] = {name: [getattr(d, name) for d in log] for name in _DECISION_FIELDS}
    for name in ("objective_usd_per_hour", "bound_usd_per_hour"):
        columns[name] = np.array([math.nan if v is None else v for v in columns[name]], dtype=np.float64)
    columns["gap"] = np.array([math.nan if d.gap is None else d.gap for d in log], dtype=np.float64)
    columns["expected"] = [_expected_text(d.expected_rps, facts.stages) for d in log]
    columns["wanted_replicas"] = [int(d.wanted.sum()) for d in log]
    columns["wanted"] = [wanted_text(d.wanted, facts.variants, facts.node_types) for d in log]
    return _keyed(run, len(log)) | columns


_DECISION_FIELDS = (
    "slot",
    "now_s",
    "started",
    "drained",
    "unplaced",
    "status",
    "objective_usd_per_hour",
    "bound_usd_per_hour",
    "note",
)


def _expected_text(expected_rps: Sequence[float] | None, stages: Sequence[str]) -> str:
    """``stage=requests/s`` for each stage; empty where the policy said nothing."""
    return "" if expected_rps is None else ", ".join(f"{k}={rps:.6g}" for k, rps in zip(stages, expected_rps))


def wanted_text(wanted: np.ndarray, variants: Sequence[str], node_types: Sequence[str]) -> str:
    """Non-zero entries of ``wanted[variant, node_type]`` in order."""
    return ", ".join(f"{variants[v]}@{node_types[n]}={int(wanted[v, n])}" for v, n in np.argwhere(wanted))


def _keyed(run: RunRecord, rows: int) -> dict[str, Any]:
    return {
        "policy": np.full(rows, run.policy, dtype=object),
        "seed": np.full(rows, run.seed, dtype=np.int64),
    }


def _concat(parts: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    import pandas as pd

    return pd.concat([pd.DataFrame(dict(part)) for part in parts], ignore_index=True)
