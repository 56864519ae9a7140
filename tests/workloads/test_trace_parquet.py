"""Traces on disk: round trip, damage, and files that appear whole or not at all."""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workloads.errors import InputError
from workloads.trace import COLUMN_TYPES, COLUMNS, ArrayTrace, ParquetTrace, Trace, TraceInfo, open_trace
from workloads.trace.parquet import METADATA_KEY
from workloads.trace.types import Rows

INFO = TraceInfo("small", ("a", "b"), 1e6, "typed in", "none", synthetic=True, scale=0.5, notes=("Grüße",))


def small() -> ArrayTrace:
    return ArrayTrace(INFO, np.arange(1000.0), service=np.arange(1000) % 2, user=np.arange(1000), item=4, items=5)


@cache
def small_file() -> bytes:
    with TemporaryDirectory() as folder:
        small().write_parquet(Path(folder) / "t.parquet")
        return (Path(folder) / "t.parquet").read_bytes()


@st.composite
def traces(draw: st.DrawFn) -> ArrayTrace:
    size = draw(st.integers(1, 60))

    def column(low: int, high: int) -> list[int]:
        return draw(st.lists(st.integers(low, high), min_size=size, max_size=size))

    times = sorted(draw(st.lists(st.floats(0, 1e6), min_size=size, max_size=size)))
    services = tuple(draw(st.lists(st.text(min_size=1), min_size=1, max_size=4, unique=True)))
    info = TraceInfo(draw(st.text()), services, 1e6, draw(st.text()), "", draw(st.booleans()), 0.1, (draw(st.text()),))
    return ArrayTrace(
        info,
        times,
        service=column(0, len(services) - 1),
        user=column(-1, 2**63 - 1),
        item=column(-1, 2**63 - 1),
        items=column(0, 2**31 - 1),
        bytes_in=column(0, 2**31 - 1),
    )


@settings(max_examples=30, deadline=None)
@given(traces())
def test_round_trip(trace: ArrayTrace) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "t.parquet"
        assert trace.write_parquet(path) == len(trace)
        again = ArrayTrace.from_trace(open_trace(path))
        assert [file.name for file in Path(folder).iterdir()] == ["t.parquet"]
    assert again.info == trace.info
    for column in COLUMNS:
        np.testing.assert_array_equal(again.column(column), trace.column(column))


def test_same_trace_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        small().write_parquet(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def rewritten(path: Path, **columns: object) -> Path:
    """A file like `small`, with some columns replaced or (None) left out."""
    small().write_parquet(path)
    table = pq.read_table(path)
    arrays = {name: table.column(name) for name in COLUMNS} | columns
    kept = {name: array for name, array in arrays.items() if array is not None}
    pq.write_table(pa.table(kept).replace_schema_metadata(table.schema.metadata), path)
    return path


def with_value(name: str, row: int, value: object) -> pa.Array:
    values: list[object] = getattr(next(small().blocks(columns=COLUMNS)), name).tolist()
    values[row] = value
    return pa.array(values)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"arrival_s": with_value("arrival_s", 17, float("nan"))}, "row 17 arrival_s: nan is not a time"),
        ({"arrival_s": with_value("arrival_s", 17, 99.5)}, "row 18 arrival_s: 18.0 comes after 99.5"),
        ({"arrival_s": with_value("arrival_s", 17, None)}, "row 17 arrival_s: has no value"),
        ({"service": with_value("service", 500, 9)}, "row 500 service: 9 is not an index of the services (a, b)"),
        ({"user": with_value("user", 999, -5)}, "row 999 user: -5 is outside"),
        ({"user": None}, "has no column user"),
        ({"items": pa.array(["x"] * 1000)}, "column items: holds string, expected int32"),
        ({"arrival_s": pa.array(list(range(1000)))}, "column arrival_s: holds int64, expected float64 seconds"),
        ({name: pa.array([], pa.from_numpy_dtype(kind)) for name, kind in COLUMN_TYPES.items()}, "holds no request"),
    ],
)
def test_bad_columns_are_named(tmp_path: Path, columns: dict[str, object], message: str) -> None:
    path = rewritten(tmp_path / "t.parquet", **columns)
    with pytest.raises(InputError) as caught:
        open_trace(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_row_number_counts_over_batches_and_streaming_checks_too(tmp_path: Path) -> None:
    size = 600_000
    times = np.arange(float(size))
    path = tmp_path / "t.parquet"
    ArrayTrace(INFO, times).write_parquet(path)
    table = pq.read_table(path)
    times[550_000] = 7
    pq.write_table(table.set_column(0, "arrival_s", pa.array(times)), path, row_group_size=100_000)
    trace = open_trace(path, check_all=False)
    with pytest.raises(InputError, match=r"row 550000 arrival_s: 7\.0 comes after 549999\.0"):
        list(trace.blocks())


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (None, "is not a trace"),
        (b"{", "damaged trace metadata"),
        (b"[]", "damaged trace metadata"),
        (b'{"format": 2, "info": {}}', "trace format 2, expected 1"),
        (b'{"format": 1, "info": {"name": "x"}}', "metadata services"),
        (
            json.dumps(
                {
                    "format": 1,
                    "info": {
                        "name": "x",
                        "services": [],
                        "duration_s": 1,
                        "source": "",
                        "licence": "",
                        "synthetic": True,
                    },
                }
            ).encode(),
            "services is empty",
        ),
    ],
)
def test_bad_metadata(tmp_path: Path, metadata: bytes | None, message: str) -> None:
    path = tmp_path / "t.parquet"
    small().write_parquet(path)
    keys = {} if metadata is None else {METADATA_KEY: metadata}
    pq.write_table(pq.read_table(path).replace_schema_metadata(keys), path)
    with pytest.raises(InputError, match=message):
        open_trace(path)


