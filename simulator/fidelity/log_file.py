"""Logs of served requests in tables that somebody wrote, checked before they are believed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from workloads.errors import InputError
from workloads.importers.tables import read_table, require_columns
from workloads.server.log import RequestLog

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "LoggedRequests", "read_log", "write_log"]

COLUMNS = ("arrival_s", "start_s", "done_s", "batch")
_TOLERANCE_S = 2e-6


@dataclass(frozen=True)
class LoggedRequests:
    """A log in order of arrival, and ``items[request]`` where it tells them."""

    log: RequestLog
    items: np.ndarray | None


def read_log(path: Path, max_batch: int, replicas: int = 1) -> LoggedRequests:
    """Read a Parquet or CSV file with `COLUMNS`, and ``items`` where requests ask for more than one.

    Parameters
    ----------
    path
        The file. Rows may be in any order.
    max_batch
        The cap in the units of ``batch``: no batch is larger, unless one request alone is.
    replicas
        How many served it: so many batches may overlap.

    Raises
    ------
    InputError
        A column is missing or holds what it cannot; the row is named.
    """
    if not path.is_file():
        raise InputError(str(path), "there is no such file", "give a log, Parquet or CSV")
    frame = read_table(path)
    require_columns(path, frame, list(COLUMNS))
    columns = {name: _numbers(path, frame, name) for name in (*COLUMNS, "items") if name in frame.columns}
    items = columns.get("items")
    whole = {"batch": columns["batch"]} | ({} if items is None else {"items": items})
    for name, values in whole.items():
        _refuse(path, name, (values < 1) | (values != np.floor(values)), values, "is no whole number from 1 up")
    arrival_s, start_s, done_s, batch = (columns[name] for name in COLUMNS)
    _refuse(path, "start_s", start_s < arrival_s - _TOLERANCE_S, start_s, "lies before the request's arrival_s")
    _refuse(path, "done_s", done_s <= start_s, done_s, "is not after the batch's start_s")
    alone = np.ones(len(batch)) if items is None else items
    _refuse(path, "batch", batch > np.maximum(max_batch, alone), batch, f"is above --max-batch {max_batch}")
    order = np.argsort(arrival_s, kind="stable")
    log = RequestLog(arrival_s[order], start_s[order], done_s[order], batch[order].astype(np.int64))
    _check_overlap(path, log, replicas)
    if replicas == 1:
        _check_batches(path, log, alone[order])
    return LoggedRequests(log, None if items is None else items[order].astype(np.int64))


def write_log(path: Path, log: RequestLog, items: int = 1) -> None:
    """Write a log as `read_log` takes it."""
    import pandas as pd

    frame = pd.DataFrame({name: getattr(log, name) for name in COLUMNS})
    if items > 1:
        frame["items"] = items
    try:
        frame.to_parquet(path, compression="zstd", index=False)
    except OSError as error:
        raise InputError(str(path), f"cannot be written ({error.strerror})", "give a path that can") from None


def _numbers(path: Path, frame: pd.DataFrame, name: str) -> np.ndarray:
    if frame[name].dtype.kind in "mM":
        problem = "holds dates or durations"
        raise InputError(f"{path} {name}", problem, "give seconds from the log's beginning")
    try:
        values = frame[name].to_numpy(np.float64)
    except (TypeError, ValueError):
        problem = "holds something that is no number"
        raise InputError(f"{path} {name}", problem, "give numbers, and times in seconds") from None
    _refuse(path, name, ~np.isfinite(values), values, "is not finite")
    return values


def _refuse(path: Path, name: str, wrong: np.ndarray, values: np.ndarray, problem: str) -> None:
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise InputError(f"{path} {name}, row {row}", f"{values[row]:g} {problem}", "correct the log")


def _check_overlap(path: Path, log: RequestLog, replicas: int) -> None:
    """No more batches at once than there are replicas; requests begun at the same time are one batch."""
    begun_s, batch = np.unique(log.start_s, return_inverse=True)
    ended_s = np.full(len(begun_s), -np.inf)
    np.maximum.at(ended_s, batch, log.done_s)
    over_by_then = np.searchsorted(np.sort(ended_s), begun_s + _TOLERANCE_S, side="right")
    running = np.arange(1, len(begun_s) + 1) - over_by_then
    if (running > replicas).any():
        late_s = begun_s[running > replicas][0]
        many = "one replica has one batch" if replicas == 1 else f"{replicas} replicas have {replicas} batches"
        problem = f"{running.max()} batches are under way at once after {late_s:.6f} s, and {many} at a time"
        raise InputError(f"{path} start_s", problem, "give the number of replicas that served it by --replicas")


def _check_batches(path: Path, log: RequestLog, items: np.ndarray) -> None:
    """Of one replica, requests begun at the same time are a batch, of as many units as requests or as items.

    The log may cut off its first and last batch.
    """
    begun_s, first, of_request = np.unique(log.start_s, return_index=True, return_inverse=True)
    stated, inner = log.batch[first], slice(1, -1)
    requests, units = np.bincount(of_request), np.bincount(of_request, weights=items)
    wrong = [(stated != counted)[inner] for counted in (requests, units)]
    if not all(one.any() for one in wrong):
        return
    one = int(np.flatnonzero(wrong[1])[0]) + 1
    problem = f"is {stated[one]} at {begun_s[one]:.6f} s, where {requests[one]} requests of {units[one]:g} items began"
    fix = "give the units of the whole batch, a log of all requests, and items where a request has several"
    raise InputError(f"{path} batch", problem, fix)
