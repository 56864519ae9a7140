"""A log of one's own: a CSV or Parquet table whose columns are named, and perhaps tables of users and items."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from workloads.errors import InputError
from workloads.importers.tables import UNITS_S, one_line, read_table, require_columns
from workloads.interactions.sources.raw import Entities, RawLog

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["EntityColumns", "TableColumns", "read_own_table"]


@dataclass(frozen=True)
class EntityColumns:
    """A table that describes users or items; its column of ids is named as in the log.

    Attributes
    ----------
    path
        CSV or Parquet; None where there is none.
    numbers, categories
        Its columns of quantities, and of names or codes.
    tags
        Its column of several names each, divided by ``|``.
    """

    path: Path | None = None
    numbers: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    tags: str = ""


@dataclass(frozen=True)
class TableColumns:
    """Which column of a table means what.

    Attributes
    ----------
    user, item, time
        Columns of ids (any values), and of times: numbers in `time_unit` from 1970, or ISO 8601 timestamps.
    rating
        Column of ratings; None where a row says no more than that the user took the item.
    time_unit
        s, ms, us or ns.
    name
        Of the data; by default the file's.
    users, items
        Tables that describe them.
    """

    user: str = "user"
    item: str = "item"
    time: str = "time"
    rating: str | None = "rating"
    time_unit: str = "s"
    name: str | None = None
    users: EntityColumns = EntityColumns()
    items: EntityColumns = EntityColumns()


def read_own_table(
    path: Path,
    columns: TableColumns,
    scale: tuple[float, float] | None = None,
    like_from: float | None = None,
) -> RawLog:
    """Read a table with one row for each interaction.

    Raises
    ------
    InputError
        The file or a column is absent, or nothing in a column is of its kind.
    """
    import pandas as pd

    frame = read_table(path)
    wanted = [columns.user, columns.item, columns.time, *([columns.rating] if columns.rating else [])]
    require_columns(path, frame, wanted)
    if columns.rating:
        rating = pd.to_numeric(frame[columns.rating], errors="coerce").to_numpy(np.float64, na_value=np.nan)
        if np.isnan(rating).all():
            given = one_line(frame[columns.rating].iloc[0])
            raise InputError(f"{path} {columns.rating}", f"holds no number ({given})", "name the column of ratings")
        notes: tuple[str, ...] = ()
    else:
        rating, scale, like_from = np.ones(len(frame)), (0.0, 1.0), 1.0
        notes = ("the log has no ratings: every interaction counts as a like, and there is nothing to tell apart",)
    low, high = scale or (None, None)
    return RawLog(
        name=columns.name or path.stem,
        source=path.name,
        licence="not stated",
        frame=pd.DataFrame(
            {
                "user": frame[columns.user],
                "item": frame[columns.item],
                "rating": rating,
                "time_s": _seconds(path, frame[columns.time], columns.time_unit),
            }
        ),
        rating_low=low,
        rating_high=high,
        like_from=like_from,
        users=_entities(columns.users, columns.user),
        items=_entities(columns.items, columns.item),
        notes=notes,
    )


def _seconds(path: Path, series: pd.Series, unit: str) -> np.ndarray:
    """Times in seconds from 1970, float64; NaN where there is none."""
    import pandas as pd

    if unit not in UNITS_S:
        raise InputError("--time-unit", f"{unit!r} is unknown", f"use one of {', '.join(UNITS_S)}")
    if not pd.api.types.is_datetime64_any_dtype(series):
        numbers = pd.to_numeric(series, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        if np.isfinite(numbers).any():
            return numbers * UNITS_S[unit]
        series = series.astype(str)
    stamps = pd.to_datetime(series, errors="coerce", utc=True, format="ISO8601")
    if stamps.isna().all():
        given = one_line(series.iloc[0])
        raise InputError(f"{path} {series.name}", f"holds no time ({given})", "give numbers or ISO 8601 timestamps")
    seconds: np.ndarray = (stamps - pd.Timestamp(0, tz="UTC")).dt.total_seconds().to_numpy(np.float64)
    return seconds


def _entities(given: EntityColumns, key: str) -> Entities:
    if given.path is None:
        return Entities()
    frame = read_table(given.path)
    tags = (given.tags,) if given.tags else ()
    require_columns(given.path, frame, [key, *given.numbers, *given.categories, *tags])
    return Entities(frame, key, given.numbers, given.categories, given.tags)
