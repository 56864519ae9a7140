"""Which policy to run, said in sentences with the numbers they rest on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from recfleet.estimates import Estimate, estimate
from recfleet.floors import FloorStanding, worst_floor
from recfleet.run_record import RunRecord
from simulator.measured import Measured

if TYPE_CHECKING:
    from optimizer.certificate.certify import Certificate

__all__ = ["REFERENCES", "Standing", "Verdict", "judge", "standings"]

REFERENCES: tuple[tuple[str, str], ...] = (("static_peak", "static peak"), ("hpa", "the Kubernetes HPA"))
"""Policies that stand for what is done today, and how the verdict calls them."""

_LONG_OUT_MINUTES = 30.0
"""A winner that was out of objective for longer is told so, if another holder was for less than a third of it."""


@dataclass(frozen=True)
class Standing:
    """One policy over its seeds.

    Attributes
    ----------
    cost_usd, bound_usd
        Over seeds.
    worst_service, margin
        The service whose mean attainment lies furthest below (or least above) the quantile it is asked for,
        and that difference over seeds.
    out_minutes
        Length of the intervals in which some service missed its objective, over seeds.
    asked
        The quantile asked for of that service.
    floor
        How it stands against the scenario's accuracy floors; None where there is none.
    costs
        ``cost_usd`` by seed, in the order of the seeds.
    """

    policy: str
    clairvoyant: bool
    cost_usd: Estimate
    bound_usd: Estimate
    worst_service: str
    objective_s: float
    asked: float
    margin: Estimate
    out_minutes: Estimate
    costs: tuple[float, ...]
    floor: FloorStanding | None = None

    @property
    def holds(self) -> bool:
        """Every service's mean attainment reaches the quantile asked for, and every stage's accuracy its floor."""
        return self.margin.mean >= 0.0 and self.keeps_floor

    @property
    def keeps_floor(self) -> bool:
        """No stage's mean accuracy over the seeds lies below its floor."""
        return self.floor is None or self.floor.kept

    @property
    def certain(self) -> bool:
        """The whole confidence interval of the worst service lies on one side; unknown with one seed."""
        return math.isnan(self.margin.half_width) or abs(self.margin.mean) >= self.margin.half_width


@dataclass(frozen=True)
class Verdict:
    """The answer.

    Attributes
    ----------
    winner
        The cheapest policy that holds every objective and does not see the future; None where none does.
    closest
        Where there is no winner, the policy that misses by least.
    sentences
        The verdict in words; the first is the headline.
    """

    winner: str | None
    closest: str | None
    sentences: tuple[str, ...]

    @property
    def headline(self) -> str:
        return self.sentences[0]

    @property
    def text(self) -> str:
        return " ".join(self.sentences)

    def __str__(self) -> str:
        return self.text


def standings(runs: Sequence[RunRecord]) -> list[Standing]:
    """A standing a policy, in order of first appearance."""
    policies = list(dict.fromkeys(run.policy for run in runs))
    return [_standing([run for run in runs if run.policy == policy]) for policy in policies]


def _standing(runs: Sequence[RunRecord]) -> Standing:
    measured = [Measured(run.result, run.bound_usd) for run in runs]
    facts = runs[0].result.facts
    attainment = np.array([m.service_attainment for m in measured])
    margins = attainment - facts.slo_quantile
    means = [estimate(margins[:, s]).mean for s in range(margins.shape[1])]
    worst = min(range(len(means)), key=lambda s: math.inf if math.isnan(means[s]) else means[s])
    costs = tuple(m.cost_usd for m in measured)
    return Standing(
        policy=runs[0].policy,
        clairvoyant=runs[0].clairvoyant,
        cost_usd=estimate(costs),
        bound_usd=estimate([run.bound_usd for run in runs]),
        worst_service=facts.services[worst],
        objective_s=float(facts.slo_s[worst]),
        asked=float(facts.slo_quantile[worst]),
        margin=estimate(margins[:, worst]),
        out_minutes=estimate([_out_minutes(m) for m in measured]),
        costs=costs,
        floor=worst_floor(measured),
    )


def _out_minutes(run: Measured) -> float:
    return float(run.result.intervals.length_s[run.violations.any(axis=1)].sum()) / 60


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
    if not holding:
        verdict = _none_holds(table, deployable)
        of_closest = [(r, c) for r, c in zip(runs, certificates) if r.policy == verdict.closest]
        return replace(verdict, sentences=(*verdict.sentences, *_against_optimum(of_closest)))
    winner = holding[0]
    sentences = [
        _headline(winner, runs),
        *_long_out(winner, holding),
        *_against_references(winner, deployable),
        *_against_runner_up(winner, holding),
        *_against_bound(winner),
        *_against_optimum([(r, c) for r, c in zip(runs, certificates) if r.policy == winner.policy]),
        *_against_yardsticks(winner, table),
        *_doubts(winner),
    ]
    return Verdict(winner.policy, None, tuple(sentences))


