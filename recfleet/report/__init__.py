"""The page that a comparison is read from: one HTML file that loads nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recfleet.comparison import Comparison
    from recfleet.report.picture import Picture

__all__ = ["FIGURES", "draw", "write_page"]

FIGURES: dict[str, str] = {
    "cost": "recfleet.report.figure_cost",
    "ledger": "recfleet.report.figure_ledger",
    "waste": "recfleet.report.figure_waste",
    "latency": "recfleet.report.figure_latency",
    "tail": "recfleet.report.figure_tail",
    "service": "recfleet.report.figure_service_over_time",
    "resources": "recfleet.report.figure_resources_over_time",
}
"""Name of a figure to the module that draws it (``draw(comparison) -> Picture``)."""


def draw(comparison: Comparison, name: str) -> Picture:
    """Draw a figure of `FIGURES`."""
    from importlib import import_module

    from workloads.errors import InputError

    if name not in FIGURES:
        raise InputError(f"figure {name!r}", "is not known", f"use one of {', '.join(FIGURES)}")
    picture: Picture = import_module(FIGURES[name]).draw(comparison)
    return picture


def write_page(comparison: Comparison, path: Path) -> Path:
    """Write the report."""
    from recfleet.report.page import page_html

    path.write_text(page_html(comparison), encoding="utf-8")
    return path