def test_absent_empty_and_foreign_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no file"):
        open_trace(tmp_path / "absent.parquet")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "bytes").write_bytes(b"\x00\x01PAR1")
    for name in ("empty", "bytes"):
        with pytest.raises(InputError, match="not a readable Parquet file"):
            open_trace(tmp_path / name)


@pytest.mark.parametrize("content", [b"arrival_s\n1\n", "\ufeffarrival_s,caf\u00e9\r\n1,2\r\n".encode()])
def test_a_csv_is_told_how_to_become_a_trace(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "reqs.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match="is text and no Parquet trace") as caught:
        open_trace(path)
    assert f"recfleet trace import csv {path} --out {path.with_suffix('.parquet')}" in str(caught.value)


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_damaged_bytes_give_an_input_error_or_a_valid_trace(data: st.DataObject) -> None:
    """Whatever a disk does to a file, the answer is one clear line or rows that pass every check."""
    content = bytearray(small_file())
    with TemporaryDirectory() as folder:
        path = Path(folder) / "t.parquet"
        if data.draw(st.booleans()):
            del content[data.draw(st.integers(0, len(content) - 1)) :]
        for _ in range(data.draw(st.integers(1, 4))):
            if content:
                content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(content)
        message = str(path)
        try:
            ArrayTrace.from_trace(open_trace(path))
        except InputError as error:
            message = str(error)
        assert str(path) in message
        assert "\n" not in message


class Breaking(Trace):
    """Fails after some rows."""

    info = INFO

    def _chunks(self, columns: tuple[str, ...]) -> Iterator[Rows]:
        yield from small()._chunks(columns)
        raise InputError("somewhere", "broke", "mend it")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    small().write_parquet(path)
    before = path.read_bytes()
    with pytest.raises(InputError, match="broke"):
        Breaking().write_parquet(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["t.parquet"]


def test_no_file_for_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        small().write_parquet(tmp_path / "absent" / "t.parquet")


def test_length_is_known_without_reading(tmp_path: Path) -> None:
    small().write_parquet(tmp_path / "t.parquet")
    trace = ParquetTrace(tmp_path / "t.parquet")
    assert len(trace) == 1000
    assert trace.expected_rows == 1000


def test_a_target_that_cannot_be_written_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="folder: is a folder; give the name of a file in it"):
        small().write_parquet(tmp_path / "folder")
    with pytest.raises(InputError, match="cannot be written"):
        small().write_parquet(tmp_path / ("x" * 250))
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
