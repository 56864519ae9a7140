"""The decisions of each policy that moved most replicas, in order of time."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from recfleet.report.figure_service_over_time import first_seed
from recfleet.run_record import RunRecord
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
    change: str
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
    names = _names(run)
    earlier = {d.slot: before.wanted for before, d in pairwise(log)}
    return DecisionExcerpt(run.policy, counts, tuple(_line(d, earlier.get(d.slot), names) for d in shown))


def _names(run: RunRecord) -> list[list[str]]:
    """``[variant][node_type]``: the stage where only one of its variants was ever wanted there, else the variant."""
    facts = run.result.facts
    ever = np.any([d.wanted > 0 for d in run.result.decisions], axis=0)
    rivals = np.zeros((len(facts.stages), len(facts.node_types)), int)
    np.add.at(rivals, facts.variant_stage, ever)

    def name(v: int, n: int) -> str:
        stage = int(facts.variant_stage[v])
        return f"{facts.variants[v] if rivals[stage, n] > 1 else facts.stages[stage]} on {facts.node_types[n]}"

    return [[name(v, n) for n in range(len(facts.node_types))] for v in range(len(facts.variants))]


def _line(decision: Decision, before: np.ndarray | None, names: list[list[str]]) -> DecisionLine:
    minutes, seconds = divmod(round(decision.now_s), 60)
    hours, minutes = divmod(minutes, 60)
    return DecisionLine(
        time=f"{hours:02d}:{minutes:02d}:{seconds:02d}",
        started=decision.started,
        drained=decision.drained,
        unplaced=decision.unplaced,
        status=decision.status,
        change=_change(decision.wanted, before, names),
        note=decision.note,
    )


def _change(wanted: np.ndarray, before: np.ndarray | None, names: list[list[str]]) -> str:
    """What is wanted at first; later, only what is wanted differently than before."""
    if before is None:
        return ", ".join(f"{names[v][n]}: {int(wanted[v, n])}" for v, n in np.argwhere(wanted))
    moved = np.argwhere(wanted != before)
    return ", ".join(f"{names[v][n]}: {int(before[v, n])} \N{RIGHTWARDS ARROW} {int(wanted[v, n])}" for v, n in moved)
