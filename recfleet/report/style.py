"""Colours and matplotlib settings that all figures share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recfleet.comparison import Comparison

__all__ = ["INK", "MUTED", "PALETTE", "RESOURCE_TITLES", "SHARE_COLOURS", "figure_style", "percent", "policy_colours"]

INK = "#1c2530"
MUTED = "#6b7682"
GRID = "#e3e7eb"
YARDSTICK = "#4a4a4a"

# Okabe and Ito (2008) without yellow, which vanishes on white, then three of Tol's muted scheme.
PALETTE = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#882255",
    "#999933",
    "#332288",
)

SHARE_COLOURS = {"used": "#1b4965", "claimed, idle": "#62b6cb", "not claimed": "#dbe3e8"}
"""A resource's use, from dark (used) to pale (paid for and not even claimed)."""

RESOURCE_TITLES = {
    "gpu": ("GPU", "GPUs", 1.0),
    "gpu_memory": ("GPU memory", "GB", 1e9),
    "cpu": ("CPU", "cores", 1.0),
    "memory": ("Memory", "GB", 1e9),
    "storage": ("Storage reads", "GB/s", 1e9),
    "network": ("Network in", "GB/s", 1e9),
}
"""Title, unit and scale of each resource in figures."""


def percent(share: float) -> str:
    """A share as text with as many digits as it deserves.

    Examples
    --------
    >>> percent(0.421), percent(0.0042), percent(0.0)
    ('42 %', '0.42 %', '0 %')
    """
    if share >= 0.0995 or share == 0.0:
        return f"{100 * share:.0f} %"
    return f"{100 * share:.2g} %" if share >= 1e-4 else "< 0.01 %"


def policy_colours(comparison: Comparison) -> dict[str, str]:
    """One colour a policy in every figure; yardsticks that see the future are dark grey."""
    seers = {run.policy for run in comparison.runs if run.clairvoyant}
    ordinary = [policy for policy in comparison.policies if policy not in seers]
    colours = {policy: PALETTE[i % len(PALETTE)] for i, policy in enumerate(ordinary)}
    return {policy: colours.get(policy, YARDSTICK) for policy in comparison.policies}


@contextmanager
def figure_style(salt: str) -> Iterator[None]:
    """Settings under which the same data draw the same bytes."""
    import matplotlib as mpl

    settings: Any = {
        "svg.hashsalt": f"recfleet-{salt}",
        "svg.fonttype": "none",
        "font.family": "sans-serif",
        "font.size": 9.5,
        "axes.edgecolor": "#9aa5b1",
        "axes.linewidth": 0.7,
        "axes.labelcolor": INK,
        "axes.titlesize": 10,
        "axes.titlelocation": "left",
        "axes.titleweight": "bold",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": GRID,
        "grid.linewidth": 0.7,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "text.color": INK,
        "text.parse_math": False,
        "legend.frameon": False,
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "path.simplify": True,
    }
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(settings)
        yield
