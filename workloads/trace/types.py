"""What a trace is: its columns, its description, its blocks of rows, and what all traces can do."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from workloads.trace.summary import TraceSummary

__all__ = ["COLUMNS", "COLUMN_TYPES", "Rows", "Trace", "TraceBlock", "TraceInfo", "add_counts", "row_count"]

COLUMNS = ("arrival_s", "service", "user", "item", "items", "bytes_in")
"""Columns of a trace in their order; docs/trace-format.md says what each holds."""

COLUMN_TYPES: dict[str, np.dtype[Any]] = {
    "arrival_s": np.dtype(np.float64),
    "service": np.dtype(np.int16),
    "user": np.dtype(np.int64),
    "item": np.dtype(np.int64),
    "items": np.dtype(np.int32),
    "bytes_in": np.dtype(np.int32),
}

_ALWAYS = ("arrival_s", "service", "items", "bytes_in")

_SHORT_ROWS = 4_096
"""Pieces shorter than this are joined: a block has a cost of its own."""

Rows: TypeAlias = dict[str, np.ndarray]
"""Some rows of a trace: ``rows[column][row]``."""


@dataclass(frozen=True)
class TraceInfo:
    """What a trace says about itself.

    Attributes
    ----------
    name
        Short name, as reports print it.
    services
        Names of the services; the column ``service`` is an index into it.
    duration_s
        Length of the trace in seconds; no arrival is later.
    source, licence
        Where the requests come from and under what terms.
    synthetic
        True if the number of requests over time comes from a model rather than from a log.
    scale
        Factor by which the number of requests was multiplied against the source.
    notes
        What a reader must know: days chosen, columns assumed, references to cite.
    """

    name: str
    services: tuple[str, ...]
    duration_s: float
    source: str
    licence: str
    synthetic: bool
    scale: float = 1.0
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.services:
            raise ValueError("services is empty; a trace names at least one service")
        if len(set(self.services)) != len(self.services):
            raise ValueError(f"services {self.services} names one twice")
        if not (math.isfinite(self.duration_s) and self.duration_s > 0):
            raise ValueError(f"duration_s is {self.duration_s}, expected a positive number of seconds")


@dataclass(frozen=True, eq=False)
class TraceBlock:
    """Consecutive rows of a trace.

    Attributes
    ----------
    start_index
        Index in the trace of this block's first row.
    arrival_s, service, items, bytes_in
        Columns ``column[row]``, always there.
    user, item
        Columns ``column[row]``, or None where `Trace.blocks` was not asked for them.
    """

    start_index: int
    arrival_s: np.ndarray
    service: np.ndarray
    items: np.ndarray
    bytes_in: np.ndarray
    user: np.ndarray | None = None
    item: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.arrival_s)


class Trace(ABC):
    """A sequence of requests in order of arrival, read block by block as often as one likes.

    A concrete trace defines `_chunks`, which yields rows in pieces of any size; everything else is here.
    """

    info: TraceInfo

    @abstractmethod
    def _chunks(self, columns: tuple[str, ...]) -> Iterator[Rows]:
        """Yield consecutive pieces, not empty, that hold at least `columns`, in `COLUMN_TYPES`."""

    @property
    def expected_rows(self) -> float | None:
        """Number of rows if known, expected number if random, None if unknown; for progress displays."""
        return None

    def blocks(
        self, columns: Sequence[str] = _ALWAYS, rows: int = 262_144, *, even: bool = True
    ) -> Iterator[TraceBlock]:
        """Yield the trace in blocks of `rows` rows (the last may be shorter), never holding more than a few.

        Parameters
        ----------
        columns
            Name ``user`` or ``item`` here to get them too; the other columns always come.
        rows
            Rows in a block. The rows themselves do not depend on it.
        even
            False: blocks have at most `rows` rows, as they come to hand, which saves copying them.
        """
        unknown = [column for column in columns if column not in COLUMNS]
        if unknown:
            raise ValueError(f"unknown columns {unknown}; a trace has {', '.join(COLUMNS)}")
        if rows < 1:
            raise ValueError(f"rows is {rows}, expected at least 1")
        wanted = tuple(column for column in COLUMNS if column in columns or column in _ALWAYS)
        return (_reblock if even else _as_they_come)(self._chunks(wanted), wanted, rows)

    def write_parquet(self, path: str | Path, progress: Callable[[int], None] | None = None) -> int:
        """Write the trace to a Parquet file, streaming; return the number of rows.

        The file appears under its name only when it is complete. `progress` is called with the number of
        rows of each block written.
        """
        from workloads.trace.parquet import write_parquet

        return write_parquet(self, path, progress)

    def count_arrivals(self, ends_s: np.ndarray) -> np.ndarray:
        """Requests by service and interval, by one pass over the times.

        Parameters
        ----------
        ends_s
            ``ends_s[interval]``, rising. An interval begins after the end before it, and its own end belongs to it;
            what comes after the last end counts for the last interval.

        Returns
        -------
        numpy.ndarray
            ``int64[service, interval]``.
        """
        counts = np.zeros((len(self.info.services), len(ends_s)), dtype=np.int64)
        for rows in self._chunks(("arrival_s", "service")):
            add_counts(counts, rows["arrival_s"], rows["service"], ends_s)
        return counts

    def crop(self, start_s: float, end_s: float) -> Trace:
        """The requests that arrive in ``[start_s, end_s)``, with times counted from `start_s`."""
        from workloads.trace.derived import CroppedTrace

        return CroppedTrace(self, start_s, end_s)

    def describe(self) -> TraceSummary:
        """Read the trace once and summarise it: rates, burstiness, popularity, services."""
        from workloads.trace.summary import summarise

        return summarise(self)


def row_count(rows: Rows) -> int:
    """Number of rows in a piece of a trace."""
    return len(rows["arrival_s"])


def add_counts(counts: np.ndarray, arrival_s: np.ndarray, service: np.ndarray | None, ends_s: np.ndarray) -> None:
    """Add some rows to ``counts[service, interval]``; see `Trace.count_arrivals`. Without `service` all are of 0."""
    if not len(arrival_s):
        return
    last = counts.shape[1] - 1
    low, high = np.minimum(np.searchsorted(ends_s, arrival_s[[0, -1]]), last)
    cuts = np.searchsorted(arrival_s, ends_s[low:high], side="right")
    rows = np.diff(cuts, prepend=0, append=len(arrival_s))
    if service is None or len(counts) == 1:
        counts[0, low : high + 1] += rows
        return
    width = high + 1 - low
    place = service.astype(np.int64) * width + np.repeat(np.arange(width), rows)
    counts[:, low : high + 1] += np.bincount(place, minlength=len(counts) * width).reshape(len(counts), width)


def _reblock(chunks: Iterator[Rows], wanted: tuple[str, ...], rows: int) -> Iterator[TraceBlock]:
    """Cut and join pieces of any size into blocks of `rows` rows."""
    start_index = 0
    held: list[Rows] = []
    held_rows = 0
    for chunk in chunks:
        size = row_count(chunk)
        taken = 0
        while held_rows + size - taken >= rows:
            end = taken + rows - held_rows
            held.append({column: chunk[column][taken:end] for column in wanted})
            yield _joined(held, wanted, start_index)
            start_index += rows
            held, held_rows, taken = [], 0, end
        if taken < size:
            held.append({column: chunk[column][taken:] for column in wanted})
            held_rows += size - taken
    if held_rows:
        yield _joined(held, wanted, start_index)


def _as_they_come(chunks: Iterator[Rows], wanted: tuple[str, ...], rows: int) -> Iterator[TraceBlock]:
    """Hand on pieces as they are, cut where they are longer than `rows`, joined only where they are very short."""
    least, start_index = min(_SHORT_ROWS, rows), 0
    held: list[Rows] = []
    held_rows = 0
    for chunk in chunks:
        for first in range(0, row_count(chunk), rows):
            piece = {column: chunk[column][first : first + rows] for column in wanted}
            if held_rows + row_count(piece) > rows:
                yield _joined(held, wanted, start_index)
                start_index += held_rows
                held, held_rows = [], 0
            held.append(piece)
            held_rows += row_count(piece)
            if held_rows >= least:
                yield _joined(held, wanted, start_index)
                start_index += held_rows
                held, held_rows = [], 0
    if held_rows:
        yield _joined(held, wanted, start_index)


def _joined(pieces: list[Rows], wanted: tuple[str, ...], start_index: int) -> TraceBlock:
    if len(pieces) == 1:
        return TraceBlock(start_index=start_index, **pieces[0])
    columns = {column: np.concatenate([piece[column] for piece in pieces]) for column in wanted}
    return TraceBlock(start_index=start_index, **columns)
