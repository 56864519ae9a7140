"""A hash of what a result depends on: the same inputs give the same hash in every process."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["digest", "source_digest"]


def digest(*values: Any) -> str:
    """SHA-256 over the structure and content of ``values``.

    Reads numbers, strings, arrays, dataclasses, mappings and sequences; anything else raises ``TypeError``,
    because its text could hold an address in memory.
    """
    sink = hashlib.sha256()
    for value in values:
        _feed(sink, value)
    return sink.hexdigest()


def _feed(sink: Any, value: Any) -> None:
    if value is None or isinstance(value, bool | int | float | complex | str | bytes | Path | np.generic):
        kind = "path" if isinstance(value, Path) else type(value).__name__
        sink.update(f"<{kind}:{value!s}>".encode())
    elif isinstance(value, np.ndarray):
        sink.update(f"<array:{value.dtype}:{value.shape}>".encode())
        sink.update(np.ascontiguousarray(value).tobytes())
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        sink.update(f"<{type(value).__qualname__}".encode())
        for field in dataclasses.fields(value):
            sink.update(field.name.encode())
            _feed(sink, getattr(value, field.name))
        sink.update(b">")
    elif isinstance(value, Mapping):
        sink.update(b"<map")
        for key in sorted(value, key=str):
            _feed(sink, key)
            _feed(sink, value[key])
        sink.update(b">")
    elif isinstance(value, list | tuple | set | frozenset):
        sink.update(f"<seq:{len(value)}".encode())
        for item in sorted(value, key=str) if isinstance(value, set | frozenset) else value:
            _feed(sink, item)
        sink.update(b">")
    elif hasattr(value, "model_dump"):
        _feed(sink, value.model_dump(mode="json"))
    else:
        raise TypeError(f"cannot hash a {type(value).__name__}")


@cache
def source_digest() -> str:
    """Hash of recfleet's own source, so that kept runs of another version are not mixed with new ones."""
    root = Path(__file__).resolve().parent.parent
    sink = hashlib.sha256()
    for package in ("workloads", "simulator", "optimizer"):
        for path in sorted((root / package).rglob("*.py")):
            sink.update(str(path.relative_to(root)).encode())
            sink.update(path.read_bytes())
    return sink.hexdigest()
