"""Logs of `workloads.server` jobs, each run held against its prediction from the job's own profile."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from simulator.fidelity.calibration import Calibration, batches_of, fit
from simulator.fidelity.comparison import Comparison, Spread, compare
from simulator.fidelity.setup import ServedStage, served_stage, with_assembly
from simulator.fidelity.turns import turns_of
from workloads.errors import InputError
from workloads.interpolation import interpolate
from workloads.profile import ModelProfile, profile_from_document
from workloads.server.log import RunLog
from workloads.server.log_files import read_log
from workloads.server.plan import JobPlan, RunPlan

__all__ = ["JobLog", "JobRun", "calibrate_job", "calibrations_in_turn", "compare_run", "read_job_log"]


@dataclass(frozen=True, eq=False)
class JobRun:
    """A run of a job: its place in the file, what was asked, what the server says of it, and the log."""

    name: str
    plan: RunPlan
    facts: dict[str, Any]
    log: RunLog

    @property
    def requests_served(self) -> int:
        """Requests of the whole run, of which a kept log may hold the first."""
        return int(self.facts.get("kept_of", len(self.log.arrival_s)))


@dataclass(frozen=True, eq=False)
class JobLog:
    """A job's file: the job, everything in the JSON, and the runs that were made (not those that saturate)."""

    job: JobPlan
    found: dict[str, Any]
    runs: tuple[JobRun, ...]

    def stages(self, run: RunPlan, assembly: bool = True) -> list[ServedStage]:
        """What served a run, as the data plane knows it; with what the job measured beside the profile (the assembly of
        batches, idle processes on the same GPU), or without."""
        job, found = self.job, self.found
        made = []
        for s, document in enumerate(found["profiles"]):
            profile = profile_from_document(document, where=job.name)
            largest = int(profile.batch_sizes[-1])
            shares = job.replicas > 1 and "interference" in document and job.gpus <= 1
            stage = served_stage(
                profile, min(run.max_batch[s], largest), run.max_wait_s[s], job.replicas, run.router, shares
            )
            if assembly:
                stage = with_assembly(stage.scaled(self._beside(profile)), found["assembly"][s * job.replicas])
            made.append(stage)
        return made

    def _beside(self, profile: ModelProfile) -> float:
        """How many times its latency a replica takes beside idle processes on its GPU, as the job measured; else 1.

        A profile is of a process that has the GPU for itself.
        """
        if not self.found.get("beside"):
            return 1.0
        return float(np.mean(_again(self.found["beside"], profile)))

    def items(self, stages: Sequence[ServedStage]) -> int:
        """Items of a request, where stages count them.

        Raises
        ------
        InputError
            Two stages count different numbers: the data plane knows one number of a request.
        """
        units = {
            model.request_units for model, stage in zip(self.job.models, stages, strict=True) if stage.counts_items
        }  # fmt: skip
        if len(units) > 1:
            problem = f"its stages take {' and '.join(map(str, sorted(units)))} items of a request"
            raise InputError(self.job.name, problem, "predict jobs whose stages take the same number")
        return units.pop() if units else 1


def read_job_log(path: Path) -> JobLog:
    """Read ``NAME.json`` and the ``NAME.npz`` beside it.

    Raises
    ------
    InputError
        One of them is missing, the first is no server's log, or the second is not the one that it was written for.
    """
    found, arrays = read_log(path)
    try:
        job = JobPlan.model_validate(found["job"])
        return JobLog(job, found, tuple(_runs(job, found, arrays)))
    except (KeyError, TypeError, ValueError) as error:
        what = " ".join(str(error).split())[:200]
        raise InputError(str(path), f"is no whole server's log ({what})", "give the files as written") from None


def _runs(job: JobPlan, found: dict[str, Any], arrays: dict[str, np.ndarray]) -> Iterator[JobRun]:
    units = tuple(model.request_units for model in job.models)
    for facts in found["runs"]:
        if "plan" in facts:
            prefix = f"{facts['name']}."
            own = {key.removeprefix(prefix): values for key, values in arrays.items() if key.startswith(prefix)}
            plan = RunPlan.model_validate(facts["plan"])
            yield JobRun(facts["name"], plan, facts, RunLog.from_arrays(own, units))


def compare_run(
    log: JobLog,
    run: JobRun,
    spread: Spread,
    assembly: bool = True,
    mend: Callable[[ServedStage], ServedStage] = lambda stage: stage,
) -> Comparison:
    """Predict a run from its job's profile and compare.

    Parameters
    ----------
    log, run
        The job and one of its runs.
    spread
        How intervals are reckoned.
    assembly
        Whether batches take the measured time of assembly beside the profile's.
    mend
        Applied to each stage: what a calibration found.
    """
    stages = [mend(stage) for stage in log.stages(run.plan, assembly)]
    requests = run.log.requests()
    items = np.full(len(requests.arrival_s), log.items(stages)) if any(stage.counts_items for stage in stages) else None
    return compare(requests, stages, spread, items)


def _again(latency: dict[str, Any], profile: ModelProfile) -> np.ndarray:
    """``[size]`` how many times the profile's latency the sizes took that were timed again."""
    expected_s = interpolate(profile.batch_sizes, profile.mean_s, np.array(latency["batch_sizes"]))
    return np.array(latency["mean_s"]) / expected_s


def calibrations_in_turn(log: JobLog, first: Calibration) -> Iterator[tuple[JobRun, Calibration]]:
    """Each run of a job of one replica, and the calibration as it was before it: ``first``, then updated by every run.

    So an operator calibrates who lets each log, once it has been predicted, tell of the machine as it is by now.
    """
    for run in log.runs:
        yield run, first
        batches = batches_of(run.name, run.log.requests())
        first = first.updated(log.stages(run.plan)[0], batches, f"{log.job.name} of {log.found.get('date', '')}")


def calibrate_job(log: JobLog, assembly: bool = True) -> Calibration:
    """Fit a calibration on those runs of a job that may be used for it.

    For one replica it is a factor and what idle time costs (`fit`); for replicas that take turns on one GPU, what their
    turns cost (`turns_of`).

    Raises
    ------
    InputError
        There are no such runs, or several stages, or replicas with devices of their own, served them.
    """
    runs = [run for run in log.runs if not run.plan.held_out]
    if not runs:
        raise InputError(log.job.name, "has no runs to calibrate on", "give a job with runs that are not held out")
    stage = log.stages(runs[0].plan, assembly)[0]
    known_by = {run.name: f"{log.job.name} of {log.found.get('date', '')}" for run in runs}
    if log.job.shares_gpu:
        return _turns_of_job(log, runs, stage, known_by, assembly)
    if log.job.processes > 1:
        raise InputError(log.job.name, "was served by several replicas or stages", "calibrate on one replica's log")
    logs = [batches_of(run.name, run.log.requests()) for run in runs]
    return replace(fit(log.job.name, stage, logs, known_by), assembly=assembly)


def _turns_of_job(
    log: JobLog, runs: Sequence[JobRun], stage: ServedStage, known_by: dict[str, str], assembly: bool
) -> Calibration:
    """What turns cost, the mean over runs."""
    found = [turns_of(log.job.name, stage, run.log.stages[0].replicas) for run in runs]
    turn_s, waiting_s = (float(np.mean([each[k] for each in found])) for k in range(2))
    return Calibration(
        log.job.name, factor=1.0, cold_s=stage.table.cold_s, drift=0.0, correlation=0.0,
        batches=sum(each[2] for each in found), left_out=0, fitted_on=known_by, assembly=assembly, turn_s=turn_s,
        turn_waiting_s=waiting_s,
    )  # fmt: skip
