"""The checks that every row of a trace passes, done on whole columns."""

from __future__ import annotations

from typing import NoReturn

import numpy as np

from workloads.errors import InputError
from workloads.trace.types import COLUMN_TYPES, Rows, TraceInfo, row_count

__all__ = ["RowChecker"]

_LEAST = {"service": 0, "user": -1, "item": -1, "items": 0, "bytes_in": 0}


class RowChecker:
    """Checks the rows of one trace piece by piece, in order.

    Parameters
    ----------
    where
        The file or trace that messages name.
    info
        The trace's description: how many services, and how long it lasts.
    """

    def __init__(self, where: str, info: TraceInfo) -> None:
        self._where = where
        self._info = info
        self._last_s = 0.0
        self._rows = 0

    def check(self, rows: Rows) -> Rows:
        """Check the next rows and return them in the types of `COLUMN_TYPES`.

        Raises
        ------
        InputError
            Names the first bad row (counted from 0), its column and its value.
        """
        if row_count(rows):
            self._check_times(rows["arrival_s"])
            for column, values in rows.items():
                if column != "arrival_s":
                    self._check_integers(column, values)
        self._rows += row_count(rows)
        return {column: values.astype(COLUMN_TYPES[column], copy=False) for column, values in rows.items()}

    def finish(self) -> None:
        """Refuse a trace that held no row."""
        if not self._rows:
            raise InputError(self._where, "holds no request", "give a trace with at least one row")

    def _check_times(self, arrival_s: np.ndarray) -> None:
        # A NaN makes every comparison false, so these cover NaN, disorder and times below zero.
        rises = arrival_s[0] >= self._last_s and bool((arrival_s[1:] >= arrival_s[:-1]).all())
        if rises and arrival_s[-1] <= self._info.duration_s:
            self._last_s = float(arrival_s[-1])
            return
        steps = np.diff(arrival_s, prepend=self._last_s)
        row = int(np.argmin((steps >= 0) & (arrival_s <= self._info.duration_s)))
        value = float(arrival_s[row])
        previous = float(arrival_s[row - 1]) if row else self._last_s
        if not np.isfinite(value):
            self._refuse(row, "arrival_s", f"{value} is not a time", "remove the row or give its time in seconds")
        if value < 0:
            self._refuse(row, "arrival_s", f"{value} is negative", "count times from the trace's start")
        if value < previous:
            self._refuse(row, "arrival_s", f"{value} comes after {previous}", "sort the rows by arrival_s")
        self._refuse(
            row,
            "arrival_s",
            f"{value} is past the trace's duration of {self._info.duration_s} s",
            "raise duration_s or remove the row",
        )

    def _check_integers(self, column: str, values: np.ndarray) -> None:
        least = _LEAST[column]
        most = len(self._info.services) - 1 if column == "service" else int(np.iinfo(COLUMN_TYPES[column]).max)
        if values.min() >= least and values.max() <= most:
            return
        row = int(np.argmax((values < least) | (values > most)))
        value = int(values[row])
        if column == "service":
            known = ", ".join(self._info.services)
            self._refuse(row, column, f"{value} is not an index of the services ({known})", f"use 0 to {most}")
        self._refuse(row, column, f"{value} is outside {least} to {most}", f"give a number from {least} to {most}")

    def _refuse(self, row: int, column: str, problem: str, fix: str) -> NoReturn:
        raise InputError(f"{self._where} row {self._rows + row} {column}", problem, fix)
