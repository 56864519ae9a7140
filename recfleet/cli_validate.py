"""``recfleet validate``: the simulator's prediction held against what a real server did."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workloads.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from recfleet.validating import Validated

__all__ = ["validate"]

_FIGURES = (".svg", ".png", ".pdf")
_LIVE_MAX_BATCH, _LIVE_MAX_WAIT_MS = 8, 5.0


def validate(
    profile: Annotated[
        str | None, typer.Option(help="Profile of what served: a file, or a shipped one's name.")
    ] = None,
    log: Annotated[
        Path | None, typer.Option(help="Log of requests, Parquet or CSV: arrival_s, start_s, done_s, batch (, items).")
    ] = None,
    server_log: Annotated[
        Path | None, typer.Option(help="Or a server job's JSON, which has its profile in it, with the .npz beside it.")
    ] = None,
    run: Annotated[
        str | None, typer.Option(help="Of --server-log: which run; by default the first that is held out.")
    ] = None,
    max_batch: Annotated[int | None, typer.Option(help="Most units of a batch, in the profile's unit.")] = None,
    max_wait_ms: Annotated[float | None, typer.Option(help="Longest wait of a batch's first request.")] = None,
    replicas: Annotated[int, typer.Option(min=1, max=256, help="Of a log: how many replicas served it.")] = 1,
    router: Annotated[str, typer.Option(help="Of several: least_outstanding or round_robin.")] = "least_outstanding",
    shared: Annotated[bool, typer.Option("--shared", help="The replicas share one device.")] = False,
    model: Annotated[str | None, typer.Option(help="Live: serve this model of the zoo here and now.")] = None,
    model_folder: Annotated[Path | None, typer.Option(help="Live: or a trained model, as it was saved.")] = None,
    trace: Annotated[Path | None, typer.Option(help="Live: replay this trace's arrivals (Parquet).")] = None,
    device: Annotated[str, typer.Option(help="Live: cpu or cuda.")] = "cpu",
    precision: Annotated[str | None, typer.Option(help="Live: fp32 or bf16.")] = None,
    mode: Annotated[str, typer.Option(help="Live: eager, compiled; on CUDA cuda_graph, compiled_graph.")] = "eager",
    threads: Annotated[int, typer.Option(min=0, help="Live: host threads, 0 for every core.")] = 0,
    items: Annotated[int, typer.Option(min=1, help="Live: items of a request, where the model ranks items.")] = 1,
    rate: Annotated[float | None, typer.Option(help="Live: bring the arrivals to this mean rate, requests/s.")] = None,
    seconds: Annotated[float, typer.Option(help="Live: replay no more than so long.")] = 30.0,
    profile_s: Annotated[float, typer.Option(help="Live: time for the profile's timings.")] = 10.0,
    keep: Annotated[Path | None, typer.Option(help="Live: folder to keep profile.json and log.parquet in.")] = None,
    calibration: Annotated[
        Path | None, typer.Option(help="Of a log: apply what recfleet calibrate found on others.")
    ] = None,
    recalibrate: Annotated[
        bool, typer.Option("--recalibrate", help="Of --server-log: calibrate on the runs before this one, in turn.")
    ] = False,
    replicates: Annotated[int, typer.Option(min=20, help="Predictions behind the intervals.")] = 100,
    drift: Annotated[
        float | None,
        typer.Option(help="Relative difference between runs (1 s.d.); by default 0.045 or more, calibrated 0.04."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the predictions' draws.")] = 0,
    as_json: Annotated[Path | None, typer.Option("--json", help="Write measured, predicted, error, low, high.")] = None,
    figure: Annotated[Path | None, typer.Option(help="Draw both distributions: .svg, .png or .pdf.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing.")] = False,
) -> None:
    """Predict a served log from a profile, by the simulator's own data plane, and compare.

    Offline, from files: --profile, --log, --max-batch, --max-wait-ms; or --server-log, a job of the project's own
    server (docs/results/fidelity/logs has some). Live: --model and --trace; the model is profiled here, served by the
    wall clock, predicted and compared, which needs torch. Prints latency quantiles, throughput and mean batch, measured
    and predicted, with 90 % intervals. Exit code 2: the input cannot be used. docs/fidelity.md tells more.

    Examples: recfleet validate --server-log docs/results/fidelity/logs/sasrec-bf16-graph.json ; with files of yours:
    recfleet validate --profile p.json --log log.parquet --max-batch 16 --max-wait-ms 2
    """
    _check_outputs(as_json, figure, keep)
    live = model is not None or model_folder is not None
    if live + (log is not None) + (server_log is not None) != 1:
        ways = "takes --log with --profile, or --server-log, or --model with --trace"
        raise InputError("validate", ways, "give one of the three")
    if run is not None and server_log is None:
        raise InputError("--run", "is of a --server-log", "add one, or leave it out")
    if recalibrate and (server_log is None or calibration is not None):
        raise InputError("--recalibrate", "is of a --server-log, in place of --calibration", "leave one of them out")
    from recfleet.validating import Uncertainty, validate_live, validate_log

    if drift is not None and not 0.0 <= drift < 1.0:
        raise InputError("--drift", f"{drift:g} is no share from 0 to below 1", "give one, as in 0.01")
    uncertainty = Uncertainty(replicates, drift, seed)
    if live and calibration is not None:
        raise InputError("--calibration", "belongs to --log", "keep the live log, and validate that")
    if live and (replicas != 1 or shared):
        raise InputError("--replicas", "and --shared are of a log; live, one replica serves", "leave them out")
    if live:
        cap = max_batch if max_batch is not None else _LIVE_MAX_BATCH * items
        wait_s = (_LIVE_MAX_WAIT_MS if max_wait_ms is None else max_wait_ms) / 1e3
        plan = _model_plan(model, model_folder, device, precision, mode, threads, items)
        arrival_s = _arrivals(trace, rate, seconds)
        found = validate_live(plan, arrival_s, cap, wait_s, profile_s, uncertainty, keep, quiet)
    elif server_log is not None:
        from recfleet.validating_jobs import validate_job

        if shared or replicas != 1 or any(given is not None for given in (profile, max_batch, max_wait_ms)):
            raise InputError("--server-log", "says itself what served it, and how", "leave those options out")
        found = validate_job(server_log, run, uncertainty, calibration, recalibrate)
    else:
        if profile is None or max_batch is None or max_wait_ms is None:
            missing = "--profile" if profile is None else "--max-batch" if max_batch is None else "--max-wait-ms"
            raise InputError("--log", f"needs {missing} too", "say what served it, and how it batched")
        _one_of_routers(router)
        assert log is not None
        rule = (max_batch, max_wait_ms / 1e3)
        found = validate_log(profile, log, rule, replicas, router, shared, uncertainty, calibration, quiet)
    _tell(found, as_json, figure, quiet)


def _check_outputs(as_json: Path | None, figure: Path | None, keep: Path | None) -> None:
    """Find out before the work, not after it."""
    for option, path in (("--json", as_json), ("--figure", figure)):
        if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
            raise InputError(
                f"{option} {path}", "is no file that can be written", "give a file in a folder that exists"
            )
    if figure is not None and figure.suffix not in _FIGURES:
        raise InputError(f"--figure {figure}", f"{figure.suffix!r} is no known kind", f"use {', '.join(_FIGURES)}")
    if keep is not None:
        try:
            keep.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"--keep {keep}", f"cannot be a folder ({error.strerror})", "give another") from None


def _one_of_routers(router: str) -> None:
    known = ("least_outstanding", "round_robin")
    if router not in known:
        raise InputError("--router", f"{router!r} is not known here", f"use {' or '.join(known)}")


def _model_plan(
    model: str | None, folder: Path | None, device: str, precision: str | None, mode: str, threads: int, items: int
) -> Any:
    """The model as the server's plans have it."""
    from workloads.models import model_module
    from workloads.profiler.settings import DEVICE_KINDS, MODES, PRECISIONS
    from workloads.server.plan import ModelPlan

    for option, value, known in (
        ("--device", device, DEVICE_KINDS), ("--mode", mode, MODES), ("--precision", precision or "fp32", PRECISIONS)
    ):  # fmt: skip
        if value not in known:
            raise InputError(option, f"{value!r} is not known", f"use one of {', '.join(known)}")
    if (model is None) == (folder is None):
        raise InputError("--model", "and --model-folder name two models", "give one of them")
    if folder is not None:
        from workloads.model_folder import read_card

        model = str(read_card(folder)["model"])
    assert model is not None
    counts_items = model_module(model).UNIT == "items"
    if items > 1 and not counts_items:
        raise InputError("--items", f"{model} counts requests, not items", "leave it out")
    own = "" if folder is not None else "fp32"
    return ModelPlan(
        model=model, model_folder=folder, device=device, precision=precision or own, mode=mode, threads=threads,
        request_units=items,
    )  # fmt: skip


