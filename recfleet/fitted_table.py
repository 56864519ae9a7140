"""Tables whose cells are never cut: columns that a terminal has no room for are left out, and named below the table."""

from __future__ import annotations

import math
import os
import re
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "NOTHING",
    "Column",
    "aligned",
    "folded",
    "print_fitted",
    "print_line",
    "shown_columns",
    "significant",
    "table_console",
    "terminal_width",
    "with_prefix",
]

NOTHING = "-"
"""What a cell without a value shows."""

_GAP = 2
_UNLIMITED = 10_000
"""Characters of a line."""


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes
    ----------
    header
        Its name; may have line breaks.
    cells
        ``cells[row]``, as shown.
    right
        Whether cells stand to the right, as numbers do.
    rank
        The order in which columns find room, from 1 up; a column of rank 0 is always there.
    fold
        Width beyond which cells go on in a further line where a terminal is narrow, at a hyphen or space; 0: never.
    name
        What it is called where it is left out; the words of its header unless given.
    """

    header: str
    cells: Sequence[str]
    right: bool = True
    rank: int = 0
    fold: int = 0
    name: str = ""

    def folded(self) -> Column:
        """The column with its cells in as many lines as they need."""
        if not self.fold:
            return self
        return replace(self, cells=[folded(cell, self.fold, indent="  ") for cell in self.cells])

    @property
    def title(self) -> str:
        """The name, or the header on one line."""
        return self.name or self.header.replace("-\n", "-").replace("\n", " ").strip()

    @property
    def width(self) -> int:
        """Terminal cells of the widest line."""
        from rich.cells import cell_len

        return max(cell_len(line) for text in (self.header, *self.cells) for line in text.split("\n"))

    @property
    def empty(self) -> bool:
        """Whether no cell has a value."""
        return all(cell in ("", NOTHING) for cell in self.cells)


def shown_columns(columns: Sequence[Column], room: int | None) -> list[Column]:
    """The columns to show, those without any value left out unless their rank is 0.

    Parameters
    ----------
    columns
        All, from left to right.
    room
        Width of the terminal; None for no limit.

    Returns
    -------
    list of Column
        By rank as many as fit; the first that does not keeps all of later rank out.
    """
    kept = [column for column in columns if column.rank == 0 or not column.empty]
    if room is None:
        return kept
    left = room + _GAP
    chosen: set[int] = set()
    for place in sorted(range(len(kept)), key=lambda place: kept[place].rank):
        left -= kept[place].width + _GAP
        if left < 0 and kept[place].rank > 0:
            break
        chosen.add(place)
    return [kept[place] for place in sorted(chosen)]


def print_fitted(
    columns: Sequence[Column], wide: bool = False, hint: str = "--wide shows all", styles: Sequence[str] = ()
) -> list[Column]:
    """Print the columns that fit and name the others; all columns where output goes to a file or a pipe.

    Parameters
    ----------
    columns
        All, from left to right.
    wide
        Print all, however narrow the terminal.
    hint
        How to see what was left out.
    styles
        ``styles[row]`` of rich, where rows are to stand out.

    Returns
    -------
    list of Column
        Those printed.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    room = None if wide else terminal_width()
    shown = shown_columns(columns, room)
    if len(shown) < len(shown_columns(columns, None)):
        columns = [column.folded() for column in columns]
        shown = shown_columns(columns, room)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in shown:
        table.add_column(Text(column.header), justify="right" if column.right else "left", no_wrap=True)
    for place, row in enumerate(zip(*(column.cells for column in shown), strict=True)):
        table.add_row(*(Text(cell) for cell in row), style=styles[place] if styles else None)
    Console(width=sum(column.width + _GAP for column in shown), highlight=False).print(table)
    left_out = [column.title for column in shown_columns(columns, None) if column not in shown]
    if left_out:
        print_line(f"no room for: {', '.join(left_out)} ({hint})")
    return shown


def folded(text: str, width: int, indent: str = "") -> str:
    """The text in lines of at most a width, broken after hyphens, pluses and spaces; a longer word stays whole.

    Examples
    --------
    >>> folded("cpu-2core-amd-epyc", 10).split("\\n")
    ['cpu-2core-', 'amd-epyc']
    """
    lines = [""]
    for piece in re.split(r"(?<=[-+])|(?<= )(?=[^ ])", text):
        if lines[-1].strip() and len(lines[-1]) + len(piece.rstrip()) > width:
            lines.append(indent)
        lines[-1] += piece
    return "\n".join(line.rstrip() for line in lines)


def print_line(text: str, lead: str = "", indent: str = "") -> None:
    """Print a sentence, wrapped at its words where a terminal is narrow.

    Parameters
    ----------
    lead
        What comes before it, in bold.
    indent
        What each line begins with.
    """
    room, whole = terminal_width(), f"{lead}{text}"
    lines = indent + whole if room is None else textwrap.fill(
        whole,
        max(room, 20),
        initial_indent=indent,
        subsequent_indent=indent,
        break_on_hyphens=False,
        break_long_words=False,
    )  # fmt: skip
    typer.echo(f"{indent}{typer.style(lead, bold=True)}{lines[len(indent) + len(lead) :]}" if lead else lines)


def significant(value: float, digits: int = 3) -> str:
    """A number with so many significant digits at least, all digits before the point; ``-`` for NaN.

    Examples
    --------
    >>> significant(1478.4), significant(0.05593), significant(3.0), significant(0.0000062)
    ('1,478', '0.0559', '3.00', '6.2e-06')
    """
    if math.isnan(value):
        return NOTHING
    if value and abs(value) < 1e-4:
        return f"{value:.{digits}g}"
    places = digits - 1 - math.floor(math.log10(abs(value))) if value else 0
    return f"{value:,.{max(places, 0)}f}"


def aligned(values: Sequence[float], digits: int = 3) -> list[str]:
    """Numbers with one count of decimals for all, so that the smallest shows so many significant digits.

    Examples
    --------
    >>> aligned([0.08291, 1.5994])
    ['0.0829', '1.5994']
    """
    least = min((abs(value) for value in values if value), default=1.0)
    places = max(0, digits - 1 - math.floor(math.log10(least)))
    return [f"{value:,.{places}f}" for value in values]


def with_prefix(value: float, digits: int = 3) -> str:
    """A count in thousands or millions where it is that large.

    Examples
    --------
    >>> with_prefix(355.4), with_prefix(64_451.0), with_prefix(169_540_000.0)
    ('355', '64.5 k', '170 M')
    """
    for prefix, scale in (("M", 1e6), ("k", 1e3)):
        if value >= scale:
            return f"{significant(value / scale, digits)} {prefix}"
    return significant(value, digits)


def table_console() -> Console:
    """A console for tables on standard output, which wraps where a terminal does and nowhere in a file or a pipe."""
    from rich.console import Console

    return Console(highlight=False, width=terminal_width() or _UNLIMITED)


def terminal_width() -> int | None:
    """Width of the terminal, or what COLUMNS says; None for a file or a pipe where it says nothing."""
    from rich.console import Console

    return Console().width if sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit() else None
