"""`python -m tests.benchmarks.shipped_profiles DIR [--keep]`: served logs against profiles of another day and machine.

Runs held out of jobs with one replica and CUDA graphs, each predicted from the profile that the package ships for its
model and precision, without assembly or calibration: what a planner has who has measured nothing. ``--keep`` writes
``docs/results/fidelity/shipped.json``, of which docs/fidelity.md has a table. DIR may be the kept logs.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from simulator.fidelity.comparison import Spread
from simulator.fidelity.server_logs import JobLog, compare_run
from simulator.fidelity.setup import served_stage
from tests.benchmarks.fidelity_docs import SHIPPED, shipped_table
from tests.benchmarks.fidelity_table import job_logs, machines_of, metrics_of, write_rows
from workloads.profile import load_profile

_SPREAD = Spread(0.0, replicates=1, point_runs=3)


def rows_of(log: JobLog) -> Iterator[dict[str, Any]]:
    """A row for each run held out; none of a job that several processes served, or that has no graphs."""
    model = log.job.models[0]
    if log.job.processes > 1 or model.mode != "cuda_graph":
        return
    profile = load_profile(f"{model.model}-h200-{model.precision}-graph")
    for run in (each for each in log.runs if each.plan.held_out):
        shipped = served_stage(profile, run.plan.max_batch[0], run.plan.max_wait_s[0])
        error = compare_run(log, run, _SPREAD, mend=lambda _, stage=shipped: stage).error
        about = {"job": log.job.name, "run": run.name, "load": run.plan.load, "profile": profile.name}
        yield about | {"error": {"shipped": metrics_of(error)}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    found = {log: list(rows_of(log)) for log in job_logs([options.folder])}
    rows = [row for of_log in found.values() for row in of_log]
    print(shipped_table(rows))
    if options.keep:
        write_rows(SHIPPED, machines_of([log for log, of_log in found.items() if of_log]), rows)


if __name__ == "__main__":
    main()
