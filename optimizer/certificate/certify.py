"""Certificates and ledgers of the runs of one scenario.

What runs have in common is solved once: the cheapest fleet for a demand depends on the cluster alone, so all runs of
all seeds share the same `Levels`; runs that met the same demand share their clairvoyant optimum and most rungs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from optimizer.bounds import fluid_bound_usd, standing_bound_usd
from optimizer.certificate.clairvoyant import Clairvoyant, clairvoyant, demands_of
from optimizer.certificate.conditions import Conditions, conditions_of, stage_demand
from optimizer.certificate.covering import covering
from optimizer.certificate.ladder import Rung, WasteLedger, ledger_of
from optimizer.certificate.levels import Levels
from optimizer.certificate.reserved import MOST_SOLVES, ReservedLevels
from optimizer.certificate.schedule import Leads, leads
from simulator.life.events import PURPOSES
from simulator.policy import FleetFacts
from simulator.result import RunResult

__all__ = ["Certificate", "Enclosure", "certify", "enclose"]

MOST_NUMBERS = 10_000_000
"""Demands, slots times stages, that are looked at when solves are chosen."""
NO_RESERVE = "the scenario asks for no reserve against the loss of a node"
NOT_APART = "where replicas always stand, a reserve is not told apart: it is in what the policy did"
NO_HEADROOM = "the scenario asks for no headroom"
NO_FORECAST = "the policy says of no demand that it expects it"


@dataclass(frozen=True)
class Enclosure:
    """LP bound <= clairvoyant optimum <= cost, for one run, with the conditions.

    Attributes
    ----------
    fluid_usd
        LP bound of serving all requests that came, at any time of the run: never above the optimum.
    optimum
        The clairvoyant optimum between two values; at most ``cost_usd`` for a run that met its condition.
    served_bound_usd
        LP bound of serving what this run served: at most ``cost_usd``, whatever it did.
    cost_usd
        What the run paid.
    conditions
        Whether it met the optimum's condition.
    """

    fluid_usd: float
    optimum: Clairvoyant
    served_bound_usd: float
    cost_usd: float
    conditions: Conditions

    @property
    def gap(self) -> float:
        """``(cost - lower value of the optimum) / cost``; negative where the run paid less, NaN without a cost."""
        return (self.cost_usd - self.optimum.lower_usd) / self.cost_usd if self.cost_usd > 0.0 else float("nan")

    @property
    def excess(self) -> float:
        """``cost / lower value of the optimum - 1``; negative where the run paid less, NaN without an optimum."""
        return self.cost_usd / self.optimum.lower_usd - 1.0 if self.optimum.lower_usd > 0.0 else float("nan")

    @property
    def applies(self) -> bool:
        """The run met the optimum's condition, so that it cannot have paid less."""
        return self.conditions.met and self.optimum.slots_beyond == 0


@dataclass(frozen=True)
class Certificate(Enclosure):
    """The chain of one run, and in ``ledger`` what lies between its bound and its cost."""

    ledger: WasteLedger


@dataclass(frozen=True)
class _Common:
    """What runs of the same demand share: the fluid bound of all requests, rungs 2 to 6, and the optimum."""

    fluid_usd: float
    optimum: Clairvoyant
    rungs: tuple[Rung, ...]


def certify(results: Sequence[RunResult], bounds_usd: Sequence[float]) -> list[Certificate]:
    """A certificate for each run of one scenario.

    Parameters
    ----------
    results
        Runs with the same facts.
    bounds_usd
        Fluid bound of each for what it served, as its summary states it.
    """
    facts = results[0].facts
    scale = 1.0 + facts.headroom
    slo = Levels(covering(facts, facts.throughput_rps), facts)
    best = Levels(covering(facts, facts.best_throughput_rps), facts)
    lead = _leads(results, slo)
    demands = {_key(stage_demand(r)): (stage_demand(r), r.intervals.length_s) for r in results}
    expected = {_key(e): (e, r.intervals.length_s) for r in results if (e := _expected(r)) is not None}
    _refine(best, list(demands.values()))
    refined = [(f(d), length) for d, length in demands.values()
               for f in (lambda d: d, lambda d: demands_of(lead, d), lambda d: scale * d,
                         lambda d: scale * demands_of(lead, d))]  # fmt: skip
    _refine(slo, [*refined, *((scale * e, length) for e, length in expected.values())])
    reserved = _reserved(facts, [*demands.values(), *expected.values()])
    common = {key: _common(results[0], slo, best, reserved, lead, *part) for key, part in demands.items()}
    return [
        _certificate(r, bound, common[_key(stage_demand(r))], slo, reserved)
        for r, bound in zip(results, bounds_usd, strict=True)
    ]


