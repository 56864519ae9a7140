"""A table with one row for each request: from its columns to a trace. The other importers build on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workloads.errors import InputError
from workloads.importers.tables import number_column, origin_of, read_table, require_columns, seconds_column
from workloads.trace.array import ArrayTrace
from workloads.trace.generated import named_generator
from workloads.trace.types import TraceInfo

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["EventColumns", "import_csv", "ordered_times"]

_INT32_MOST = 2**31 - 1


@dataclass(frozen=True)
class EventColumns:
    """Which column of a table means what; None where the table has none.

    Attributes
    ----------
    arrival
        Time of the request: numbers in `unit` or ISO 8601 timestamps.
    unit
        s, ms, us or ns.
    service
        Name of the service of each row.
    user, item
        Whole numbers, kept; or names, which are numbered in order of first appearance.
    items, bytes_in
        Candidate items; request payload in bytes.
    """

    arrival: str = "arrival_s"
    unit: str = "s"
    service: str | None = None
    user: str | None = None
    item: str | None = None
    items: str | None = None
    bytes_in: str | None = None


def import_csv(
    path: Path,
    columns: EventColumns,
    service: str = "requests",
    name: str | None = None,
    source: str | None = None,
    licence: str | None = None,
    sort: bool = False,
    jitter_s: float = 0.0,
    seed: int = 0,
) -> ArrayTrace:
    """Import a CSV or Parquet table with one row for each request.

    Parameters
    ----------
    path, columns
        The table, and what its columns mean.
    service
        Name of the one service, where no column says it.
    name, source, licence
        For the trace's description; by default the file's name, and what is known of it.
    sort
        Sort the rows by time; without it, a row out of order is an error.
    jitter_s, seed
        See `ordered_times`.

    Raises
    ------
    InputError
        Names the file, the row (counted from 0) and the column.
    """
    frame = read_table(path)
    wanted = [columns.arrival, columns.service, columns.user, columns.item, columns.items, columns.bytes_in]
    require_columns(path, frame, [column for column in wanted if column is not None])
    seconds, _ = seconds_column(path, frame, columns.arrival, columns.unit)
    arrival_s, order, notes = ordered_times(path, columns.arrival, seconds, sort, jitter_s, seed)
    frame = frame.iloc[order].reset_index(drop=True)
    services: Sequence[str] = (service,)
    service_index: Any = 0
    if columns.service is not None:
        codes, names = frame[columns.service].astype(str).factorize()
        services, service_index = tuple(str(value) for value in names), codes.astype(np.int16)
    known_source, known_licence = origin_of(path)
    info = TraceInfo(
        name=name or path.stem,
        services=tuple(services),
        duration_s=float(np.floor(arrival_s[-1]) + 1),
        source=source or known_source,
        licence=licence or known_licence,
        synthetic=False,
        notes=notes,
    )
    return ArrayTrace(
        info,
        arrival_s,
        service=service_index,
        user=_keys(path, frame, columns.user),
        item=_keys(path, frame, columns.item),
        items=0 if columns.items is None else number_column(path, frame, columns.items, _INT32_MOST),
        bytes_in=0 if columns.bytes_in is None else number_column(path, frame, columns.bytes_in, _INT32_MOST),
    )


def ordered_times(
    path: Path, column: str, seconds: np.ndarray, sort: bool, jitter_s: float, seed: int
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Times in order, the order of rows that gives it, and notes on what was done.

    Parameters
    ----------
    seconds
        ``seconds[row]`` from the earliest row.
    sort
        Sort by time, keeping the order of rows at equal times; without it, disorder is an error.
    jitter_s
        Add to each time an even draw from 0 to `jitter_s`, then sort: spreads the times of a log of coarse
        resolution, which would otherwise arrive in volleys. 0 keeps the file's times and order.
    seed
        For the jitter.
    """
    fall = np.flatnonzero(np.diff(seconds) < 0)
    if len(fall) and not sort:
        row = int(fall[0]) + 1
        raise InputError(
            f"{path} row {row} {column}",
            "is earlier than the row before",
            "sort the file, or import with --sort",
        )
    notes = ["rows sorted by time"] if len(fall) else []
    if jitter_s:
        seconds = seconds + named_generator(seed, "jitter").random(len(seconds)) * jitter_s
        notes.append(f"times spread at random over {jitter_s:g} s, the resolution of the log")
    order = np.argsort(seconds, kind="stable")
    return seconds[order], order, tuple(notes)


def _keys(path: Path, frame: pd.DataFrame, column: str | None) -> Any:
    import pandas as pd

    if column is None:
        return -1
    if pd.api.types.is_numeric_dtype(frame[column]):
        return number_column(path, frame, column)
    return frame[column].factorize()[0].astype(np.int64)
