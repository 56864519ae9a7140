"""One job from beginning to end: profile, load, capacity, runs, a few sizes once more, and the files."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from workloads.server.arrivals import arrivals
from workloads.server.batching import BatchRule
from workloads.server.log import RunLog
from workloads.server.log_files import write_log
from workloads.server.plan import JobPlan, RunPlan
from workloads.server.team import Team, TeamError, team_of

__all__ = ["run_job"]

_SATURATED_S = 0.7
_MOST_SATURATED = 100_000
_RUN_OVERHEAD_S = 1.5
_OVERTIME = 2.0


def run_job(
    job: JobPlan,
    out: Path,
    weights_folder: Path,
    gpus: list[str],
    cores: list[int],
    deadline_s: float,
    patterns: Path | None,
    tell: Callable[[str], None],
) -> None:
    """Measure a job and write ``NAME.json`` and ``NAME.npz`` into ``out``.

    Runs that would end after ``deadline_s`` (of `time.perf_counter`) are left out, and named in the file. Both files
    are written after every run, so that what was measured stays, whatever comes of a later run.
    """
    record = _Record(job, out)
    with team_of(job, weights_folder, gpus, cores) as team:
        tell("profiling")
        record.found["profiles"] = team.profile()
        tell("loading")
        record.found["cold_starts"] = team.load()
        if job.shares_gpu:  # by one while the others are idle: several at once would count the wait for the GPU
            record.found["assembly"] = [team.first("assembly")] * job.replicas
            record.found["beside"] = team.first("time_again", job.again_s)
        else:
            record.found["assembly"] = team.facts("assembly")
        record.found["poll_s"] = team.facts("poll_s")
        try:
            _measure(job, team, record, deadline_s, patterns, tell)
        finally:
            record.write()
    tell("done")


class _Record:
    """What the files will hold."""

    def __init__(self, job: JobPlan, out: Path) -> None:
        self.job, self.out, self.begun_s = job, out, time.perf_counter()
        self.arrays: dict[str, np.ndarray] = {}
        self.found: dict[str, Any] = {
            "job": job.model_dump(mode="json"),
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "runs": [],
            "left_out": [],
        }

    def since_begun_s(self) -> float:
        return time.perf_counter() - self.begun_s

    def add(self, name: str, log: RunLog, facts: dict[str, Any]) -> None:
        facts["ended_s"] = round(self.since_begun_s(), 2)
        self.arrays |= {f"{name}.{key}": values for key, values in log.arrays().items()}
        self.found["runs"].append({"name": name, **facts})
        self.write()

    def write(self) -> None:
        self.found["took_s"] = round(self.since_begun_s(), 1)
        write_log(self.found, self.arrays, self.out / f"{self.job.name}.json")


def _measure(
    job: JobPlan,
    team: Team,
    record: _Record,
    deadline_s: float,
    patterns: Path | None,
    tell: Callable[[str], None],
) -> None:
    """All runs, each after the saturation that its cap asks for; then a few sizes again."""
    capacity_rps: dict[tuple[Any, ...], float] = {}
    until_s = deadline_s - 2.0 * job.again_s - 2.0
    for number, run in enumerate(job.runs):
        needed_s = run.seconds + _RUN_OVERHEAD_S
        key = (run.max_batch, run.router)
        if key not in capacity_rps and time.perf_counter() + needed_s <= until_s:
            tell(f"capacity at {list(run.max_batch)}")
            capacity_rps[key] = _saturate(job, team, record, run, f"capacity{len(capacity_rps)}")
        if time.perf_counter() + needed_s > until_s:
            record.found["left_out"].append(number)
            continue
        rate_rps = run.load * capacity_rps[key]
        count = max(1, min(run.most_requests, int(rate_rps * run.seconds)))
        arrival_s = arrivals(run.arrivals, rate_rps, count, run.seed, patterns)
        limit_s = min(_OVERTIME * float(arrival_s[-1]) + 1.0, until_s - time.perf_counter())
        log, facts = _replay(team, arrival_s, run, limit_s)
        facts |= {"plan": run.model_dump(mode="json"), "rate_rps": rate_rps, "capacity_rps": capacity_rps[key]}
        facts |= {"cut_short": len(arrival_s) - len(log.arrival_s)}
        if len(log.arrival_s) > 0:
            record.add(f"run{number:03d}", log, facts)
        else:
            record.found["left_out"].append(number)
        name = f"{number + 1}/{len(job.runs)} {run.arrivals} {run.load:g} of {capacity_rps[key]:.0f}/s"
        tell(f"{name}: {_outcome(log, facts['cut_short'])}")
    tell("timing a few sizes again")
    record.found["again"] = team.facts("time_again", job.again_s)


def _saturate(job: JobPlan, team: Team, record: _Record, run: RunPlan, name: str) -> float:
    """Requests a second that the server manages with all of them there at once."""
    count, promised_s = _saturating_requests(record.found["profiles"], job, run)
    log, facts = _replay(team, np.zeros(count), run, 10.0 * promised_s)
    capacity_rps = _saturated_rps(log, count)
    record.add(
        name, log, facts | {"capacity_rps": capacity_rps, "max_batch": run.max_batch} | {"max_wait_s": run.max_wait_s}
    )
    return capacity_rps


def _outcome(log: RunLog, cut_short: int) -> str:
    """What is told of a run."""
    if len(log.arrival_s) == 0:
        return "none was answered in time"
    done = log.requests()
    latency_ms = 1e3 * np.quantile(done.done_s - done.arrival_s, [0.5, 0.99])
    told = f"p50 {latency_ms[0]:.3f}, p99 {latency_ms[1]:.3f} ms"
    return told + (f"; overloaded, the last {cut_short} of {cut_short + len(done.done_s)} cut" if cut_short else "")


def _replay(team: Team, arrival_s: np.ndarray, run: RunPlan, limit_s: float) -> tuple[RunLog, dict[str, Any]]:
    """One run, and what is said of it beside the log: the loop's own time, and the device before and after."""
    rules = tuple(BatchRule(*pair) for pair in zip(run.max_batch, run.max_wait_s))
    before = team.facts("state")
    team.facts("warm")
    team.facts("core")
    began_s = time.perf_counter()
    log = team.serve(arrival_s, rules, run.router, limit_s)
    took_s = time.perf_counter() - began_s
    facts = {"took_s": round(took_s, 3), "requests": len(log.arrival_s), "before": before, "after": team.facts("state")}
    facts["core"] = team.facts("core")
    facts["late_s"] = _spread(log.lateness_s(rules))
    batches = [each for stage in log.stages for each in stage.replicas]
    facts["staging_s"] = [_spread(each.staged_s - each.start_s) for each in batches]
    return log, facts


