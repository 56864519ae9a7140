"""JSON of what commands write: no NaN, and floats of one length on every machine."""

from __future__ import annotations

import math
from typing import Any

from workloads import atomic_files

__all__ = ["json_text", "plain"]


def json_text(document: Any) -> str:
    """The text of a JSON file of `plain` values."""
    return atomic_files.json_text(plain(document))


def plain(value: Any) -> Any:
    """JSON has no NaN: null; floats at ten significant digits, as in the CSV."""
    if isinstance(value, float):
        return float(format(value, ".10g")) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value
