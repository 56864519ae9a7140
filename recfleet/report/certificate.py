"""The report's tables of certificates, ledgers, prices and solves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from recfleet.certificate_tables import price_rows, why_below
from recfleet.estimates import estimate
from recfleet.report.ranking import ranked_rows

if TYPE_CHECKING:
    from optimizer.certificate.certify import Certificate
    from recfleet.comparison import Comparison
    from recfleet.run_record import RunRecord

__all__ = ["ChainRow", "LedgerRow", "SolveRow", "chain_rows", "ledger_rows", "price_sentences", "solve_rows"]


@dataclass(frozen=True)
class ChainRow:
    """LP bound, optimum from below and above, cost, excess over it: text with half widths; what the condition says."""

    policy: str
    cells: tuple[tuple[str, str], ...]
    condition: str
    why: str


@dataclass(frozen=True)
class LedgerRow:
    """A line of the ledger: a cell a policy, as text with half widths, and its note."""

    title: str
    cells: tuple[tuple[str, str], ...]
    note: str
    is_total: bool


@dataclass(frozen=True)
class SolveRow:
    """What a policy's planning problems came to on the first seed."""

    policy: str
    decisions: int
    solves: int
    statuses: str
    median_gap: str
    worst_gap: str
    fell_through: str


def chain_rows(comparison: Comparison) -> list[ChainRow]:
    """A row a policy, in rank order; means over seeds."""
    rows = []
    for policy in [row.policy for row in ranked_rows(comparison)]:
        pairs = [(r, c) for r, c in zip(comparison.runs, comparison.certificates, strict=True) if r.policy == policy]
        own = [c for _, c in pairs]
        columns = (
            [c.fluid_usd for c in own],
            [c.optimum.lower_usd for c in own],
            [c.optimum.upper_usd for c in own],
            [c.cost_usd for c in own],
        )
        cells = (*(_cell(values, 2) for values in columns), _cell([100.0 * c.excess for c in own], 1))
        rows.append(ChainRow(policy, cells, _condition(own), _why(pairs)))
    return rows


def _condition(own: Sequence[Certificate]) -> str:
    met = sum(c.applies for c in own)
    if met == len(own):
        return "met in every slot"
    short = sum(c.conditions.short for c in own)
    slots = sum(c.conditions.slots for c in own)
    parts = [f"short in {short:,} of {slots:,} slots"] if short else []
    if below := sum(c.conditions.below_floor for c in own):
        parts.append(f"below an accuracy floor in {below:,}")
    if beyond := sum(c.optimum.slots_beyond for c in own):
        parts.append(f"demand beyond the cluster in {beyond:,}")
    return ", ".join(parts)


def _why(pairs: Sequence[tuple[RunRecord, Certificate]]) -> str:
    """Of the seed that lies furthest below, if one does."""
    run, certificate = min(pairs, key=lambda pair: pair[1].gap if math.isfinite(pair[1].gap) else 0.0)
    text = why_below(run, certificate)
    return f"seed {run.seed}: {text}" if text and len(pairs) > 1 else text


def ledger_rows(comparison: Comparison, policies: Sequence[str]) -> list[LedgerRow]:
    """The bound, a row a line, the cost; a cell for each of ``policies``."""
    own = {policy: comparison.certificates_of(policy) for policy in policies}
    rows = [LedgerRow("fluid bound", tuple(_cell([c.ledger.bound_usd for c in own[p]], 2) for p in policies), "", True)]
    for i, line in enumerate(own[policies[0]][0].ledger.lines):
        cells = tuple(_cell([c.ledger.lines[i].usd for c in own[p]], 2) for p in policies)
        within = max(c.ledger.lines[i].known_within_usd for p in policies for c in own[p])
        rows.append(LedgerRow(line.title, cells, _note(line.key, own, i, within), False))
    paid = tuple(_cell([c.cost_usd for c in own[p]], 2) for p in policies)
    return [*rows, LedgerRow("paid", paid, "", True)]


