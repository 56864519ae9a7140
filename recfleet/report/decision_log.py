"""The decisions of each policy that moved most replicas, in order of time."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recfleet.report.figure_service_over_time import first_seed
from recfleet.run_record import RunRecord
from recfleet.tables import wanted_text
from simulator.result import Decision

if TYPE_CHECKING:
    from recfleet.comparison import Comparison

__all__ = ["DecisionExcerpt", "DecisionLine", "decision_excerpts"]

SHOWN = 4


@dataclass(frozen=True)
class DecisionLine:
    """One decision as shown."""

    time: str
    started: int
    drained: int
    unplaced: int
    status: str
    wanted: str
    note: str


@dataclass(frozen=True)
class DecisionExcerpt:
    """A policy's first decision and its largest changes; ``counts`` sums up the rest."""

    policy: str
    counts: str
    lines: tuple[DecisionLine, ...]


def decision_excerpts(comparison: Comparison) -> list[DecisionExcerpt]:
    """An excerpt a policy, of the first seed."""
    return [_excerpt(run) for run in first_seed(comparison)]


def _excerpt(run: RunRecord) -> DecisionExcerpt:
    log = run.result.decisions
    changes = [d for d in log if d.started or d.drained]
    largest = sorted(changes, key=lambda d: (-(d.started + d.drained), d.slot))[:SHOWN]
    shown = sorted({d.slot: d for d in [*log[:1], *largest]}.values(), key=lambda d: d.slot)[: SHOWN + 1]
    statuses = ", ".join(f"{count:,} {status}" for status, count in sorted(Counter(d.status for d in log).items()))
    unplaced = sum(1 for d in log if d.unplaced)
    counts = f"{len(log):,} decisions ({statuses}), {len(changes):,} of which changed the fleet"
    if unplaced:
        counts += f"; in {unplaced:,} some replicas found no room"
    return DecisionExcerpt(run.policy, counts, tuple(_line(run, d) for d in shown))


def _line(run: RunRecord, decision: Decision) -> DecisionLine:
    facts = run.result.facts
    minutes, seconds = divmod(round(decision.now_s), 60)
    hours, minutes = divmod(minutes, 60)
    return DecisionLine(
        time=f"{hours:02d}:{minutes:02d}:{seconds:02d}",
        started=decision.started,
        drained=decision.drained,
        unplaced=decision.unplaced,
        status=decision.status,
        wanted=wanted_text(decision.wanted, facts.variants, facts.node_types),
        note=decision.note,
    )
