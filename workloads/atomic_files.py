"""Files that are whole or absent: written under a temporary name, synced, renamed into place."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from workloads.errors import InputError

__all__ = ["file_sha256", "json_text", "replace_file", "write_json_file"]


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def replace_file(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file beside `path`, sync it, and rename it to `path`; OSErrors are the caller's.

    A link is followed: the file that it points to is replaced. A FIFO or a device is not replaced: `write` is given the
    path itself.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        write(path)
        return
    path = Path(os.path.realpath(path))
    if path.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(descriptor)
    temporary = Path(name)
    try:
        write(temporary)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def json_text(document: Mapping[str, Any]) -> str:
    """The text of a JSON file; `ValueError` where a number is not finite, which JSON does not know."""
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def write_json_file(document: Mapping[str, Any], path: Path, option: str = "") -> None:
    """Write JSON under a temporary name, sync it, and rename it into place.

    Parameters
    ----------
    option
        Of the command line, as ``--json``, where the path was given by one: an error names it.

    Raises
    ------
    InputError
        The path cannot be written.
    """
    text = json_text(document)

    def write(temporary: Path) -> None:
        temporary.write_text(text, encoding="utf-8")

    try:
        replace_file(path, write)
    except OSError as error:
        problem = f"cannot be written ({error.strerror})"
        raise InputError(f"{option} {path}".lstrip(), problem, "give another file") from None
