"""Which variant and node type a stage prefers, and how rules without a solver spread replicas."""

from __future__ import annotations

import numpy as np

from optimizer.fleet.cards import node_shares
from optimizer.fleet.packing import Room, per_node
from simulator.policy import FleetFacts

__all__ = ["Preference", "spread"]


class Preference:
    """Pairs (variant, node type) of each stage, cheapest first.

    What counts is ``price dominant_share replicas`` over the demand, in USD per request: the part of a node that one
    replica claims of its scarcest resource, at the node's price, times the whole replicas that serve the stage's known
    peak. A large accelerator that one small stage would leave idle is dear by this measure, as it is on the bill.
    A price on lost accuracy adds to it. Variants below their stage's accuracy floor are left out: a rule that has no
    solver keeps the floor of the mean by keeping that of each.

    Parameters
    ----------
    facts
        The fleet.
    peak_rps
        ``[stage]`` peak that each stage is meant for. Without it, or where it is 0, replicas count in fractions:
        ``price dominant_share / (3600 throughput)``, what large stages tend to.

    Attributes
    ----------
    facts
        What the order was made from.
    share
        ``[variant, node_type, resource]`` part of a node that one replica claims.
    usd_per_request
        ``[variant, node_type]``, infinite where a replica cannot run, does not fit or lies below the accuracy floor.
    pairs
        ``pairs[stage]`` in order of cost, ties in order of variant and node type; empty where nothing runs.
    below_floor
        ``below_floor[stage]``, pairs that are left out of ``pairs`` for their accuracy.
    """

    def __init__(self, facts: FleetFacts, peak_rps: np.ndarray | None = None) -> None:
        self.facts = facts
        self.share = node_shares(facts.need, facts.capacity)
        dominant = self.share.max(axis=2)
        usable = facts.runs_on() & (per_node(self.share) >= 1) & (np.asarray(facts.node_count) >= 1)
        self.usd_per_request = np.full(usable.shape, np.inf)
        price = np.broadcast_to(np.asarray(facts.price_usd_per_hour, dtype=np.float64), usable.shape)
        served = np.where(usable, facts.throughput_rps, 1.0)
        if peak_rps is not None:
            peak = np.asarray(peak_rps, dtype=np.float64)[facts.variant_stage][:, None]
            whole = np.maximum(np.ceil(peak / served - 1e-9), 1.0)
            served = np.where(peak > 0.0, peak / whole, served)
        self.usd_per_request[usable] = (price * dominant)[usable] / (3600.0 * served[usable])
        self.usd_per_request += facts.lost_usd_per_request[:, None]
        accurate = facts.reaches_floor()
        self.below_floor = tuple(self._order(stage, ~accurate) for stage in range(len(facts.stages)))
        self.usd_per_request[~accurate] = np.inf
        self.pairs = tuple(self._order(stage, accurate) for stage in range(len(facts.stages)))

    def _order(self, stage: int, among: np.ndarray) -> tuple[tuple[int, int], ...]:
        members = np.flatnonzero((self.facts.variant_stage == stage) & among)
        found = [(int(v), n) for v in members for n in range(len(self.facts.node_types))]
        runnable = [p for p in found if np.isfinite(self.usd_per_request[p])]
        return tuple(sorted(runnable, key=lambda p: (self.usd_per_request[p], p)))

    def first_throughput_rps(self) -> np.ndarray:
        """``[stage]`` rate of one replica of the preferred pair, 0 where nothing runs."""
        return np.array([self.facts.throughput_rps[p[0]] if p else 0.0 for p in self.pairs])

    def replica_equivalents(self, demand_rps: np.ndarray) -> np.ndarray:
        """``[stage, ...]`` replicas of the preferred pair that serve the demand; fractional."""
        demand = np.asarray(demand_rps, dtype=np.float64)
        rate = self.first_throughput_rps().reshape((-1,) + (1,) * (demand.ndim - 1))
        return np.divide(demand, rate, out=np.zeros_like(demand), where=rate > 0.0)

    def capacity_replicas(self) -> np.ndarray:
        """``[stage]`` replica equivalents that the whole cluster could hold for that stage alone."""
        alone = spread_alone(self)
        return self.replica_equivalents(alone)

    def first_ready_after_s(self) -> np.ndarray:
        """``[stage]`` of `ready_after_s` that of the preferred pair, 0 where nothing runs."""
        return np.array([self.ready_after_s(stage)[:1].max(initial=0.0) for stage in range(len(self.pairs))])

    def ready_after_s(self, stage: int) -> np.ndarray:
        """Time from decision to ready on a node that must be opened, for each pair in order of cost."""
        return np.array([self.facts.start_delay_s[p] + self.facts.boot_s[p[1]] for p in self.pairs[stage]])


def spread_alone(preference: Preference) -> np.ndarray:
    """``[stage]`` requests/s if a stage had the cluster to itself: its best variant on each node type."""
    facts = preference.facts
    rate = np.zeros(len(facts.stages))
    full = np.where(np.isfinite(preference.usd_per_request), facts.throughput_rps * per_node(preference.share), 0.0)
    for stage in range(len(facts.stages)):
        members = facts.variant_stage == stage
        rate[stage] = (full[members].max(axis=0, initial=0.0) * facts.node_count).sum()
    return rate


def spread(
    preference: Preference,
    wanted: np.ndarray,
    *,
    worth: np.ndarray,
    keep: np.ndarray | None = None,
    one_each: bool = True,
) -> np.ndarray:
    """Place what each stage wants on its pairs in order of preference, as far as there is room.

    First the replicas to keep, as far as still wanted; then, if ``one_each``, a first replica of each stage
    that wants any; then the rest, stage by stage in order. A pair that is full passes the remainder to the
    stage's next pair.

    Parameters
    ----------
    wanted
        ``[stage]`` amount, in the unit of ``worth``.
    worth
        ``[variant, node_type]`` what one replica counts: its throughput (then ``wanted`` is requests/s) or 1
        (then it is replicas).
    keep
        ``[variant, node_type]`` replicas that exist already and stay where they are while wanted.

    Returns
    -------
    numpy.ndarray
        ``replicas[variant, node_type]``; whatever found no room is missing from it.
    """
    facts = preference.facts
    room = Room(preference.share, facts.node_count)
    replicas = np.zeros(facts.throughput_rps.shape, dtype=np.int64)
    left = np.asarray(wanted, dtype=np.float64).copy()

    def add(stage: int, pair: tuple[int, int], most: int) -> None:
        need = int(np.ceil(left[stage] / worth[pair] - 1e-9))
        taken = room.take(*pair, min(need, most))
        replicas[pair] += taken
        left[stage] -= taken * worth[pair]

    for stage, pairs in enumerate(preference.pairs):
        for pair in pairs if keep is not None else ():
            add(stage, pair, int(keep[pair]) if keep is not None else 0)
    for most in ([1] if one_each else []) + [np.iinfo(np.int32).max]:
        for stage, pairs in enumerate(preference.pairs):
            for pair in pairs:
                done = most == 1 and any(replicas[p] for p in pairs)
                if left[stage] > 1e-9 and not done:
                    add(stage, pair, most)
    return replicas
