"""Traces in memory: cutting into blocks, and the checks on rows."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workloads.errors import InputError
from workloads.trace import COLUMN_TYPES, COLUMNS, ArrayTrace, TraceInfo
from workloads.trace.types import _as_they_come, _reblock

INFO = TraceInfo("small", ("a", "b"), 100.0, "typed in", "none", synthetic=True)


@settings(deadline=None)
@given(st.lists(st.integers(1, 50), max_size=20), st.integers(1, 70))
def test_blocks_are_the_pieces_joined(sizes: list[int], rows: int) -> None:
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(int)
    chunks = ({"arrival_s": np.arange(a, b), "service": -np.arange(a, b)} for a, b in pairwise(starts))
    blocks = list(_reblock_two(chunks, rows))
    joined = np.concatenate([block["arrival_s"] for block in blocks]) if blocks else np.arange(0)
    np.testing.assert_array_equal(joined, np.arange(starts[-1]))
    assert all(len(block["arrival_s"]) == rows for block in blocks[:-1])
    assert [block["start"] for block in blocks] == list(range(0, int(starts[-1]), rows))
    for block in blocks:
        np.testing.assert_array_equal(block["service"], -block["arrival_s"])


def _reblock_two(chunks, rows):  # type: ignore[no-untyped-def]
    def whole():  # type: ignore[no-untyped-def]
        for chunk in chunks:
            yield {**chunk, "items": chunk["service"], "bytes_in": chunk["service"]}

    for block in _reblock(whole(), ("arrival_s", "service", "items", "bytes_in"), rows):
        yield {"arrival_s": block.arrival_s, "service": block.service, "start": block.start_index}


def test_users_come_only_when_asked_for() -> None:
    trace = ArrayTrace(INFO, [1.0, 2.0], user=[7, 8])
    (block,) = trace.blocks()
    assert block.user is None
    assert block.item is None
    (block,) = trace.blocks(columns=("user",))
    assert block.user is not None
    assert block.user.tolist() == [7, 8]
    assert block.item is None
    (block,) = trace.blocks(columns=COLUMNS)
    assert {name: getattr(block, name).dtype for name in COLUMNS} == COLUMN_TYPES


def test_unknown_column_and_bad_block_size_are_refused() -> None:
    trace = ArrayTrace(INFO, [1.0])
    with pytest.raises(ValueError, match="colour"):
        trace.blocks(columns=("colour",))
    with pytest.raises(ValueError, match="at least 1"):
        trace.blocks(rows=0)


@pytest.mark.parametrize(
    ("columns", "place", "problem"),
    [
        ({"arrival_s": [1.0, float("nan"), 2.0]}, "row 1 arrival_s", "nan is not a time"),
        ({"arrival_s": [1.0, 2.0, float("inf")]}, "row 2 arrival_s", "inf is not a time"),
        ({"arrival_s": [1.0, 3.0, 2.0]}, "row 2 arrival_s", "2.0 comes after 3.0"),
        ({"arrival_s": [-1.0, 3.0, 4.0]}, "row 0 arrival_s", "-1.0 is negative"),
        ({"arrival_s": [1.0, 3.0, 101.0]}, "row 2 arrival_s", "101.0 is past the trace's duration"),
        ({"arrival_s": [], "service": []}, "small", "holds no request"),
        ({"service": [0, 1, 2]}, "row 2 service", "2 is not an index of the services (a, b)"),
        ({"service": [0, -1, 0]}, "row 1 service", "-1 is not an index"),
        ({"items": [0, 5, -3]}, "row 2 items", "-3 is outside"),
        ({"items": [2**31, 5, 3]}, "row 0 items", "2147483648 is outside"),
        ({"user": [0, -2, 0]}, "row 1 user", "-2 is outside"),
        ({"bytes_in": [0, 0, -1]}, "row 2 bytes_in", "-1 is outside"),
    ],
)
def test_bad_rows_are_named(columns: dict[str, list[float]], place: str, problem: str) -> None:
    with pytest.raises(InputError) as caught:
        ArrayTrace(INFO, **{"arrival_s": [1.0, 2.0, 3.0], **columns})
    assert caught.value.where.endswith(place)
    assert problem in caught.value.problem


def test_arrays_of_another_length_or_kind_are_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        ArrayTrace(INFO, [1.0, 2.0], user=[1])
    with pytest.raises(TypeError, match="integers"):
        ArrayTrace(INFO, [1.0, 2.0], items=[1.5, 2.5])


@pytest.mark.parametrize("changes", [{"services": ()}, {"services": ("a", "a")}, {"duration_s": 0.0}])
def test_impossible_descriptions_are_refused(changes: dict[str, object]) -> None:
    fields = {"name": "x", "services": ("a",), "duration_s": 1.0, "source": "", "licence": "", "synthetic": True}
    with pytest.raises(ValueError, match=next(iter(changes))):
        TraceInfo(**{**fields, **changes})  # type: ignore[arg-type]


def test_reading_into_memory_keeps_all_columns() -> None:
    trace = ArrayTrace(INFO, [1.0, 2.0, 2.0], service=[0, 1, 1], user=[5, 6, 7], item=3, items=9, bytes_in=[1, 2, 3])
    again = ArrayTrace.from_trace(trace)
    assert again.info == trace.info
    for column in COLUMNS:
        np.testing.assert_array_equal(again.column(column), trace.column(column))


@settings(deadline=None)
@given(st.lists(st.integers(1, 9_000), max_size=12), st.integers(1, 12_000))
def test_blocks_as_they_come_are_all_the_rows(sizes: list[int], rows: int) -> None:
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(int)
    columns = ("arrival_s", "service", "items", "bytes_in")
    chunks = [dict.fromkeys(columns, np.arange(a, b)) for a, b in pairwise(starts)]
    blocks = list(_as_they_come(iter(chunks), columns, rows))
    joined = np.concatenate([block.arrival_s for block in blocks]) if blocks else np.arange(0)
    np.testing.assert_array_equal(joined, np.arange(starts[-1]))
    assert all(0 < len(block) <= rows for block in blocks)
    assert [block.start_index for block in blocks] == [block.arrival_s[0] for block in blocks]
    sizes = [len(block) for block in blocks]
    assert all(a >= min(rows, 4096) or a + b > rows for a, b in pairwise(sizes))


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 1)), min_size=1, max_size=60),
    st.lists(st.integers(1, 25), min_size=1, max_size=8, unique=True),
)
def test_arrivals_are_counted_by_intervals_that_own_their_ends(rows: list[tuple[int, int]], ends: list[int]) -> None:
    times, services = zip(*sorted(rows))
    trace = ArrayTrace(INFO, np.array(times, float), service=np.array(services))
    counts = np.zeros((2, len(ends)), int)
    for time_s, service in rows:
        counts[service, next((i for i, end in enumerate(sorted(ends)) if time_s <= end), len(ends) - 1)] += 1
    np.testing.assert_array_equal(trace.count_arrivals(np.array(sorted(ends), float)), counts)
