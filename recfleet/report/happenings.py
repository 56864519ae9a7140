"""Failures, retries, caches, jobs and alerts of each policy's first seed, in a line each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from recfleet.report.figure_service_over_time import first_seed
from recfleet.run_record import RunRecord
from simulator.monitoring.alerts import AlertRule, alerts_of

if TYPE_CHECKING:
    from recfleet.comparison import Comparison

__all__ = ["Happening", "Happenings", "happenings"]

_SHOWN = 4
_NO_RULES = "no rules"


@dataclass(frozen=True)
class Happening:
    """A policy's line."""

    policy: str
    events: str
    lost: str
    retried: str
    hedged: str
    caches: str
    jobs: str
    alerts: str


@dataclass(frozen=True)
class Happenings:
    """The table; empty where nothing happened and nothing was watched."""

    rows: tuple[Happening, ...]


def happenings(comparison: Comparison) -> Happenings:
    """A line a policy, if there is anything to tell of any of them."""
    rules = comparison.scenario.alert_rules
    rows = tuple(_row(run, rules) for run in first_seed(comparison))
    telling = bool(rules) or any(row != _nothing(row.policy) for row in rows)
    return Happenings(rows if telling else ())


def _nothing(policy: str) -> Happening:
    return Happening(policy, "none", "0", "-", "-", "-", "-", _NO_RULES)


def _row(run: RunRecord, rules: Sequence[AlertRule]) -> Happening:
    result = run.result
    jobs = [f"{job.name}: {job.done_gpu_s:,.0f} of {job.asked_gpu_s:,.0f} GPU s" for job in result.jobs]
    return Happening(
        policy=run.policy,
        events=_counted(event.what.replace("_", " ") for event in result.events),
        lost=f"{result.replicas_lost:,}",
        retried=_total(run, "retried_rps"),
        hedged=_total(run, "hedged_rps"),
        caches=_hit_rates(run),
        jobs="; ".join(jobs) or "-",
        alerts=_counted(alert.rule for alert in alerts_of(result, rules)) if rules else _NO_RULES,
    )


def _counted(names: object) -> str:
    """The most frequent of some names, with their numbers."""
    counts = Counter(names).most_common()  # type: ignore[call-overload]
    shown = [f"{count:,} {name}" for name, count in counts[:_SHOWN]]
    return ", ".join([*shown, "..."] if len(counts) > _SHOWN else shown) or "none"


def _total(run: RunRecord, name: str) -> str:
    """A rate's sum over stages and time; a dash where the run had none of it."""
    found = [series for series in run.result.monitored if series.name == name]
    if not found or not found[0].values.any():
        return "-"
    total = (np.nan_to_num(found[0].values) * run.result.intervals.length_s[:, None]).sum()
    return f"{total:,.0f}"


def _hit_rates(run: RunRecord) -> str:
    """Of every cache, hits over look-ups at it, over the run."""
    kept = {series.name: series for series in run.result.monitored}
    if "cache_hits_rps" not in kept:
        return "-"
    hits, misses = (kept[name].values for name in ("cache_hits_rps", "cache_misses_rps"))
    length_s = run.result.intervals.length_s[:, None]
    hit, missed = (np.nan_to_num(hits) * length_s).sum(axis=0), (np.nan_to_num(misses) * length_s).sum(axis=0)
    rates = [
        f"{label} {100 * h / (h + m):.1f} %"
        for label, h, m in zip(kept["cache_hits_rps"].labels, hit, missed)
        if h + m > 0
    ]
    return "; ".join(rates) or "-"
