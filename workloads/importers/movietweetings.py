"""MovieTweetings: who rated which film and when, from tweets."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from workloads.importers.event_table import ordered_times
from workloads.importers.tables import number_column, origin_of, read_table
from workloads.trace.array import ArrayTrace
from workloads.trace.types import TraceInfo

__all__ = ["import_movietweetings"]

_COLUMNS = ["user_id", "movie_id", "rating", "unix_s"]
_ORIGINAL = "ratings_movietweetings.parquet"


def import_movietweetings(
    path: Path, service: str = "ratings", sort: bool = False, jitter_s: float = 0.0, seed: int = 0
) -> ArrayTrace:
    """Import ratings as requests: one rating is one visit of its user to its film's page.

    Parameters
    ----------
    path
        ``ratings.dat`` as published (fields divided by ``::``), or Parquet with columns user_id, movie_id,
        unix_s.
    service
        Name of the trace's one service.
    sort
        Sort the rows by time; the published file is sorted by user, so it needs this.
    jitter_s, seed
        Times are whole seconds and rows of the same second keep their order; a jitter of 1 spreads them over
        the second instead.
    """
    if path.suffix == ".parquet":
        frame = read_table(path)
    else:
        frame = read_table(path, sep="::", engine="python", header=None, names=_COLUMNS)
    unix_s = number_column(path, frame, "unix_s")
    seconds = (unix_s - unix_s.min()).astype(np.float64)
    arrival_s, order, notes = ordered_times(path, "unix_s", seconds, sort, jitter_s, seed)
    source, licence = origin_of(path, _ORIGINAL)
    info = TraceInfo(
        name=path.stem,
        services=(service,),
        duration_s=float(np.floor(arrival_s[-1]) + 1),
        source=source,
        licence=licence,
        synthetic=False,
        notes=(*notes, "assumed: one rating is one request of its user on its film's page"),
    )
    return ArrayTrace(
        info,
        arrival_s,
        user=number_column(path, frame, "user_id")[order],
        item=number_column(path, frame, "movie_id")[order],
    )
