"""Static fleets: whole nodes that stand for the whole run, from cheap to strong.

A fleet's *strength* is the largest factor by which the peak demand of every stage could be multiplied while its
replicas still serve it within their latency budgets: ``min_stage sum throughput x / peak``. It is what plans know
before any simulation. `frontier` lists fleets of growing cost in which none is both dearer and weaker than another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from optimizer.fleet.cards import node_shares
from optimizer.fleet.fallback import plan_fleet
from optimizer.fleet.mip import MipLimits
from optimizer.fleet.packing import first_fit
from optimizer.fleet.problem import FleetProblem
from optimizer.planner.least_capacity import priced_to_serve
from optimizer.planner.seats import even_most, seated
from optimizer.planner.strongest import strongest_replicas
from optimizer.standing import beyond_standing
from simulator.policy import FleetFacts

__all__ = ["Mix", "StaticFleet", "fits", "frontier", "mixes", "strength"]

LIMITS = MipLimits(gap=1e-4, nodes=2000, thorough=True)
STEP, LEAST_STEP = 1.02, 1.005
"""The frontier's next fleet serves so much more than the last was asked for, and than it can serve: small steps cost
solves and settle nothing."""
UNSERVED = 1e-5
"""Part of a stage's demand that counts as rounding."""
MOST_STEPS = 80
MOST_MIXES = 12


@dataclass(frozen=True)
class Mix:
    """Node types that a fleet may use: ``may[node_type]``, and what that is called."""

    name: str
    may: np.ndarray


@dataclass(frozen=True)
class StaticFleet:
    """Whole nodes and the replicas on them.

    Attributes
    ----------
    nodes, replicas
        ``[node_type]`` and ``[variant, node_type]``; replicas that always stand are among them.
    strength
        See the module.
    usd_per_hour
        Of its nodes.
    most_per_node
        ``[variant, node_type]`` replicas on one node, so that its loss takes few; None where no loss is to be survived.
    """

    mix: str
    nodes: np.ndarray
    replicas: np.ndarray
    strength: float
    usd_per_hour: float
    most_per_node: np.ndarray | None = None

    @property
    def key(self) -> tuple[int, ...]:
        """Two fleets of the same nodes are the same fleet."""
        return tuple(int(n) for n in self.nodes)


def mixes(facts: FleetFacts, peak_rps: np.ndarray) -> list[Mix]:
    """All node types together; then each proper subset that can serve every stage with demand, small ones first.

    Beyond `MOST_MIXES` only single types are tried beside all together.
    """
    types = range(len(facts.node_types))
    there = [n for n in types if facts.node_count[n] > 0 and facts.runs_on()[:, n].any()]
    found = [_mix(facts, there, "any")]
    sizes = range(1, len(there)) if 2 ** len(there) - 1 <= MOST_MIXES else [1]
    for size in sizes:
        found += [_mix(facts, some, "") for some in combinations(there, size) if _serves(facts, some, peak_rps)]
    return found


def _mix(facts: FleetFacts, some: Sequence[int], name: str) -> Mix:
    may = np.zeros(len(facts.node_types), dtype=bool)
    may[list(some)] = True
    return Mix(name or "+".join(facts.node_types[n] for n in some), may)


def _serves(facts: FleetFacts, some: Sequence[int], peak_rps: np.ndarray) -> bool:
    """Whether every stage with demand has a variant on some of the node types, and what stands has a place."""
    runs = facts.runs_on()[:, list(some)].any(axis=1)
    has = np.bincount(facts.variant_stage, weights=runs, minlength=len(facts.stages)) > 0
    others = [n for n in range(len(facts.node_types)) if n not in some]
    return bool(has[peak_rps > 0.0].all()) and not facts.min_replicas[:, others].any()


def strength(facts: FleetFacts, replicas: np.ndarray, peak_rps: np.ndarray) -> float:
    """Factor on ``peak_rps[stage]`` that the replicas serve within their budgets; 0 without demand."""
    some = peak_rps > 0.0
    return float((facts.served_rps(replicas)[some] / peak_rps[some]).min(initial=np.inf)) if some.any() else 0.0


def fits(facts: FleetFacts, replicas: np.ndarray, nodes: np.ndarray) -> bool:
    """Whether the simulator's own placement finds room for the replicas on ``nodes[node_type]``."""
    return nodes_opened(facts, replicas, nodes) is not None


