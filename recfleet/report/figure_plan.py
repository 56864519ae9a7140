"""A capacity plan against load: what it costs, and how well it holds its objectives until it breaks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recfleet.plan_words import span_text
from recfleet.report.picture import Picture, picture
from recfleet.report.style import INK, MUTED, PALETTE, figure_style

if TYPE_CHECKING:
    from recfleet.plan_result import CapacityPlan

__all__ = ["draw"]

_LEAST, _MOST = 0.01, 300.0
_LEFT = 0.5
"""Load at the left edge: what lies below is of no interest to a plan."""


def draw(plan: CapacityPlan) -> Picture:
    """Cost above, spent error budgets by service below (logarithmic; 1 is exactly the objective), over the load."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    with figure_style("plan"):
        figure = Figure(figsize=(9.6, 5.6), layout="constrained")
        cost, spent = figure.subplots(2, sharex=True, height_ratios=[1.1, 1.0])
        _costs(cost, plan)
        _budgets(spent, plan)
        _breaking(cost, spent, plan)
        cost.set(ylabel=f"USD for {span_text(plan.duration_s)}", ylim=(0, None))
        cost.set_title("What the plan costs, and what nothing can undercut")
        spent.set_title("How much of its error budget each service spends")
        spent.set(xlabel="load, times the planned demand", ylabel="error budget spent", yscale="log")
        spent.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{'≤ ' if y <= _LEAST else ''}{y:g}x"))
        spent.set_xlim(_LEFT, _right(plan))
        return picture("plan", "Capacity against load", _caption(plan), figure)


def _costs(axes: Any, plan: CapacityPlan) -> None:
    hours = plan.duration_s / 3600.0
    if plan.fluid_curve:
        axes.plot(*zip(*plan.fluid_curve), color=INK, linewidth=1, linestyle=(0, (4, 3)), label="fluid lower bound")
    if plan.frontier:
        strengths, prices = zip((0.0, plan.frontier[0][1]), *plan.frontier)
        axes.step(
            strengths, [hours * p for p in prices], where="pre", color=MUTED, linewidth=1.2,
            label="cheapest static fleet for that peak, by the MIP",
        )  # fmt: skip
    if plan.loads:
        name = "the plan, simulated" if plan.chosen is None else f"the plan, simulated ({plan.chosen.kind})"
        whole = [p for p in plan.loads if p.stopped_at_s is None]
        axes.plot([p.load for p in whole], [p.cost_usd for p in whole], "-", color=PALETTE[0], label=name)
        for point in whole:
            face = PALETTE[0] if point.holds else "white"
            axes.plot(point.load, point.cost_usd, "o", color=PALETTE[0], markerfacecolor=face, zorder=3)
    axes.legend(loc="upper left", fontsize=8.5)


def _budgets(axes: Any, plan: CapacityPlan) -> None:
    axes.axhspan(_LEAST / 2, 1, color="#eef6f1", zorder=0, linewidth=0)
    axes.axhline(1, color=MUTED, linewidth=1)
    asked = {} if plan.chosen is None else {s.service: s.asked for s in plan.chosen.services}
    top = 3.0
    for i, (service, quantile) in enumerate(asked.items()):
        points = [(p.load, _spent(p.attained[service], quantile)) for p in plan.loads if p.stopped_at_s is None]
        top = max(top, *(y for _, y in points)) if points else top
        axes.plot(*zip(*points), "o-", color=PALETTE[(i + 1) % len(PALETTE)], label=service, markersize=4)
    stopped = [p.load for p in plan.loads if p.stopped_at_s is not None]
    if stopped:
        axes.plot(stopped, [1.0] * len(stopped), "^", color=INK, markersize=6, label="more than 1x: stopped", zorder=4)
    axes.set_ylim(_LEAST / 1.5, min(top * 1.8, _MOST))
    axes.text(0.005, 0.06, "objectives held", color=MUTED, transform=axes.transAxes)
    axes.legend(loc="upper left", fontsize=8.5)


def _right(plan: CapacityPlan) -> float:
    """A little beyond the breaking load, or beyond all that was tried; far beyond it the curves say nothing."""
    limit = plan.breaking
    most = max([1.25, *(p.load for p in plan.loads)])
    return 1.06 * most if limit is None or limit.breaks is None else min(1.06 * most, max(1.4, 1.35 * limit.breaks))


def _spent(attained: float, asked: float) -> float:
    """Share of requests missed over the share that may be missed."""
    return max(_LEAST, (1.0 - attained) / max(1.0 - asked, 1e-6))


def _breaking(cost: Any, spent: Any, plan: CapacityPlan) -> None:
    limit = plan.breaking
    for axes in (cost, spent):
        axes.axvline(1.0, color=MUTED, linewidth=0.8, linestyle=":")
        if limit is not None and limit.breaks is not None:
            axes.axvspan(limit.holds, limit.breaks, color=PALETTE[1], alpha=0.25, linewidth=0)
    if limit is not None and limit.breaks is not None:
        text = f"breaks between {limit.holds:.3g} and {limit.breaks:.3g}"
        place: Any = {"xytext": (-6, -6), "textcoords": "offset points", "ha": "right", "va": "top"}
        spent.annotate(text, (limit.holds, spent.get_ylim()[1]), color=PALETTE[1], **place)


def _caption(plan: CapacityPlan) -> str:
    seeds = f"{len(plan.seeds)} seeds" if len(plan.seeds) > 1 else "one seed"
    text = (
        "The dotted line is the planned load; filled points hold every objective on every seed simulated there "
        f"(up to {seeds}), empty ones do not. The error budget is the share of requests that may miss the objective. "
        "The dashed line is the least that serving all requests can cost, whatever the policy."
    )
    if any(p.stopped_at_s is not None for p in plan.loads):
        text += " Triangles stand for runs that were stopped when a service had spent its budget: more is not known."
    if plan.frontier:
        text += " The grey steps cover the peak within latency budgets, as planned; simulation decides what holds."
    return text
