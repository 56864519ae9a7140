"""How each policy stands over its seeds: cost, the worst service's attainment, time out of objective."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recfleet.estimates import Estimate, estimate
from recfleet.floors import FloorStanding, worst_floor
from recfleet.run_record import RunRecord
from simulator.measured import Measured

__all__ = ["Standing", "standings"]


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
    missed
        Services whose mean attainment lies below the quantile asked for, the worst first: name, attainment, quantile.
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
    missed: tuple[tuple[str, float, float], ...] = ()

    @property
    def holds(self) -> bool:
        """Every service's mean attainment reaches the quantile asked for, and every stage's accuracy its floor."""
        return self.margin.mean >= 0.0 and self.keeps_floor

    @property
    def keeps_floor(self) -> bool:
        """No stage's mean accuracy over the seeds lies below its floor."""
        return self.floor is None or self.floor.kept

    @property
    def attained(self) -> float:
        """The worst service's mean attainment."""
        return self.asked + self.margin.mean

    @property
    def certain(self) -> bool:
        """The whole confidence interval of the worst service lies on one side; unknown with one seed."""
        return math.isnan(self.margin.half_width) or abs(self.margin.mean) >= self.margin.half_width


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
        missed=tuple(
            (facts.services[s], float(facts.slo_quantile[s]) + means[s], float(facts.slo_quantile[s]))
            for s in sorted(range(len(means)), key=lambda s: means[s])
            if means[s] < 0.0
        ),
    )


def _out_minutes(run: Measured) -> float:
    return float(run.result.intervals.length_s[run.violations.any(axis=1)].sum()) / 60
