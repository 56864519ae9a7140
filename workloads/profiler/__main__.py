"""`python -m workloads.profiler`: many profiles in one process, for machines where nothing of recfleet is installed.

One profile for each combination of models, precisions, modes and thread counts. Random weights need torch, numpy and
safetensors alone; model folders pydantic too. A profile that fails is told, and the others are made all the same.
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workloads.errors import InputError, RecfleetError
from workloads.profile import write_json
from workloads.profiler import import_profiler
from workloads.profiler.settings import ProfileSettings

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Make all profiles; 0 where all were made, 1 where some failed or there was no time, 2 where none can be."""
    options = _parser().parse_args(arguments)
    try:
        if options.out.exists() and not options.out.is_dir():
            raise InputError(f"--out {options.out}", "is no folder", "give one: each profile becomes a file in it")
        jobs = list(_jobs(options))
        profile_model = import_profiler()
    except RecfleetError as error:
        print(error, file=sys.stderr)
        return 2
    options.out.mkdir(parents=True, exist_ok=True)
    end_s = time.perf_counter() + (options.budget_s or float("inf"))
    failed = left = 0
    for number, settings in enumerate(jobs):
        if time.perf_counter() > end_s:
            left = len(jobs) - number
            print(f"out of time: {left} profiles were not begun", flush=True)
            break
        print(f"[{number + 1}/{len(jobs)}] {settings.command()}", flush=True)
        failed += not _made(profile_model, settings, options)
    return int(bool(failed or left))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m workloads.profiler", description=__doc__)
    parser.add_argument("models", nargs="*", help="models of the zoo, with random weights at serving size")
    parser.add_argument("--model-folders", nargs="+", type=Path, default=[], help="model folders, or folders of them")
    parser.add_argument("--method", nargs="+", default=["none"], help="compress random weights first; none: not")
    parser.add_argument("--device", required=True, help="cpu or cuda")
    parser.add_argument("--precision", nargs="+", default=[""], help="fp32, bf16; by default fp32, or a folder's own")
    parser.add_argument("--mode", nargs="+", default=["eager"], help="eager, compiled, cuda_graph, compiled_graph")
    parser.add_argument("--sizes", nargs="+", type=int, default=[], help="batch sizes, rising")
    parser.add_argument("--timing-s", type=float, default=60.0, help="time for timings of one profile, in seconds")
    parser.add_argument("--fewest-runs", type=int, default=30)
    parser.add_argument("--most-runs", type=int, default=3000)
    parser.add_argument("--threads", nargs="+", type=int, default=[0], help="0: every core, one beside CUDA")
    parser.add_argument("--patience-s", type=float, default=0.0, help="wait so long for other work to stop")
    parser.add_argument("--replicas", nargs="+", type=int, default=[], help="measure interference of so many")
    parser.add_argument("--interference-s", type=float, default=30.0, help="time for that, for one profile")
    parser.add_argument("--roofline", action="store_true", help="measure the device's ceilings too")
    parser.add_argument("--no-power", action="store_true", help="leave out the power of a CUDA device")
    parser.add_argument("--seed", type=int, default=20_261)
    parser.add_argument("--weights-folder", type=Path, default=None, help="keep drawn weights here between profiles")
    parser.add_argument("--budget-s", type=float, default=0.0, help="begin no profile after so many seconds")
    parser.add_argument("--skip-existing", action="store_true", help="leave out combinations made before into --out")
    parser.add_argument("--out", type=Path, default=Path(), help="folder for the profiles")
    return parser


def _jobs(options: argparse.Namespace) -> Iterator[ProfileSettings]:
    """Every combination asked for; models and folders outermost, so that kept weights are used while cached."""
    subjects: list[tuple[str, Path | None]] = [(model, None) for model in options.models]
    subjects += [("", folder) for folder in _model_folders(options.model_folders)]
    if not subjects:
        raise InputError("python -m workloads.profiler", "nothing to profile", "name models or --model-folders")
    choices = itertools.product(subjects, options.method, options.threads, options.precision, options.mode)
    for (model, folder), method, threads, precision, mode in choices:
        if folder is not None and method != options.method[0]:
            continue  # a folder is profiled as it is, once
        yield ProfileSettings(
            model=model,
            device_kind=options.device,
            precision=precision,
            mode=mode,
            batch_sizes=tuple(options.sizes),
            timing_s=options.timing_s,
            fewest_runs=options.fewest_runs,
            most_runs=options.most_runs,
            threads=threads,
            patience_s=options.patience_s,
            seed=options.seed,
            weights_folder=options.weights_folder,
            model_folder=folder,
            method="" if folder is not None or method == "none" else method,
            replicas=tuple(options.replicas),
            interference_s=options.interference_s,
            roofline=options.roofline,
            power=not options.no_power,
        )


