"""What was paid for, by resource: used, claimed and idle, not claimed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from recfleet.report.picture import Picture, picture
from recfleet.report.style import RESOURCE_TITLES, SHARE_COLOURS, figure_style, percent
from simulator.cluster import RESOURCES
from simulator.measured import RESOURCE_HOURS

if TYPE_CHECKING:
    from recfleet.comparison import Comparison

__all__ = ["draw"]


def draw(comparison: Comparison) -> Picture:
    """Stacked bars a policy, a panel a resource; means over seeds."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    policies = list(comparison.policies)
    with figure_style("waste"):
        figure = Figure(figsize=(11.2, 1.0 + 0.56 * len(policies) + 0.7), layout="constrained")
        panels = figure.subplots(2, 3, sharey=True).ravel()
        places = np.arange(len(policies))
        for axes, resource in zip(panels, RESOURCES):
            parts, left = _parts(comparison, resource), np.zeros(len(policies))
            for name, colour in SHARE_COLOURS.items():
                axes.barh(places, parts[name], left=left, color=colour, height=0.68, label=name, linewidth=0)
                left = left + parts[name]
            _write_shares(axes, parts["used"], left)
            axes.set_title(f"{RESOURCE_TITLES[resource][0]}, {RESOURCE_HOURS[resource].unit}")
            axes.set_yticks(places, policies)
            axes.set_xlim(0, max(float(left.max()) * 1.18, 1e-12))
            axes.grid(visible=False, axis="y")
            axes.tick_params(axis="y", length=0)
            axes.locator_params(axis="x", nbins=5)
            axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.6g}"))
        panels[0].invert_yaxis()
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=3)
        return picture("waste", "What was paid for and what was used", _caption(comparison), figure)


def _parts(comparison: Comparison, resource: str) -> dict[str, np.ndarray]:
    column = RESOURCE_HOURS[resource].column
    means = comparison.summary.groupby("policy", sort=False)[
        [column, f"waste_{column}", f"idle_claimed_{column}"]
    ].mean()
    means = means.loc[list(comparison.policies)]
    paid, waste, idle = (means[name].to_numpy() for name in means.columns)
    return {"used": paid - waste, "claimed, idle": idle, "not claimed": waste - idle}


def _write_shares(axes: Any, used: np.ndarray, paid: np.ndarray) -> None:
    for place, (part, whole) in enumerate(zip(used, paid)):
        if whole > 0:
            offset = {"xytext": (4, 0), "textcoords": "offset points"}
            axes.annotate(percent(part / whole), (whole, place), va="center", fontsize=8.5, **offset)


def _caption(comparison: Comparison) -> str:
    parts = _parts(comparison, "gpu")
    paid = np.sum(list(parts.values()), axis=0)
    kind = "GPU hours"
    if not paid.any():
        parts, kind = _parts(comparison, "cpu"), "core hours"
        paid = np.sum(list(parts.values()), axis=0)
    share = parts["used"] / np.maximum(paid, 1e-12)
    best, worst = int(np.argmax(share)), int(np.argmin(share))
    names = comparison.policies
    return (
        f"Of the {kind} it pays for, {names[best]} uses {percent(share[best])}"
        + (f" and {names[worst]} {percent(share[worst])}" if best != worst else "")
        + ". The number beside a bar is the share used. Claimed and idle: a replica holds it and does not "
        "use it. Not claimed: the node is paid for and no replica fits or is wanted there."
    )
