"""The clairvoyant optimum: the cheapest sequence of whole fleets over a whole run, for demand known beforehand.

**Condition.** In every slot the fleet that is ready throughout it has an SLO-feasible throughput of at least the slot's
mean demand, at each stage (``sum mu x >= demand``), and keeps the scenario's accuracy floors; what always stands,
stands. A policy that met this paid at least `Clairvoyant.lower_usd`. One that queued requests over slots, ran hotter
than the SLO allows, lost requests or changed its fleet within a slot did not meet it, and may pay less.

**The problem** is that of `optimizer.certificate.schedule`: fleets ``x[t]`` that serve ``d[t]``; what is present in
slot ``t`` includes what serves ``t .. t + k``; nodes are paid for from ``b`` slots before. Its optimum lies between

* *lower*: what is present in ``t`` serves each of ``d[t .. t + k]``, hence their maximum by stage, ``D[t]``, with ``k``
  the least lead of any replica; nodes paid in ``t`` include those of ``t .. t + b``. So the optimum is at least
  ``sum_t length max(f(D[t .. t + b]))``, with ``f`` from below by `optimizer.certificate.levels`;
* *upper*: the cost of a sequence that was found.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optimizer.certificate.levels import Levels
from optimizer.certificate.schedule import Leads, cheap_sequence_usd, forward_max

__all__ = ["Clairvoyant", "clairvoyant", "demands_of"]


@dataclass(frozen=True)
class Clairvoyant:
    """Two values between which the optimum lies.

    Attributes
    ----------
    lower_usd, upper_usd
        Over the run. Where demand is beyond the cluster in some slot there is no optimum: the price of all nodes stands
        for those slots in both, and no policy can meet the condition.
    status
        ``proven`` (they differ by less than 0.05 %), ``enclosed`` (by more), ``no sequence found`` (the upper value is
        then infinite), or ``beyond the cluster``.
    slots_beyond
        Slots whose demand no fleet on this cluster serves.
    """

    lower_usd: float
    upper_usd: float
    status: str
    slots_beyond: int

    @property
    def gap(self) -> float:
        """``(upper - lower) / upper``; 0 without a cost."""
        if self.upper_usd == np.inf:
            return 1.0
        return (self.upper_usd - self.lower_usd) / self.upper_usd if self.upper_usd > 0.0 else 0.0


def demands_of(lead: Leads, demand_rps: np.ndarray) -> np.ndarray:
    """``[slot, stage]`` what must be present for ``demand_rps[slot, stage]``: the maximum over the least lead."""
    return forward_max(demand_rps, lead.least_replica)


def clairvoyant(levels: Levels, lead: Leads, demand_rps: np.ndarray, length_s: np.ndarray) -> Clairvoyant:
    """The optimum for ``demand_rps[slot, stage]`` in slots of ``length_s[slot]``, from what ``levels`` knows.

    `Levels.refine` on `demands_of` beforehand makes it sharp.
    """
    present = demands_of(lead, demand_rps)
    beyond = int(levels.beyond(demand_rps).sum())
    lower = float(forward_max(levels.lower(present), lead.least_node) @ length_s) / 3600.0
    if beyond:
        upper = float(forward_max(levels.upper(present), int(lead.node.max(initial=0))) @ length_s) / 3600.0
        return Clairvoyant(lower, max(lower, upper), "beyond the cluster", beyond)
    upper = max(lower, cheap_sequence_usd(levels, lead, demand_rps, length_s))
    if upper == np.inf:
        return Clairvoyant(lower, upper, "no sequence found", 0)
    return Clairvoyant(lower, upper, "proven" if upper - lower <= 5e-4 * upper else "enclosed", 0)
