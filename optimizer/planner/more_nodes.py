"""How many more nodes a cluster that falls short would need."""

from __future__ import annotations

import numpy as np

from optimizer.planner.loads import facts_with_nodes
from optimizer.planner.static_fleet import StaticFleet, cheapest_fleet, planning_problem
from optimizer.planner.strongest import binding_resources
from simulator.policy import FleetFacts

__all__ = ["fewest_more"]

MOST_NODES = 100_000
TRIES = 8


def fewest_more(facts: FleetFacts, peak_rps: np.ndarray, needed: float) -> StaticFleet | None:
    """A fleet of strength ``needed`` whose nodes beyond those at hand are of one type, and cost least together.

    None where more nodes of no single type would do.
    """
    found: list[tuple[float, StaticFleet]] = []
    for n in np.flatnonzero(facts.runs_on().any(axis=0)):
        more = _fluid_more(facts, peak_rps, needed, int(n))
        for k in range(TRIES if more is not None else 0):
            assert more is not None
            nodes = np.array(facts.node_count)
            nodes[n] += more + k
            fleet = cheapest_fleet(facts_with_nodes(facts, nodes), peak_rps * needed, nodes, "enlarged", peak_rps)
            if fleet is not None:
                found.append((float((more + k) * facts.price_usd_per_hour[n]), fleet))
                break
    return min(found, key=lambda item: item[0])[1] if found else None


def _fluid_more(facts: FleetFacts, peak_rps: np.ndarray, needed: float, node_type: int) -> int | None:
    """Fewest more nodes of a type with which fractional replicas would do; whole ones need as many or more."""

    def strong(more: int) -> bool:
        nodes = np.array(facts.node_count)
        nodes[node_type] += more
        problem = planning_problem(facts, peak_rps, nodes)
        return binding_resources(problem, problem.node_count, peak_rps).strength >= needed * (1.0 - 1e-9)

    high = 1
    while not strong(high):
        high *= 2
        if high > MOST_NODES:
            return None
    low = 0
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if strong(middle) else (middle, high)
    return high
