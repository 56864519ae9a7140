"""The waste ledger as waterfalls: from the fluid bound to what each policy paid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from recfleet.report.picture import Picture, picture
from recfleet.report.style import INK, MUTED, figure_style

if TYPE_CHECKING:
    from optimizer.certificate.certify import Certificate
    from recfleet.comparison import Comparison

__all__ = ["MOST_PANELS", "draw"]

MOST_PANELS = 8
COLUMNS = 4
TOTAL, MORE, LESS = "#1b4965", "#d1703c", "#4f9d69"


def draw(comparison: Comparison) -> Picture:
    """A panel a policy: the bound, a bar a line from where the last one ended, the cost; means over seeds."""
    from matplotlib.figure import Figure

    shown = _shown(comparison)
    rows = -(-len(shown) // COLUMNS)
    columns = min(COLUMNS, len(shown))
    with figure_style("ledger"):
        figure = Figure(figsize=(11.2, 0.5 + 2.75 * rows), layout="constrained")
        panels = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
        for axes, policy in zip(panels, shown):
            _waterfall(axes, policy, comparison.certificates_of(policy))
        for axes in panels[len(shown) :]:
            axes.set_visible(False)
        panels[0].invert_yaxis()
        return picture("ledger", "Where the money went, from the fluid bound to the bill", _caption(comparison), figure)


def _shown(comparison: Comparison) -> list[str]:
    """Policies in rank order, as many as there is room for."""
    from recfleet.report.ranking import ranked_rows

    return [row.policy for row in ranked_rows(comparison)][:MOST_PANELS]


def _waterfall(axes: Any, policy: str, certificates: list[Certificate]) -> None:
    lines = certificates[0].ledger.lines
    steps = np.array([[line.usd for line in c.ledger.lines] for c in certificates]).mean(axis=0)
    bound = float(np.mean([c.ledger.bound_usd for c in certificates]))
    ends = bound + np.cumsum(steps)
    starts = np.concatenate([[bound], ends[:-1]])
    places = np.arange(1, len(lines) + 1)
    colours = [MORE if step >= 0.0 else LESS for step in steps]
    axes.barh(0, bound, color=TOTAL, height=0.7, linewidth=0)
    axes.barh(places, steps, left=starts, color=colours, height=0.7, linewidth=0)
    axes.barh(len(lines) + 1, ends[-1], color=TOTAL, height=0.7, linewidth=0)
    for place, end in enumerate([bound, *ends]):
        axes.plot([end, end], [place - 0.35, place + 1.35], color=MUTED, linewidth=0.6)
    right = max(float(ends.max(initial=bound)), bound, 1e-9)
    numbers = [(0.0, bound, f"{bound:,.2f}"), *((s, e, f"{e - s:+,.2f}") for s, e in zip(starts, ends))]
    numbers.append((0.0, float(ends[-1]), f"{ends[-1]:,.2f}"))
    for place, (start, end, text) in enumerate(numbers):
        zero = text in ("+0.00", "-0.00")
        axes.annotate(
            "0" if zero else text,
            (max(start, end), place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
            color=MUTED if zero else INK,
        )
    axes.set_yticks(range(len(lines) + 2), ["fluid bound", *(line.title for line in lines), "paid"])
    axes.set_xlim(min(0.0, float(ends.min(initial=0.0))), 1.32 * right)
    axes.set_title(policy)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.locator_params(axis="x", nbins=4)
    axes.set_xlabel("USD")


def _caption(comparison: Comparison) -> str:
    left = len(comparison.policies) - MOST_PANELS
    chosen = comparison.verdict.winner or comparison.verdict.closest or comparison.policies[0]
    own = comparison.certificates_of(chosen)
    means = [
        (float(np.mean([c.ledger.lines[i].usd for c in own])), line.title) for i, line in enumerate(own[0].ledger.lines)
    ]
    usd, title = max(means)
    largest = f"The largest step of {chosen} is “{title}”: {usd:,.2f} USD. " if usd > 0.0 else ""
    return (
        f"{largest}Each bar begins where the one above ends; green goes back: the step did with less than the one "
        "before, as a policy does that runs late or hot. The steps sum to the bill. Scales differ between panels."
        + (f" {left} more in the table." if left > 0 else "")
    )
