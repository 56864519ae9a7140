"""Measured and predicted side by side, on a terminal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recfleet.validating import Validated
    from simulator.fidelity.comparison import Comparison

__all__ = ["print_comparison"]

_NAMES = {
    "p50_ms": "latency p50, ms",
    "p95_ms": "latency p95, ms",
    "p99_ms": "latency p99, ms",
    "mean_ms": "latency mean, ms",
    "throughput_rps": "requests/s",
    "mean_batch": "mean batch",
}
_VISIBLE = 5e-4
"""Errors that are shown as 0.0 % are told by no word either."""


def print_comparison(found: Validated) -> None:
    """Print a line for each metric, and what the intervals rest on."""
    from rich.table import Table

    from recfleet.fitted_table import table_console
    from simulator.fidelity.summary import METRICS

    comparison, console = found.comparison, table_console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for heading in ("measured", "predicted", "error", "90 % interval", ""):
        table.add_column(heading, justify="right")
    for m, name in enumerate(METRICS):
        low, high = _digits(comparison.low[m]), _digits(comparison.high[m])
        table.add_row(
            _NAMES[name], _digits(comparison.measured[m]), _digits(comparison.predicted[m]),
            f"{100 * comparison.error[m]:+.1f} %", f"{low} to {high}", "outside" if _is_outside(comparison, m) else "",
        )  # fmt: skip
    console.print(found.title, markup=False)
    console.print(table)
    about = found.about
    caps, waits = _by_stage(about["max_batch"]), _by_stage(about["max_wait_ms"])
    rule = f"batches of up to {caps}, waiting up to {waits} ms"
    console.print(
        f"{about['replicas']} replica{'s' if about['replicas'] > 1 else ''}, {rule}; intervals from "
        f"{about['replicates']} predictions: the profile's spread, {100 * about['drift']:.2g} % between runs, luck.",
        markup=False,
    )


def _is_outside(comparison: Comparison, metric: int) -> bool:
    """Whether the measured value lies outside of its interval, and visibly off the prediction."""
    return not comparison.covered[metric] and abs(comparison.error[metric]) >= _VISIBLE


def _by_stage(value: float | list[float]) -> str:
    """A number, or those of several stages in order."""
    return " then ".join(f"{one:g}" for one in value) if isinstance(value, list) else f"{value:g}"


def _digits(value: float) -> str:
    """Four significant digits, and no exponent."""
    if value == 0.0 or not math.isfinite(value):
        return f"{value:g}"
    return f"{value:,.{max(0, 3 - math.floor(math.log10(abs(value))))}f}"
