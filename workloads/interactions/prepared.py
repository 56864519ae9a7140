"""Prepared data as a folder: three Parquet tables, an npz of arrays, and a manifest with their hashes."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from workloads.atomic_files import file_sha256
from workloads.errors import InputError
from workloads.interactions.prepare import prepare
from workloads.interactions.types import InteractionTable, Part, PreparedData

__all__ = ["FORMAT", "FORMAT_VERSION", "InteractionTable", "PreparedData", "load_prepared", "prepare", "save_prepared"]

FORMAT = "recfleet-interactions"
FORMAT_VERSION = 1
MANIFEST = "manifest.json"

_PARTS: tuple[Part, ...] = ("train", "validation", "test")
_ARRAYS = ("user_dense", "item_dense", "user_categories", "item_categories", "item_tags", "user_keys", "item_keys")
_LISTS = (
    "user_category_rows",
    "item_category_rows",
    "tag_names",
    "user_dense_names",
    "item_dense_names",
    "user_category_names",
    "item_category_names",
)
_VALUES = ("name", "split", "users", "items", "rating_low", "rating_high", "like_from", "report")
_COLUMNS = {"user": np.int32, "item": np.int32, "rating": np.float32, "time_s": np.int64}
_AGAIN = "prepare it again: recfleet data prepare SOURCE --out FOLDER"


def save_prepared(data: PreparedData, folder: str | Path) -> None:
    """Write `data` to a new folder: under a temporary name, then renamed.

    Raises
    ------
    InputError
        The folder exists and is no prepared data (prepared data are replaced), or cannot be written.
    """
    target = Path(folder)
    check_target(target)
    try:
        target.absolute().parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.absolute().parent))
    except OSError as error:
        raise InputError(str(target), f"cannot be written ({error.strerror})", "give a path that can") from error
    try:
        _write(data, temporary)
        temporary.chmod(0o755)
        _put(temporary, target)
    except OSError as error:
        raise InputError(str(target), f"cannot be written ({error.strerror})", "give a path that can") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_target(target: Path) -> None:
    """Refuse a place where prepared data cannot go, before any work is done for it."""
    above = next(folder for folder in target.absolute().parents if folder.exists())
    if not above.is_dir():
        raise InputError(str(target), f"{above} is no folder", "give a path inside a folder")
    if target.exists() and not (target / MANIFEST).is_file() and not (target.is_dir() and not any(target.iterdir())):
        raise InputError(str(target), "exists and holds no prepared data", "give the name of a new folder")


def load_prepared(folder: str | Path) -> PreparedData:
    """Read a folder that `save_prepared` wrote; every file is compared with its hash.

    Raises
    ------
    InputError
        Absent, of another format, or changed since it was written.
    """
    place = Path(folder)
    manifest = read_manifest(place)
    for name, sha256 in manifest["files"].items():
        if not (place / name).is_file():
            raise InputError(f"{place / name}", "is missing", _AGAIN)
        if file_sha256(place / name) != sha256:
            raise InputError(f"{place / name}", "was changed since it was written", _AGAIN)
    values: dict[str, Any] = {name: manifest[name] for name in _VALUES}
    values |= {name: tuple(manifest[name]) for name in _LISTS}
    with np.load(place / "arrays.npz", allow_pickle=False) as arrays:
        values |= {name: arrays[name] for name in _ARRAYS}
    values |= {part: _read_table(place / f"{part}.parquet") for part in _PARTS}
    return PreparedData(**values)


def read_manifest(place: Path) -> dict[str, Any]:
    """The manifest of a folder of prepared data, checked for its format."""
    if not (place / MANIFEST).is_file():
        raise InputError(str(place), f"holds no prepared data (no {MANIFEST})", _AGAIN)
    try:
        manifest = json.loads((place / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(str(place / MANIFEST), "cannot be read as JSON", _AGAIN) from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise InputError(str(place / MANIFEST), f"is not of the format {FORMAT}", _AGAIN)
    if manifest.get("format_version") != FORMAT_VERSION:
        version = manifest.get("format_version")
        raise InputError(str(place / MANIFEST), f"format_version {version!r} is not {FORMAT_VERSION}", _AGAIN)
    missing = [name for name in ("files", *_VALUES, *_LISTS) if name not in manifest]
    if missing:
        raise InputError(str(place / MANIFEST), f"lacks {', '.join(missing)}", _AGAIN)
    return manifest


def _write(data: PreparedData, folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for part in _PARTS:
        table = data.part(part)
        columns = {name: getattr(table, name) for name in _COLUMNS}
        pq.write_table(pa.table(columns), folder / f"{part}.parquet", compression="zstd")
    _write_arrays(folder / "arrays.npz", {name: getattr(data, name) for name in _ARRAYS})
    files = {path.name: file_sha256(path) for path in sorted(folder.iterdir())}
    manifest = {"format": FORMAT, "format_version": FORMAT_VERSION, "digest": data.digest, "files": files}
    manifest |= {name: getattr(data, name) for name in (*_VALUES, *_LISTS)}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """What `numpy.savez_compressed` writes, with a fixed date, so that equal data are equal files."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)), "w") as member:
                np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)


def _put(temporary: Path, target: Path) -> None:
    """Rename; what was there before is moved aside first and then removed."""
    if not target.exists():
        os.rename(temporary, target)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.absolute().parent))
    os.rename(target, old / "old")
    os.rename(temporary, target)
    shutil.rmtree(old, ignore_errors=True)


def _read_table(path: Path) -> InteractionTable:
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    return InteractionTable(*(table[name].to_numpy().astype(kind, copy=False) for name, kind in _COLUMNS.items()))