def _spread(values: np.ndarray) -> dict[str, float]:
    """Mean, median, 99 % and the largest, in six digits."""
    if len(values) == 0:
        return {}
    numbers = {"mean": values.mean(), "p50": np.median(values), "p99": np.quantile(values, 0.99), "max": values.max()}
    return {name: float(f"{number:.6g}") for name, number in numbers.items()}


def _saturating_requests(profiles: list[dict[str, Any]], job: JobPlan, run: RunPlan) -> tuple[int, float]:
    """As many requests as the slowest stage serves in `_SATURATED_S`, and at least eight full batches; in what time."""
    counts, full_s = [], []
    for stage, document in enumerate(profiles):
        latency, units = document["latency"], job.models[stage].request_units
        mean_s = float(np.interp(run.max_batch[stage], latency["batch_sizes"], latency["mean_s"]))
        full = max(1, run.max_batch[stage] // units) * job.replicas
        counts.append(full * max(8.0, _SATURATED_S / mean_s))
        full_s.append(8.0 * mean_s)
    return int(min([*counts, _MOST_SATURATED])), max([*full_s, _SATURATED_S])


def _saturated_rps(log: RunLog, asked: int) -> float:
    """Requests a second between the first fifth of the answers and the last tenth."""
    done_s = np.sort(log.requests().done_s)
    first, last = len(done_s) // 5, len(done_s) * 9 // 10
    if len(done_s) == 0 or done_s[first] == done_s[last]:
        raise TeamError(f"capacity cannot be measured: {len(done_s)} of {asked} requests were answered in time")
    served = np.searchsorted(done_s, done_s[[first, last]], "right")  # whole batches: from the end of one to another's
    return float((served[1] - served[0]) / (done_s[last] - done_s[first]))
