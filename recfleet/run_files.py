"""The files of a single run: series, alerts, decisions, requests, and a Chrome trace of its window."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recfleet.happening_tables import alerts_frame, events_frame
from recfleet.output import RUN_FORMAT
from recfleet.run_record import RunRecord
from recfleet.tables import csv_text, decisions_frame, service_rows, summary_rows
from recfleet.versions import versions
from simulator.metrics import SERVICE_METRICS
from simulator.monitoring.alerts import AlertRule
from simulator.monitoring.chrome_trace import chrome_trace
from simulator.monitoring.requests import STATUSES, RequestSample
from simulator.monitoring.series import all_series, find_series

if TYPE_CHECKING:
    import pandas as pd

    from simulator.result import RunResult

__all__ = ["requests_frame", "series_frame", "write_run"]

_DRAWN = ("arrived_rps", "queue_requests", "ready_replicas")
"""Series in a Chrome trace."""


def write_run(
    record: RunRecord,
    rules: Sequence[AlertRule],
    folder: Path,
    *,
    command: str,
    window_s: tuple[float, float] | None = None,
) -> None:
    """Write every file of a run; ``window_s`` also asks for ``trace.json``, from the sample that the run kept."""
    result = record.result
    (folder / "summary.csv").write_text(csv_text(summary_rows([record])), encoding="utf-8")
    services = csv_text(service_rows([record]), columns_of=SERVICE_METRICS)
    (folder / "services.csv").write_text(services, encoding="utf-8")
    frames = {"series": series_frame(result), "decisions": decisions_frame([record])}
    if result.sample is not None:
        frames["requests"] = requests_frame(result.sample, result.facts.services)
    for name, frame in frames.items():
        frame.to_parquet(folder / f"{name}.parquet", compression="zstd", index=False)
    for name, frame in {"alerts": alerts_frame([record], rules), "events": events_frame([record])}.items():
        frame.to_csv(folder / f"{name}.csv", index=False)
    if window_s is not None and result.sample is not None:
        text = json.dumps(_window(result, result.sample, window_s), allow_nan=False)
        (folder / "trace.json").write_text(text, encoding="utf-8")
    manifest = {
        "format": RUN_FORMAT,
        "format_version": 1,
        "command": command,
        "scenario": result.scenario,
        "policy": result.policy,
        "seed": result.seed,
        "versions": versions(),
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def series_frame(result: RunResult) -> pd.DataFrame:
    """Long form: a row an interval, series and label; intervals without a value are left out."""
    import pandas as pd

    start_s = result.intervals.start_s
    parts = []
    for series in all_series(result):
        rows, columns = np.nonzero(~np.isnan(series.values))
        labels = np.array(series.labels, dtype=object)
        parts.append(
            pd.DataFrame(
                {
                    "start_s": start_s[rows],
                    "series": series.name,
                    "unit": series.unit,
                    "label": labels[columns],
                    "value": series.values[rows, columns],
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def requests_frame(sample: RequestSample, services: Sequence[str]) -> pd.DataFrame:
    """A row a request and stage that it reached; requests that reached none have one row."""
    import pandas as pd

    reached = sample.slot >= 0
    reached[:, 0] = True
    row, position = np.nonzero(reached)
    stage_names = np.array([*sample.stages, ""], dtype=object)
    return pd.DataFrame(
        {
            "id": sample.id[row],
            "service": np.array(services, dtype=object)[sample.service[row]],
            "arrival_s": sample.arrival_s[row],
            "status": np.array(STATUSES, dtype=object)[sample.status[row]],
            "done_s": sample.done_s[row],
            "stage": stage_names[sample.stage[row, position]],
            "replica": sample.slot[row, position],
            "ready_s": sample.ready_s[row, position],
            "start_s": sample.start_s[row, position],
            "end_s": sample.end_s[row, position],
        }
    )


def _window(result: RunResult, sample: RequestSample, window_s: tuple[float, float]) -> dict[str, Any]:
    start_s, end_s = window_s
    ends_s = result.intervals.start_s + result.intervals.length_s
    inside = (ends_s >= start_s) & (ends_s <= end_s)
    drawn = []
    for name in _DRAWN:
        series = find_series(result, name)
        drawn.append((type(series)(series.name, series.unit, series.labels, series.values[inside]), ends_s[inside]))
    return chrome_trace(
        sample.within(start_s, end_s),
        events=[(e.at_s, f"{e.what} {e.where}") for e in result.events if start_s <= e.at_s < end_s],
        decisions=[d for d in result.decisions if start_s <= d.now_s < end_s],
        series=drawn,
    )
