"""Columns of a CSV or Parquet file with one row a slot, for ``recfleet lp``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from workloads.errors import InputError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["read_columns", "read_demand"]


def read_columns(path: Path, columns: list[str] | None, *, positive: bool = False) -> tuple[list[str], np.ndarray]:
    """Names of the columns and ``value[column, slot]``; `read_demand` says which file and columns will do."""
    import numpy as np

    frame = _read_table(path)
    names = columns or [_demand_column(frame, path, None)]
    for name in columns or []:
        _demand_column(frame, path, name)
    if len(set(names)) < len(names):
        raise InputError(str(path), f"a column of {', '.join(names)} comes twice", "name each once")
    return names, np.stack([_column(frame, path, name, positive) for name in names])


def read_demand(path: Path, column: str | None = None) -> np.ndarray:
    """``demand[slot]`` of a CSV or Parquet file.

    Parameters
    ----------
    column
        Name of the column; not needed where just one column is numeric, or one of several is called ``demand``.

    Raises
    ------
    InputError
        If the file is missing, unreadable, empty or of another kind, the column is missing or not clear, or
        a value is not a finite number >= 0; rows are numbered from 1, a CSV's header not counted.
    """
    return read_columns(path, None if column is None else [column])[1][0]


def _column(frame: Any, path: Path, name: str, positive: bool) -> np.ndarray:
    """``value[slot]``, checked."""
    import numpy as np
    import pandas as pd

    numbers = pd.to_numeric(frame[name], errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    if numbers.size == 0:
        raise InputError(str(path), "it has no rows", "give one row for each slot")
    bad = np.flatnonzero(~np.isfinite(numbers) | (numbers < 0.0) | (positive & (numbers == 0.0)))
    if bad.size:
        row = int(bad[0])
        value = frame[name].iloc[row]
        shown = (
            "missing or not a number"
            if pd.isna(value)
            else f"{value!s} is not a finite number {'>' if positive else '>='} 0"
        )
        raise InputError(f"{path} row {row + 1} column {name}", shown, "correct or remove the row")
    return numbers


def _read_table(path: Path) -> Any:
    import pandas as pd

    if not path.is_file():
        raise InputError(str(path), "there is no such file", "give a CSV or Parquet file with one row a slot")
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            return pd.read_parquet(path)
        return pd.read_csv(path, encoding="utf-8-sig", skipinitialspace=True)
    except pd.errors.EmptyDataError:
        raise InputError(str(path), "it is empty", "give a header line and one row for each slot") from None
    except Exception as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError(str(path), f"it cannot be read as a table ({reason})", "give a CSV or Parquet file") from None


def _demand_column(frame: Any, path: Path, column: str | None) -> str:
    import pandas as pd

    names = [str(c) for c in frame.columns]
    frame.columns = names
    if column is not None:
        if column not in names:
            raise InputError(f"{path} column {column}", "there is no such column", f"choose one of {', '.join(names)}")
        return column
    numeric = [n for n in names if pd.api.types.is_numeric_dtype(frame[n]) and frame[n].dtype != bool]
    if len(names) == 1:
        if _is_number(names[0]):
            raise InputError(
                f"{path} row 1", f"the header {names[0]!r} is a number", "add a header line, as in: demand"
            )
        return names[0]
    if len(numeric) == 1:
        return numeric[0]
    if "demand" in numeric:
        return "demand"
    found = f"{len(numeric)} columns are numeric ({', '.join(numeric)})" if numeric else "no column is numeric"
    raise InputError(str(path), found, "name the column of the demand with --column")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
