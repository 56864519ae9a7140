"""Invariants that every run must keep; one that fails is a defect of recfleet and is said loudly."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from recfleet.run_record import RunRecord
from simulator.cluster import RESOURCES
from simulator.result import RunResult

if TYPE_CHECKING:
    from optimizer.certificate.certify import Certificate

__all__ = ["Check", "check_certificates", "check_runs", "conservation_line"]

_TOLERANCE = 1e-6
_BOUND_TOLERANCE = 1e-3
_LEDGER_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Check:
    """A named invariant over all runs.

    Attributes
    ----------
    failures
        What broke it, one line each; empty where it holds.
    """

    name: str
    meaning: str
    failures: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return not self.failures


def check_runs(runs: Sequence[RunRecord]) -> tuple[Check, ...]:
    """All invariants over all runs."""
    rules = (
        (
            "conservation",
            "arrived = completed + rejected + failed, for every service of every run",
            _conservation,
        ),
        (
            "in flight",
            "requests in flight are those that arrived and have no outcome, at every interval",
            _in_flight,
        ),
        ("latencies", "every completed request is in the latency histogram once", _histogram),
        ("objective", "no more requests met the objective than completed", _slo_met),
        (
            "resources",
            "used <= provisioned and allocated <= provisioned, every interval and resource",
            _resources,
        ),
        ("claims", "used GPU, CPU and memories <= what replicas claimed, every interval", _claims),
        ("bound", "no run paid less than the lower bound for what it served", _bound),
    )
    checks = [
        Check(
            name,
            meaning,
            tuple(f"{run.policy}, seed {run.seed}: {text}" for run in runs for text in rule(run)),
        )
        for name, meaning, rule in rules
    ]
    return (*checks, _common_arrivals(runs))


def check_certificates(runs: Sequence[RunRecord], certificates: Sequence[Certificate]) -> tuple[Check, ...]:
    """The chain of each run, and the sum of its ledger."""
    chain, sums = [], []
    for run, c in zip(runs, certificates, strict=True):
        who = f"{run.policy}, seed {run.seed}"
        lower, upper, cost = c.optimum.lower_usd, c.optimum.upper_usd, c.cost_usd
        if not c.fluid_usd <= lower * (1 + _TOLERANCE) or not lower <= upper * (1 + _TOLERANCE):
            chain.append(f"{who}: LP bound {c.fluid_usd:.6g} USD, optimum {lower:.6g} to {upper:.6g} USD")
        if c.applies and lower > cost * (1 + _BOUND_TOLERANCE):
            chain.append(f"{who}: met the condition in every slot and paid {cost:.6g} USD, optimum {lower:.6g} USD")
        total, difference = c.ledger.total_usd, c.ledger.cost_usd - c.ledger.bound_usd
        if abs(total - difference) > _LEDGER_TOLERANCE * max(abs(difference), cost):
            sums.append(f"{who}: lines sum to {total:.12g} USD, cost less bound is {difference:.12g} USD")
    return (
        Check(
            "certificate",
            "LP bound <= clairvoyant optimum, which no run that met its condition undercut",
            tuple(chain),
        ),
        Check("ledger", "the lines of the waste ledger sum to cost less bound, in every run", tuple(sums)),
    )


def conservation_line(runs: Sequence[RunRecord]) -> str:
    """The accounts of all runs in one line."""
    counts = {name: sum(int(getattr(r.result, name).sum()) for r in runs) for name in _OUTCOMES}
    arrived = sum(int(run.result.arrived.sum()) for run in runs)
    lost = arrived - sum(counts.values())
    verdict = "every request accounted for" if lost == 0 else f"{abs(lost):,} REQUESTS NOT ACCOUNTED FOR"
    parts = " + ".join(f"{count:,} {name}" for name, count in counts.items())
    return f"{verdict}: {arrived:,} arrived = {parts}"


_OUTCOMES = ("completed", "rejected", "failed")


def _conservation(run: RunRecord) -> Iterable[str]:
    r = run.result
    lost = r.arrived - r.completed - r.rejected - r.failed
    for s in np.flatnonzero(lost):
        yield f"{r.facts.services[s]}: {int(lost[s]):+,} requests without an outcome"


def _in_flight(run: RunRecord) -> Iterable[str]:
    i = run.result.intervals
    open_requests = np.cumsum(i.arrived - i.completed - i.rejected - i.failed, axis=0)
    wrong = np.argwhere(open_requests != i.in_flight)
    if len(wrong):
        t, s = wrong[0]
        yield (
            f"{run.result.facts.services[s]} at {i.start_s[t] + i.length_s[t]:g} s: "
            f"{int(i.in_flight[t, s]):,} in flight, "
            f"{int(open_requests[t, s]):,} without an outcome ({len(wrong):,} such entries)"
        )


def _histogram(run: RunRecord) -> Iterable[str]:
    return _differences(run.result, run.result.histogram.sum(axis=1) - run.result.completed, "in the histogram")


def _slo_met(run: RunRecord) -> Iterable[str]:
    return _differences(run.result, np.maximum(run.result.slo_met - run.result.completed, 0), "met and not completed")


def _differences(result: RunResult, difference: np.ndarray, what: str) -> Iterable[str]:
    for s in np.flatnonzero(difference):
        yield f"{result.facts.services[s]}: {int(difference[s]):+,} {what}"


def _resources(run: RunRecord) -> Iterable[str]:
    i = run.result.intervals
    yield from _exceeds(i.used, i.provisioned, "used", "provisioned", run, RESOURCES)
    yield from _exceeds(i.allocated, i.provisioned, "allocated", "provisioned", run, RESOURCES)


def _claims(run: RunRecord) -> Iterable[str]:
    i = run.result.intervals
    owned = ("gpu", "gpu_memory", "cpu", "memory")
    yield from _exceeds(i.used, i.allocated, "used", "claimed", run, owned)


def _exceeds(
    part: np.ndarray, whole: np.ndarray, part_name: str, whole_name: str, run: RunRecord, names: Sequence[str]
) -> Iterable[str]:
    over = part > whole * (1.0 + _TOLERANCE) + _TOLERANCE
    for r, resource in enumerate(RESOURCES):
        if resource in names and over[:, r].any():
            t = int(np.argmax(over[:, r]))
            yield (
                f"{resource} at {run.result.intervals.start_s[t]:g} s: {part[t, r]:.6g} {part_name} of "
                f"{whole[t, r]:.6g} {whole_name} ({int(over[:, r].sum()):,} intervals)"
            )


def _bound(run: RunRecord) -> Iterable[str]:
    cost = float(run.result.intervals.cost_usd.sum())
    if not math.isfinite(cost) or cost < 0:
        yield f"cost is {cost}"
    if math.isfinite(run.bound_usd) and run.bound_usd > cost * (1 + _BOUND_TOLERANCE):
        yield f"cost {cost:.6g} USD is below the bound {run.bound_usd:.6g} USD"


def _common_arrivals(runs: Sequence[RunRecord]) -> Check:
    failures = []
    first: dict[int, RunRecord] = {}
    for run in runs:
        reference = first.setdefault(run.seed, run).result
        if not np.array_equal(reference.intervals.arrived, run.result.intervals.arrived):
            failures.append(f"seed {run.seed}: {run.policy} met other arrivals than {reference.policy}")
    return Check("common arrivals", "on one seed, every policy meets the same arrivals", tuple(failures))
