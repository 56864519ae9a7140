"""One model profiled, loaded and served here and now, for a comparison with what is predicted."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from workloads.server.batching import BatchRule
from workloads.server.log import RunLog
from workloads.server.plan import JobPlan, ModelPlan, RunPlan
from workloads.server.team import team_of

__all__ = ["LiveRun", "serve_live"]


@dataclass(frozen=True)
class LiveRun:
    """What came of it: the profile's document, the measured assembly of batches, cold start, and the log."""

    profile: dict[str, Any]
    assembly: dict[str, Any]
    cold_start: dict[str, Any]
    log: RunLog


def serve_live(
    model: ModelPlan,
    rule: BatchRule,
    arrival_s: np.ndarray,
    folder: Path,
    profile_s: float,
    tell: Callable[[str], None] = lambda text: None,
) -> LiveRun:
    """Profile a model, load it anew, and serve arrivals by the wall clock.

    Parameters
    ----------
    model, rule
        What is served, and how it batches.
    arrival_s
        ``arrival_s[request]`` in rising order, from 0 on.
    folder
        Where drawn weights lie meanwhile.
    profile_s
        Time for the profile's timings.
    tell
        Called with what is being done.

    Raises
    ------
    InputError
        The model or the device is not there, or the mode does not run on it.
    """
    run = RunPlan(
        arrivals="trace", load=1.0, max_batch=(rule.max_batch,), max_wait_s=(rule.max_wait_s,), seconds=1.0
    )  # fmt: skip
    gpus = int(model.device == "cuda")
    job = JobPlan(name="live", models=(model,), gpus=gpus, profile_s=profile_s, runs=(run,))
    cores = sorted(os.sched_getaffinity(0))
    with team_of(job, folder, ["0"] * gpus, cores) as team:
        tell("profiling")
        profile = team.profile()[0]
        tell("loading")
        cold_start = team.load()[0]
        tell("timing the assembly of batches")
        assembly = team.facts("assembly")[0]
        team.facts("warm")
        tell(f"serving {len(arrival_s)} requests in {arrival_s[-1]:.1f} s")
        log = team.serve(arrival_s, (rule,), run.router, limit_s=float("inf"))
    return LiveRun(profile, assembly, cold_start, log)