def _cheapest_first(table: Sequence[Standing]) -> list[Standing]:
    """By cost; of those that cost the same, the one that holds its objectives with the larger margin."""
    return sorted(table, key=lambda s: (float(f"{s.cost_usd.mean:.7g}"), -s.margin.mean))


def _headline(winner: Standing, runs: Sequence[RunRecord]) -> str:
    seconds = runs[0].result.facts.duration_s
    span = f"{seconds / 3600:.4g} h" if seconds >= 7200 else f"{seconds / 60:.4g} min"
    return (
        f"{winner.policy} is the cheapest policy that holds {_wanted(winner)}: "
        f"{_usd(winner.cost_usd)} for {span}"
        + (f", mean of {winner.cost_usd.n} seeds." if winner.cost_usd.n > 1 else ", one seed.")
    )


def _wanted(standing: Standing) -> str:
    return "every service's objective" + (" and every accuracy floor" if standing.floor else "")


def _none_holds(table: Sequence[Standing], deployable: Sequence[Standing]) -> Verdict:
    candidates = deployable or table
    closest = max(candidates, key=lambda s: (min(s.margin.mean, 0.0), s.keeps_floor, s.margin.mean, -s.cost_usd.mean))
    if not deployable:
        first = "Every policy compared sees the future, so none can be recommended."
        return Verdict(None, closest.policy, (first, *_doubts(closest)))
    attained = closest.asked + closest.margin.mean
    first = f"No policy holds {_wanted(closest)}. Closest is {closest.policy} ({_usd(closest.cost_usd)}): "
    if closest.floor and closest.margin.mean >= 0.0:
        first += f"it holds every service's objective, but {closest.floor.miss}."
    else:
        first += (
            f"its worst service, {closest.worst_service}, answers {_percent(attained)} of requests within "
            f"{1e3 * closest.objective_s:g} ms where {_percent(closest.asked)} is asked for, "
            f"{-100 * closest.margin.mean:.2g} points short."
        )
    seers = [s for s in table if s.clairvoyant and s.holds]
    hint = (
        f"{seers[0].policy}, which sees the future, holds them for {_usd(seers[0].cost_usd)}: "
        "the cluster suffices, the policies react too late or plan too little."
        if seers
        else "More headroom, a larger cluster or a looser objective would be needed."
    )
    return Verdict(None, closest.policy, (first, hint, *_doubts(closest)))


def _long_out(winner: Standing, holding: Sequence[Standing]) -> list[str]:
    """A mean over the run may hide long spells without the objective, which a dearer policy avoids."""
    out = winner.out_minutes.mean
    calmer = [s for s in holding if s.out_minutes.mean < out / 3]
    if not (out > _LONG_OUT_MINUTES and calmer):
        return []
    other = calmer[0]
    same = _same(winner.cost_usd.mean, other.cost_usd.mean)
    price = "at the same cost" if same else f"{other.cost_usd.mean - winner.cost_usd.mean:,.2f} USD dearer"
    return [
        f"It was out of objective for {out:.0f} min, though; {other.policy}, {price}, "
        f"for {other.out_minutes.mean:.0f} min."
    ]


def _against_references(winner: Standing, table: Sequence[Standing]) -> list[str]:
    parts = []
    for policy, name in REFERENCES:
        other = next((s for s in table if s.policy == policy and s.policy != winner.policy), None)
        if other is None or other.cost_usd.mean <= 0:
            continue
        saving = 1 - winner.cost_usd.mean / other.cost_usd.mean
        word = "less" if saving > 0 else "more"
        much = "as much as" if abs(saving) < 5e-5 else f"{_percent(abs(saving), 3)} {word} than"
        caveat = "" if other.holds else f", which misses {_missed(other)}"
        parts.append(f"{much} {name} ({other.policy}, {_usd(other.cost_usd)}{caveat})")
    return [f"It costs {' and '.join(parts)}."] if parts else []


def _missed(standing: Standing) -> str:
    if standing.floor and standing.margin.mean >= 0.0:
        return f"{standing.floor.stage}'s accuracy floor"
    return f"{standing.worst_service}'s objective"


