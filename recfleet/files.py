"""The files of an output folder."""

from __future__ import annotations

import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recfleet.certificate_tables import certificate_document, certificate_frame, ledger_frame
from recfleet.estimates import estimate
from recfleet.happening_tables import alerts_frame, events_frame
from recfleet.json_text import json_text
from recfleet.output import FORMAT
from recfleet.tables import (
    accuracy_rows,
    csv_text,
    replicas_frame,
    service_intervals_frame,
    service_rows,
    summary_rows,
)
from recfleet.versions import versions
from simulator.histogram import RELATIVE_ERROR
from simulator.metrics import ACCURACY_METRICS, METRICS, SERVICE_METRICS
from workloads.atomic_files import file_sha256

if TYPE_CHECKING:
    from recfleet.comparison import Comparison

__all__ = ["summary_document", "write_comparison"]


def write_comparison(comparison: Comparison, folder: Path) -> None:
    """Write tables, report and the manifest; all but the manifest are the same bytes for the same inputs."""
    from recfleet.report import write_page

    rows, services = summary_rows(comparison.runs), service_rows(comparison.runs)
    (folder / "summary.csv").write_text(csv_text(rows), encoding="utf-8")
    (folder / "services.csv").write_text(csv_text(services, columns_of=SERVICE_METRICS), encoding="utf-8")
    if accuracy := accuracy_rows(comparison.runs):
        (folder / "accuracy.csv").write_text(csv_text(accuracy, columns_of=ACCURACY_METRICS), encoding="utf-8")
    (folder / "summary.json").write_text(json_text(summary_document(comparison, rows, services)), encoding="utf-8")
    certificate_frame(comparison.runs, comparison.certificates).to_csv(
        folder / "certificate.csv", index=False, lineterminator="\n", float_format="%.10g"
    )
    frames = {
        "intervals": comparison.intervals,
        "service_intervals": service_intervals_frame(comparison.runs),
        "replicas": replicas_frame(comparison.runs),
        "decisions": comparison.decisions,
        "waste_ledger": ledger_frame(comparison.runs, comparison.certificates),
    }
    for name, frame in frames.items():
        frame.to_parquet(folder / f"{name}.parquet", compression="zstd", index=False)
    happened = {
        "events": events_frame(comparison.runs),
        "alerts": alerts_frame(comparison.runs, comparison.scenario.alert_rules),
    }
    for name, frame in happened.items():
        if len(frame):
            frame.to_csv(folder / f"{name}.csv", index=False, lineterminator="\n", float_format="%.10g")
    write_page(comparison, folder / "report.html")
    (folder / "manifest.json").write_text(json_text(_manifest(comparison, folder)), encoding="utf-8")


def summary_document(
    comparison: Comparison, rows: list[dict[str, Any]], services: list[dict[str, Any]]
) -> dict[str, Any]:
    """``summary.json``: verdict, checks, means over seeds and all rows; null where there is no value."""
    verdict = comparison.verdict
    return {
        "scenario": comparison.scenario.name,
        "seeds": list(comparison.seeds),
        "verdict": {"winner": verdict.winner, "closest": verdict.closest, "sentences": verdict.sentences},
        "checks": [{"name": c.name, "meaning": c.meaning, "failures": c.failures} for c in comparison.checks],
        "conservation": comparison.conservation,
        "latency_relative_error": RELATIVE_ERROR,
        "policies": {s.policy: _means(s.policy, s.clairvoyant, rows) for s in comparison.standings},
        "runs": rows,
        "services": services,
        **certificate_document(comparison.runs, comparison.certificates, comparison.prices),
        **({"accuracy": accuracy} if (accuracy := accuracy_rows(comparison.runs)) else {}),
    }


def _means(policy: str, clairvoyant: bool, rows: list[dict[str, Any]]) -> dict[str, Any]:
    own = [row for row in rows if row["policy"] == policy]
    means: dict[str, Any] = {"clairvoyant": clairvoyant}
    for metric in METRICS:
        if metric.name not in ("policy", "seed"):
            value = estimate([float(row[metric.name]) for row in own])
            means[metric.name] = {"mean": value.mean, "ci95_half_width": value.half_width}
    return means


def _manifest(comparison: Comparison, folder: Path) -> dict[str, Any]:
    scenario = comparison.scenario
    return {
        "format": FORMAT,
        "format_version": 1,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": comparison.command,
        "scenario": {"name": scenario.name, "path": scenario.path, "sha256": scenario.file_sha256},
        "inputs": dict(scenario.inputs),
        "policies": list(comparison.policies),
        "policy_specs": [spec if isinstance(spec, str | dict) else repr(spec) for spec in comparison.specs],
        "seeds": list(comparison.seeds),
        "control_interval_s": scenario.control_interval_s,
        "duration_s": scenario.duration_s,
        "versions": versions(),
        "platform": f"{platform.system()} {platform.machine()}, {sys.byteorder}-endian",
        "wall_s": {f"{run.policy}, seed {run.seed}": round(run.wall_s, 3) for run in comparison.runs},
        "files": {path.name: file_sha256(path) for path in sorted(folder.iterdir())},
    }
