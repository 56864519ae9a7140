"""`python -m tests.benchmarks.shipped_profiles DIR [--keep]`: served logs against profiles of another day and machine.

Runs held out of jobs with one replica and CUDA graphs, each predicted from the profile that the package ships for its
model and precision, without assembly or calibration: what a planner has who has measured nothing. ``--keep`` writes
``docs/results/fidelity/shipped.json``, of which docs/fidelity.md has a table. DIR may be the kept logs.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from simulator.fidelity.comparison import Spread, compare
from simulator.fidelity.server_logs import JobLog, read_job_log
from simulator.fidelity.setup import served_stage
from simulator.fidelity.summary import METRICS
from workloads.profile import load_profile

__all__ = ["KEPT", "read_shipped", "rows_of", "shipped_table"]

KEPT = Path(__file__).resolve().parents[2] / "docs" / "results" / "fidelity" / "shipped.json"
_POINTS = 3


def rows_of(log: JobLog) -> Iterator[dict[str, Any]]:
    """A row for each run held out; none of a job that several processes served, or that has no graphs."""
    model = log.job.models[0]
    if log.job.processes > 1 or model.mode != "cuda_graph":
        return
    profile = load_profile(f"{model.model}-h200-{model.precision}-graph")
    for run in (each for each in log.runs if each.plan.held_out):
        requests = run.log.requests()
        stage = served_stage(profile, run.plan.max_batch[0], run.plan.max_wait_s[0])
        items = np.full(len(requests.arrival_s), log.items([stage])) if stage.counts_items else None
        error = compare(requests, [stage], Spread(0.0, 1, _POINTS), items).error
        own = {metric: float(f"{value:.4g}") for metric, value in zip(METRICS, error)}
        yield {"job": log.job.name, "run": run.name, "load": run.plan.load, "profile": profile.name, "error": own}


def read_shipped() -> list[dict[str, Any]]:
    """The kept rows."""
    rows: list[dict[str, Any]] = json.loads(KEPT.read_text(encoding="utf-8"))["rows"]
    return rows


def shipped_table(rows: Sequence[dict[str, Any]]) -> str:
    """Errors by load, and by job."""
    lines = ["| load, or job | runs | mean, abs. error | p99, abs. error | p99, signed |",
             "| --- | ---: | ---: | ---: | ---: |"]  # fmt: skip
    groups = {"all": list(rows)}
    groups |= {f"{load:g}": [row for row in rows if row["load"] == load] for load in sorted({r["load"] for r in rows})}
    groups |= {job: [row for row in rows if row["job"] == job] for job in sorted({r["job"] for r in rows})}
    for name, group in groups.items():
        mean, p99 = (np.array([row["error"][metric] for row in group]) for metric in ("mean_ms", "p99_ms"))
        sizes = f"{100 * np.abs(mean).mean():.1f} % | {100 * np.abs(p99).mean():.1f} % | {100 * p99.mean():+.1f} %"
        lines.append(f"| {name} | {len(group)} | {sizes} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    paths = [path for path in sorted(options.folder.glob("*.json")) if path.with_suffix(".npz").exists()]
    rows = [row for path in paths for row in rows_of(read_job_log(path))]
    print(shipped_table(rows))
    if options.keep:
        lines = ",\n".join(map(json.dumps, rows))
        KEPT.write_text(f'{{"format": "recfleet-shipped-profiles", "rows": [\n{lines}\n]}}\n', encoding="utf-8")


if __name__ == "__main__":
    main()
