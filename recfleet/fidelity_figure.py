"""Both distributions, measured and predicted: latencies, and sizes of batches."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recfleet.report.style import INK, PALETTE, figure_style
from workloads.atomic_files import replace_file
from workloads.errors import InputError

if TYPE_CHECKING:
    from recfleet.validating import Validated
    from workloads.server.log import RequestLog

__all__ = ["draw"]


def draw(found: Validated, path: Path) -> None:
    """Draw the share of requests slower than t, and how often batches were of each size, and write the file.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogFormatter, NullLocator

    logs = {"measured": found.log, "predicted": found.comparison.predicted_log}
    colours = {"measured": INK, "predicted": PALETTE[1]}
    with figure_style("fidelity"):
        figure = Figure(figsize=(9.6, 3.6), layout="constrained")
        figure.patch.set_facecolor("white")
        left, right = figure.subplots(1, 2)
        for name, log in logs.items():
            dashes, width = ("-", 2.6) if name == "measured" else ((0, (3, 1.5)), 1.4)
            left.plot(*_slower(log), color=colours[name], linewidth=width, linestyle=dashes, label=name)
        left.set(xscale="log", yscale="log", xlabel="latency, ms", ylabel="share of requests slower")
        left.set_title("Latency of requests")
        left.xaxis.set_major_formatter("{x:g}")
        left.xaxis.set_minor_formatter(LogFormatter(minor_thresholds=(2, 0.4)))
        left.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g} %"))
        left.yaxis.set_minor_locator(NullLocator())
        left.legend()
        _batches(right, logs, colours)
        figure.suptitle(found.title, x=0.01, ha="left", fontsize=10)
        kind = path.suffix.removeprefix(".")
        about = {"Date": None} if kind == "svg" else None
        try:
            replace_file(path, lambda temporary: figure.savefig(temporary, dpi=150, format=kind, metadata=about))
        except OSError as error:
            raise InputError(f"--figure {path}", f"cannot be written ({error.strerror})", "give another file") from None


def _slower(log: RequestLog) -> tuple[np.ndarray, np.ndarray]:
    """Latencies in ms, rising, and the share of requests at least as slow; a thousand points at most."""
    latency_ms = np.sort(1e3 * (log.done_s - log.arrival_s))
    share = 1.0 - np.arange(len(latency_ms)) / len(latency_ms)
    kept = np.unique((len(share) - np.geomspace(1, len(share), 1000)).round().astype(int))
    return latency_ms[kept], share[kept]


def _batches(axes: Any, logs: dict[str, RequestLog], colours: dict[str, str]) -> None:
    """Share of requests by the size of their batch."""
    for place, (name, log) in enumerate(logs.items()):
        sizes, count = np.unique(log.batch, return_counts=True)
        gap = float(np.diff(sizes).min()) if len(sizes) > 1 else 1.0
        where = sizes + (place - 0.5) * 0.4 * gap
        axes.bar(where, count / count.sum(), width=0.38 * gap, color=colours[name], label=name)
    axes.set(xlabel="units of its batch", ylabel="share of requests")
    axes.set_title("Batches that requests were in")