def enclose(results: Sequence[RunResult], bounds_usd: Sequence[float]) -> list[Enclosure]:
    """The chain alone, for the fewer solves that it takes; parameters as of `certify`."""
    facts = results[0].facts
    slo = Levels(covering(facts, facts.throughput_rps), facts)
    lead = _leads(results, slo)
    demands = {_key(stage_demand(r)): (stage_demand(r), r.intervals.length_s) for r in results}
    _refine(slo, [(demands_of(lead, d), length_s) for d, length_s in demands.values()])
    common = {key: _optimum(facts, slo, lead, *part) for key, part in demands.items()}
    return [
        Enclosure(*common[_key(stage_demand(r))], bound, float(r.intervals.cost_usd.sum()), conditions_of(r))
        for r, bound in zip(results, bounds_usd, strict=True)
    ]


def _optimum(
    facts: FleetFacts, slo: Levels, lead: Leads, demand_rps: np.ndarray, length_s: np.ndarray
) -> tuple[float, Clairvoyant]:
    """The fluid bound of all requests, and the clairvoyant optimum, which is never below it."""
    fluid_usd = _fluid_usd(facts, demand_rps, length_s, _floor_by_load(facts))
    fluid_usd = max(fluid_usd, standing_bound_usd(facts, float(length_s.sum())))
    found = clairvoyant(slo, lead, demand_rps, length_s)
    lower_usd, upper_usd = max(found.lower_usd, fluid_usd), max(found.upper_usd, fluid_usd)
    return fluid_usd, Clairvoyant(lower_usd, upper_usd, found.status, found.slots_beyond)


def _reserved(facts: FleetFacts, parts: list[tuple[np.ndarray, np.ndarray]]) -> ReservedLevels | None:
    """Fleets with the reserve that the scenario asks for; None where it asks for none."""
    if facts.headroom_after_loss is None or facts.min_replicas.any():
        return None
    levels = ReservedLevels(facts)
    _refine(levels, parts, MOST_SOLVES)
    return levels


def _key(values: np.ndarray) -> bytes:
    return np.ascontiguousarray(values).tobytes()


def _leads(results: Sequence[RunResult], levels: Levels) -> Leads:
    """Where images are pulled, a node that has one starts a replica sooner than the facts say, by how much they do not:
    then only booting is counted on."""
    facts = results[0].facts
    lead = leads(facts, levels.problem)
    if not any(r.storage_bytes_by_purpose[PURPOSES.index("image")] > 0.0 for r in results):
        return lead
    boot = np.ceil(facts.boot_s / facts.control_interval_s - 1e-9).astype(np.int64)
    return Leads(lead.replica, np.maximum(lead.node, boot), 0, int(boot.min(initial=0)))


def _expected(result: RunResult) -> np.ndarray | None:
    """``[slot, stage]`` what the policy expected at each decision; None where it did not say so at each."""
    said = [d.expected_rps for d in result.decisions]
    if len(said) != len(result.intervals.start_s) or any(rps is None for rps in said):
        return None
    return np.array(said, dtype=np.float64)


