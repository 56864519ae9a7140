"""How many more nodes a cluster that falls short would need."""

from __future__ import annotations

import numpy as np

from optimizer.planner.loads import facts_with_nodes
from optimizer.planner.static_fleet import UNSERVED, StaticFleet, cheapest_fleet, planning_problem
from optimizer.planner.strongest import binding_resources
from simulator.policy import FleetFacts

__all__ = ["fewest_more"]

MOST_NODES = 100_000
BEYOND_FLUID = (0.0, 0.03, 0.06, 0.1, 0.15, 0.25, 0.5, 1.0)
"""By how much more than fractional replicas need whole ones are tried."""


def fewest_more(facts: FleetFacts, peak_rps: np.ndarray, needed: float) -> StaticFleet | None:
    """A fleet of strength ``needed`` whose nodes beyond those at hand are of one type, and cost least together.

    None where more nodes of no single type would do.
    """
    found: list[tuple[float, StaticFleet]] = []
    for n in np.flatnonzero(facts.runs_on().any(axis=0)):
        more = _fluid_more(facts, peak_rps, needed, int(n))
        for extra in () if more is None else sorted({more + int(np.ceil(part * more)) for part in BEYOND_FLUID}):
            nodes = np.array(facts.node_count)
            nodes[n] += extra
            fleet = cheapest_fleet(facts_with_nodes(facts, nodes), peak_rps * needed, nodes, "enlarged", peak_rps)
            if fleet is not None and fleet.strength >= needed * (1.0 - UNSERVED):
                found.append((float(extra * facts.price_usd_per_hour[n]), fleet))
                break
    return min(found, key=lambda item: item[0])[1] if found else None


def _fluid_more(facts: FleetFacts, peak_rps: np.ndarray, needed: float, node_type: int) -> int | None:
    """Fewest more nodes of a type with which fractional replicas would do; whole ones need as many or more."""

    standing = facts.served_rps(facts.min_replicas)

    def strong(more: int) -> bool:
        nodes = np.array(facts.node_count)
        nodes[node_type] += more
        problem = planning_problem(facts, peak_rps, nodes)
        return binding_resources(problem, problem.node_count, peak_rps, standing).strength >= needed * (1.0 - 1e-9)

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
