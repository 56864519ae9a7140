"""Many jobs at once: each in a process of its own, on GPUs and cores of its own, until the budget is spent.

No job outlives the driver: the driver ends them when it is interrupted, and they end by themselves when it is gone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from workloads.errors import InputError
from workloads.server.lifeline import end_all
from workloads.server.plan import JobPlan, ServerPlan, write_plan

__all__ = ["run_plan"]

_PROGRAM = (sys.executable, "-m", "workloads.server")
"""Carries out a job."""
_LEAST_S = 25.0
"""A job is not begun with less time left than this."""
_GRACE_S = 40.0
"""So long after the deadline a job that should have ended is ended."""


@dataclass
class _Running:
    job: JobPlan
    process: subprocess.Popen[bytes]
    gpus: list[str]
    cores: list[int]

    def let_go(self) -> None:
        """Close the pipe that tells a job of its driver's end."""
        assert self.process.stdin is not None
        self.process.stdin.close()


def run_plan(plan: ServerPlan, out: Path, gpus: list[str], budget_s: float, patterns: Path | None) -> int:
    """Carry out all jobs; how many failed or were not begun.

    A job gets the GPUs that it asks for, and with each an equal share of the machine's cores; jobs without a GPU run
    one at a time on the share that is left over for them. Jobs are begun in the plan's order; one that does not fit
    yet lets later ones pass.
    """
    deadline_s = time.perf_counter() + budget_s
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {out}", f"cannot be made ({error.strerror})", "give another folder") from None
    free_gpus, shares = list(gpus), _shares(plan, gpus)
    waiting, failed = list(plan.jobs), 0
    running: list[_Running] = []
    with tempfile.TemporaryDirectory(prefix="recfleet-server-") as folder:
        write_plan(plan, Path(folder) / "plan.json")
        try:
            while waiting or running:
                if time.perf_counter() > deadline_s + _GRACE_S:
                    end_all(each.process for each in running)
                for each in [each for each in running if each.process.poll() is not None]:
                    running.remove(each)
                    each.let_go()
                    free_gpus += each.gpus
                    failed += each.process.returncode != 0
                on_cpu = any(not each.gpus for each in running)
                for job in list(waiting):
                    if deadline_s - time.perf_counter() < min(_LEAST_S, budget_s / 2):
                        break
                    if job.gpus > len(free_gpus) or (job.gpus == 0 and on_cpu):
                        continue
                    taken = sorted(free_gpus)[: job.gpus]
                    cores = sorted({core for gpu in taken for core in shares[gpu]} if taken else shares["cpu"])
                    if not cores:
                        continue
                    free_gpus = [gpu for gpu in free_gpus if gpu not in taken]
                    on_cpu = on_cpu or not taken
                    waiting.remove(job)
                    running.append(_begin(job, Path(folder), out, taken, cores, deadline_s, patterns))
                if not running:
                    break
                time.sleep(0.2)
        finally:
            end_all(each.process for each in running)
    for job in waiting:
        print(f"{job.name}: not begun", flush=True)
    return failed + len(waiting)


def _shares(plan: ServerPlan, gpus: list[str]) -> dict[str, list[int]]:
    """Cores of each GPU, and of ``cpu``: what jobs without a GPU run on, half the machine where both kinds run."""
    cores = sorted(os.sched_getaffinity(0))
    if not gpus:
        return {"cpu": cores}
    cpu_jobs = any(job.gpus == 0 for job in plan.jobs)
    left = cores[: len(cores) // 2] if cpu_jobs else cores
    each = len(left) // len(gpus)
    shares = {gpu: left[number * each : (number + 1) * each] for number, gpu in enumerate(gpus)}
    return shares | {"cpu": cores[len(left) :]}


def _begin(
    job: JobPlan,
    folder: Path,
    out: Path,
    gpus: list[str],
    cores: list[int],
    deadline_s: float,
    patterns: Path | None,
) -> _Running:
    orders = {
        "job": job.name,
        "gpus": gpus,
        "cores": cores,
        "deadline_s": deadline_s,
        "weights": str(folder / job.name),
    }
    command = [*_PROGRAM, str(folder / "plan.json"), "--out", str(out)]
    command += ["--job", json.dumps(orders)] + (["--patterns", str(patterns)] if patterns else [])
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ",".join(gpus)}
    print(f"{job.name}: begun on {'GPU ' + ', '.join(gpus) if gpus else 'the CPU'}, cores {cores}", flush=True)
    # In a session of its own, an interrupt from the terminal reaches the driver alone, which then ends its jobs.
    process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, start_new_session=True)
    return _Running(job, process, gpus, cores)