def _arrivals(trace: Path | None, rate: float | None, seconds: float) -> np.ndarray:
    """Arrivals of the trace from 0 on, as long as they are replayed."""
    import numpy as np

    from workloads.trace import open_trace

    if trace is None:
        raise InputError("--model", "needs --trace too", "make one with recfleet trace generate")
    if not (math.isfinite(seconds) and seconds > 0.0):
        raise InputError("--seconds", f"{seconds:g} is no time", "give seconds above 0")
    if rate is not None and not (math.isfinite(rate) and rate > 0.0):
        raise InputError("--rate", f"{rate:g} is no rate", "give requests a second above 0")
    opened = open_trace(trace)
    blocks = [block.arrival_s for block in opened.blocks(columns=("arrival_s",))]
    arrival_s = np.concatenate(blocks) if blocks else np.zeros(0)
    if rate is not None and len(arrival_s) > 1:
        arrival_s = (arrival_s - arrival_s[0]) * ((len(arrival_s) - 1) / rate / max(np.ptp(arrival_s), 1e-9))
    arrival_s = arrival_s[arrival_s <= seconds]
    if len(arrival_s) < 2:
        raise InputError(
            str(trace), f"has fewer than two requests in {seconds:g} s", "give more --seconds, or a --rate"
        )
    return np.asarray(np.round(arrival_s, 6))


def _tell(found: Validated, as_json: Path | None, figure: Path | None, quiet: bool) -> None:
    if as_json is not None:
        from recfleet.json_text import plain
        from workloads.atomic_files import write_json_file

        write_json_file(plain(found.as_document()), as_json, "--json")
    if figure is not None:
        from recfleet.fidelity_figure import draw

        draw(found, figure)
    if not quiet:
        from recfleet.fidelity_tables import print_comparison

        print_comparison(found)
