"""Cases of Kubernetes' Horizontal Pod Autoscaler (autoscaling/v2)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from optimizer.conformance.case import CaseResult
from optimizer.conformance.rows import Row, check_rows, read_rows

__all__ = ["check"]

_KINDS: dict[str, Callable[[Row], str]] = {}
"""Kind of a row to the function that returns why it fails, empty where it passes."""


def check(path: Path) -> list[CaseResult]:
    """A result for each row of ``hpa_cases.csv``."""
    return check_rows(read_rows(path, ("kind",)), _check)


def _check(row: Row) -> str:
    kind = row.text("kind")
    return _KINDS[kind](row) if kind in _KINDS else f"rows of kind {kind!r} are not modelled"
