"""`python -m workloads.server.planning h200 --out PLAN.json`: the plans of docs/fidelity.md.

Each model is served at its base cap and wait under three kinds of arrivals at four loads, with a second seed for
Poisson, and at two other caps and waits. Only Poisson arrivals at loads 0.3 and 0.6 of the base cap, seed 1, may be
used to calibrate: all else is held out.
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workloads.errors import InputError, RecfleetError
from workloads.server.plan import MOST_REPLICAS, JobPlan, ModelPlan, RunPlan, ServerPlan, write_plan

__all__ = ["cpu_plan", "h200_plan", "main", "smoke_plan", "tiny_plan"]

LOADS = (0.3, 0.6, 0.8, 0.9)
CALIBRATING_LOADS = (0.3, 0.6)
PATTERN = "impressions"
BURSTY_PATTERN = "code_assistant"
_LEAST_SCALE = 1e-3


@dataclass(frozen=True)
class Served:
    """A model, items of a request, the base cap in units and the base wait, and how long a run takes."""

    model: str
    request_units: int
    max_batch: int
    max_wait_s: float
    seconds: float
    most_requests: int = 60_000

    def plan(self, device: str, precision: str, mode: str, **fields: Any) -> ModelPlan:
        return ModelPlan.model_validate(
            {"model": self.model, "request_units": self.request_units, "device": device, "precision": precision}
            | {"mode": mode}
            | fields
        )

    def run(self, arrivals: str, load: float, **fields: Any) -> RunPlan:
        """A run at the base cap and wait, unless ``fields`` says otherwise."""
        return RunPlan.model_validate(
            {"arrivals": arrivals, "load": load, "max_batch": (self.max_batch,), "max_wait_s": (self.max_wait_s,)}
            | {"seconds": self.seconds, "most_requests": self.most_requests}
            | fields
        )

    def all_runs(self) -> tuple[RunPlan, ...]:
        """The whole cross, what matters most first."""
        runs = [self.run("poisson", load, held_out=load not in CALIBRATING_LOADS) for load in LOADS]
        runs += [self.run("gamma", load) for load in LOADS]
        runs += [self.run("poisson", load, max_batch=(cap,), max_wait_s=(wait_s,)) for cap, wait_s in self.others()
                 for load in (0.6, 0.9)]  # fmt: skip
        runs += [self.run(PATTERN, load) for load in LOADS]
        runs += [self.run("poisson", load, seed=2) for load in LOADS]
        return (*runs, self.run(BURSTY_PATTERN, 0.3))

    def others(self) -> tuple[tuple[int, float], ...]:
        """Half the cap with no wait, and a quarter of it with twice the wait."""
        half, quarter = (max(self.max_batch // part, self.request_units) for part in (2, 4))
        return (half, 0.0), (quarter, 2.0 * self.max_wait_s)

    def few_runs(self) -> tuple[RunPlan, ...]:
        return (
            *(self.run("poisson", load, held_out=load not in CALIBRATING_LOADS) for load in LOADS),
            *(self.run("gamma", load) for load in (0.6, 0.9)),
        )

    def router_runs(self) -> tuple[RunPlan, ...]:
        """The first may be used to fit what it costs to take turns on one GPU."""
        routers = ("least_outstanding", "round_robin")
        pairs = (("poisson", 0.6), ("poisson", 0.9), ("gamma", 0.8))
        runs = [self.run(kind, load, router=router) for kind, load in pairs for router in routers]
        return (runs[0].model_copy(update={"held_out": False}), *runs[1:])


ON_H200 = {
    "fp32": (
        Served("dlrm", 256, 4096, 1e-3, 3.0, 100_000),
        Served("sasrec", 1, 32, 2e-3, 4.0, 120_000),
        Served("two_tower", 1, 32, 2e-3, 4.0, 120_000),
        Served("bert_reranker", 8, 64, 5e-3, 8.0),
    ),
    "bf16": (
        Served("dlrm", 256, 4096, 1e-3, 3.0, 100_000),
        Served("sasrec", 1, 32, 1e-3, 4.0, 120_000),
        Served("two_tower", 1, 32, 1e-3, 4.0, 120_000),
        Served("bert_reranker", 8, 64, 2e-3, 5.0),
    ),
}
EAGER_ON_H200 = (("bert_reranker", "fp32"), ("bert_reranker", "bf16"), ("two_tower", "fp32"))


def h200_plan(gpus: int) -> ServerPlan:
    """All of it; the modes that need two GPUs only where there are so many."""
    served = {(each.model, precision): each for precision, models in ON_H200.items() for each in models}
    sasrec, dlrm, two_tower = (served[name, "fp32"] for name in ("sasrec", "dlrm", "two_tower"))
    jobs = []
    if gpus >= 2:
        fields: dict[str, Any] = {"max_batch": (32, 4096), "max_wait_s": (2e-3, 1e-3)}
        kinds = (("poisson", 0.3), ("poisson", 0.6), ("poisson", 0.9), ("gamma", 0.6), ("gamma", 0.9))
        funnel_runs = tuple(sasrec.run(kind, load, **fields) for kind, load in kinds)
        models = (sasrec.plan("cuda", "fp32", "cuda_graph"), dlrm.plan("cuda", "fp32", "cuda_graph"))
        jobs += [
            JobPlan(name="sasrec-fp32-graph-2gpus", models=models[:1], replicas=2, gpus=2, runs=sasrec.router_runs()),
            JobPlan(name="funnel-sasrec-dlrm-fp32-graph", models=models, gpus=2, runs=funnel_runs),
        ]
    for (name, precision), each in served.items():
        model = each.plan("cuda", precision, "cuda_graph")
        jobs.append(JobPlan(name=f"{name}-{precision}-graph", models=(model,), gpus=1, runs=each.all_runs()))
    for each in (two_tower, sasrec):
        model = each.plan("cuda", "fp32", "cuda_graph")
        jobs.append(
            JobPlan(
                name=f"{each.model}-fp32-graph-shared", models=(model,), replicas=2, gpus=1, interference_s=4.0,
                runs=each.router_runs(),
            )
        )  # fmt: skip
    for name, precision in EAGER_ON_H200:
        each = served[name, precision]
        model = each.plan("cuda", precision, "eager")
        jobs.append(JobPlan(name=f"{name}-{precision}-eager", models=(model,), gpus=1, runs=each.few_runs()))
    return ServerPlan(jobs=tuple(jobs))


def cpu_plan(cores: int) -> ServerPlan:
    """For a machine without a GPU: one replica on all cores, one a core, and a funnel with a core a stage."""
    dlrm = Served("dlrm", 16, 256, 5e-3, 12.0)
    two_tower = Served("two_tower", 1, 8, 20e-3, 30.0)
    sasrec = Served("sasrec", 1, 4, 20e-3, 30.0)
    jobs = [
        JobPlan(
            name=f"{each.model}-cpu{cores}-fp32", models=(each.plan("cpu", "fp32", "eager"),), profile_s=12.0,
            again_s=3.0, runs=each.few_runs(),
        )
        for each in (dlrm, two_tower, sasrec)
    ]  # fmt: skip
    if cores >= 2:
        one = dlrm.plan("cpu", "fp32", "eager", threads=1)
        turns = tuple(dlrm.run("poisson", load, router="round_robin") for load in (0.3, 0.6, 0.9))
        fields: dict[str, Any] = {"max_batch": (8, 256), "max_wait_s": (20e-3, 5e-3)}
        funnel = tuple(two_tower.run("poisson", load, **fields) for load in (0.3, 0.6, 0.8))
        jobs += [
            JobPlan(
                name=f"dlrm-{cores}processes-fp32", models=(one,), replicas=cores, router_process=False, profile_s=8.0,
                interference_s=8.0, again_s=2.0, runs=turns,
            ),
            JobPlan(
                name="funnel-two_tower-dlrm-cpu", models=(two_tower.plan("cpu", "fp32", "eager", threads=1), one),
                router_process=False, profile_s=8.0, again_s=2.0, runs=funnel,
            ),
        ]  # fmt: skip
    return ServerPlan(jobs=tuple(jobs))


def tiny_plan() -> ServerPlan:
    """Small models and short runs, on a CPU: to see that it works."""
    served = Served("two_tower", 1, 4, 2e-3, 0.3, 400)
    config = {"users": 500, "items": 2000, "dim": 16, "history_length": 5, "context_features": 3, "hidden": [16]}
    model = served.plan("cpu", "fp32", "eager", threads=1, config=config)
    runs = (served.run("poisson", 0.3, held_out=False), served.run("gamma", 0.6))
    turns = (served.run("poisson", 0.3, router="round_robin"),)
    funnel = (served.run("poisson", 0.3, max_batch=(4, 2), max_wait_s=(1e-3, 0.0)),)
    times: dict[str, Any] = {"profile_s": 0.3, "again_s": 0.1}
    return ServerPlan(
        jobs=(
            JobPlan(name="tiny", models=(model,), runs=runs, **times),
            JobPlan(name="tiny-2processes", models=(model,), replicas=2, router_process=False, runs=turns, **times),
            JobPlan(name="tiny-funnel", models=(model, model), router_process=False, runs=funnel, **times),
        )
    )


def smoke_plan(gpus: int) -> ServerPlan:
    """Small models and short runs in every mode that `h200_plan` has: a minute that saves ten."""
    served = Served("two_tower", 1, 4, 1e-3, 0.3, 2_000)
    ranked = Served("dlrm", 4, 16, 1e-3, 0.3, 2_000)
    config = {"users": 500, "items": 2000, "dim": 16, "history_length": 5, "context_features": 3, "hidden": [16]}
    model = served.plan("cuda", "fp32", "cuda_graph", config=config)
    second = ranked.plan("cuda", "bf16", "cuda_graph", config={"table_rows": [100, 30]})
    eager = served.plan("cuda", "bf16", "eager", config=config)
    runs = (served.run("poisson", 0.3), served.run("gamma", 0.9))
    routed = tuple(served.run("poisson", 0.6, router=router) for router in ("least_outstanding", "round_robin"))
    funnel = (served.run("poisson", 0.6, max_batch=(4, 16), max_wait_s=(1e-3, 0.0)),)
    times: dict[str, Any] = {"profile_s": 0.5, "again_s": 0.2}
    jobs = [
        JobPlan(name="smoke", models=(model,), gpus=1, runs=runs, **times),
        JobPlan(name="smoke-eager", models=(eager,), gpus=1, runs=runs[:1], **times),
        JobPlan(
            name="smoke-shared", models=(model,), replicas=2, gpus=1, interference_s=1.0, runs=routed, **times
        ),
    ]  # fmt: skip
    if gpus >= 2:
        jobs.append(JobPlan(name="smoke-2gpus", models=(model,), replicas=2, gpus=2, runs=routed, **times))
        jobs.append(JobPlan(name="smoke-funnel", models=(model, second), gpus=2, runs=funnel, **times))
    return ServerPlan(jobs=tuple(jobs))


def _scaled(plan: ServerPlan, scale: float) -> ServerPlan:
    def shorter(run: RunPlan) -> RunPlan:
        requests = max(1, int(run.most_requests * scale))
        return run.model_copy(update={"seconds": run.seconds * scale, "most_requests": requests})

    jobs = [job.model_copy(update={"runs": tuple(shorter(run) for run in job.runs)}) for job in plan.jobs]
    return plan.model_copy(update={"jobs": tuple(jobs)})


def main(arguments: list[str] | None = None) -> int:
    """Write a plan, and say how long it takes at least; 2 where an option cannot be, or the file not be written."""
    options = _parser().parse_args(arguments)
    try:
        plan = _plan(options)
        write_plan(plan, options.out)
    except RecfleetError as error:
        print(error, file=sys.stderr)
        return 2
    serving_s = sum(max(job.gpus, 1) * sum(run.seconds for run in job.runs) for job in plan.jobs)
    print(
        f"{len(plan.jobs)} jobs, {sum(len(job.runs) for job in plan.jobs)} runs, {serving_s:.0f} s of serving at most"
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m workloads.server.planning", description=__doc__)
    parser.add_argument("which", choices=("h200", "cpu", "smoke", "tiny"))
    parser.add_argument("--gpus", type=int, default=1, help="GPUs of the machine")
    parser.add_argument("--scale", type=float, default=1.0, help="take so much of the time of each run")
    parser.add_argument("--cores", type=int, default=2, help="cores of a machine without")
    parser.add_argument("--out", type=Path, required=True, help="file to write")
    return parser


def _plan(options: argparse.Namespace) -> ServerPlan:
    """What the options ask for; `InputError` where one is out of its range."""
    cores, gpus, scale = options.cores, options.gpus, options.scale
    if not 1 <= cores <= MOST_REPLICAS:
        problem = f"{cores} is not from 1 to {MOST_REPLICAS}, the most processes of a job"
        raise InputError("--cores", problem, f"give at most {MOST_REPLICAS}; each process then has several cores")
    if gpus < 1:
        raise InputError("--gpus", f"{gpus} is no number of GPUs", "give 1 or more, or take the plan cpu")
    if not (math.isfinite(scale) and scale >= _LEAST_SCALE):
        raise InputError("--scale", f"{scale:g} is not a number from {_LEAST_SCALE:g} up", "give a part, as in 0.5")
    plans = {"h200": lambda: h200_plan(gpus), "cpu": lambda: cpu_plan(cores)}
    plans |= {"smoke": lambda: smoke_plan(gpus), "tiny": tiny_plan}
    return _scaled(plans[options.which](), scale)


if __name__ == "__main__":
    sys.exit(main())
