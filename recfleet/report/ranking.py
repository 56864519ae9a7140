"""The ranking table: policies that hold the objectives first, cheapest first."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from recfleet.estimates import Estimate, estimate
from recfleet.report.style import policy_colours

if TYPE_CHECKING:
    from recfleet.comparison import Comparison
    from recfleet.standings import Standing

__all__ = ["COLUMNS", "Cell", "RankedRow", "ranked_rows", "ranking_html", "ranking_misses"]


@dataclass(frozen=True)
class RankedColumn:
    """A column of the table: metric, heading, unit under it, factor, decimals."""

    metric: str
    heading: str
    unit: str
    factor: float
    decimals: int


COLUMNS: tuple[RankedColumn, ...] = (
    RankedColumn("cost_usd", "Cost", "USD", 1.0, 2),
    RankedColumn("gap", "Share above bound", "% of cost", 100.0, 1),
    RankedColumn("slo_attainment", "Within objective", "% of requests", 100.0, 3),
    RankedColumn("minutes_in_violation", "In violation", "min", 1.0, 1),
    RankedColumn("p50_ms", "p50", "ms", 1.0, 1),
    RankedColumn("p99_ms", "p99", "ms", 1.0, 1),
    RankedColumn("waste_gpu_hours", "Waste, GPU", "GPU h", 1.0, 2),
    RankedColumn("waste_cpu_core_hours", "Waste, CPU", "core h", 1.0, 1),
    RankedColumn("utilisation_gpu", "GPU used", "%", 100.0, 1),
    RankedColumn("utilisation_cpu", "CPU used", "%", 100.0, 1),
    RankedColumn("cold_starts", "Cold starts", "replicas", 1.0, 0),
)


@dataclass(frozen=True)
class Cell:
    """A number as shown, and the half width of its confidence interval, empty with one seed."""

    mean: str
    half_width: str


@dataclass(frozen=True)
class RankedRow:
    """One policy.

    Attributes
    ----------
    misses
        The service that misses its objective, or the stage its accuracy floor, and by how much; else empty.
    """

    policy: str
    colour: str
    winner: bool
    clairvoyant: bool
    holds: bool
    misses: str
    cells: tuple[Cell, ...]


def ranked_rows(comparison: Comparison) -> list[RankedRow]:
    """Rows in rank order."""
    colours, summary = policy_colours(comparison), comparison.summary

    def rank(s: Standing) -> tuple[bool, float]:
        return (not s.holds, s.cost_usd.mean if s.holds else -s.margin.mean)

    rows = []
    for standing in sorted(comparison.standings, key=rank):
        own = summary[summary["policy"] == standing.policy]
        cells = tuple(_cell(estimate(own[c.metric].tolist()), c.factor, c.decimals) for c in COLUMNS)
        rows.append(
            RankedRow(
                policy=standing.policy,
                colour=colours[standing.policy],
                winner=standing.policy == comparison.verdict.winner,
                clairvoyant=standing.clairvoyant,
                holds=standing.holds,
                misses=ranking_misses(standing),
                cells=cells,
            )
        )
    return rows


def ranking_misses(standing: Standing) -> str:
    if standing.holds:
        return ""
    services = standing.missed or ((standing.worst_service, standing.attained, standing.asked),)
    latency = ", ".join(
        f"{name} {_short_of(attained, asked)} of {100 * asked:g} %" for name, attained, asked in services
    )
    if standing.floor is None or standing.floor.kept:
        return latency
    return standing.floor.miss if standing.margin.mean >= 0.0 else f"{latency}; {standing.floor.miss}"


def _short_of(attained: float, asked: float) -> str:
    """Percent, with as many decimals as it takes to be told from what is asked for; two at least."""
    for decimals in (2, 3, 4, 5):
        text = f"{100 * attained:.{decimals}f}"
        if float(text) < 100 * asked:
            break
    return f"{text} %"


def _cell(value: Estimate, factor: float, decimals: int) -> Cell:
    if math.isnan(value.mean):
        return Cell("-", "")
    half = "" if math.isnan(value.half_width) else f"± {factor * value.half_width:,.{decimals}f}"
    return Cell(f"{factor * value.mean:,.{decimals}f}", half)


def ranking_html(comparison: Comparison) -> str:
    """The table alone, for notebooks."""
    right = 'style="text-align:right"'
    head = "".join(f"<th {right}>{escape(c.heading)}<br><small>{escape(c.unit)}</small></th>" for c in COLUMNS)
    body = []
    for row in ranked_rows(comparison):
        name = f"<b>{escape(row.policy)}</b>" if row.winner else escape(row.policy)
        note = "sees the future" if row.clairvoyant else row.misses and f"misses: {row.misses}"
        cells = "".join(f"<td {right}>{c.mean} <small>{c.half_width}</small></td>" for c in row.cells)
        body.append(f'<tr><td style="text-align:left">{name} <small>{escape(note)}</small></td>{cells}</tr>')
    top = f'<thead><tr><th style="text-align:left">policy</th>{head}</tr></thead>'
    return f"<table>{top}<tbody>{''.join(body)}</tbody></table>"
