"""``recfleet calibrate``: what a profile cannot know, fitted on logs of a real server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workloads.errors import InputError

if TYPE_CHECKING:
    from simulator.fidelity.calibration import Calibration

__all__ = ["calibrate"]


def calibrate(
    out: Annotated[Path, typer.Option(help="Where to write the calibration (JSON).")],
    server_log: Annotated[
        Path | None, typer.Option(help="A server job's JSON: its runs that are not held out are used.")
    ] = None,
    profile: Annotated[
        str | None, typer.Option(help="Profile of what served: a file, or a shipped one's name.")
    ] = None,
    log: Annotated[list[Path] | None, typer.Option(help="Log of requests, Parquet or CSV; may be repeated.")] = None,
    max_batch: Annotated[int | None, typer.Option(help="Most units of a batch, in the profile's unit.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing.")] = False,
) -> None:
    """Fit how much longer served batches take than their profile says, and how that varies.

    Takes logs of one replica: --profile, --log (one or more) and --max-batch, or the log of a job of the project's own
    server. recfleet validate --calibration FILE applies it, and tells where a log is one that it was fitted on: judge a
    calibration on others. Exit code 2: the input cannot be used. docs/fidelity.md tells more.

    Example: recfleet calibrate --profile p.json --log monday.parquet --max-batch 16 --out c.json
    """
    if out.is_dir() or not out.absolute().parent.is_dir():
        raise InputError(f"--out {out}", "is no file that can be written", "give a file in a folder that exists")
    if (server_log is None) == (log is None):
        raise InputError("calibrate", "takes --log with --profile, or --server-log", "give one of the two")
    if server_log is not None and (profile is not None or max_batch is not None):
        given = "--profile" if profile is not None else "--max-batch"
        raise InputError(given, "belongs to --log: a server's log holds its own", "leave it out")
    from simulator.fidelity.calibration_file import write_calibration

    found = _of_job(server_log) if server_log is not None else _of_logs(profile, log or [], max_batch)
    write_calibration(found, out)
    if not quiet:
        _tell(found)


def _of_job(path: Path) -> Calibration:
    from simulator.fidelity.server_logs import calibrate_job, read_job_log

    return calibrate_job(read_job_log(path))


def _of_logs(profile_name: str | None, paths: list[Path], max_batch: int | None) -> Calibration:
    from simulator.fidelity.calibration import batches_of, fit
    from simulator.fidelity.log_file import read_log
    from simulator.fidelity.setup import served_stage
    from workloads.atomic_files import file_sha256
    from workloads.profile import load_profile

    if profile_name is None or max_batch is None:
        missing = "--profile" if profile_name is None else "--max-batch"
        raise InputError("--log", f"needs {missing} too", "say what served it, and how it batched")
    known = load_profile(profile_name)
    stage = served_stage(known, max_batch, 0.0)
    logs = [batches_of(path.name, read_log(path, max_batch).log) for path in paths]
    return fit(known.name, stage, logs, {str(path): file_sha256(path) for path in paths})


def _tell(found: Calibration) -> None:
    from recfleet.fitted_table import table_console

    logs = f"{len(found.fitted_on)} log{'s' if len(found.fitted_on) > 1 else ''}"
    table_console().print(f"{found.name}: {_fitted(found)} of {logs}: judge it on others.", markup=False)


def _fitted(found: Calibration) -> str:
    """What was fitted, from how many batches."""
    if found.turn_s is not None and found.turn_waiting_s is not None:
        return (
            f"replicas of one GPU take turns; a batch takes {1e6 * found.turn_s:.0f} us more after one of another "
            f"replica, {1e6 * found.turn_waiting_s:.0f} us where it waited for that. From {found.batches:,} turns"
        )
    drift = f", {100 * found.drift:.2g} % from log to log" if len(found.fitted_on) > 1 else ""
    return (
        f"served batches take {found.factor:.4f} times the profile{drift}, and up to {1e6 * found.cold_s:.0f} us more "
        f"after an idle time. What one takes beyond is correlated with the next by {found.correlation:.2f}. From "
        f"{found.batches:,} batches ({found.left_out} left out as too long)"
    )
