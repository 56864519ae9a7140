"""Traces on disk: one Parquet file, streamed in and out."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workloads.errors import InputError
from workloads.trace.check import RowChecker
from workloads.trace.types import COLUMN_TYPES, COLUMNS, Rows, Trace, TraceInfo

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

__all__ = ["FORMAT_VERSION", "METADATA_KEY", "ParquetTrace", "open_trace", "write_parquet"]

METADATA_KEY = b"recfleet.trace"
"""Key of the schema's metadata that holds the trace's description as JSON."""

FORMAT_VERSION = 1

_ROW_GROUP = 262_144
_LAYOUT: dict[str, Any] = {
    "compression": "lz4",
    "use_dictionary": [column for column in COLUMNS if column != "arrival_s"],
    "column_encoding": {"arrival_s": "BYTE_STREAM_SPLIT"},
}
"""Chosen for the speed of reading (half the time of zstd); times split by bytes also take less room."""

_CHECK_AT_OPEN_ROWS = 2_000_000
_HEAD_BYTES = 512
_HOW_TO_IMPORT = "import it with: recfleet trace import csv FILE --out TRACE.parquet"


class ParquetTrace(Trace):
    """A trace in a Parquet file, read a row group's share at a time; rows are checked as they are read.

    Use `open_trace`, which also reads the whole of a file that is quick to read, so that most errors show
    at once.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        with _blamed_on(self.path), _open(self.path) as file:
            self.info = _read_info(self.path, file.schema_arrow)
            _check_schema(self.path, file.schema_arrow)
            self._row_total = int(file.metadata.num_rows)
        if not self._row_total:
            raise InputError(str(self.path), "holds no request", "give a trace with at least one row")

    def __len__(self) -> int:
        return self._row_total

    @property
    def expected_rows(self) -> float:
        """The number of rows."""
        return float(self._row_total)

    def _chunks(self, columns: tuple[str, ...]) -> Iterator[Rows]:
        checker = RowChecker(str(self.path), self.info)
        first_row = 0
        with _blamed_on(self.path), _open(self.path) as file:
            for batch in file.iter_batches(batch_size=_ROW_GROUP, columns=list(columns)):
                if batch.num_rows:
                    yield checker.check(_to_numpy(self.path, batch, columns, first_row))
                    first_row += batch.num_rows


def open_trace(path: str | Path, check_all: bool | None = None) -> ParquetTrace:
    """Open a trace's file and check it.

    Parameters
    ----------
    path
        A Parquet file in the format of docs/trace-format.md.
    check_all
        True reads and checks every row now; False leaves it to the reading, which always checks;
        None does so now where the file is small enough for it to take well under a second.

    Raises
    ------
    InputError
        Names the file, the row (counted from 0), the column and the value.
    """
    trace = ParquetTrace(path)
    if check_all or (check_all is None and len(trace) <= _CHECK_AT_OPEN_ROWS):
        for _ in trace.blocks(columns=COLUMNS):
            pass
    return trace


