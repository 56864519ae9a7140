"""Where a policy stands against the clairvoyant optimum, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recfleet.certificate_tables import why_below
from recfleet.estimates import estimate
from recfleet.run_record import RunRecord

if TYPE_CHECKING:
    from optimizer.certificate.certify import Certificate

__all__ = ["MOVES", "OptimumWords", "against_optimum"]

MOVES = "its ends move a little with the set of policies compared"
"""Of the bracket: all runs of a comparison share one budget of solves (docs/certificate.md)."""

MEANING = (
    "The clairvoyant optimum is the cheapest sequence of whole fleets that serves each slot's requests in that slot "
    "within the SLO throughput and pays for starts."
)


@dataclass(frozen=True)
class OptimumWords:
    """One line for everybody, and what the report says beside it."""

    brief: tuple[str, ...] = ()
    details: tuple[str, ...] = ()


def against_optimum(pairs: Sequence[tuple[RunRecord, Certificate]]) -> OptimumWords:
    """A policy's runs, with their certificates, against the cheapest sequence of fleets that knows the day.

    Where both proven values differ, the words say that the bracket depends on what was compared.
    """
    if not pairs:
        return OptimumWords()
    own = [c for _, c in pairs]
    if beyond := sum(c.optimum.slots_beyond for c in own):
        none = f"There is no clairvoyant optimum: in {beyond:,} slots no fleet of this cluster serves the demand."
        return OptimumWords((none,))
    lower = estimate([c.optimum.lower_usd for c in own]).mean
    upper = estimate([c.optimum.upper_usd for c in own]).mean
    cost = estimate([c.cost_usd for c in own]).mean
    policy = pairs[0][0].policy
    exact = f"{lower:,.2f}" == f"{upper:,.2f}"
    where = f"is {lower:,.2f} USD" if exact else f"lies between {lower:,.2f} and {upper:,.2f} USD ({MOVES})"
    brief = f"The clairvoyant optimum {where}"
    if not cost > 0.0:
        return OptimumWords((f"{brief}.",), (MEANING,))
    if cost >= lower:
        over = excess(cost / upper - 1.0) if cost > upper else f"at most {excess(cost / lower - 1.0)}"
        return OptimumWords((f"{brief}; {policy} is {over} above it.",), (MEANING, *_short_of(policy, own)))
    run, certificate = min(pairs, key=lambda pair: pair[1].gap)
    short, slots = certificate.conditions.short, certificate.conditions.slots
    where = f"its condition unmet in {short:,} of {slots:,} slots" if short else "without keeping its condition"
    less = f"{policy} paid {100 * (1 - cost / lower):.2g} % less, {where}"
    why = f"{policy} did not meet that condition: {why_below(run, certificate)}."
    return OptimumWords((f"{brief}; {less} (see the report).",), (MEANING, why))


def _short_of(policy: str, own: Sequence[Certificate]) -> list[str]:
    short, slots = sum(c.conditions.short for c in own), sum(c.conditions.slots for c in own)
    return [f"{policy} was short of that throughput in {short:,} of {slots:,} slots."] if short else []


def excess(share: float) -> str:
    """Two figures, or whole percents from a hundred on."""
    return f"{100 * share:,.0f} %" if share >= 0.995 else f"{100 * share:.2g} %"