def _note(key: str, own: dict[str, list[Certificate]], i: int, within_usd: float) -> str:
    """What the line counts, why it is zero, and how well it is known."""
    from optimizer.certificate.ladder import LINES

    meaning = next(kind.meaning for kind in LINES if kind.key == key)
    notes = {policy: certificates[0].ledger.lines[i].note for policy, certificates in own.items()}
    silent = [policy for policy, note in notes.items() if note]
    parts = [meaning]
    if silent:
        who = "" if len(silent) == len(notes) else f" ({', '.join(silent)})"
        parts.append(f"zero{who}: {notes[silent[0]]}")
    if within_usd >= 0.005:
        parts.append(f"known within {within_usd:,.2f} USD")
    return "; ".join(parts)


def price_sentences(comparison: Comparison) -> list[str]:
    """What binds, in plain sentences: the resource worth most on each node type, nodes, and what demand costs."""
    facts, prices = comparison.runs[0].result.facts, comparison.prices
    rows = price_rows(prices, facts)
    sentences = []
    for n, node_type in enumerate(facts.node_types):
        worth = prices.resource_usd_per_day[n] * facts.capacity[n]
        own = [row for row in rows if row["kind"] == "resource" and str(row["what"]).endswith(f" on {node_type}")]
        if not worth.any() or not own:
            sentences.append(f"Nothing on {node_type} binds: the fluid fleet does not use it.")
            continue
        share = worth / worth.sum()
        texts = [
            f"one more {row['what']} nodes that are paid for would save {_usd(row['usd_per_day'])} USD a day"
            for row in own
        ]
        sentences.append(_capital("; ".join(texts)) + ".")
        if share.max() > 0.999:
            sentences[-1] = sentences[-1][:-1] + " (nothing else on these nodes binds)."
        if prices.node_usd_per_day[n] > 0.0:
            sentences.append(
                f"One more {node_type} node would save {_usd(float(prices.node_usd_per_day[n]))} USD a day."
            )
        else:
            sentences.append(f"One more {node_type} node to choose from would save nothing: they are never all in use.")
    for name, usd in zip(facts.stages, prices.stage_usd_per_day):
        sentences.append(f"1,000 requests/s more at {name}, all day, would cost {_usd(float(usd))} USD a day.")
    if prices.slots_left_out:
        sentences.append(f"{prices.slots_left_out:,} slots are left out: their demand is beyond the cluster.")
    if prices.slots_per_part > 1:
        sentences.append(f"Slots were taken {prices.slots_per_part} at a time, by their mean demand.")
    return sentences


def solve_rows(comparison: Comparison) -> list[SolveRow]:
    """A row for each policy that solved planning problems on the first seed."""
    rows = []
    for run in comparison.runs:
        if run.seed != comparison.seeds[0]:
            continue
        log = run.result.decisions
        solved = [d for d in log if d.objective_usd_per_hour is not None]
        if not solved:
            continue
        gaps = [gap for d in solved if (gap := d.gap) is not None]
        counts = {status: sum(d.status == status for d in solved) for status in dict.fromkeys(d.status for d in solved)}
        fallen = [d for d in solved if d.status in ("fallback", "hold")]
        reasons = list(dict.fromkeys(d.note for d in fallen))
        rows.append(
            SolveRow(
                policy=run.policy,
                decisions=len(log),
                solves=len(solved),
                statuses=", ".join(f"{count:,} {status}" for status, count in counts.items()),
                median_gap=f"{100 * float(np.median(gaps)):.2g} %" if gaps else "no bound",
                worst_gap=f"{100 * max(gaps):.2g} %" if gaps else "no bound",
                fell_through=f"{len(fallen):,}: {'; '.join(reasons[:3])}" if fallen else "never",
            )
        )
    return rows


def _cell(values: Sequence[float], decimals: int) -> tuple[str, str]:
    found = estimate(values)
    if math.isnan(found.mean):
        return "-", ""
    half = "" if math.isnan(found.half_width) else f"± {found.half_width:,.{decimals}f}"
    return f"{found.mean + 0.0:,.{decimals}f}", half


def _usd(value: float) -> str:
    return f"{value:,.2f}" if abs(value) >= 0.1 else f"{value:.2g}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
