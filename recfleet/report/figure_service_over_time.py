"""Demand, latency, replicas and cost over time, a column a policy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from recfleet.report.picture import Picture, picture
from recfleet.report.series import Clock, thin
from recfleet.report.style import INK, MUTED, figure_style, policy_colours

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from recfleet.comparison import Comparison
    from recfleet.run_record import RunRecord

__all__ = ["COLUMNS", "SERVICE_COLOURS", "draw", "first_seed", "grid", "share_scales"]

COLUMNS = 7
"""Policies side by side; more go below."""

SERVICE_COLOURS = ("#1b4965", "#c1666b", "#5a9367", "#b08a3e", "#7d5ba6", "#3d8b9c")
_STYLES = ("-", (0, (4, 1.5)), (0, (1, 1)))


def first_seed(comparison: Comparison) -> list[RunRecord]:
    """A run a policy, of the first seed."""
    return [run for run in comparison.runs if run.seed == comparison.seeds[0]]


def draw(comparison: Comparison) -> Picture:
    """Four rows: demand, worst p99 over its objective, replicas, cost; the first seed."""
    runs, colours = first_seed(comparison), policy_colours(comparison)
    blocks = [runs[i : i + COLUMNS] for i in range(0, len(runs), COLUMNS)]
    width = max(len(block) for block in blocks)
    rows = ("demand and\nlosses, 1/s", "p99 over its\nobjective", "replicas", "cost, USD/h")
    with figure_style("service"):
        figure, panels = grid(len(rows) * len(blocks), width, 1.15)
        for b, block in enumerate(blocks):
            for column, run in enumerate(block):
                own = panels[b * len(rows) : (b + 1) * len(rows), column]
                _column(own, run, colours[run.policy])
                own[0].set_title(run.policy, fontsize=9, color=colours[run.policy])
            for row, label in enumerate(rows):
                panels[b * len(rows) + row, 0].set_ylabel(label, fontsize=9)
        share_scales(panels, len(rows), len(blocks))
        time = _clock(runs[0])
        figure.supxlabel(f"time, {time.unit}", fontsize=9.5, y=0.0, va="bottom")
        handles, labels = panels[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="upper left", ncols=len(labels), fontsize=9)
        return picture("service", "Demand, latency and replicas over time", _caption(comparison, runs, time), figure)


def grid(rows: int, columns: int, row_inches: float) -> tuple[Figure, np.ndarray]:
    """A figure of hidden panels with room for a legend above and the time below."""
    from matplotlib.figure import Figure

    height = 0.95 + rows * row_inches
    figure = Figure(figsize=(11.6, height))
    edges = {"left": 0.068, "right": 0.995, "top": 1 - 0.5 / height, "bottom": 0.45 / height}
    panels = figure.subplots(
        rows, columns, sharex=True, squeeze=False, gridspec_kw={**edges, "wspace": 0.09, "hspace": 0.2}
    )
    for axes in panels.ravel():
        axes.set_visible(False)
    return figure, panels


def share_scales(panels: np.ndarray, rows: int, blocks: int) -> None:
    """One scale a row, also where policies go on below; numbers beside the first column only."""
    from matplotlib.ticker import FuncFormatter, NullLocator

    for row in range(rows):
        same = [axes for b in range(blocks) for axes in panels[b * rows + row] if axes.get_visible()]
        logarithmic = same[0].get_yscale() == "log"
        top = max(axes.dataLim.y1 for axes in same)
        bottom = min(axes.dataLim.minposy for axes in same) / 1.3 if logarithmic else 0.0
        for axes in same:
            axes.set_ylim(bottom, top * (1.3 if logarithmic else 1.06) or 1.0)
            if logarithmic:
                axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
                axes.yaxis.set_minor_locator(NullLocator())
            else:
                axes.locator_params(axis="y", nbins=4, integer=top >= 4)
    for b in range(blocks * rows):
        for column, axes in enumerate(panels[b]):
            axes.tick_params(labelsize=8, labelleft=column == 0)
            axes.locator_params(axis="x", nbins=4)


def _clock(run: RunRecord) -> Clock:
    return Clock(run.result.intervals.start_s, run.result.intervals.length_s)


def _column(panels: Any, run: RunRecord, colour: str) -> None:
    i, facts, time = run.result.intervals, run.result.facts, _clock(run)
    for axes in panels:
        axes.set_visible(True)
    lost = thin((i.rejected + i.failed).sum(axis=1) / i.length_s)
    for s, service in enumerate(facts.services):
        shade = SERVICE_COLOURS[s % len(SERVICE_COLOURS)]
        panels[0].plot(time.middles, thin(i.arrived[:, s] / i.length_s), color=shade, linewidth=1.1, label=service)
        over = thin(i.p99_s[:, s] / facts.slo_s[s], worst=True)
        panels[1].plot(time.middles, over, color=shade, linewidth=1.0)
    panels[0].fill_between(time.middles, lost, color="#D55E00", linewidth=0, label="rejected or failed", zorder=3)
    panels[1].axhline(1.0, color=INK, linewidth=0.9, linestyle=(0, (4, 3)))
    panels[1].set_yscale("log")
    ready = thin(i.ready.sum(axis=1))
    starting = thin(i.starting.sum(axis=(1, 2)))
    for n, node_type in enumerate(facts.node_types):
        style = _STYLES[n % len(_STYLES)]
        panels[2].plot(time.middles, ready[:, n], color=colour, linewidth=1.2, linestyle=style, label=node_type)
    panels[2].fill_between(time.middles, starting, color=MUTED, alpha=0.5, linewidth=0)
    panels[3].fill_between(time.middles, thin(3600 * i.cost_usd / i.length_s), color=colour, alpha=0.3, linewidth=0)
    panels[3].plot(time.middles, thin(3600 * i.cost_usd / i.length_s), color=colour, linewidth=1.2)


def _caption(comparison: Comparison, runs: Sequence[RunRecord], time: Clock) -> str:
    types = runs[0].result.facts.node_types
    lines = ", ".join(f"{name} {style}" for name, style in zip(types, ("solid", "dashed", "dotted")))
    lost = {run.policy: int((run.result.rejected + run.result.failed).sum()) for run in runs}
    most = max(lost, key=lambda policy: lost[policy])
    losses = f"{most} loses most requests, {lost[most]:,}. " if lost[most] else "No request was lost. "
    return (
        f"Seed {comparison.seeds[0]}; {time.bin_text} a point: means, for p99 the worst interval. {losses}"
        f"Ready replicas by node type ({lines}), those starting in grey. "
        "p99 above the dashed line misses the objective."
    )
