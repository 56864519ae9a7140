"""Sized once for the known peak, and never changed: what a team does that does not scale at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from optimizer.options import check_number
from optimizer.policies.base import BuiltinPolicy, scaled_to_fit
from optimizer.preference import Preference, spread
from optimizer.standing import beyond_standing
from simulator.policy import Allocation, Observation, PolicyContext

__all__ = ["StaticPeak", "StaticPeakOptions"]


@dataclass(frozen=True)
class StaticPeakOptions:
    """Options of `StaticPeak`.

    Attributes
    ----------
    headroom
        Fraction above the peak; the scenario's if not given.
    """

    headroom: float | None = None

    def __post_init__(self) -> None:
        if self.headroom is not None:
            check_number("headroom", self.headroom, 0.0)


class StaticPeak(BuiltinPolicy):
    """``ceil(peak (1 + headroom) / throughput)`` replicas of each stage's preferred pair, then of its next
    ones.

    If the cluster cannot hold the peak, every stage gets the same largest fraction of it.
    """

    Options = StaticPeakOptions
    counts_standing: ClassVar[bool] = True

    def __init__(self, context: PolicyContext, options: StaticPeakOptions) -> None:
        super().__init__(context, options)
        facts = context.facts
        headroom = facts.headroom if options.headroom is None else options.headroom
        rest = beyond_standing(facts)
        required = np.maximum(facts.planned_demand(context.peak_rps) * (1.0 + headroom) - rest.standing_rps, 0.0)
        preference = self.preference if rest is facts else Preference(rest, required)
        reachable = np.where([bool(p) for p in preference.pairs], required, 0.0)
        beyond = scaled_to_fit(
            lambda demand: spread(preference, demand, worth=facts.throughput_rps),
            reachable,
            facts.served_rps,
        )
        self._replicas = beyond + facts.min_replicas
        runs = [bool(p) for p in self.preference.pairs]
        short = (facts.served_rps(beyond) < np.where(runs, required, 0.0) * (1.0 - 1e-9)).any()
        self._note = "the cluster cannot hold the peak" if short else "sized for the peak"

    def decide(self, observation: Observation) -> Allocation:
        """The same replicas every time."""
        return Allocation(self._replicas.copy(), note=self._note)
