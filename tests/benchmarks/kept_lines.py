"""Measurements kept as JSON, a line each, so that a run that was cut short goes on where it ended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["keep_line", "kept_lines"]


def kept_lines(path: Path) -> list[dict[str, Any]]:
    """What is kept; nothing where there is no file yet."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def keep_line(path: Path, found: Mapping[str, Any]) -> None:
    """Add a line, NumPy's numbers as plain ones."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(found, default=float) + "\n")
