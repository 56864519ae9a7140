"""Every resource over time, a column a policy: provisioned, claimed, used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from recfleet.report.figure_service_over_time import COLUMNS, first_seed, grid, share_scales
from recfleet.report.picture import Picture, picture
from recfleet.report.series import Clock, thin
from recfleet.report.style import RESOURCE_TITLES, SHARE_COLOURS, figure_style, percent, policy_colours
from simulator.cluster import RESOURCES

if TYPE_CHECKING:
    from recfleet.comparison import Comparison
    from recfleet.run_record import RunRecord

__all__ = ["draw"]


def draw(comparison: Comparison) -> Picture:
    """Six rows, one a resource; areas lie over one another; the first seed."""
    runs, colours = first_seed(comparison), policy_colours(comparison)
    blocks = [runs[i : i + COLUMNS] for i in range(0, len(runs), COLUMNS)]
    width = max(len(block) for block in blocks)
    with figure_style("resources"):
        figure, panels = grid(6 * len(blocks), width, 1.02)
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
        figure.supxlabel(f"time, {time.unit}", fontsize=9.5, y=0.0, va="bottom")
        handles, labels = panels[0, 0].get_legend_handles_labels()
        figure.legend(handles[::-1], labels[::-1], loc="upper left", ncols=3, fontsize=9)
        caption = (
            f"Seed {comparison.seeds[0]}; means of {time.bin_text}. The height of the pale area is what the "
            "nodes paid for hold. What remains pale was not claimed; the middle tone was claimed and idle."
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
            levels, edges = _merged(level, time.edges)
            panels[r].stairs(levels, edges, fill=True, color=SHARE_COLOURS[name], linewidth=0, label=name)
        panels[r].grid(visible=False, axis="x")
        paid = float(i.provisioned[:, r].sum())
        if paid > 0:
            text = f"{percent(float(i.used[:, r].sum()) / paid)} used"
            panels[r].text(0.03, 0.97, text, transform=panels[r].transAxes, fontsize=7.5, va="top")


def _merged(level: np.ndarray, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Neighbouring bins of the same level as one."""
    first = np.append(True, np.diff(level) != 0)
    return level[first], np.append(edges[:-1][first], edges[-1])
