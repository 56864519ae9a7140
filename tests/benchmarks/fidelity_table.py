"""`python -m tests.benchmarks.fidelity_table DIR... --json FILE`: the server's logs, each run against its prediction.

Writes one row a run, in several variants of the prediction: from the profile alone, with the assembly of batches as
measured, calibrated on those runs of the job that may be used for it, and recalibrated after every run. Intervals take
the drift from other jobs (`simulator.fidelity.drift`): the others of the folders, or of those of ``--drift-from``. Jobs
whose rows are in FILE already are left out, so that it can be stopped and gone on with. Prints means by job;
`python -m tests.benchmarks.docs_tables` then writes the tables of docs/fidelity.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from simulator.fidelity.comparison import Spread
from simulator.fidelity.drift import drift_of_others, drift_so_far, offsets
from simulator.fidelity.server_logs import (
    JobLog,
    JobRun,
    calibrate_job,
    calibrations_in_turn,
    compare_run,
    read_job_log,
)
from simulator.fidelity.setup import ServedStage
from simulator.fidelity.summary import METRICS
from tests.benchmarks.fidelity_docs import job_table

SEED, POINTS = 5, 5
VARIANTS = ("profile", "assembly", "calibrated", "recalibrated")
Drifts = Mapping[str, Mapping[str, Sequence[float]]]


def rows_of(log: JobLog, replicates: int, drifts: Drifts) -> Iterator[dict[str, Any]]:
    """One row a run of a job; a variant that was not to be had is not in it. ``drifts[variant][job]`` are offsets."""
    others = {name: drift_of_others(drifts.get(name, {}), log.job.name) for name in VARIANTS}
    own = offsets(log)["recalibrated"] if "recalibrated" in _kinds(log) else []
    held_out = 0
    for run, mends in _variants(log):
        drift = others | {"recalibrated": drift_so_far(others["recalibrated"], own[:held_out])}
        held_out += run.plan.held_out
        found = {
            name: compare_run(
                log, run, Spread(drift[name], replicates, POINTS, SEED), assembly=name != "profile", mend=mend
            )
            for name, mend in mends.items()
        }
        yield _about(log, run) | {
            "measured": metrics_of(found["assembly"].measured),
            "error": {name: metrics_of(one.error) for name, one in found.items()},
            "covered": {name: dict(zip(METRICS, one.covered.tolist())) for name, one in found.items()},
            "drift": {name: float(f"{drift[name]:.3g}") for name in found},
        }


def _kinds(log: JobLog) -> tuple[str, ...]:
    """Variants of the prediction that a job can have."""
    if not can_be_calibrated(log):
        return VARIANTS[:2]
    return VARIANTS[:3] if log.job.shares_gpu else VARIANTS


def _variants(log: JobLog) -> Iterator[tuple[JobRun, dict[str, Callable[[ServedStage], ServedStage]]]]:
    """Each run of a job, and by variant of the prediction what is done to the stage."""
    plain: dict[str, Callable[[ServedStage], ServedStage]] = {"profile": lambda s: s, "assembly": lambda s: s}
    kinds = _kinds(log)
    if kinds == VARIANTS:
        fitted = calibrate_job(log)
        for run, latest in calibrations_in_turn(log, fitted):
            yield run, plain | {"calibrated": fitted.mended, "recalibrated": latest.mended}
    else:
        calibrated = {"calibrated": calibrate_job(log).mended} if "calibrated" in kinds else {}
        yield from ((run, plain | calibrated) for run in log.runs)


def can_be_calibrated(log: JobLog) -> bool:
    """Whether one replica served it, or several that share a GPU, and some runs may be used."""
    return (log.job.processes == 1 or log.job.shares_gpu) and not all(run.plan.held_out for run in log.runs)


def drifts_of(logs: Sequence[JobLog]) -> dict[bool, Drifts]:
    """Offsets ``[is eager][variant][job]``: launching kernels one by one is less steady than replaying graphs."""
    found: dict[bool, dict[str, dict[str, Sequence[float]]]] = {False: {}, True: {}}
    for log in (each for each in logs if can_be_calibrated(each) and each.job.processes == 1):
        for variant, values in offsets(log).items():
            found[is_eager(log)].setdefault(variant, {})[log.job.name] = values
    return dict(found)


def drifts_for(log: JobLog, drifts: Mapping[bool, Drifts]) -> Drifts:
    """Offsets of jobs that ran as this one did; of those with graphs, where no other did."""
    alike = drifts[is_eager(log)]
    others = any(name != log.job.name for of_jobs in alike.values() for name in of_jobs)
    return alike if others else drifts[False]


def is_eager(log: JobLog) -> bool:
    return log.job.models[0].mode == "eager"


def _about(log: JobLog, run: JobRun) -> dict[str, Any]:
    plan = run.plan
    return {
        "job": log.job.name, "run": run.name, "arrivals": plan.arrivals, "load": plan.load,
        "max_batch": plan.max_batch, "max_wait_ms": [1e3 * wait for wait in plan.max_wait_s], "seed": plan.seed,
        "router": plan.router if log.job.replicas > 1 else None, "held_out": plan.held_out,
        "requests": len(run.log.arrival_s), "late_us": float(f"{1e6 * run.facts['late_s']['mean']:.3g}"),
    }  # fmt: skip


def metrics_of(values: Sequence[float] | np.ndarray) -> dict[str, float]:
    """By metric, in four digits."""
    return {metric: float(f"{value:.4g}") for metric, value in zip(METRICS, values)}


def machines_of(logs: Sequence[JobLog]) -> list[dict[str, Any]]:
    """Where and with what jobs were measured, each machine with its jobs."""
    found: dict[str, dict[str, Any]] = {}
    for log in logs:
        profile = log.found["profiles"][0]
        device = {key: value for key, value in profile["device"].items() if key != "id"}
        machine = {"date": log.found["date"][:10], "device": device, "versions": profile["provenance"]["versions"]}
        found.setdefault(json.dumps(machine), machine | {"jobs": []})["jobs"].append(log.job.name)
    return list(found.values())


def write_rows(path: Path, machines: list[dict[str, Any]], rows: list[dict[str, Any]]) -> None:
    """One row a line."""
    lines = ",\n".join(json.dumps(row) for row in rows)
    head = json.dumps({"format": "recfleet-fidelity", "machines": machines})[:-1]
    path.write_text(f'{head},\n"rows": [\n{lines}\n]}}\n', encoding="utf-8")


def job_logs(folders: Sequence[Path]) -> list[JobLog]:
    """All jobs of the folders that made any run."""
    paths = [path for folder in folders for path in sorted(folder.glob("*.json"))]
    logs = [read_job_log(path) for path in paths if path.with_suffix(".npz").exists()]
    return [log for log in logs if log.runs]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--drift-from", nargs="+", type=Path)
    parser.add_argument("--replicates", type=int, default=40)
    parser.add_argument("--json", type=Path, required=True)
    options = parser.parse_args()
    known = json.loads(options.json.read_text()) if options.json.exists() else {"rows": []}
    rows: list[dict[str, Any]] = known["rows"]
    logs = job_logs(options.folders)
    drifts = drifts_of(job_logs(options.drift_from) if options.drift_from else logs)
    for log in logs:
        if log.job.name not in {row["job"] for row in rows}:
            rows += rows_of(log, options.replicates, drifts_for(log, drifts))
            write_rows(options.json, machines_of(logs), rows)
    print(job_table(rows))


if __name__ == "__main__":
    main()