def nodes_opened(
    facts: FleetFacts, replicas: np.ndarray, nodes: np.ndarray, most_per_node: np.ndarray | None = None
) -> np.ndarray | None:
    """``[node_type]`` of ``nodes`` that the simulator's placement opens for the replicas; None where not all fit."""
    placement, placed = seated(facts, replicas, nodes, most_per_node)
    return None if placed is None else placement.open_nodes()


def frontier(
    facts: FleetFacts, peak_rps: np.ndarray, mix: Mix, weakest: float, strongest: float
) -> Iterator[StaticFleet]:
    """Fleets of a mix from strength ``weakest`` on, each the cheapest that the MIP finds for its strength.

    Ends where the mix has no stronger fleet, with the first fleet of at least strength ``strongest``, or after
    `MOST_STEPS`.

    Parameters
    ----------
    peak_rps
        ``[stage]`` largest demand.
    """
    count = np.where(mix.may, facts.node_count, 0)
    level, seen = weakest, set[tuple[int, ...]]()
    for _ in range(MOST_STEPS):
        fleet = cheapest_fleet(facts, peak_rps * level, count, mix.name, peak_rps)
        if fleet is None:
            return
        if fleet.key not in seen:
            seen.add(fleet.key)
            yield fleet
        if fleet.strength >= strongest:
            return
        level = max(fleet.strength * LEAST_STEP, level * STEP)


def cheapest_fleet(
    facts: FleetFacts, demand_rps: np.ndarray, count: np.ndarray, mix: str, peak_rps: np.ndarray
) -> StaticFleet | None:
    """The cheapest fleet that serves ``demand_rps[stage]``, its nodes filled so that its weakest stage is strongest.

    Where the facts ask for a reserve, one that serves it after the loss of a node, if replicas are spread as planned.
    None where ``count[node_type]`` nodes cannot serve the demand.
    """
    problem = planning_problem(facts, demand_rps, count)
    plan = plan_fleet(priced_to_serve(problem), LIMITS)
    if (plan.unserved_rps > UNSERVED * demand_rps + 1e-9).any() or plan.status == "hold":
        return None
    nodes = plan.open_nodes
    standing = facts.served_rps(facts.min_replicas)
    replicas = strongest_replicas(problem, nodes, peak_rps, plan.replicas, standing)
    return _whole(facts, problem, mix, nodes, [replicas, plan.replicas], peak_rps)


def _whole(
    facts: FleetFacts,
    problem: FleetProblem,
    mix: str,
    nodes: np.ndarray,
    choices: Sequence[np.ndarray],
    peak_rps: np.ndarray,
) -> StaticFleet | None:
    """The first choice that the simulator can place on the nodes, with what stands; where it can place none, the last
    one on as many nodes of the same types as its placement opens. Where there is a reserve, evenly if that is possible.
    """
    least = facts.min_replicas
    if least.any():
        share = node_shares(facts.need, facts.capacity)
        standing = [first_fit(share[:, n], least[:, n], int(c)).nodes for n, c in enumerate(facts.node_count)]
        nodes = np.minimum(nodes + np.array(standing), facts.node_count)
    have: np.ndarray | None = nodes
    replicas = next((c + least for c in choices if fits(facts, c + least, nodes)), None)
    if replicas is None:
        replicas = choices[-1] + least
        have = nodes_opened(facts, replicas, np.where(nodes > 0, facts.node_count, 0))
    if have is None:
        return None
    usd = float(have @ facts.price_usd_per_hour)
    most = even_most(problem, replicas, have)
    if most is not None and nodes_opened(facts, replicas, have, most) is None:
        most = None  # the simulator fills nodes in another order, and finds no room so
    return StaticFleet(mix, have, replicas, strength(facts, replicas, peak_rps), usd, most)


def planning_problem(facts: FleetFacts, demand_rps: np.ndarray, count: np.ndarray) -> FleetProblem:
    """The allocation problem of a demand on ``count[node_type]`` nodes, beyond what always stands."""
    rest = beyond_standing(replace(facts, node_count=np.asarray(count)))
    beyond = np.maximum(demand_rps - rest.standing_rps, 0.0)
    return FleetProblem.from_facts(rest, beyond, headroom=0.0, reserve_demand_rps=demand_rps)
