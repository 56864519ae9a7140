"""Counts of requests per bin of time (a minute, say), as many logs are published."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from workloads.errors import InputError
from workloads.importers.tables import number_column, one_line, read_table, require_columns, seconds_column

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CountSeries", "read_counts"]

_DAY_S = 86_400
_MOST_BINS = 20_000_000
LEAST_BIN_S = 1e-3


@dataclass(frozen=True, eq=False)
class CountSeries:
    """Counts of requests in equal bins.

    Attributes
    ----------
    counts
        ``counts[bin]``, int64, not negative.
    bin_s
        Width of a bin in seconds.
    start_s
        Start of the first bin in seconds from 1970 (UTC); NaN where the file has no timestamps or days were
        picked.
    notes
        Days picked, and how many bins the file lacks (they count 0).
    """

    counts: np.ndarray
    bin_s: float
    start_s: float
    notes: tuple[str, ...] = ()


def read_counts(
    path: Path,
    count_column: str = "requests",
    time_column: str | None = "minute",
    bin_s: float | None = None,
    days: Sequence[date] = (),
    where: Mapping[str, str] | None = None,
) -> CountSeries:
    """Read counts from a Parquet or CSV file.

    Parameters
    ----------
    path
        The file.
    count_column
        Requests in the bin; rows of the same bin are added up.
    time_column
        Timestamps (UTC), or numbers of bins; None if every row is the next bin.
    bin_s
        Width of a bin; by default the smallest step between timestamps.
    days
        UTC days to keep, in this order; all by default.
    where
        ``where[column] = value``: keep only such rows.

    Raises
    ------
    InputError
        Names the file and the row, column or day.
    """
    if bin_s is not None and not (math.isfinite(bin_s) and bin_s >= LEAST_BIN_S):
        raise InputError("bin_s", f"{bin_s:g} is no width of a bin", f"give seconds from {LEAST_BIN_S:g}")
    frame = _chosen_rows(path, read_table(path), where or {})
    counts = number_column(path, frame, count_column, most=10**12)
    bins, width_s, start_s = _bins(path, frame, time_column, bin_s)
    series = _summed(path, bins, counts)
    lacking = len(series) - len(np.unique(bins))
    if days:
        return _picked_days(path, series, bins, width_s, start_s, days)
    notes = (f"{lacking} of {len(series)} bins are absent from the file and count 0",) if lacking else ()
    return CountSeries(series, width_s, start_s, notes)


def _chosen_rows(path: Path, frame: pd.DataFrame, where: Mapping[str, str]) -> pd.DataFrame:
    for column, value in where.items():
        require_columns(path, frame, [column])
        kept = frame[frame[column].astype(str) == str(value)]
        if not len(kept):
            known = ", ".join(one_line(value) for value in frame[column].unique()[:8])
            raise InputError(f"{path} {column}", f"no row has {value!r}", f"choose one of: {known}")
        frame = kept
    return frame.reset_index(drop=True)


def _bins(
    path: Path, frame: pd.DataFrame, time_column: str | None, bin_s: float | None
) -> tuple[np.ndarray, float, float]:
    """Number of the bin of each row, from 0; width; start of bin 0."""
    import pandas as pd

    if time_column is not None:
        require_columns(path, frame, [time_column])
    if time_column is None or pd.api.types.is_numeric_dtype(frame[time_column]):
        if bin_s is None:
            raise InputError(str(path), "has no timestamps to take the width of a bin from", "give bin_s")
        if time_column is None:
            return np.arange(len(frame)), float(bin_s), float("nan")
        numbers = number_column(path, frame, time_column)
        return numbers - numbers.min(), float(bin_s), float("nan")
    seconds, start_s = seconds_column(path, frame, time_column)
    unique = np.unique(seconds)
    if bin_s is None:
        if len(unique) < 2:
            raise InputError(str(path), "has one time only, so no width of a bin", "give bin_s")
        bin_s = float(np.diff(unique).min())
    position = seconds / bin_s
    bins = np.rint(position).astype(np.int64)
    off = np.abs(position - bins) > 1e-6
    if off.any():
        row = int(np.argmax(off))
        raise InputError(
            f"{path} row {row} {time_column}",
            f"{frame[time_column].iloc[row]} is not a whole number of {bin_s:g} s bins from the first",
            "give the bin_s of the file",
        )
    return bins, float(bin_s), start_s


def _summed(path: Path, bins: np.ndarray, counts: np.ndarray) -> np.ndarray:
    if bins.max() > _MOST_BINS:
        raise InputError(str(path), f"spans {int(bins.max()) + 1} bins", f"keep it under {_MOST_BINS}; check the times")
    series = np.zeros(int(bins.max()) + 1, dtype=np.int64)
    np.add.at(series, bins, counts)
    return series


def _picked_days(
    path: Path, series: np.ndarray, bins: np.ndarray, bin_s: float, start_s: float, days: Sequence[date]
) -> CountSeries:
    if not np.isfinite(start_s):
        raise InputError(str(path), "has no timestamps to pick days by", "leave days out")
    if _DAY_S % bin_s:
        raise InputError(str(path), f"has bins of {bin_s:g} s, which do not fill a day", "leave days out")
    present = np.zeros(len(series), dtype=bool)
    present[bins] = True
    per_day = int(_DAY_S / bin_s)
    parts, lacking = [], 0
    for day in days:
        day_start_s = float(np.datetime64(day, "s").astype(np.int64))
        first = round((day_start_s - start_s) / bin_s)
        index = np.arange(first, first + per_day)
        index = index[(index >= 0) & (index < len(series))]
        if not len(index) or not present[index].any():
            low, high = (np.datetime64(int(start_s + k * bin_s), "s") for k in (0, len(series) - 1))
            raise InputError(f"{path} day {day}", "is not in the file", f"choose days from {low} to {high}")
        part = np.zeros(per_day, dtype=np.int64)
        part[index - first] = series[index]
        lacking += per_day - int(present[index].sum())
        parts.append(part)
    notes = ["days " + ", ".join(day.isoformat() for day in days) + " (UTC)"]
    if lacking:
        notes.append(f"{lacking} of their bins are absent from the file and count 0")
    return CountSeries(np.concatenate(parts), bin_s, float("nan"), tuple(notes))
