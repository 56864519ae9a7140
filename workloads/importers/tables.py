"""Reading a table that somebody else wrote; errors name the row."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workloads.data_folder import ORIGINALS
from workloads.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["number_column", "one_line", "origin_of", "read_table", "require_columns", "seconds_column"]

_SHOWN = 60
_EXACT_MOST = 2**53
"""Whole numbers up to here are exact in float64, which is how a column with fractions or gaps is read."""

UNITS_S = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
"""Seconds in each unit that a column of times may be in."""


def one_line(value: object) -> str:
    """A value as a message shows it: without line breaks, and short."""
    text = " ".join(str(value).split()) or repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def read_table(path: Path, **csv_options: Any) -> pd.DataFrame:
    """Read a Parquet file (by its suffix) or else a text file with a header.

    Raises
    ------
    InputError
        Absent, unreadable or without a row.
    """
    import pandas as pd

    if not path.is_file():
        raise InputError(str(path), "is no file", "give the path of the downloaded original")
    try:
        frame = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, **csv_options)
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(str(path), f"cannot be read as a table ({reason})", "check the file") from error
    if not len(frame):
        raise InputError(str(path), "holds no row", "give a file with at least one row")
    return frame


def require_columns(path: Path, frame: pd.DataFrame, columns: list[str]) -> None:
    """Refuse a table that lacks one of `columns`."""
    for column in columns:
        if column not in frame.columns:
            has = ", ".join(one_line(name) for name in frame.columns)
            raise InputError(str(path), f"has no column {column!r}", f"name one of its columns: {has}")


def number_column(path: Path, frame: pd.DataFrame, column: str, most: int = 2**63 - 1) -> np.ndarray:
    """A column of whole numbers from 0 to `most`, int64."""
    import pandas as pd

    require_columns(path, frame, [column])
    numbers = pd.to_numeric(frame[column], errors="coerce")
    if pd.api.types.is_integer_dtype(numbers) and not numbers.isna().any():
        values = numbers.to_numpy()
    else:
        values, most = numbers.to_numpy(dtype=np.float64, na_value=np.nan), min(most, _EXACT_MOST)
    bad = ~((values >= 0) & (values <= most) & (values == np.floor(values)))
    if bad.any():
        row = int(np.argmax(bad))
        given = frame[column].iloc[row]
        raise InputError(
            f"{path} row {row} {column}",
            f"{one_line(given)} is not a whole number from 0 to {most}",
            "correct the row or remove it",
        )
    return values.astype(np.int64)


def seconds_column(path: Path, frame: pd.DataFrame, column: str, unit: str = "s") -> tuple[np.ndarray, float]:
    """A column of times, numbers in `unit` or timestamps, as seconds from the earliest, and that one.

    Returns
    -------
    seconds, origin_s
        ``seconds[row]``, float64, at least 0; and the earliest time: of timestamps, seconds from 1970 (UTC).
        Taking the difference first keeps microseconds, which a float64 of seconds from 1970 does not.
    """
    import pandas as pd

    require_columns(path, frame, [column])
    series = frame[column]
    if pd.api.types.is_numeric_dtype(series):
        if unit not in UNITS_S:
            raise InputError(f"{path} {column}", f"unit {unit!r} is unknown", f"use one of {', '.join(UNITS_S)}")
        seconds: np.ndarray = series.to_numpy(dtype=np.float64, na_value=np.nan)
        finite = seconds[np.isfinite(seconds)]
        first = float(finite.min()) if len(finite) else 0.0
        seconds, origin_s = (seconds - first) * UNITS_S[unit], first * UNITS_S[unit]
    else:
        text = series if pd.api.types.is_datetime64_any_dtype(series) else series.astype(str)
        stamps = pd.to_datetime(text, errors="coerce", utc=True, format="ISO8601")
        missing = stamps.isna().to_numpy()
        seconds = (stamps - stamps.min()).dt.total_seconds().to_numpy(dtype=np.float64, copy=True)
        seconds[missing] = np.nan
        origin_s = 0.0 if missing.all() else float(stamps.min().timestamp())
    bad = ~np.isfinite(seconds)
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(
            f"{path} row {row} {column}",
            f"{one_line(series.iloc[row])} is not a time",
            f"give numbers in {unit} or ISO 8601 timestamps",
        )
    return seconds, origin_s


def origin_of(path: Path, known: str | None = None) -> tuple[str, str]:
    """Source and licence of a file: of the entry `known` of `ORIGINALS`, else by the file's name."""
    original = ORIGINALS.get(known or path.name)
    if original is None:
        return path.name, "not stated"
    return f"{original.title}, {original.url}", original.licence
