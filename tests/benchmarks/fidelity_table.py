"""`python -m tests.benchmarks.fidelity_table DIR... --json FILE`: the server's logs, each run against its prediction.

Writes one row a run, in several variants of the prediction: from the profile alone, with the assembly of batches as
measured, and calibrated on those runs of the job that may be used for it. A job whose rows are in FILE already is left
out, so that it can be stopped and gone on with. Prints means by job; `python -m tests.benchmarks.docs_tables` then
writes the tables of docs/fidelity.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from simulator.fidelity.comparison import LEAST_DRIFT, Spread
from simulator.fidelity.server_logs import JobLog, JobRun, calibrate_job, compare_run, job_drift, read_job_log
from simulator.fidelity.summary import METRICS
from tests.benchmarks.fidelity_docs import job_table

SEED, POINTS = 5, 5


def rows_of(log: JobLog, replicates: int) -> Iterator[dict[str, Any]]:
    """One row a run of a job; a variant that was not to be had is not in it."""
    drift = job_drift(log)
    calibrated = None
    if log.job.processes == 1 and not all(run.plan.held_out for run in log.runs):
        calibrated = calibrate_job(log)
    for run in log.runs:
        found = {
            name: compare_run(log, run, Spread(drift, replicates, POINTS, SEED), assembly)
            for name, assembly in (("profile", False), ("assembly", True))
        }
        if calibrated is not None:
            spread = Spread(max(LEAST_DRIFT, calibrated.drift), replicates, POINTS, SEED)
            found["calibrated"] = compare_run(log, run, spread, mend=calibrated.mended)
        yield _about(log, run) | {
            "measured": dict(zip(METRICS, _rounded(found["assembly"].measured))),
            "error": {name: dict(zip(METRICS, _rounded(one.error))) for name, one in found.items()},
            "covered": {name: dict(zip(METRICS, one.covered.tolist())) for name, one in found.items()},
        }


def _about(log: JobLog, run: JobRun) -> dict[str, Any]:
    plan = run.plan
    return {
        "job": log.job.name, "run": run.name, "arrivals": plan.arrivals, "load": plan.load,
        "max_batch": plan.max_batch, "max_wait_ms": [1e3 * wait for wait in plan.max_wait_s], "seed": plan.seed,
        "router": plan.router if log.job.replicas > 1 else None, "held_out": plan.held_out,
        "requests": len(run.log.arrival_s), "late_us": float(f"{1e6 * run.facts['late_s']['mean']:.3g}"),
    }  # fmt: skip


def _rounded(values: Any) -> list[float]:
    return [float(f"{value:.4g}") for value in values]


def machine_of(log: JobLog) -> dict[str, Any]:
    """Where and with what a job was measured."""
    profile = log.found["profiles"][0]
    device = {key: value for key, value in profile["device"].items() if key != "id"}
    return {"date": log.found["date"][:10], "device": device, "versions": profile["provenance"]["versions"]}


def write_rows(path: Path, machine: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """One row a line."""
    lines = ",\n".join(json.dumps(row) for row in rows)
    head = json.dumps({"format": "recfleet-fidelity"} | machine)[:-1]
    path.write_text(f'{head},\n"rows": [\n{lines}\n]}}\n', encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--replicates", type=int, default=40)
    parser.add_argument("--json", type=Path, required=True)
    options = parser.parse_args()
    known = json.loads(options.json.read_text()) if options.json.exists() else {"rows": []}
    rows: list[dict[str, Any]] = known["rows"]
    paths = [path for folder in options.folders for path in sorted(folder.glob("*.json"))]
    for path in (path for path in paths if path.with_suffix(".npz").exists()):
        log = read_job_log(path)
        if log.job.name not in {row["job"] for row in rows}:
            rows += rows_of(log, options.replicates)
            write_rows(options.json, machine_of(log), rows)
    print(job_table(rows))


if __name__ == "__main__":
    main()
