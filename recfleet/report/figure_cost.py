"""Cost against how well the objectives are held."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from recfleet.report.picture import Picture, picture
from recfleet.report.style import INK, MUTED, figure_style, policy_colours

if TYPE_CHECKING:
    from recfleet.comparison import Comparison
    from recfleet.standings import Standing

__all__ = ["draw"]

_FLOOR = 0.01


def draw(comparison: Comparison) -> Picture:
    """Cost on x, the worst service's spent error budget on y (logarithmic); 1 is exactly the objective."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    colours, table = policy_colours(comparison), comparison.standings
    with figure_style("cost"):
        figure = Figure(figsize=(10.6, 4.2), layout="constrained")
        axes = figure.subplots()
        axes.axhspan(_FLOOR / 2, 1, color="#eef6f1", zorder=0, linewidth=0)
        axes.axhline(1, color=MUTED, linewidth=1)
        top = max([3.0, *(_spent(s) for s in table)]) * 1.8
        right = max(s.cost_usd.mean for s in table) * 1.16 or 1.0
        axes.text(
            0.995, 0.9, "objectives held", color=MUTED, ha="right", va="top", transform=axes.get_yaxis_transform()
        )
        for standing in table:
            _point(axes, standing, colours[standing.policy])
        chosen = comparison.verdict.winner or comparison.verdict.closest
        bound = next((s.bound_usd.mean for s in table if s.policy == chosen), math.nan)
        if bound > 0:
            axes.axvline(bound, color=INK, linewidth=1, linestyle=(0, (4, 3)))
            place: Any = {"xytext": (5, -3), "textcoords": "offset points", "va": "top"}
            axes.annotate("lower bound", (bound, top), color=INK, **place)
        axes.set(xlim=(0, right), ylim=(_FLOOR / 1.5, top), yscale="log")
        axes.set(xlabel="cost, USD", ylabel="error budget spent\n(worst service)")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{'≤ ' if y <= _FLOOR else ''}{y:g}x"))
        _labels(axes, table, colours, right)
        return picture("cost", "Cost against service quality", _caption(table, comparison), figure)


def _spent(standing: Standing) -> float:
    """Share of requests missed over the share that may be missed."""
    allowed = max(1.0 - standing.asked, 1e-6)
    return max(_FLOOR, (allowed - standing.margin.mean) / allowed)


def _point(axes: Any, standing: Standing, colour: str) -> None:
    allowed = max(1.0 - standing.asked, 1e-6)
    y, x_half = _spent(standing), standing.cost_usd.half_width
    y_half = standing.margin.half_width / allowed
    bars = {}
    if math.isfinite(x_half):
        bars = {"xerr": x_half, "yerr": [[min(y_half, y - _FLOOR / 2)], [y_half]]}
    axes.errorbar(
        standing.cost_usd.mean,
        y,
        fmt="D" if standing.clairvoyant else "o",
        markersize=9,
        color=colour,
        markerfacecolor="white" if standing.clairvoyant else colour,
        markeredgewidth=1.6,
        elinewidth=1.1,
        zorder=3,
        **bars,
    )


def _labels(axes: Any, table: list[Standing], colours: dict[str, str], right: float) -> None:
    """Names right of their points; where that place is taken, at the nearest free one with a line."""
    low, high = (math.log10(limit) for limit in axes.get_ylim())

    def place(standing: Standing) -> tuple[float, float]:
        return standing.cost_usd.mean / right, (math.log10(_spent(standing)) - low) / (high - low)

    points = [place(s) for s in table]
    boxes: list[tuple[float, float, float]] = [(x - 0.012, x + 0.012, y) for x, y in points]
    for standing in sorted(table, key=lambda s: s.cost_usd.mean, reverse=True):
        x, y = place(standing)
        left, width = x + 0.016, 0.013 * len(standing.policy)
        y_free = next(
            (
                y + step
                for step in _STEPS
                if 0.03 < y + step < 0.97
                and not any(left < end and left + width > begin and abs(y + step - other) < 0.058
                            for begin, end, other in boxes)
            ),
            y,
        )  # fmt: skip
        boxes.append((left, left + width, y_free))
        moved = abs(y_free - y) > 1e-9
        axes.annotate(
            standing.policy,
            (x, y),
            xytext=(left, y_free),
            xycoords="axes fraction",
            textcoords="axes fraction",
            va="center",
            color=colours[standing.policy],
            fontweight="bold",
            arrowprops={"arrowstyle": "-", "color": colours[standing.policy], "lw": 0.8} if moved else None,
        )


_STEPS = (0.0, *(sign * 0.06 * k for k in range(1, 12) for sign in (1, -1)))


def _caption(table: list[Standing], comparison: Comparison) -> str:
    holding = [s.policy for s in table if s.holds]
    if holding:
        held = f"{', '.join(holding)} {'hold' if len(holding) > 1 else 'holds'} every objective (shaded)"
    else:
        held = "No policy holds every objective (shaded)"
    seeds = " Bars are 95 % confidence intervals over seeds." if len(comparison.seeds) > 1 else ""
    return (
        f"{held}; further left is cheaper. The error budget is the share of requests that may miss the "
        f"objective: at 2x twice as many miss as may.{seeds} Diamonds see the future. The dashed line is the "
        f"lower bound for what {comparison.verdict.winner or comparison.verdict.closest} served."
    )
