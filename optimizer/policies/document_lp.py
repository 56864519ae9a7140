"""The document's linear programme as a policy: allocations that cover demand and never fall (by default)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optimizer.document_lp import document_lp, least_allocation
from optimizer.options import check_number
from optimizer.policies.base import BuiltinPolicy, scaled_to_fit
from optimizer.preference import spread
from simulator.policy import Allocation, Observation, PolicyContext

__all__ = ["DocumentLp", "DocumentLpOptions"]


@dataclass(frozen=True)
class DocumentLpOptions:
    """Options of `DocumentLp`.

    Attributes
    ----------
    ramp_down
        Replica equivalents per hour that a stage's allocation may fall; 0 is the document's.
    headroom
        Fraction added to demand; 0 is the document's.
    """

    ramp_down: float = 0.0
    headroom: float = 0.0

    def __post_init__(self) -> None:
        check_number("ramp_down", self.ramp_down, 0.0)
        check_number("headroom", self.headroom, 0.0)


class DocumentLp(BuiltinPolicy):
    """`optimizer.document_lp` on each stage's replica equivalents, in its elastic form.

    Slots are control intervals; ``R_t`` is the last interval's demand over the throughput of one replica of
    the preferred pair; the capacity is what the cluster could hold for that stage alone, and where the
    stages together want more than there is, all get the same fraction. By the closed form
    `least_allocation` the policy knows when the solution would not change a whole replica, and calls the
    solver only when it would, over the slots since the last call and from the allocation reached then: the
    least solution does not depend on where the slots are cut.
    """

    Options = DocumentLpOptions

    def __init__(self, context: PolicyContext, options: DocumentLpOptions) -> None:
        super().__init__(context, options)
        self._ramp = options.ramp_down * self.facts.control_interval_s / 3600.0
        self._capacity = self.preference.capacity_replicas()
        self._slots: list[np.ndarray] = []
        self._level: np.ndarray | None = None
        self._expected: np.ndarray | None = None
        self._allocation = Allocation(np.zeros(self.facts.throughput_rps.shape, dtype=np.int64))
        self.solves = 0

    def decide(self, observation: Observation) -> Allocation:
        """Append the last interval, and solve if a whole replica would change."""
        demand = observation.stage_rps * (1.0 + self.options.headroom)
        self._slots.append(self.preference.replica_equivalents(demand))
        reachable = np.minimum(self._slots[-1], self._capacity)
        self._expected = least_allocation(reachable[:, None], self._ramp, self._expected)[:, -1]
        if self._level is None or (_whole(self._expected) != _whole(self._level)).any():
            self._solve(np.stack(self._slots, axis=1))
        return self._allocation

    def _solve(self, slots: np.ndarray) -> None:
        solved = document_lp(slots, self._capacity, ramp_down=self._ramp, elastic=True, initial=self._level)
        self._level = self._expected = np.minimum(solved.allocation[:, -1], self._capacity)
        self._slots = []
        self.solves += 1
        wanted_rps = self._level * self.preference.first_throughput_rps()
        replicas = scaled_to_fit(self._replicas_for, wanted_rps, self.facts.served_rps)
        short = solved.shortfall[:, -1].sum()
        over = slots.shape[1]
        note = (
            f"short by {short:.1f} replica equivalents"
            if short > 0.0
            else f"solved over {over} slot{'s' * (over != 1)}"
        )
        self._allocation = Allocation(replicas, status="optimal", note=note)

    def _replicas_for(self, demand_rps: np.ndarray) -> np.ndarray:
        keep = self._allocation.replicas
        return spread(self.preference, demand_rps, worth=self.facts.throughput_rps, keep=keep)


def _whole(level: np.ndarray) -> np.ndarray:
    """Whole replicas for fractional ones, deaf to the solver's tolerance."""
    return np.ceil(level - 1e-4).astype(np.int64)
