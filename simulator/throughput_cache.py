"""Throughputs under an SLO, kept on disk: each is twenty simulations, and the same in every run.

An entry is named by a hash of all that its numbers follow from: the latency table (the profile's content at the node
type's speed), how it batches, the stage, the sample of requests, the node's card, tiers, budget and quantile, and the
source of this package. An entry that cannot be read, or is of another key, is computed anew and replaced; whole files
are renamed into place, so that processes may share the folder. What cannot be written is not kept.

The folder is ``throughput`` in ``RECFLEET_CACHE_DIR``, or in ``recfleet`` in the user's cache folder
(``XDG_CACHE_HOME``, else ``~/.cache``). Where ``RECFLEET_CACHE_DIR`` is set to nothing, nothing is kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba.core import config

from workloads.atomic_files import replace_file

__all__ = ["cached_throughput", "content_hash", "throughput_folder"]

FORMAT = 1


def throughput_folder() -> Path | None:
    """Folder of the entries; None where nothing is to be kept."""
    chosen = os.environ.get("RECFLEET_CACHE_DIR")
    if chosen is not None:
        return Path(chosen) / "throughput" if chosen.strip() else None
    root = os.environ.get("XDG_CACHE_HOME")
    if root:
        return Path(root) / "recfleet" / "throughput"
    try:
        return Path.home() / ".cache" / "recfleet" / "throughput"
    except RuntimeError:  # a user without a home, as in some containers
        return None


def cached_throughput(parts: Iterable[Any], compute: Callable[[], tuple[float, ...]]) -> tuple[float, ...]:
    """What ``compute`` returns, from disk where it is known for the same ``parts`` and the same code.

    Parameters
    ----------
    parts
        All that the numbers follow from: dataclasses, arrays, numbers, words, and tuples and mappings of them.
    compute
        Finite numbers >= 0.
    """
    folder = throughput_folder()
    if folder is None:
        return compute()
    key = content_hash((_code_version(), *parts))
    path = folder / f"{key}.json"
    known = _read(path, key)
    if known is not None:
        return known
    values = compute()
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(path, lambda temporary: _write(temporary, key, values))
    return values


def content_hash(value: Any) -> str:
    """SHA-256, in hexadecimal, of a value's content: the same in every process, and for equal content alone."""
    digest = hashlib.sha256()
    _feed(digest, value)
    return digest.hexdigest()


def _feed(digest: Any, value: Any) -> None:
    """Feed a value with its kind and length, so that no two values are fed alike."""
    if value is None or isinstance(value, bool | np.bool_ | int | np.integer):
        _mark(digest, "n", repr(None if value is None else int(value)).encode())
    elif isinstance(value, float | np.floating):
        _mark(digest, "f", float(value).hex().encode())
    elif isinstance(value, str):
        _mark(digest, "s", value.encode())
    elif isinstance(value, np.ndarray):
        array = np.ascontiguousarray(value)
        _mark(digest, "a", f"{array.dtype.str}{array.shape}".encode())
        digest.update(array.tobytes())
    elif is_dataclass(value) and not isinstance(value, type):
        _mark(digest, "d", type(value).__qualname__.encode())
        for field in fields(value):
            _mark(digest, "k", field.name.encode())
            _feed(digest, getattr(value, field.name))
    elif isinstance(value, Mapping):
        _mark(digest, "m", str(len(value)).encode())
        for name in sorted(value, key=repr):
            _feed(digest, name)
            _feed(digest, value[name])
    elif isinstance(value, tuple | list):
        _mark(digest, "t", str(len(value)).encode())
        for one in value:
            _feed(digest, one)
    else:
        raise TypeError(f"a {type(value).__name__} has no content hash")


def _mark(digest: Any, kind: str, data: bytes) -> None:
    digest.update(f"{kind}{len(data)}:".encode() + data)


@cache
def _code_version() -> str:
    """Hash of this package's sources, of the interpolation, and of what runs them."""
    digest = hashlib.sha256(f"{FORMAT} {np.__version__} {numba.__version__} {sys.version_info[:2]}".encode())
    digest.update(str(bool(vars(config)["DISABLE_JIT"])).encode())
    here = Path(__file__).parent
    for path in [*sorted(here.rglob("*.py")), here.parent / "workloads" / "interpolation.py"]:
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _write(path: Path, key: str, values: tuple[float, ...]) -> None:
    exact = [float(value).hex() for value in values]
    entry = {"key": key, "values": exact, "check": content_hash((key, *exact))}
    path.write_text(json.dumps(entry) + "\n", encoding="utf-8")


def _read(path: Path, key: str) -> tuple[float, ...] | None:
    """The numbers of an entry; None where there is none that holds."""
    try:
        entry = json.loads(path.read_text(encoding="utf-8"))
        exact = entry["values"]
        if entry["key"] != key or entry["check"] != content_hash((key, *exact)):
            return None
        values = tuple(float.fromhex(value) for value in exact)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return values if all(math.isfinite(value) and value >= 0.0 for value in values) else None
