"""The waste ledger: counterfactual costs, each with one more constraint of the real world, and the steps between them.

Rungs, USD over the run, for the demand ``d[slot, stage]`` that came, slots of length ``D``, headroom ``h``:

    0  bound      fluid bound of what this run served (`optimizer.bounds`)
    1  requests   the same for all requests that came, as accurately in the mean
    2  whole      sum_t D best(d_t): whole replicas on whole nodes, each at its best-batch throughput, slot by slot
    3  slo        sum_t D f(d_t): each at the throughput at which the SLO still holds
    4  headroom   sum_t D f((1 + h) d_t): with the scenario's headroom
    5  reserve    with a reserve for the loss of a node, where the scenario asks for one
    6  starts     the cheapest sequence found that serves (1 + h) d_t and pays for starts (`certificate.schedule`)
    7  forecast   sum_t D f((1 + h) e_t): whole fleets for what the policy expected, ``e_t``, at each decision
    8  cost       what the policy paid

``f(d)`` is the cost of the cheapest fleet found for ``d``, ``best(d)`` at best-batch throughput; both have a proven
lower value (`certificate.levels`). The lines of the ledger are the differences of neighbouring rungs, so that they sum
to cost less bound whatever the rungs are. A line may be negative: the policy, or the step, did with less than the rung
before. Nothing is clamped.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LINES", "Line", "Rung", "WasteLedger", "ledger_of"]


@dataclass(frozen=True)
class Kind:
    """A line: its key in files, what it is called, and what it counts."""

    key: str
    title: str
    meaning: str


LINES: tuple[Kind, ...] = (
    Kind("requests", "requests not served", "fluid cost of the requests that came and were not served"),
    Kind("whole", "whole replicas, whole nodes", "replicas and nodes cannot be divided, and each slot is served in it"),
    Kind("slo", "latency objective", "replicas run at the throughput at which the SLO holds, not at their best batch"),
    Kind("headroom", "headroom", "the scenario's margin above demand"),
    Kind("reserve", "failure reserve", "capacity kept for the loss of a node"),
    Kind("starts", "start-up delay", "nodes and replicas are paid for while they boot and load"),
    Kind("forecast", "forecast, not truth", "whole fleets for what was expected instead of what came"),
    Kind("policy", "what the policy did", "the rest: its rules, margins and handovers, less what lateness saved it"),
)
"""The lines in order; line ``i`` is the step from rung ``i`` to rung ``i + 1``."""


@dataclass(frozen=True)
class Rung:
    """A counterfactual cost.

    Attributes
    ----------
    usd
        The value used.
    lower_usd
        Proven to be no more than the true one; equal to ``usd`` where it is known.
    note
        Why the step to it is zero although it could be something; else empty.
    """

    usd: float
    lower_usd: float
    note: str = ""


@dataclass(frozen=True)
class Line:
    """A step of the ladder.

    Attributes
    ----------
    usd
        Cost of this rung less that of the one before; negative where it did with less.
    known_within_usd
        The true step differs by at most this: the widths of its two rungs.
    note
        Why it is zero, where it does not apply.
    """

    key: str
    title: str
    usd: float
    known_within_usd: float
    note: str


@dataclass(frozen=True)
class WasteLedger:
    """From the fluid bound to what was paid, line by line; the lines sum to ``cost_usd - bound_usd``."""

    bound_usd: float
    cost_usd: float
    lines: tuple[Line, ...]
    rungs: tuple[Rung, ...]

    @property
    def total_usd(self) -> float:
        """Sum of the lines."""
        return float(sum(line.usd for line in self.lines))


def ledger_of(rungs: tuple[Rung, ...]) -> WasteLedger:
    """The ledger of rungs 0 to 8.

    Examples
    --------
    >>> ledger = ledger_of(tuple(Rung(float(usd), float(usd)) for usd in (10, 10, 12, 15, 16, 16, 17, 16, 20)))
    >>> [line.usd for line in ledger.lines], ledger.total_usd
    ([0.0, 2.0, 3.0, 1.0, 0.0, 1.0, -1.0, 4.0], 10.0)
    """
    if len(rungs) != len(LINES) + 1:
        raise ValueError(f"{len(rungs)} rungs make {len(rungs) - 1} lines, where {len(LINES)} are expected")
    lines = tuple(
        Line(
            key=kind.key,
            title=kind.title,
            usd=after.usd - before.usd,
            known_within_usd=0.0 if after.note else (after.usd - after.lower_usd) + (before.usd - before.lower_usd),
            note=after.note,
        )
        for kind, before, after in zip(LINES, rungs, rungs[1:])
    )
    return WasteLedger(rungs[0].usd, rungs[-1].usd, lines, rungs)
