"""JSON of the output folders: no NaN, and floats of one length on every machine."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from workloads.atomic_files import replace_file
from workloads.errors import InputError

__all__ = ["json_text", "plain", "replace_json"]


def json_text(document: Any) -> str:
    """The text of a JSON file."""
    return json.dumps(plain(document), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def replace_json(document: Any, path: Path) -> None:
    """Write the file that ``--json`` names: whole, or not at all.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    text = json_text(document)

    def write(temporary: Path) -> None:
        temporary.write_text(text, encoding="utf-8")

    try:
        replace_file(path, write)
    except OSError as error:
        raise InputError(f"--json {path}", f"cannot be written ({error.strerror})", "give another file") from None


def plain(value: Any) -> Any:
    """JSON has no NaN: null; floats at ten significant digits, as in the CSV."""
    if isinstance(value, float):
        return float(format(value, ".10g")) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value
