"""A trace held in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from workloads.trace.check import RowChecker
from workloads.trace.types import COLUMN_TYPES, Rows, Trace, TraceInfo

__all__ = ["ArrayTrace"]


class ArrayTrace(Trace):
    """A trace of arrays, checked once when it is made.

    Parameters
    ----------
    info
        The trace's description.
    arrival_s
        Seconds from the trace's start, not decreasing, at most ``info.duration_s``; at least one.
    service, user, item, items, bytes_in
        An array of the same length, or one number for all rows; docs/trace-format.md says what they hold.

    Raises
    ------
    InputError
        Empty, unsorted, not finite, negative or out of range; names the row.

    Examples
    --------
    >>> info = TraceInfo("three", ("rank",), 2.0, "typed in", "none", synthetic=True)
    >>> trace = ArrayTrace(info, [0.0, 0.5, 1.5], items=100)
    >>> [len(block) for block in trace.blocks(rows=2)]
    [2, 1]
    """

    def __init__(
        self,
        info: TraceInfo,
        arrival_s: Any,
        service: Any = 0,
        user: Any = -1,
        item: Any = -1,
        items: Any = 0,
        bytes_in: Any = 0,
    ) -> None:
        times = np.ascontiguousarray(arrival_s, dtype=np.float64)
        given = {"service": service, "user": user, "item": item, "items": items, "bytes_in": bytes_in}
        rows: Rows = {"arrival_s": times}
        for column, values in given.items():
            array = np.asarray(values)
            if array.ndim and array.shape != times.shape:
                raise ValueError(f"{column} has shape {array.shape}, arrival_s has {times.shape}")
            if array.size and array.dtype.kind not in "iu":
                raise TypeError(f"{column} holds {array.dtype}, expected integers")
            rows[column] = array if array.ndim else np.full(len(times), array)
        checker = RowChecker(info.name, info)
        checked = checker.check(rows)
        checker.finish()
        self.info = info
        self._rows = {column: np.ascontiguousarray(checked[column]) for column in COLUMN_TYPES}

    @classmethod
    def from_trace(cls, trace: Trace) -> ArrayTrace:
        """Read a whole trace into memory."""
        blocks = list(trace.blocks(columns=tuple(COLUMN_TYPES)))
        columns = {name: [getattr(block, name) for block in blocks] for name in COLUMN_TYPES}
        empty = {name: np.empty(0, dtype=kind) for name, kind in COLUMN_TYPES.items()}
        return cls(trace.info, **{n: np.concatenate(parts) if parts else empty[n] for n, parts in columns.items()})

    def __len__(self) -> int:
        return len(self._rows["arrival_s"])

    @property
    def expected_rows(self) -> float:
        """The number of rows."""
        return float(len(self))

    def column(self, name: str) -> np.ndarray:
        """One column, ``column[row]``."""
        return self._rows[name]

    def _chunks(self, columns: tuple[str, ...]) -> Iterator[Rows]:
        yield {column: self._rows[column] for column in columns}