def write_parquet(trace: Trace, path: str | Path, progress: Callable[[int], None] | None = None) -> int:
    """Write `trace` to `path` under a temporary name, sync it, rename it; return the number of rows."""
    import pyarrow.parquet as pq

    target = Path(path)
    if not target.parent.is_dir():
        raise InputError(str(target), f"the folder {target.parent} does not exist", "create it first")
    if target.is_dir():
        raise InputError(str(target), "is a folder", "give the name of a file in it")
    schema = _schema(trace.info)
    row_total = 0
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as sink:
            with pq.ParquetWriter(sink, schema, **_LAYOUT) as writer:
                for block in trace.blocks(columns=COLUMNS, rows=_ROW_GROUP):
                    writer.write_batch(_to_arrow(block, schema), row_group_size=_ROW_GROUP)
                    row_total += len(block)
                    if progress is not None:
                        progress(len(block))
            sink.flush()
            os.fsync(sink.fileno())
        if not row_total:
            raise InputError(trace.info.name, "holds no request", "raise its rate or its duration")
        os.replace(temporary, target)
    except OSError as error:
        raise InputError(
            str(target), f"cannot be written ({error.strerror or error})", "give a path that can"
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink()
    return row_total


def _schema(info: TraceInfo) -> pa.Schema:
    import pyarrow as pa

    document = json.dumps({"format": FORMAT_VERSION, "info": asdict(info)}, sort_keys=True)
    fields = [pa.field(column, pa.from_numpy_dtype(COLUMN_TYPES[column]), nullable=False) for column in COLUMNS]
    return pa.schema(fields, metadata={METADATA_KEY: document.encode()})


def _to_arrow(block: Any, schema: pa.Schema) -> pa.RecordBatch:
    import pyarrow as pa

    return pa.record_batch([pa.array(getattr(block, column)) for column in COLUMNS], schema=schema)


def _open(path: Path) -> pq.ParquetFile:
    import pyarrow.parquet as pq

    if not path.is_file():
        raise InputError(str(path), "is no file", "give the path of a trace's Parquet file")
    if _is_text(path):
        raise InputError(
            str(path),
            "is text and no Parquet trace",
            f"import it with: recfleet trace import csv {shlex.quote(str(path))} "
            f"--out {shlex.quote(str(path.with_suffix('.parquet')))}",
        )
    return pq.ParquetFile(path)


def _is_text(path: Path) -> bool:
    """Whether the file begins as a table in text does: printable, and not as Parquet, whose mark is PAR1."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head or head.startswith(b"PAR1"):
        return False
    text = head.decode("utf-8", errors="ignore").removeprefix("\ufeff")
    return len(text.encode()) > len(head) - 4 and all(c.isprintable() or c in "\t\r\n" for c in text)


@contextmanager
def _blamed_on(path: Path) -> Iterator[None]:
    """Turn whatever a decoder makes of damaged bytes (not only Arrow's own errors) into one that names the file."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise _damaged(path, "is not a readable Parquet file", error) from error


def _damaged(path: Path, problem: str, error: Exception) -> InputError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return InputError(str(path), f"{problem} ({reason})", "write or copy the file again")


def _read_info(path: Path, schema: pa.Schema) -> TraceInfo:
    from pydantic import TypeAdapter, ValidationError

    raw = (schema.metadata or {}).get(METADATA_KEY)
    if raw is None:
        raise InputError(str(path), f"has no {METADATA_KEY.decode()!r} metadata, so it is not a trace", _HOW_TO_IMPORT)
    try:
        document = json.loads(raw)
        version, info = document["format"], document["info"]
    except (ValueError, TypeError, KeyError) as error:
        raise _damaged(path, "has damaged trace metadata", error) from error
    if version != FORMAT_VERSION:
        raise InputError(str(path), f"is of trace format {version!r}, expected {FORMAT_VERSION}", "write it again")
    try:
        return TypeAdapter(TraceInfo).validate_json(json.dumps(info))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path} metadata {place}".rstrip(), first["msg"], "write the trace again") from error


def _check_schema(path: Path, schema: pa.Schema) -> None:
    import pyarrow as pa

    missing = [column for column in COLUMNS if column not in schema.names]
    if missing:
        raise InputError(
            str(path),
            f"has no column {', '.join(missing)} (it has {', '.join(schema.names)})",
            _HOW_TO_IMPORT,
        )
    for column in COLUMNS:
        if schema.names.count(column) > 1:
            raise InputError(f"{path} column {column}", "appears twice", "keep one of the two")
        kind = schema.field(column).type
        is_time = column == "arrival_s"
        if not (pa.types.is_floating(kind) if is_time else pa.types.is_integer(kind)):
            expected = "float64 seconds" if is_time else str(COLUMN_TYPES[column])
            raise InputError(f"{path} column {column}", f"holds {kind}, expected {expected}", _HOW_TO_IMPORT)


def _to_numpy(path: Path, batch: pa.RecordBatch, columns: tuple[str, ...], first_row: int) -> Rows:
    rows: Rows = {}
    for column in columns:
        array = batch.column(batch.schema.get_field_index(column))
        if array.null_count:
            row = first_row + array.is_null().to_pylist().index(True)
            raise InputError(f"{path} row {row} {column}", "has no value", "fill it in or remove the row")
        rows[column] = array.to_numpy(zero_copy_only=False)
    return rows