def _against_runner_up(winner: Standing, holding: Sequence[Standing]) -> list[str]:
    if len(holding) < 2:
        return ["No other policy that could be deployed holds every objective."]
    tied = [s.policy for s in holding[1:] if _same(winner.cost_usd.mean, s.cost_usd.mean)]
    if tied:
        verbs = ("costs", "holds") if len(tied) == 1 else ("cost", "hold")
        return [f"{_listed(tied)} {verbs[0]} the same and {verbs[1]} every objective too."]
    second = holding[1]
    difference = estimate([b - a for a, b in zip(winner.costs, second.costs)])
    if difference.n >= 2 and difference.half_width > difference.mean:
        return [
            f"The difference from {second.policy}, {_usd(difference)} on the same seeds, is within the uncertainty."
        ]
    paired = " on the same seeds" if difference.n > 1 else ""
    return [f"Next is {second.policy}, {_usd(difference)} dearer{paired}."]


def _same(one_usd: float, other_usd: float) -> bool:
    return abs(one_usd - other_usd) <= 1e-6 * max(abs(one_usd), abs(other_usd))


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _against_bound(winner: Standing) -> list[str]:
    if not (winner.bound_usd.mean > 0):
        return []
    ratio = winner.cost_usd.mean / winner.bound_usd.mean
    return [
        f"It pays {ratio:.2f} times the lower bound of {winner.bound_usd.mean:,.2f} USD, which no policy "
        "that serves as many requests on this cluster can undercut."
    ]


def _against_optimum(pairs: Sequence[tuple[RunRecord, Certificate]]) -> list[str]:
    """Where a policy stands against the cheapest sequence of fleets that knows the day, and why if below."""
    if not pairs:
        return []
    own = [c for _, c in pairs]
    if beyond := sum(c.optimum.slots_beyond for c in own):
        return [
            f"In {beyond:,} slots no fleet of this cluster serves the demand within its SLO throughput, so there is no "
            "clairvoyant optimum to hold it against."
        ]
    lower = estimate([c.optimum.lower_usd for c in own]).mean
    upper = estimate([c.optimum.upper_usd for c in own]).mean
    cost = estimate([c.cost_usd for c in own]).mean
    span = f"{lower:,.2f} USD" if f"{lower:,.2f}" == f"{upper:,.2f}" else f"{lower:,.2f} to {upper:,.2f} USD"
    text = (
        f"The clairvoyant optimum, the cheapest sequence of whole fleets that serves each slot's requests in that slot "
        f"within the SLO throughput and pays for starts, costs {span}"
    )
    if not cost > 0.0:
        return [f"{text}."]
    if cost >= lower:
        over = _excess(cost / upper - 1.0) if cost > upper else f"at most {_excess(cost / lower - 1.0)}"
        return [f"{text}: {_name_of(pairs)} is {over} above it{_met(own)}."]
    from recfleet.certificate_tables import why_below

    run, certificate = min(pairs, key=lambda pair: pair[1].gap)
    return [
        f"{text}: {_name_of(pairs)} paid {100 * (1 - cost / lower):.2g} % less, because it did not meet that "
        f"condition: {why_below(run, certificate)}."
    ]


def _name_of(pairs: Sequence[tuple[RunRecord, Certificate]]) -> str:
    """The policy of these runs."""
    return pairs[0][0].policy


def _met(own: Sequence[Certificate]) -> str:
    short, slots = sum(c.conditions.short for c in own), sum(c.conditions.slots for c in own)
    return f", although short of that throughput in {short:,} of {slots:,} slots" if short else ""


def _against_yardsticks(winner: Standing, table: Sequence[Standing]) -> list[str]:
    seers = [s for s in table if s.clairvoyant and s.holds]
    if not seers:
        return []
    best = min(seers, key=lambda s: s.cost_usd.mean)
    if best.cost_usd.mean <= winner.cost_usd.mean or _same(best.cost_usd.mean, winner.cost_usd.mean):
        return [f"{best.policy}, a yardstick that sees the future, pays {_usd(best.cost_usd)}."]
    return [
        f"{best.policy}, which sees the future, pays {_usd(best.cost_usd)}: it plans to hold the objective in every "
        "interval, so it is a yardstick, not a bound."
    ]


def _doubts(standing: Standing) -> list[str]:
    if standing.margin.n < 2:
        return ["With one seed there is no confidence interval; run more before acting on small differences."]
    if not standing.certain:
        return [
            f"Whether {standing.worst_service} holds its objective is within the uncertainty over seeds: "
            f"{100 * standing.margin.mean:+.2g} points, 95 % interval {100 * standing.margin.low:+.2g} to "
            f"{100 * standing.margin.high:+.2g}."
        ]
    return []


def _usd(value: Estimate) -> str:
    if math.isnan(value.half_width):
        return f"{value.mean:,.2f} USD"
    return f"{value.mean:,.2f} ± {value.half_width:,.2f} USD"


def _percent(share: float, digits: int = 4) -> str:
    return f"{100 * share:.{digits}g} %"


def _excess(share: float) -> str:
    """Two figures, or whole percents from a hundred on."""
    return f"{100 * share:,.0f} %" if share >= 0.995 else f"{100 * share:.2g} %"
