"""`python -m workloads.server.cold_start PLAN.json --out FILE.json`: starts of a plan's models, from nothing to ready.

A server that profiles a model and then loads it again in the same process has its libraries, kernels and device ready;
a container that starts has not. So here every start is a process of its own, as is the profile that predicts it. Each
start tells what its parts took (`PARTS`). Making sure that the file is not in the page cache, drawing inputs, and
checking graphs against operators are left out: a server does none of them.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from workloads.errors import InputError, RecfleetError
from workloads.server.plan import ModelPlan, read_plan

__all__ = ["PARTS", "main", "models_of", "profiled", "started"]

PARTS = (
    "process_s", "imports_s", "device_s", "build_s", "weights_s", "compile_s", "graph_capture_s", "first_inference_s",
)  # fmt: skip
"""Until the program runs; libraries and the model's code; the device's context; the network around the weights, and
tidying up; weights from file to device; compiling; capturing graphs; the first answer. In this order."""

_MARK = "RESULT "
_PATIENCE_S = 900.0


def models_of(plan_file: Path, jobs: Sequence[str] = ()) -> list[tuple[str, ModelPlan, tuple[int, ...]]]:
    """Name, model and batch sizes of a plan's jobs, or of those named; a model that runs alike comes once.

    Raises
    ------
    InputError
        A job that the plan has not.
    """
    plan = read_plan(plan_file)
    names = [job.name for job in plan.jobs]
    for name in jobs:
        if name not in names:
            raise InputError("--job", f"the plan has no job '{name}'", f"use some of {', '.join(names)}")
    found: dict[tuple[str, tuple[int, ...]], tuple[str, ModelPlan, tuple[int, ...]]] = {}
    for job in plan.jobs:
        for stage, model in enumerate(job.models):
            if not jobs or job.name in jobs:
                found.setdefault((model.model_dump_json(), job.sizes(stage)), (job.name, model, job.sizes(stage)))
    return list(found.values())


def profiled(plan: ModelPlan, sizes: tuple[int, ...], folder: Path, timing_s: float) -> dict[str, Any]:
    """The ``load`` part of a profile made here and now, and what it is of."""
    from workloads.server.model import ServedModel

    document = ServedModel(plan, sizes, folder).profile(timing_s)
    return {
        "name": document["name"], "load": document["resources"]["load"], "device": document["device"]["name"],
        "weights_bytes": document["model"]["weights_bytes"], "versions": document["provenance"]["versions"],
    }  # fmt: skip


def started(plan: ModelPlan, sizes: tuple[int, ...], folder: Path, spawned_s: float) -> dict[str, Any]:
    """Seconds of each part of a start, of which this process is told to have been begun at ``spawned_s``.

    The weights lie in the folder: `profiled` has drawn them. ``spawned_s`` is of `time.monotonic`.
    """
    begun_s = time.monotonic()
    import numpy as np
    import torch

    from workloads.profiler.compiling import fresh_caches
    from workloads.profiler.inputs import InputPool
    from workloads.profiler.settings import COMPILED_MODES
    from workloads.profiler.start import start
    from workloads.profiler.subject import load_subject
    from workloads.server.model import ServedModel

    settings = ServedModel(plan, sizes, folder).settings
    imported_s = time.monotonic()
    device = torch.device("cuda", 0) if settings.device_kind == "cuda" else torch.device("cpu")
    torch.set_num_threads(settings.host_threads())
    torch.zeros(1, device=device)
    there_s = time.monotonic()
    with fresh_caches(folder) if settings.mode in COMPILED_MODES else nullcontext():
        subject = load_subject(settings, device, folder, _silent, reuse=True)
        pool = InputPool(subject.module, subject.config, sizes[-1], np.random.default_rng(settings.seed))
        load = start(subject, pool, sizes, _silent).load
    before = {"process_s": begun_s - spawned_s, "imports_s": imported_s - begun_s, "device_s": there_s - imported_s}
    return before | {part: load[part] for part in PARTS if part in load} | {"file_cache": load["file_cache"]}


def main(arguments: list[str] | None = None) -> int:
    """Measure and write; 0 where all was measured, 1 where a process failed, 2 where nothing can be."""
    options = _parser().parse_args(arguments)
    if options.child:
        return _child(json.loads(options.child))
    try:
        models = models_of(options.plan, options.job)
    except RecfleetError as error:
        print(error, file=sys.stderr)
        return 2
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="recfleet-cold-start-") as folder:
        for name, model, sizes in models:
            rows += _measured(name, model, sizes, Path(folder), options)
    found = {
        "format": "recfleet-cold-starts",
        "format_version": 1,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "rows": rows,
    }
    from workloads.profile import write_json

    write_json(found, options.out)
    return int(len(rows) < len(models))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m workloads.server.cold_start", description=__doc__)
    parser.add_argument("plan", type=Path, nargs="?", help="plan of measurements, for its models and batch sizes")
    parser.add_argument("--out", type=Path, help="file for the results")
    parser.add_argument("--job", action="append", default=[], help="of this job alone; may be repeated")
    parser.add_argument("--starts", type=int, default=3, help="starts of each model")
    parser.add_argument("--profile-s", type=float, default=0.5, help="time for the timings of each profile")
    parser.add_argument("--child", default="", help=argparse.SUPPRESS)
    return parser


def _measured(
    name: str, model: ModelPlan, sizes: tuple[int, ...], folder: Path, options: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """A profile, and then starts; nothing where a process failed, which is told."""
    orders = {"model": model.model_dump(mode="json"), "sizes": sizes, "folder": str(folder)}
    try:
        profile = _ask(orders | {"timing_s": options.profile_s})
        starts = [_ask(orders) for _ in range(options.starts)]
    except RuntimeError as error:
        print(f"{name}: {error}", flush=True)
        return
    took = ", ".join(f"{sum(each[part] for part in PARTS):.2f}" for each in starts)
    print(f"{name}: ready after {took} s", flush=True)
    yield {"job": name, "model": model.model_dump(mode="json"), "sizes": sizes, "profile": profile, "starts": starts}


def _ask(orders: dict[str, Any]) -> dict[str, Any]:
    """What a process of its own finds out."""
    command = [sys.executable, "-m", "workloads.server.cold_start", "--child"]
    done = subprocess.run(
        [*command, json.dumps(orders | {"spawned_s": time.monotonic()})],
        capture_output=True, text=True, timeout=_PATIENCE_S, check=False, env=os.environ,
    )  # fmt: skip
    found = [line for line in done.stdout.splitlines() if line.startswith(_MARK)]
    if done.returncode != 0 or not found:
        raise RuntimeError(f"a process ended with code {done.returncode}: {done.stderr.strip()[-300:]}")
    answer: dict[str, Any] = json.loads(found[-1].removeprefix(_MARK))
    return answer


def _child(orders: dict[str, Any]) -> int:
    plan, sizes, folder = ModelPlan(**orders["model"]), tuple(orders["sizes"]), Path(orders["folder"])
    if "timing_s" in orders:
        found = profiled(plan, sizes, folder, orders["timing_s"])
    else:
        found = started(plan, sizes, folder, orders["spawned_s"])
    print(_MARK + json.dumps(found), flush=True)
    return 0


def _silent(phase: str, done: int, total: int) -> None:
    """Show no progress."""


if __name__ == "__main__":
    sys.exit(main())
