"""A run of a server's job, as its log was kept, against what the job's own profile predicts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from recfleet.validating import Uncertainty, Validated
from workloads.errors import InputError

if TYPE_CHECKING:
    from simulator.fidelity.calibration import Calibration
    from simulator.fidelity.comparison import Spread
    from simulator.fidelity.server_logs import JobLog, JobRun

__all__ = ["validate_job"]


def validate_job(
    path: Path, name: str | None, uncertainty: Uncertainty, calibration: Path | None, recalibrate: bool = False
) -> Validated:
    """Predict a run of a job from the profile that the job measured, with the assembly of batches as measured there.

    Parameters
    ----------
    path
        ``NAME.json`` of `workloads.server`, with ``NAME.npz`` beside it.
    name
        The run; by default the first that no calibration may be fitted on.
    calibration
        A file of ``recfleet calibrate`` on the same job.
    recalibrate
        Calibrate on the job's runs that may be used for it, and then on every run before this one, in their order.

    Raises
    ------
    InputError
        A file cannot be used, or there is no such run.
    """
    from simulator.fidelity.comparison import CALIBRATED_DRIFT, SERVED_DRIFT, Spread
    from simulator.fidelity.server_logs import compare_run, read_job_log

    log = read_job_log(path)
    run = _run_of(path, log, name)
    drift = SERVED_DRIFT if uncertainty.drift is None else uncertainty.drift
    applied: dict[str, Any] = {}
    found = _recalibrated(log, run) if recalibrate else _calibration_of(calibration, log) if calibration else None
    if found is not None:
        if uncertainty.drift is None:
            drift = max(CALIBRATED_DRIFT, found.drift)
        applied = {"calibration": str(calibration) if calibration else sorted(found.fitted_on)}
        applied |= {"factor": found.factor, "in_sample": run.name in found.fitted_on}
    spread = Spread(drift, uncertainty.replicates, seed=uncertainty.seed)
    comparison = compare_run(log, run, spread, mend=found.mended if found else lambda stage: stage)
    return Validated(comparison, run.log.requests(), _title(log, run, applied), _about(log, run, spread) | applied)


def _run_of(path: Path, log: JobLog, name: str | None) -> JobRun:
    runs = {run.name: run for run in log.runs}
    if name is None:
        return next((run for run in log.runs if run.plan.held_out), log.runs[0])
    if name not in runs:
        raise InputError(f"--run {name}", f"{path} has no such run", f"give one of {', '.join(runs)}")
    return runs[name]


def _recalibrated(log: JobLog, run: JobRun) -> Calibration:
    """The calibration as the runs before this one have left it."""
    from simulator.fidelity.server_logs import calibrate_job, calibrations_in_turn

    if log.job.processes > 1:
        problem = f"{log.job.name} was served by several processes"
        raise InputError("--recalibrate", problem, "use --calibration where they share a GPU, or leave it out")
    return next(found for each, found in calibrations_in_turn(log, calibrate_job(log)) if each.name == run.name)


def _calibration_of(path: Path, log: JobLog) -> Calibration:
    from simulator.fidelity.calibration_file import read_calibration

    found = read_calibration(path)
    if found.name != log.job.name:
        raise InputError(f"--calibration {path}", f"is of {found.name}, not of {log.job.name}", "give one of this job")
    if not found.assembly:
        raise InputError(f"--calibration {path}", "was fitted on a log, not on a job", "fit one with --server-log")
    return found


def _title(log: JobLog, run: JobRun, applied: dict[str, Any]) -> str:
    plan, device = run.plan, log.found["profiles"][0]["device"]["name"]
    count, served = len(run.log.arrival_s), run.requests_served
    requests = f"the first {count:,} of {served:,} requests" if served > count else f"{count:,} requests"
    title = (
        f"{log.job.name} on {device}, {run.name}: {requests}, {plan.arrivals} at "
        f"load {plan.load:g}, predicted from the job's own profile and assembly of batches"
    )
    if not applied:
        return title
    return f"{title}, calibrated" + (" on this very run: no test of it" if applied["in_sample"] else "")


def _about(log: JobLog, run: JobRun, spread: Spread) -> dict[str, Any]:
    """Of one stage as of any log; of several, the rules in a list."""
    plan, device = run.plan, log.found["profiles"][0]["device"]
    waits_ms = [1e3 * wait_s for wait_s in plan.max_wait_s]
    return {
        "job": log.job.name,
        "run": run.name,
        "device": device["id"],
        "requests": len(run.log.arrival_s),
        "requests_served": run.requests_served,
        "max_batch": plan.max_batch[0] if len(plan.max_batch) == 1 else list(plan.max_batch),
        "max_wait_ms": waits_ms[0] if len(waits_ms) == 1 else waits_ms,
        "replicas": log.job.replicas,
        "replicates": spread.replicates,
        "drift": spread.drift,
        "seed": spread.seed,
    }
