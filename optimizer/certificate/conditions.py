"""Whether a run met the condition of the clairvoyant optimum, slot by slot, from what it recorded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optimizer.accuracy import floor_credit
from simulator.result import RunResult

__all__ = ["Conditions", "conditions_of", "stage_demand"]

TOLERANCE = 1e-9


@dataclass(frozen=True)
class Conditions:
    """In which slots a run kept to what the optimum is asked for.

    Attributes
    ----------
    slots
        Of the run.
    short
        Slots in which the fleet that was ready throughout had less SLO-feasible throughput than the slot's mean demand,
        at some stage, or lacked a replica that always stands.
    short_requests
        Share of the requests that arrived in such slots.
    worst_share
        Least throughput over demand of any slot and stage; 1 where none was short.
    below_floor
        Slots in which that fleet's mean accuracy lay below a floor.
    """

    slots: int
    short: int
    short_requests: float
    worst_share: float
    below_floor: int

    @property
    def met(self) -> bool:
        """In every slot."""
        return self.short == 0 and self.below_floor == 0


def stage_demand(result: RunResult) -> np.ndarray:
    """``rate_rps[slot, stage]`` that passed the result caches; all arrivals where a run did not record it."""
    rows = result.intervals
    if rows.stage_rps.size:
        return rows.stage_rps
    return np.asarray(rows.arrived[:, result.facts.stage_service] / rows.length_s[:, None])


def conditions_of(result: RunResult) -> Conditions:
    """Read them from ``ready`` at the ends of the slots.

    A replica was ready throughout a slot only if it was so at its beginning and at its end; lost ones are taken off.
    """
    facts, rows = result.facts, result.intervals
    before = np.concatenate([rows.ready[:1], rows.ready[:-1]])
    throughout = np.minimum(before, rows.ready)
    if rows.replicas_lost.size:
        throughout = np.maximum(throughout - rows.replicas_lost, 0)
    demand = stage_demand(result)
    rate = (throughout * facts.throughput_rps).sum(axis=2)
    served = np.zeros(demand.shape)
    np.add.at(served.T, facts.variant_stage, rate.T)
    share = np.divide(served, demand, out=np.ones_like(served), where=demand > 0.0)
    short = (share < 1.0 - TOLERANCE).any(axis=1) | (throughout < facts.min_replicas).any(axis=(1, 2))
    arrived = rows.arrived.sum(axis=1)
    credit = floor_credit(facts, np.where(facts.runs_on(), facts.routed_share, 0.0), facts.accuracy_floor)
    below = np.zeros(len(short), dtype=bool)
    if credit is not None:
        total = np.zeros(demand.shape)
        np.add.at(total.T, facts.variant_stage, (throughout * credit).sum(axis=2).T)
        below = (total < -1e-6 * np.abs(credit).max()).any(axis=1)
    return Conditions(
        slots=len(short),
        short=int(short.sum()),
        short_requests=float(arrived[short].sum() / max(1, arrived.sum())),
        worst_share=min(1.0, float(share.min(initial=1.0))),
        below_floor=int(below.sum()),
    )
