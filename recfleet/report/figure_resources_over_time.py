"""Every resource over time, a column a policy: provisioned, claimed, used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from recfleet.report.figure_service_over_time import COLUMNS, first_seed, share_scales
from recfleet.report.picture import Picture, picture
from recfleet.report.series import Clock, thin
from recfleet.report.style import RESOURCE_TITLES, SHARE_COLOURS, figure_style, policy_colours
from simulator.cluster import RESOURCES

if TYPE_CHECKING:
    from recfleet.comparison import Comparison
    from recfleet.run_record import RunRecord

__all__ = ["draw"]


def draw(comparison: Comparison) -> Picture:
    """Six rows, one a resource; areas lie over one another; the first seed."""
    from matplotlib.figure import Figure

    runs, colours = first_seed(comparison), policy_colours(comparison)
    blocks = [runs[i : i + COLUMNS] for i in range(0, len(runs), COLUMNS)]
    width = max(len(block) for block in blocks)
    with figure_style("resources"):
        figure = Figure(figsize=(11.6, 0.5 + len(blocks) * 6.6), layout="constrained")
        panels = figure.subplots(6 * len(blocks), width, sharex=True, sharey="row", squeeze=False)
        for axes in panels.ravel():
            axes.set_visible(False)
        for b, block in enumerate(blocks):
            for column, run in enumerate(block):
                own = panels[6 * b : 6 * b + 6, column]
                _column(own, run)
                own[0].set_title(run.policy, fontsize=9, color=colours[run.policy])
            for row, resource in enumerate(RESOURCES):
                title, unit, _ = RESOURCE_TITLES[resource]
                panels[6 * b + row, 0].set_ylabel(f"{title},\n{unit}", fontsize=9)
        share_scales(panels, 6, len(blocks))
        time = Clock(runs[0].result.intervals.start_s, runs[0].result.intervals.length_s)
        figure.supxlabel(f"time, {time.unit}", fontsize=9.5)
        handles, labels = panels[0, 0].get_legend_handles_labels()
        figure.legend(handles[::-1], labels[::-1], loc="outside upper left", ncols=3, fontsize=9)
        caption = (
            f"Seed {comparison.seeds[0]}; means of {time.bin_text}. The height of the pale area is what the nodes "
            "paid for hold. What remains pale was not even claimed; the middle tone was claimed and idle."
        )
        return picture("resources", "Every resource over time", caption, figure)


def _column(panels: Any, run: RunRecord) -> None:
    i = run.result.intervals
    time = Clock(i.start_s, i.length_s)
    kinds = {"not claimed": i.provisioned, "claimed, idle": i.allocated, "used": i.used}
    for r, resource in enumerate(RESOURCES):
        panels[r].set_visible(True)
        scale = RESOURCE_TITLES[resource][2]
        for name, values in kinds.items():
            level = thin(values[:, r] / i.length_s / scale)
            panels[r].fill_between(
                time.edges,
                np.append(level, level[-1]),
                step="post",
                color=SHARE_COLOURS[name],
                linewidth=0,
                label=name,
            )
        panels[r].set_ylim(bottom=0)
        panels[r].grid(visible=False, axis="x")
