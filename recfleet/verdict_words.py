"""The sentences of a verdict: a policy against what runs today, the next best, the bound and the yardsticks."""

from __future__ import annotations

import math
from collections.abc import Sequence

from recfleet.estimates import Estimate, estimate
from recfleet.run_record import RunRecord
from recfleet.standings import Standing

__all__ = [
    "TODAY",
    "against_bound",
    "against_runner_up",
    "against_today",
    "against_yardsticks",
    "doubts",
    "long_out",
    "span",
    "usd",
    "wanted",
    "worst_service",
]

TODAY: tuple[tuple[str, str], ...] = (("static_peak", "static peak"), ("hpa", "the Kubernetes HPA"))
"""Policies that stand for what is done today, and how the verdict calls them."""

LONG_OUT_MINUTES = 30.0
"""A winner that was out of objective for longer is told so, if another holder was for less than a third of it."""


def usd(value: Estimate) -> str:
    """Mean and half width."""
    if math.isnan(value.half_width):
        return f"{value.mean:,.2f} USD"
    return f"{value.mean:,.2f} ± {value.half_width:,.2f} USD"


def span(runs: Sequence[RunRecord]) -> str:
    """How long each run is, and how many seeds."""
    seconds, seeds = runs[0].result.facts.duration_s, len({run.seed for run in runs})
    length = f"{seconds / 3600:.4g} h" if seconds >= 7200 else f"{seconds / 60:.4g} min"
    return f"{length} (mean of {seeds} seeds)" if seeds > 1 else length


def wanted(standing: Standing) -> str:
    """What is to be held."""
    return "every service's objective" + (" and every accuracy floor" if standing.floor else "")


def worst_service(standing: Standing) -> str:
    """Name, attainment, objective."""
    return (
        f"{standing.worst_service}, {_share(standing.attained)} of requests within {1e3 * standing.objective_s:g} ms, "
        f"{_share(standing.asked)} asked"
    )


def against_today(winner: Standing, table: Sequence[Standing]) -> list[str]:
    """Cost against the policies of `TODAY` that were run, and how those served."""
    parts = []
    for policy, name in TODAY:
        other = next((s for s in table if s.policy == policy and s.policy != winner.policy), None)
        if other is None or other.cost_usd.mean <= 0:
            continue
        saving = 1 - winner.cost_usd.mean / other.cost_usd.mean
        word = "less" if saving > 0 else "more"
        much = "as much as" if abs(saving) < 5e-5 else f"{100 * abs(saving):.3g} % {word} than"
        met = "" if other.holds else f", misses {_missed(other)}"
        served = f"{usd(other.cost_usd)}, worst service {_share(other.attained)}{met}"
        parts.append(f"{much} {name} ({other.policy}: {served})")
    return [f"That is {' and '.join(parts)}."] if parts else []


def _missed(standing: Standing) -> str:
    if standing.floor and standing.margin.mean >= 0.0:
        return f"{standing.floor.stage}'s accuracy floor"
    services = [name for name, _, _ in standing.missed] or [standing.worst_service]
    whose = _listed([name + "'s" for name in services])
    return f"{whose} objective{'s' if len(services) > 1 else ''}"


def long_out(winner: Standing, holding: Sequence[Standing]) -> list[str]:
    """A mean over the run may hide long spells without the objective, which a dearer policy avoids."""
    out = winner.out_minutes.mean
    calmer = [s for s in holding if s.out_minutes.mean < out / 3]
    if not (out > LONG_OUT_MINUTES and calmer):
        return []
    other = calmer[0]
    same = _same(winner.cost_usd.mean, other.cost_usd.mean)
    price = "at the same cost" if same else f"{other.cost_usd.mean - winner.cost_usd.mean:,.2f} USD dearer"
    return [
        f"It was out of objective for {out:.0f} min, though; {other.policy}, {price}, "
        f"for {other.out_minutes.mean:.0f} min."
    ]


def against_runner_up(winner: Standing, holding: Sequence[Standing]) -> list[str]:
    """The next policy that holds, by the paired difference over seeds."""
    if len(holding) < 2:
        return ["No other policy that could be deployed holds every objective."]
    tied = [s.policy for s in holding[1:] if _same(winner.cost_usd.mean, s.cost_usd.mean)]
    if tied:
        verbs = ("costs", "holds") if len(tied) == 1 else ("cost", "hold")
        return [f"{_listed(tied)} {verbs[0]} the same and {verbs[1]} every objective too."]
    second = holding[1]
    difference = estimate([b - a for a, b in zip(winner.costs, second.costs)])
    if difference.n >= 2 and difference.half_width > difference.mean:
        return [f"The difference from {second.policy}, {usd(difference)} on the same seeds, is within the uncertainty."]
    paired = " on the same seeds" if difference.n > 1 else ""
    return [f"Next is {second.policy}, {usd(difference)} dearer{paired}."]


def against_bound(winner: Standing) -> list[str]:
    """How far above the lower bound."""
    if not (winner.bound_usd.mean > 0):
        return []
    ratio = winner.cost_usd.mean / winner.bound_usd.mean
    return [
        f"{winner.policy} pays {ratio:.2f} times the lower bound of {winner.bound_usd.mean:,.2f} USD, which no policy "
        "that serves as many requests on this cluster can undercut."
    ]


def against_yardsticks(winner: Standing, table: Sequence[Standing]) -> list[str]:
    """What the cheapest policy pays that sees the future."""
    seers = [s for s in table if s.clairvoyant and s.holds]
    if not seers:
        return []
    best = min(seers, key=lambda s: s.cost_usd.mean)
    if best.cost_usd.mean <= winner.cost_usd.mean or _same(best.cost_usd.mean, winner.cost_usd.mean):
        return [f"{best.policy}, a yardstick that sees the future, pays {usd(best.cost_usd)}."]
    return [
        f"{best.policy}, which sees the future, pays {usd(best.cost_usd)}: it plans to hold the objective in every "
        "interval, so it is a yardstick, not a bound."
    ]


def doubts(standing: Standing) -> list[str]:
    """What the seeds leave open."""
    if standing.margin.n < 2:
        return ["One seed gives no confidence interval: try --seeds 3 before acting on small differences."]
    if not standing.certain:
        return [
            f"Whether {standing.worst_service} holds its objective is within the uncertainty over seeds: "
            f"{100 * standing.margin.mean:+.2g} points, 95 % interval {100 * standing.margin.low:+.2g} to "
            f"{100 * standing.margin.high:+.2g}."
        ]
    return []


def _same(one_usd: float, other_usd: float) -> bool:
    return abs(one_usd - other_usd) <= 1e-6 * max(abs(one_usd), abs(other_usd))


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _share(share: float) -> str:
    """Percent with three decimals at most: 99.99 is not 100."""
    return f"{100 * share:.3f}".rstrip("0").rstrip(".") + " %"
