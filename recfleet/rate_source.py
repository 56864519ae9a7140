"""Request rates by interval, from whatever holds them: a scenario, a trace, a log of counts or of requests."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from workloads.data_folder import resolve_path
from workloads.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from workloads.trace.types import Trace

__all__ = ["RateSeries", "SourceColumns", "read_rates"]

DEFAULT_INTERVAL_S = 60.0
MOST_INTERVALS = 5_000_000


@dataclass(frozen=True)
class SourceColumns:
    """How a table that is no trace of ours is to be read.

    Attributes
    ----------
    count, time, bin_s, where
        A log of counts; see `workloads.importers.counts.read_counts`. ``time`` None: each row is the next bin.
    arrival, unit
        A log with a row for each request instead; see `workloads.importers.event_table.EventColumns`.
    """

    count: str = "requests"
    time: str | None = "minute"
    bin_s: float | None = None
    where: Mapping[str, str] = field(default_factory=dict)
    arrival: str | None = None
    unit: str = "s"


@dataclass(frozen=True, eq=False)
class RateSeries:
    """Rates of whole intervals.

    Attributes
    ----------
    rate_rps
        ``rate_rps[service, interval]``.
    synthetic
        True if a model made the rates, and no log.
    """

    name: str
    services: tuple[str, ...]
    interval_s: float
    rate_rps: np.ndarray
    synthetic: bool


def read_rates(
    source: Path, interval_s: float | None = None, seed: int = 0, columns: SourceColumns | None = None
) -> RateSeries:
    """Read a scenario or trace section (YAML), a trace (Parquet), or a table of counts or of requests.

    Parameters
    ----------
    source
        The file, or ``data:NAME`` in the data folder.
    interval_s
        Length of an interval; by default a scenario's control interval, the bin of a log of counts, else 60 s. A
        last interval that is not whole is left out.
    seed
        Of a scenario's trace.

    Raises
    ------
    InputError
        Names the file and what is wrong.
    """
    columns = columns or SourceColumns()
    path = resolve_path(str(source), Path())
    if not path.is_file():
        raise InputError(str(path), "is no file", "give a scenario, a trace, or a table of counts")
    if interval_s is not None and not (math.isfinite(interval_s) and interval_s > 0.0):
        raise InputError("--interval", f"{interval_s} is not a finite number above 0", "give seconds, as in 60")
    if path.suffix in (".yaml", ".yml"):
        return _of_section(path, interval_s, seed)
    if columns.arrival is not None:
        from workloads.importers.event_table import EventColumns, import_csv

        trace: Trace = import_csv(path, EventColumns(columns.arrival, columns.unit), sort=True)
        return _of_trace(trace, interval_s or DEFAULT_INTERVAL_S)
    if path.suffix == ".parquet" and _is_trace(path):
        from workloads.trace.parquet import open_trace

        return _of_trace(open_trace(path, check_all=False), interval_s or DEFAULT_INTERVAL_S)
    return _of_counts(path, interval_s, columns)


def _of_section(path: Path, interval_s: float | None, seed: int) -> RateSeries:
    from recfleet.trace_section import read_trace_section

    spec, document = read_trace_section(path)
    stated = document.get("control_interval_s")
    default = float(stated) if isinstance(stated, int | float) and stated > 0 else DEFAULT_INTERVAL_S
    return _of_trace(spec.build(seed, base_dir=path.parent), interval_s or default)


def _of_trace(trace: Trace, interval_s: float) -> RateSeries:
    import numpy as np

    info = trace.info
    whole = _whole(info.duration_s / interval_s, info.name)
    ends_s = interval_s * np.arange(1, whole + 2)
    rates = trace.count_arrivals(ends_s)[:, :whole] / interval_s
    return RateSeries(info.name, info.services, interval_s, rates, info.synthetic)


def _of_counts(path: Path, interval_s: float | None, columns: SourceColumns) -> RateSeries:
    from workloads.importers.counts import read_counts

    series = read_counts(path, columns.count, columns.time, columns.bin_s, (), columns.where)
    interval_s = interval_s or series.bin_s
    bins = round(interval_s / series.bin_s)
    if bins < 1 or abs(bins * series.bin_s - interval_s) > 1e-6 * interval_s:
        raise InputError(
            "--interval", f"{interval_s:g} s is no multiple of the file's bins of {series.bin_s:g} s", "give one"
        )
    whole = _whole(len(series.counts) / bins, path.stem)
    rates = series.counts[: whole * bins].reshape(1, whole, bins).sum(axis=2) / interval_s
    name = ", ".join([path.stem, *columns.where.values()])
    return RateSeries(name, ("requests",), interval_s, rates, synthetic=False)


def _whole(intervals: float, name: str) -> int:
    if intervals > MOST_INTERVALS:
        raise InputError(name, f"has {intervals:,.0f} intervals", f"give a longer --interval, for {MOST_INTERVALS:,}")
    if intervals < 1.0:
        raise InputError(name, "is shorter than one interval", "give a shorter --interval")
    return int(intervals + 1e-9)


def _is_trace(path: Path) -> bool:
    """Whether a Parquet file says that it is a trace of ours."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from workloads.trace.parquet import METADATA_KEY

    try:
        return METADATA_KEY in (pq.read_schema(path).metadata or {})
    except (pa.ArrowException, OSError):
        return False
