"""Which policy to run: a few lines for a reader in a hurry, and what the report says beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recfleet.optimum_words import OptimumWords, against_optimum
from recfleet.run_record import RunRecord
from recfleet.standings import Standing, standings
from recfleet.verdict_words import (
    against_bound,
    against_runner_up,
    against_today,
    against_yardsticks,
    doubts,
    long_out,
    span,
    usd,
    wanted,
    worst_service,
)

if TYPE_CHECKING:
    from optimizer.certificate.certify import Certificate

__all__ = ["Verdict", "judge"]


@dataclass(frozen=True)
class Verdict:
    """The answer.

    Attributes
    ----------
    winner
        The cheapest policy that holds every objective and does not see the future; None where none does.
    closest
        Where there is no winner, the policy that misses by least.
    lines
        The verdict in words, what matters most first; the first is the headline.
    details
        Further sentences, for the report.
    """

    winner: str | None
    closest: str | None
    lines: tuple[str, ...]
    details: tuple[str, ...] = ()

    @property
    def headline(self) -> str:
        return self.lines[0]

    @property
    def sentences(self) -> tuple[str, ...]:
        """All that there is to say."""
        return (*self.lines, *self.details)

    @property
    def text(self) -> str:
        return " ".join(self.sentences)

    def __str__(self) -> str:
        return "\n".join(self.lines)


def judge(runs: Sequence[RunRecord], certificates: Sequence[Certificate] = ()) -> Verdict:
    """The cheapest policy that holds every objective, against what is done today and against the bound.

    Parameters
    ----------
    certificates
        One a run, in the same order, for a sentence on the clairvoyant optimum; none for no such sentence.
    """
    table = standings(runs)
    deployable = [s for s in table if not s.clairvoyant]
    holding = _cheapest_first([s for s in deployable if s.holds])
    chosen = holding[0] if holding else _closest(deployable or table)
    optimum = against_optimum([(r, c) for r, c in zip(runs, certificates) if r.policy == chosen.policy])
    if not holding:
        return _none_holds(chosen, table, bool(deployable), optimum)
    lines = (
        f"{chosen.policy} is the cheapest policy that holds {wanted(chosen)}: {usd(chosen.cost_usd)} for {span(runs)}; "
        f"worst service: {worst_service(chosen)}.",
        *against_today(chosen, deployable),
        *long_out(chosen, holding),
        *against_runner_up(chosen, holding),
        *optimum.brief,
        *doubts(chosen),
    )
    details = (*against_bound(chosen), *optimum.details, *against_yardsticks(chosen, table))
    return Verdict(chosen.policy, None, lines, details)


def _cheapest_first(table: Sequence[Standing]) -> list[Standing]:
    """By cost; of those that cost the same, the one that holds its objectives with the larger margin."""
    return sorted(table, key=lambda s: (float(f"{s.cost_usd.mean:.7g}"), -s.margin.mean))


def _closest(table: Sequence[Standing]) -> Standing:
    """The policy that misses by least; of those that miss no objective but a floor, the one with the larger margin."""
    return max(table, key=lambda s: (min(s.margin.mean, 0.0), s.keeps_floor, s.margin.mean, -s.cost_usd.mean))


def _none_holds(closest: Standing, table: Sequence[Standing], any_deployable: bool, optimum: OptimumWords) -> Verdict:
    if not any_deployable:
        lines = ("Every policy compared sees the future, so none can be recommended.", *optimum.brief, *doubts(closest))
        return Verdict(None, closest.policy, lines, optimum.details)
    first = f"No policy holds {wanted(closest)}. Closest is {closest.policy} ({usd(closest.cost_usd)}): "
    if closest.floor and closest.margin.mean >= 0.0:
        first += f"it holds every service's objective, but {closest.floor.miss}."
    else:
        first += f"worst service: {worst_service(closest)}, {-100 * closest.margin.mean:.2g} points short."
    seers = [s for s in table if s.clairvoyant and s.holds]
    hint = (
        f"{seers[0].policy}, which sees the future, holds them for {usd(seers[0].cost_usd)}: "
        "the cluster suffices, the policies react too late or plan too little."
        if seers
        else "Other policies, more headroom, a larger cluster or a looser objective may help; recfleet plan looks "
        "for a fleet and a policy that hold."
    )
    return Verdict(None, closest.policy, (first, hint, *optimum.brief, *doubts(closest)), optimum.details)
