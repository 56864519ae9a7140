"""Latency quantiles by service and policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from recfleet.report.picture import Picture, picture
from recfleet.report.style import INK, MUTED, figure_style, policy_colours

if TYPE_CHECKING:
    from recfleet.comparison import Comparison

__all__ = ["draw"]

_MARKS = (("p50_ms", "o", "p50"), ("p95_ms", "s", "p95"), ("p99_ms", "D", "p99"))


def draw(comparison: Comparison) -> Picture:
    """A panel a service, a row a policy; means over seeds, logarithmic."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    colours, policies = policy_colours(comparison), list(comparison.policies)
    facts = comparison.runs[0].result.facts
    columns = min(3, len(facts.services))
    rows = -(-len(facts.services) // columns)
    with figure_style("latency"):
        figure = Figure(figsize=(11.2, 0.8 + rows * (0.6 + 0.27 * len(policies))), layout="constrained")
        panels = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
        frame: Any = comparison.services
        table = frame.groupby(["service", "policy"], sort=False)[[m[0] for m in _MARKS]].mean()
        for s, (axes, service) in enumerate(zip(panels, facts.services)):
            for place, policy in enumerate(policies):
                values = table.loc[(service, policy)].to_numpy(dtype=float)
                axes.plot(values, [place] * 3, color=colours[policy], linewidth=2, alpha=0.45, zorder=2)
                for value, (_, marker, _name) in zip(values, _MARKS):
                    axes.plot([value], [place], marker, color=colours[policy], markersize=6, zorder=3)
            slo_ms = 1e3 * float(facts.slo_s[s])
            axes.axvline(slo_ms, color=INK, linewidth=1, linestyle=(0, (4, 3)))
            axes.set_xscale("log")
            _plain_ticks(axes, table.loc[service].to_numpy(dtype=float), slo_ms)
            axes.set_title(f"{service}: {slo_ms:g} ms for {100 * float(facts.slo_quantile[s]):g} %")
            axes.set_yticks(range(len(policies)), policies)
            axes.tick_params(axis="y", length=0)
        for axes in panels[len(facts.services) :]:
            axes.set_visible(False)
        panels[0].invert_yaxis()
        figure.supxlabel("latency, ms (logarithmic)", fontsize=9.5)
        keys = [Line2D([], [], color=MUTED, marker=m, linestyle="", label=name) for _, m, name in _MARKS]
        keys.append(Line2D([], [], color=INK, linewidth=1, linestyle=(0, (4, 3)), label="objective"))
        figure.legend(handles=keys, loc="outside upper left", ncols=4)
        return picture("latency", "Latency by service", _caption(comparison), figure)


def _plain_ticks(axes: Any, values: np.ndarray, slo_ms: float) -> None:
    """Ticks at 1, 2, 5 of each decade, in plain numbers."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    finite = np.append(values[np.isfinite(values) & (values > 0)], slo_ms)
    low, high = float(finite.min()) * 0.8, float(finite.max()) * 1.25
    decades = 10.0 ** np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    steps = (1, 2, 5) if high / low < 300 else (1,)
    axes.set_xlim(low, high)
    axis = axes.xaxis
    axis.set_major_locator(FixedLocator([d * m for d in decades for m in steps if low <= d * m <= high]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}" if x < 1e4 else f"{x / 1e3:g}k"))


def _caption(comparison: Comparison) -> str:
    frame: Any = comparison.services
    late = frame.assign(over=lambda t: t["p99_ms"] / t["slo_ms"])
    means = late.groupby(["policy", "service"], sort=False)["over"].mean()
    if not means.notna().any():
        return "No request completed."
    policy, service = means.idxmax()
    return (
        f"Of completed requests only: what was rejected or failed has no latency and counts as a miss "
        f"elsewhere. The largest p99 in terms of its objective is {service} under {policy}, at "
        f"{means.max():.3g} times it. Read from a histogram with 1 % error."
    )
