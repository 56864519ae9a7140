"""`python -m workloads.server PLAN.json --out DIR`: carry out a plan of measurements on this machine.

Each job writes NAME.json (what was served, profiles, cold starts, capacity, the loop's own time) and NAME.npz (every
request's arrival, every batch's start and end). `python -m workloads.server.planning` makes plans.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
import traceback
from pathlib import Path

from workloads.errors import InputError, RecfleetError
from workloads.server.arrivals import arrivals
from workloads.server.lifeline import asked_to_end, end_with_standard_input
from workloads.server.plan import ServerPlan, read_plan

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Carry out the plan; 0 where all was measured, 1 where something was not, 2 where nothing can be, 130 stopped."""
    options = _parser().parse_args(arguments)
    try:
        with asked_to_end():
            return _main(options)
    except KeyboardInterrupt:
        print(f"interrupted: runs that were finished are in {options.out}", file=sys.stderr)
        return 130
    except RecfleetError as error:
        print(error, file=sys.stderr)
        return 2


def _main(options: argparse.Namespace) -> int:
    plan = read_plan(options.plan)
    if options.job:
        return _one_job(plan, options)
    from workloads.server.driver import run_plan

    _check(plan, options)
    gpus = _gpus(plan, options.gpus)
    return int(run_plan(plan, options.out, gpus, options.budget_s, options.patterns) > 0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m workloads.server", description=__doc__)
    parser.add_argument("plan", type=Path, help="plan of measurements")
    parser.add_argument("--out", type=Path, required=True, help="folder for the logs")
    parser.add_argument("--budget-s", type=float, default=3600.0, help="leave out what would end after so many seconds")
    parser.add_argument("--gpus", default="", help="numbers of the GPUs to use, as 0,1; by default all")
    parser.add_argument("--patterns", type=Path, default=None, help="npz of real arrival patterns")
    parser.add_argument("--job", default="", help=argparse.SUPPRESS)
    return parser


def _check(plan: ServerPlan, options: argparse.Namespace) -> None:
    """`InputError` for what would be found amiss only in the midst of measuring."""
    if not options.budget_s > 0.0:
        raise InputError("--budget-s", f"{options.budget_s:g} is not a positive number", "give seconds, as in 3600")
    for kind in sorted({run.arrivals for job in plan.jobs for run in job.runs}):
        arrivals(kind, rate_rps=1.0, requests=1, seed=0, patterns=options.patterns)


def _gpus(plan: ServerPlan, asked: str) -> list[str]:
    needed = max(job.gpus for job in plan.jobs)
    if needed == 0:
        return []
    if asked:
        found = asked.split(",")
    else:
        import torch

        found = [str(number) for number in range(torch.cuda.device_count())]
    if len(found) < needed:
        raise InputError("--gpus", f"the plan needs {needed} GPUs, {len(found)} are here", "leave those jobs out")
    return found


def _one_job(plan: ServerPlan, options: argparse.Namespace) -> int:
    """What the driver's processes do."""
    end_with_standard_input()
    from workloads.server.job import run_job

    orders = json.loads(options.job)
    job = next(job for job in plan.jobs if job.name == orders["job"])
    began_s = time.perf_counter()
    weights = Path(orders["weights"])

    def tell(text: str) -> None:
        print(f"{job.name} {time.perf_counter() - began_s:6.1f} s: {text}", flush=True)

    try:
        run_job(
            job, options.out, weights, orders["gpus"], orders["cores"], orders["deadline_s"], options.patterns, tell
        )
    except Exception as error:
        tell(f"failed: {''.join(traceback.format_exception_only(error)).strip()}")
        if os.environ.get("RECFLEET_DEBUG", "") not in ("", "0"):
            traceback.print_exc()
        return 1
    finally:
        shutil.rmtree(weights, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
