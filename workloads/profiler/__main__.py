"""`python -m workloads.profiler`: several profiles in one process, needing only torch, numpy and safetensors.

`recfleet profile` is the same with a display; this one runs where nothing of recfleet is installed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from workloads.errors import RecfleetError
from workloads.profiler import import_profiler
from workloads.profiler.settings import ProfileSettings

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Make one profile for each combination of models, precisions and modes."""
    options = _parser().parse_args(arguments)
    try:
        for model in options.models:
            for precision in options.precision:
                for mode in options.mode:
                    _profile(model, precision, mode, options)
    except RecfleetError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m workloads.profiler", description=__doc__)
    parser.add_argument("models", nargs="+", help="two_tower, dlrm, bert_reranker")
    parser.add_argument("--device", required=True, help="cpu or cuda")
    parser.add_argument("--precision", nargs="+", default=["fp32"], help="fp32, bf16 or both")
    parser.add_argument("--mode", nargs="+", default=["eager"], help="eager, cuda_graph or both")
    parser.add_argument("--sizes", nargs="+", type=int, default=[], help="batch sizes, rising")
    parser.add_argument("--timing-s", type=float, default=60.0, help="time for timings, in seconds")
    parser.add_argument("--fewest-runs", type=int, default=30)
    parser.add_argument("--most-runs", type=int, default=3000)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--patience-s", type=float, default=0.0, help="wait so long for other work to stop")
    parser.add_argument("--seed", type=int, default=20_261)
    parser.add_argument("--weights-folder", type=Path, default=None, help="keep weights here between profiles")
    parser.add_argument("--out", type=Path, default=Path(), help="folder for the profiles")
    return parser


def _profile(model: str, precision: str, mode: str, options: argparse.Namespace) -> None:
    profile_model = import_profiler()
    settings = ProfileSettings(
        model=model,
        device_kind=options.device,
        precision=precision,
        mode=mode,
        batch_sizes=tuple(options.sizes),
        timing_s=options.timing_s,
        fewest_runs=options.fewest_runs,
        most_runs=options.most_runs,
        threads=options.threads,
        patience_s=options.patience_s,
        seed=options.seed,
        weights_folder=options.weights_folder,
    )
    start_s = time.perf_counter()
    document = profile_model(settings)
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"{document['name']}.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    print(f"{document['name']}: {time.perf_counter() - start_s:.1f} s", flush=True)
    _print_table(document)


def _print_table(document: dict[str, Any]) -> None:
    latency = document["latency"]
    half = latency["quantile_levels"].index(0.5)
    for index, size in enumerate(latency["batch_sizes"]):
        row, runs = latency["quantiles_s"][index], latency["runs"][index]
        marks = f"drift {latency['drift'][index]:+.3f}{'  two modes' if latency['two_modes'][index] else ''}"
        print(f"  {size:6d}  p50 {row[half] * 1e3:9.3f} ms  p99 {row[-3] * 1e3:9.3f} ms  runs {runs:4d}  {marks}")
    for note in document["notes"]:
        print(f"  {note}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
