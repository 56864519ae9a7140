"""`python -m tests.benchmarks.fidelity_keep DIR`: a few short logs of each job, for tests without a GPU.

Of each job the runs in `KEPT`, each as long as its first `REQUESTS` requests (cut where a batch ends, so that what is
left is what the server did until then); runs of several replicas or stages whole. Beside them ``errors.json`` keeps
the prediction error of each, and how much of it is luck: the standard deviation between predictions by other draws.
`tests/simulator/test_fidelity_kept.py` holds later versions against it; ``--errors-only`` writes it anew.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from simulator.fidelity.comparison import Spread
from simulator.fidelity.server_logs import JobLog, JobRun, compare_run, read_job_log
from simulator.fidelity.summary import METRICS
from workloads.atomic_files import file_sha256
from workloads.server.batching import Batches
from workloads.server.log import RunLog, StageLog

KEPT = (
    ("poisson", 0.3, 1), ("poisson", 0.6, 1), ("poisson", 0.9, 1), ("gamma", 0.8, 1), ("impressions", 0.6, 1),
)  # fmt: skip
"""Arrivals, load and seed, of the base cap."""
KEPT_OF_SEVERAL = (("poisson", 0.6, 1),)
REQUESTS = 20_000
FOLDER = Path(__file__).resolve().parents[2] / "docs" / "results" / "fidelity" / "logs"
ERRORS = FOLDER.parent / "errors.json"
JUDGED = ("p50_ms", "p99_ms", "mean_ms")


def kept_runs(log: JobLog) -> list[JobRun]:
    """The runs to keep, cut."""
    several = log.job.processes > 1
    wanted = KEPT_OF_SEVERAL if several else KEPT
    largest = max(run.plan.max_batch for run in log.runs)
    base = [run for run in log.runs if run.plan.max_batch == largest]
    chosen = [run for run in base if (run.plan.arrivals, run.plan.load, run.plan.seed) in wanted]
    return [run if several else replace(run, log=cut(run.log, REQUESTS)) for run in chosen]


def cut(log: RunLog, requests: int) -> RunLog:
    """The batches that hold a run's first requests, of one replica."""
    (stage,) = log.stages
    (batches,) = stage.replicas
    total = np.cumsum(batches.requests)
    count = min(int(np.searchsorted(total, requests)) + 1, len(total))
    left = int(total[count - 1])
    fields = ("requests", "units", "start_s", "staged_s", "done_s")
    short = Batches(*(getattr(batches, name)[:count] for name in fields))
    return RunLog(log.arrival_s[:left], log.request_units, (StageLog((short,), stage.replica[:left]),))


def write_kept(log: JobLog, folder: Path) -> None:
    """Write a job's files with the runs that are kept."""
    runs = kept_runs(log)
    facts: list[dict[str, Any]] = [
        run.facts | {"requests": len(run.log.arrival_s), "kept_of": run.facts["requests"]} for run in runs
    ]
    plan = log.found["job"] | {"runs": [run.plan.model_dump(mode="json") for run in runs]}
    path = folder / f"{log.job.name}.json"
    arrays = {f"{run.name}.{name}": values for run in runs for name, values in run.log.arrays().items()}
    np.savez_compressed(path.with_suffix(".npz"), **arrays)  # type: ignore[arg-type]
    digest = file_sha256(path.with_suffix(".npz"))
    found = log.found | {"runs": facts, "job": plan, "arrays_sha256": digest}
    path.write_text(json.dumps(found, separators=(",", ":")) + "\n", encoding="utf-8")


def errors_of(log: JobLog, run: JobRun, seed: int = 0) -> dict[str, float]:
    """Errors of the prediction with assembly, the mean of six draws."""
    error = compare_run(log, run, Spread(0.0, replicates=1, point_runs=6, seed=seed)).error
    return {name: float(error[METRICS.index(name)]) for name in JUDGED}


def write_errors(folder: Path, path: Path) -> None:
    """Write the errors of all kept logs, and their luck."""
    found: dict[str, dict[str, Any]] = {}
    for log in map(read_job_log, sorted(folder.glob("*.json"))):
        found[log.job.name] = {}
        for run in log.runs:
            draws = [errors_of(log, run, seed) for seed in range(4)]
            luck = {name: round(float(np.std([draw[name] for draw in draws], ddof=1)), 5) for name in JUDGED}
            error = {name: round(value, 5) for name, value in draws[0].items()}
            found[log.job.name][run.name] = {"error": error, "luck": luck}
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--errors-only", action="store_true")
    options = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    if not options.errors_only:
        for path in sorted(options.folder.glob("*.json")):
            if path.with_suffix(".npz").exists() and (log := read_job_log(path)).runs:
                write_kept(log, FOLDER)
    write_errors(FOLDER, ERRORS)


if __name__ == "__main__":
    main()
