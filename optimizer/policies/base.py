"""What the built-in policies share: options checked before the run, and construction from the context."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from optimizer.fleet.plan import FleetPlan
from optimizer.preference import Preference
from simulator.policy import Allocation, PolicyContext

__all__ = ["BuiltinPolicy", "NoOptions", "allocation_of", "scaled_to_fit"]


@dataclass(frozen=True)
class NoOptions:
    """For a policy without options."""


class BuiltinPolicy:
    """A policy whose options are a frozen dataclass, ``Options``, that checks its own values.

    Attributes
    ----------
    clairvoyant
        Whether the policy reads ``context.future_rps``; only yardsticks do.
    counts_standing
        Whether the policy sees the whole fleet and answers with the replicas that always stand; else it sees the rest
        (`optimizer.standing`).
    """

    Options: ClassVar[type[Any]] = NoOptions
    clairvoyant: ClassVar[bool] = False
    counts_standing: ClassVar[bool] = False

    def __init__(self, context: PolicyContext, options: Any) -> None:
        self.facts = context.facts
        self.options = options
        peak_rps = self.facts.planned_demand(context.peak_rps) * (1.0 + self.facts.headroom)
        self.preference = Preference(self.facts, peak_rps)

    @classmethod
    def from_context(cls, context: PolicyContext, **options: Any) -> BuiltinPolicy:
        """Build the policy; unknown or wrong options raise before anything runs."""
        return cls(context, cls.Options(**options))


def scaled_to_fit(
    replicas_for: Callable[[np.ndarray], np.ndarray],
    demand_rps: np.ndarray,
    served_rps: Callable[[np.ndarray], np.ndarray],
    steps: int = 20,
) -> np.ndarray:
    """Replicas for the largest common fraction of ``demand_rps[stage]`` that the cluster can hold, by
    bisection.

    Parameters
    ----------
    replicas_for
        Function from demand to ``replicas[variant, node_type]``, which leaves out what finds no room.
    served_rps
        Function from replicas to ``[stage]`` rates.
    """
    full = replicas_for(demand_rps)
    if (served_rps(full) >= demand_rps * (1.0 - 1e-9)).all():
        return full
    low, high, best = 0.0, 1.0, full
    for _ in range(steps):
        middle = 0.5 * (low + high)
        trial = replicas_for(demand_rps * middle)
        if (served_rps(trial) >= demand_rps * middle * (1.0 - 1e-9)).all():
            low, best = middle, trial
        else:
            high = middle
    return best


def allocation_of(plan: FleetPlan, notes: Sequence[str]) -> Allocation:
    """A plan as a policy's answer, with the notes that are not empty."""
    return Allocation(
        plan.replicas.copy(),
        status=plan.status,
        objective_usd_per_hour=plan.objective_usd_per_hour,
        bound_usd_per_hour=plan.bound_usd_per_hour,
        note="; ".join(note for note in notes if note),
        most_per_node=plan.most_per_node,
    )
