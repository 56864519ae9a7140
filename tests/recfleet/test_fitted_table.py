"""Tables that leave columns out rather than cut cells."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table

from recfleet.fitted_table import (
    Column,
    aligned,
    folded,
    print_fitted,
    shown_columns,
    significant,
    table_console,
    with_prefix,
)

CELLS = st.lists(st.text("0123456789.", min_size=1, max_size=12), min_size=2, max_size=2)


@given(st.lists(st.tuples(CELLS, st.integers(0, 5)), min_size=1, max_size=8), st.integers(1, 120))
def test_what_is_shown_fits_and_goes_by_rank(drawn: list[tuple[list[str], int]], room: int) -> None:
    columns = [Column(f"c{place}", cells, rank=rank) for place, (cells, rank) in enumerate(drawn)]
    shown = shown_columns(columns, room)
    width = sum(column.width for column in shown) + 2 * (len(shown) - 1)
    assert all(column in shown for column in columns if column.rank == 0)
    assert width <= room or all(column.rank == 0 for column in shown)
    left_out = [column for column in columns if column not in shown]
    if left_out:
        first = min(left_out, key=lambda column: column.rank)
        assert all(column.rank <= first.rank for column in shown)
        assert width + 2 + max(column.width for column in left_out if column.rank == first.rank) > room or width > room


@pytest.mark.parametrize("room", ["10", "31", "80"])
def test_no_cell_is_cut_and_what_is_left_out_is_named(
    room: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", room)
    columns = [
        Column("a long\nname", ["a-name-of-24-characters!", "b"], right=False),
        Column("number", ["1,234,567.8", "9"], rank=1),
        Column("other", ["7654321", "3"], rank=2),
        Column("nothing", ["-", "-"], rank=3),
    ]
    shown = print_fitted(columns)
    text = capsys.readouterr().out
    for column in columns:
        assert all(cell in text for cell in column.cells) == (column in shown) or column.title == "nothing"
    assert "…" not in text
    assert ("no room for" in text) == (len(shown) < 3)
    assert "nothing" not in text


@given(st.text("abc-+ ", min_size=1, max_size=60), st.integers(3, 20))
def test_folding_loses_nothing(text: str, width: int) -> None:
    lines = folded(text, width, indent=" ").split("\n")
    assert "".join("".join(line.split()) for line in lines) == "".join(text.split())
    longest = max(len(word) for word in re.split(r"(?<=[-+])|(?<= )(?=[^ ])", text))
    assert all(len(line) <= max(width, longest + 1) for line in lines)


def test_wide_and_a_pipe_show_all(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    columns = [Column(f"column {place}", ["x" * 30], rank=place) for place in range(8)]
    monkeypatch.setenv("COLUMNS", "40")
    assert print_fitted(columns, wide=True) == columns
    monkeypatch.delenv("COLUMNS")
    assert print_fitted(columns) == columns
    assert max(len(line) for line in capsys.readouterr().out.splitlines()) >= 8 * 30


def test_a_table_is_wrapped_in_a_terminal_only(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for room, lines in (("40", 6), ("", 1)):
        monkeypatch.setenv("COLUMNS", room)
        table = Table("", box=None, show_header=False)
        table.add_row("word " * 40)
        table_console().print(table)
        assert len(capsys.readouterr().out.strip().splitlines()) == lines


@given(st.floats(1e-8, 1e9))
def test_numbers_keep_three_digits(value: float) -> None:
    shown = significant(value)
    assert math.isclose(float(shown.replace(",", "")), value, rel_tol=6e-3)
    text = with_prefix(value)
    assert math.isclose(
        float(text.rstrip(" kM").replace(",", "")) * {"k": 1e3, "M": 1e6}.get(text[-1], 1), value, rel_tol=6e-3
    )


def test_columns_of_numbers_share_their_decimals() -> None:
    assert aligned([0.5, 12.25, 1000.0]) == ["0.500", "12.250", "1,000.000"]
    assert aligned([0.0, 0.0]) == ["0.00", "0.00"]
    assert significant(math.nan) == "-"
    assert significant(0.0) == "0"
