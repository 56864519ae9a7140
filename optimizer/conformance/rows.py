"""Rows of a file of cases, read with errors that name file, row and column."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from optimizer.conformance.case import CaseResult
from workloads.errors import InputError

__all__ = ["Row", "check_rows", "read_rows"]

T = TypeVar("T")


@dataclass(frozen=True)
class Row:
    """One case.

    Attributes
    ----------
    position
        From 1, the header not counted.
    cells
        Text by column.
    """

    path: Path
    position: int
    cells: Mapping[str, str]

    @property
    def case_id(self) -> str:
        return self.cells["case_id"]

    def text(self, column: str) -> str:
        """The cell as it stands, without blanks around it; empty where it has nothing."""
        return self.cells[column].strip()

    def has(self, column: str) -> bool:
        """Whether the cell has anything."""
        return self.text(column) != ""

    def integer(self, column: str, default: int | None = None) -> int:
        """A whole number; of an empty cell ``default``, which is an error where there is none."""
        return self._one(column, _integer, "a whole number", default)

    def number(self, column: str, default: float | None = None) -> float:
        """A finite number; of an empty cell ``default``, which is an error where there is none."""
        return self._one(column, _finite, "a finite number", default)

    def flag(self, column: str, default: bool | None = None) -> bool:
        """``1`` or ``0``."""
        return self._one(column, _flag, "1 or 0", default)

    def parts(self, column: str, separator: str = ";") -> list[str]:
        """Items of a list; an empty cell has none, an item may be empty."""
        return [part.strip() for part in self.text(column).split(separator)] if self.has(column) else []

    def integers(self, column: str) -> list[int | None]:
        """Whole numbers of a list; None for an empty item."""
        return [self.parsed(column, part, _integer, "a whole number") if part else None for part in self.parts(column)]

    def flags(self, column: str) -> list[bool]:
        """``1`` and ``0`` of a list."""
        return [self.parsed(column, part, _flag, "1 or 0") for part in self.parts(column)]

    def error(self, column: str, problem: str, fix: str = "correct the row or remove it") -> InputError:
        """An error of this cell, to be raised."""
        return InputError(f"{self.path} row {self.position} ({self.case_id}) column {column}", problem, fix)

    def _one(self, column: str, parse: Callable[[str], T], kind: str, default: T | None) -> T:
        if self.has(column):
            return self.parsed(column, self.text(column), parse, kind)
        if default is None:
            raise self.error(column, f"it is empty, {kind} was expected")
        return default

    def parsed(self, column: str, text: str, parse: Callable[[str], T], kind: str) -> T:
        """``parse(text)`` of a part of a cell; an error of the cell where it raises ``ValueError``."""
        try:
            return parse(text)
        except ValueError:
            raise self.error(column, f"{text!r} is not {kind}") from None


def read_rows(path: Path, columns: Iterable[str]) -> list[Row]:
    """Rows of a CSV file that has at least these columns.

    Raises
    ------
    InputError
        If the file cannot be read, lacks a column, holds no row, or a row has too few or too many cells, no
        case id or one that an earlier row has.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = list(csv.reader(file, strict=True))
    except OSError as error:
        raise InputError(str(path), f"it cannot be read ({error.strerror})", "give a CSV file") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(str(path), f"it is not CSV ({error})", "give a CSV file in UTF-8") from None
    header = lines[0] if lines else []
    missing = [column for column in ("case_id", *columns) if column not in header]
    if missing:
        raise InputError(str(path), f"it lacks the column {missing[0]}", "keep the header of the published cases")
    rows = [_row(path, number, header, cells) for number, cells in enumerate(lines[1:], 1) if cells]
    if not rows:
        raise InputError(str(path), "it has no rows", "give one row for each case")
    _refuse_twins(rows)
    return rows


def check_rows(rows: Iterable[Row], check_row: Callable[[Row], str]) -> list[CaseResult]:
    """Results of rows by a function that returns why a row fails, empty where it passes."""
    reasons = ((row.case_id, check_row(row)) for row in rows)
    return [CaseResult(case_id, not reason, reason) for case_id, reason in reasons]


def _row(path: Path, number: int, header: list[str], cells: list[str]) -> Row:
    if len(cells) != len(header):
        where, found = f"{path} row {number}", f"it has {len(cells)} cells, the header {len(header)}"
        raise InputError(where, found, "correct the row or remove it")
    row = Row(path, number, dict(zip(header, cells)))
    if not row.case_id.strip():
        raise InputError(f"{path} row {number} column case_id", "it is empty", "give each case an id of its own")
    return row


def _refuse_twins(rows: list[Row]) -> None:
    seen: dict[str, int] = {}
    for row in rows:
        if row.case_id in seen:
            raise row.error("case_id", f"row {seen[row.case_id]} has the same id", "give each case an id of its own")
        seen[row.case_id] = row.position


def _integer(text: str) -> int:
    return int(text, 10)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _flag(text: str) -> bool:
    if text not in ("0", "1"):
        raise ValueError(text)
    return text == "1"