def _model_folders(roots: list[Path]) -> list[Path]:
    """Folders with a model in them, at any depth below the given ones."""
    found = []
    for root in roots:
        inside = sorted(path.parent for path in root.rglob("model.json"))
        if not inside:
            raise InputError(f"--model-folders {root}", "holds no model.json", "give folders that recfleet train wrote")
        found += inside
    return found


def _made(profile_model: Any, settings: ProfileSettings, options: argparse.Namespace) -> bool:
    """Make and write one profile; False where it failed, with the reason told."""
    record = _Record(options.out / ".done")
    key = f"{settings.model_folder or ''} {settings.command()}"
    if options.skip_existing and record.has(key):
        print("  made before", flush=True)
        return True
    start_s = time.perf_counter()
    try:
        document = profile_model(settings)
    except Exception as error:
        text = str(error) if isinstance(error, RecfleetError) else "".join(traceback.format_exception_only(error))
        print(f"  failed: {text.strip()}", flush=True)
        if os.environ.get("RECFLEET_DEBUG", "") not in ("", "0"):
            traceback.print_exc()
        return False
    finally:
        _forget(settings)
    document["name"] = record.free_name(document["name"], key, settings.model_folder)
    path = options.out / f"{document['name']}.json"
    write_json(document, path)
    record.add(key, document["name"])
    print(f"{document['name']}: {time.perf_counter() - start_s:.1f} s", flush=True)
    _print_table(document)
    return True


class _Record:
    """Which profiles were made into a folder, and from what: one line each."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def _made(self) -> dict[str, str]:
        """Name to what it was made from."""
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        return dict(line.split("\t", 1) for line in lines)

    def has(self, key: str) -> bool:
        return key in self._made().values()

    def free_name(self, name: str, key: str, folder: Path | None) -> str:
        """The name, or one with the folder's in it where another model took it."""
        if folder is None or self._made().get(name, key) == key:
            return name
        return f"{name}-{re.sub(r'[^A-Za-z0-9]+', '-', folder.name)}"

    def add(self, key: str, name: str) -> None:
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(f"{name}\t{key}\n")


def _forget(settings: ProfileSettings) -> None:
    """Give back what a profile, or a failed one, held."""
    import torch

    from workloads.profiler.subject import forget

    try:
        forget(torch.device(settings.device_kind))
    except RuntimeError as error:  # after some faults a CUDA device answers this process no more
        print(f"  the device is lost to this process ({str(error).splitlines()[0]}); run again with --skip-existing")
        raise SystemExit(1) from None


def _print_table(document: dict[str, Any]) -> None:
    latency, roofline = document["latency"], document.get("roofline")
    half = latency["quantile_levels"].index(0.5)
    for index, size in enumerate(latency["batch_sizes"]):
        row, runs = latency["quantiles_s"][index], latency["runs"][index]
        marks = f"drift {latency['drift'][index]:+.3f}{'  two modes' if latency['two_modes'][index] else ''}"
        if roofline:
            marks += f"  {roofline['ratio'][index]:.1%} of {roofline['limit'][index]}"
        print(f"  {size:6d}  p50 {row[half] * 1e3:9.3f} ms  p99 {row[-3] * 1e3:9.3f} ms  runs {runs:4d}  {marks}")
    if interference := document.get("interference"):
        for count, slowdown in zip(interference["replicas"], interference["slowdown"]):
            pairs = ", ".join(f"{slow:.2f} at {size}" for size, slow in zip(interference["batch_sizes"], slowdown))
            print(f"  {count} replicas slow one another down by {pairs}")
    for note in document["notes"]:
        print(f"  {note}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
