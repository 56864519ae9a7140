"""How many requests are slower than a given time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recfleet.report.picture import Picture, picture
from recfleet.report.style import INK, figure_style, policy_colours
from simulator.histogram import bin_edges

if TYPE_CHECKING:
    from recfleet.comparison import Comparison

__all__ = ["draw"]


def draw(comparison: Comparison) -> Picture:
    """Share of completed requests slower than t, a panel a service, seeds pooled, both axes logarithmic."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, NullLocator

    colours = policy_colours(comparison)
    facts = comparison.runs[0].result.facts
    columns = min(3, len(facts.services))
    rows = -(-len(facts.services) // columns)
    edges_ms = 1e3 * bin_edges()
    with figure_style("tail"):
        figure = Figure(figsize=(11.2, 0.6 + 2.6 * rows), layout="constrained")
        panels = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
        for s, (axes, service) in enumerate(zip(panels, facts.services)):
            for policy in comparison.policies:
                counts = sum(run.result.histogram[s] for run in comparison.runs if run.policy == policy)
                x, y = _tail(np.asarray(counts), edges_ms)
                axes.plot(x, y, color=colours[policy], linewidth=1.5, label=policy, drawstyle="steps-post")
            axes.axvline(1e3 * float(facts.slo_s[s]), color=INK, linewidth=1, linestyle=(0, (4, 3)))
            axes.axhline(1 - float(facts.slo_quantile[s]), color=INK, linewidth=0.8, linestyle=(0, (1, 2)))
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,g}"))
            axes.set_yscale("log")
            axes.xaxis.set_minor_locator(NullLocator())
            axes.yaxis.set_minor_locator(NullLocator())
            axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:g} %"))
            axes.set(ylim=(1e-6, 1.3), title=service)
        for axes in panels[len(facts.services) :]:
            axes.set_visible(False)
        panels[0].set_ylabel("share of completed\nrequests slower")
        figure.supxlabel("latency, ms", fontsize=9.5)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=min(7, len(labels)))
        caption = (
            "A curve that passes below the crossing of the two lines holds the objective among completed "
            "requests: the dashed line is the objective, the dotted one the share that may be slower. "
            "All seeds together."
        )
        return picture("tail", "The slow tail", caption, figure)


def _tail(counts: np.ndarray, edges_ms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Upper edges of the occupied bins and the share beyond each."""
    total = int(counts.sum())
    if total == 0:
        return np.empty(0), np.empty(0)
    first, last = np.flatnonzero(counts)[[0, -1]]
    beyond = 1.0 - np.cumsum(counts)[first : last + 1] / total
    return edges_ms[first + 1 : last + 2], np.where(beyond > 0, beyond, np.nan)
