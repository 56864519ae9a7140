"""A job's two files: ``NAME.json`` says what was measured, ``NAME.npz`` beside it holds the runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from workloads.atomic_files import file_sha256, replace_file
from workloads.errors import InputError
from workloads.profile import write_json

__all__ = ["read_log", "write_log"]

_FORMAT = "recfleet-server-log"
_FIX = "give a JSON that workloads.server wrote"


def write_log(found: Mapping[str, Any], arrays: Mapping[str, np.ndarray], path: Path) -> None:
    """Write both files, each whole or not at all; the JSON (``path``) names the other's content, and comes last.

    Raises
    ------
    InputError
        One cannot be written.
    """
    beside = path.with_suffix(".npz")

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(beside, write)
        digest = file_sha256(beside)
    except OSError as error:
        raise InputError(str(beside), f"cannot be written ({error.strerror})", "give another folder") from None
    write_json({"format": _FORMAT, "format_version": 1, **found, "arrays_sha256": digest}, path)


def read_log(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What ``NAME.json`` says, and the arrays beside it by name.

    Raises
    ------
    InputError
        One of them is missing, the first is no server's log, or the second is not the one that it was written for.
        Logs of earlier versions do not say which that is.
    """
    beside = path.with_suffix(".npz")
    if path == beside:
        raise InputError(str(path), "holds a log's arrays", f"give {path.with_suffix('.json').name}, which lies beside")
    for one in (path, beside):
        if not one.is_file():
            raise InputError(str(one), "there is no such file", "give NAME.json of a job, with NAME.npz beside it")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        with np.load(beside) as file:
            arrays = dict(file)
    except (OSError, ValueError, BadZipFile) as error:
        raise InputError(str(path), f"cannot be read ({error})", _FIX) from None
    if not isinstance(found, dict) or found.get("format") != _FORMAT:
        raise InputError(str(path), "is no server's log", _FIX)
    if found.get("arrays_sha256") not in (None, file_sha256(beside)):
        raise InputError(str(beside), f"is not the file that {path.name} was written for", "measure the job again")
    return found, arrays