def _refine(levels: Levels, parts: list[tuple[np.ndarray, np.ndarray]], solves: int | None = None) -> None:
    """On all slots, or on every so many where those are too many numbers; what is proven holds for all of them."""
    step = max(1, -(-sum(d.size for d, _ in parts) // MOST_NUMBERS))
    demand = np.concatenate([d[::step] for d, _ in parts])
    levels.refine(demand, np.concatenate([length[::step] for _, length in parts]), solves)


def _common(
    result: RunResult,
    slo: Levels,
    best: Levels,
    reserved: Levels | None,
    lead: Leads,
    demand_rps: np.ndarray,
    length_s: np.ndarray,
) -> _Common:
    facts = result.facts
    scale = 1.0 + facts.headroom
    all_usd = slo.problem.all_nodes_usd_per_hour * float(length_s.sum()) / 3600.0
    fluid_usd, optimum = _optimum(facts, slo, lead, demand_rps, length_s)
    planned = _slotwise(slo, scale * demand_rps, length_s)
    with_starts = clairvoyant(slo, lead, scale * demand_rps, length_s) if facts.headroom > 0.0 else optimum
    starts_usd = min(with_starts.upper_usd, all_usd) - planned.usd
    starts_lower_usd = min(with_starts.lower_usd, all_usd) - planned.lower_usd
    reserve = Rung(planned.usd, planned.lower_usd, NO_RESERVE if facts.headroom_after_loss is None else NOT_APART)
    if reserved is not None:
        reserve = _slotwise(reserved, demand_rps, length_s)
    rungs = (
        _slotwise(best, demand_rps, length_s),
        _slotwise(slo, demand_rps, length_s),
        planned if facts.headroom > 0.0 else Rung(planned.usd, planned.lower_usd, NO_HEADROOM),
        reserve,
        Rung(reserve.usd + starts_usd, reserve.lower_usd + starts_lower_usd),
    )
    return _Common(fluid_usd, optimum, rungs)


def _fluid_usd(facts: FleetFacts, demand_rps: np.ndarray, length_s: np.ndarray, accuracy: np.ndarray) -> float:
    """LP bound of all requests that came, as accurately in the mean; the price of all nodes where they are too many."""
    seconds = float(length_s.sum())
    bound = fluid_bound_usd(facts, length_s @ demand_rps, seconds, accuracy)
    if bound.status != "optimal":
        return float(facts.price_usd_per_hour @ facts.node_count) * seconds / 3600.0
    return bound.usd


def _floor_by_load(facts: FleetFacts) -> np.ndarray:
    """``[stage]`` accuracy floors where replicas get requests by their throughput, else ``-inf``.

    There a fleet that keeps the floor serves, replica by replica, no more than it can, and so is a solution of the LP.
    Where requests go round, a slow replica may be sent more than it can serve.
    """
    by_load = (facts.routed_share == facts.throughput_rps).all(axis=1)
    other = np.bincount(facts.variant_stage, ~by_load, len(facts.stages)) > 0
    return np.where(other, -np.inf, facts.accuracy_floor)


def _slotwise(levels: Levels, demand_rps: np.ndarray, length_s: np.ndarray) -> Rung:
    """``sum_t length f(demand_t)`` from above and from below."""
    upper, lower = levels.upper(demand_rps), levels.lower(demand_rps)
    return Rung(float(upper @ length_s) / 3600.0, float(lower @ length_s) / 3600.0)


def _certificate(
    result: RunResult, bound_usd: float, common: _Common, slo: Levels, reserved: Levels | None
) -> Certificate:
    cost_usd = float(result.intervals.cost_usd.sum())
    expected = _expected(result)
    if expected is None:
        last = common.rungs[-1]
        forecast = Rung(last.usd, last.lower_usd, NO_FORECAST)
    elif reserved is not None:
        forecast = _slotwise(reserved, expected, result.intervals.length_s)
    else:
        forecast = _slotwise(slo, (1.0 + result.facts.headroom) * expected, result.intervals.length_s)
    served_as = result.facts.mean_accuracy(result.served_requests)
    all_usd = _fluid_usd(result.facts, stage_demand(result), result.intervals.length_s, served_as)
    standing_usd = standing_bound_usd(result.facts, result.facts.duration_s)
    if bound_usd >= standing_usd * (1.0 - 1e-9):  # no node was lost, so that what always stands is in the bound
        all_usd = max(all_usd, standing_usd)
    rungs = (
        Rung(bound_usd, bound_usd),
        Rung(all_usd, all_usd),
        *common.rungs,
        forecast,
        Rung(cost_usd, cost_usd),
    )
    return Certificate(common.fluid_usd, common.optimum, bound_usd, cost_usd, conditions_of(result), ledger_of(rungs))
