"""Prices of bottlenecks: what one unit more of a thing would save or cost a day, from the duals of the fluid programme.

For each slot, the least cost of serving its demand with divisible replicas and nodes, at SLO-feasible throughput
(`optimizer.fleet.fluid`), is a linear programme whose duals are prices of its right-hand sides. Summed over the slots
and brought to a day they are what a small change costs, were it there all day:

    resource[n, r]  one unit more of resource r on the nodes of type n that are rented, at the same price of a node
    node[n]         one more node of type n; above 0 only where all are rented in some slot
    stage[k]        1,000 requests/s more at stage k

They hold for small changes, and for the fluid fleet: a whole fleet moves by whole nodes. The duals of resources need
not be unique (where a node type is not used, or two of its resources run out together); none is more than its dual,
so for those above 0 what a small amount more really saves is solved for. A budget plays no part: prices are of what
serves the demand, whether or not there is money for it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from optimizer.fleet.fluid import FluidModel, FluidSolution
from optimizer.fleet.problem import FleetProblem
from simulator.policy import FleetFacts

__all__ = ["MOST_SLOTS", "BottleneckPrices", "bottleneck_prices"]

MOST_SLOTS = 288
"""Longer runs are taken in so many parts of equal numbers of slots at most, each by its mean demand."""

STEP = 1e-4
"""Of a node, by which a resource is made more."""
NOTHING = 1e-9
"""Worth less than this share of the whole cost, a price is the solver's rounding."""


@dataclass(frozen=True)
class BottleneckPrices:
    """Prices in USD per day of 24 h.

    Attributes
    ----------
    usd_per_day
        Of the fluid fleet.
    resource_usd_per_day
        ``[node_type, resource]`` saved by one unit more of the resource (GPU, byte, core, byte/s).
    node_usd_per_day
        ``[node_type]`` saved by one more node.
    stage_usd_per_day
        ``[stage]`` cost of 1,000 requests/s more, all day.
    slots_left_out
        Slots (parts) whose demand is beyond the cluster, where a price is without limit.
    slots_per_part
        Slots that were taken together.
    """

    usd_per_day: float
    resource_usd_per_day: np.ndarray
    node_usd_per_day: np.ndarray
    stage_usd_per_day: np.ndarray
    slots_left_out: int
    slots_per_part: int


def bottleneck_prices(facts: FleetFacts, demand_rps: np.ndarray, length_s: np.ndarray) -> BottleneckPrices:
    """Prices for ``demand_rps[slot, stage]`` in slots of ``length_s[slot]``."""
    demand, length, together = _parts(np.asarray(demand_rps, dtype=np.float64), np.asarray(length_s, dtype=np.float64))
    unbudgeted = replace(facts, budget_usd_per_hour=np.inf)
    empty = FleetProblem.from_facts(unbudgeted, np.zeros(len(facts.stages)), headroom=0.0)
    model = FluidModel(empty, allow_unserved=False)
    resource = np.zeros(facts.capacity.shape)
    node, stage = np.zeros(len(facts.node_types)), np.zeros(len(facts.stages))
    usd, left_out, seconds = 0.0, 0, 0.0
    for rps, length_of_part in zip(demand, length):
        fluid = model.solve(rps)
        if fluid.status != "optimal":
            left_out += 1
            continue
        hours = float(length_of_part) / 3600.0
        usd += hours * fluid.usd_per_hour
        resource += hours * _resource_prices(model, rps, fluid)
        node += hours * fluid.node_price_usd_per_hour
        stage += hours * fluid.stage_price_usd_per_hour_rps
        seconds += float(length_of_part)
    resource, node = (np.where(values > NOTHING * max(usd, 1e-300), values, 0.0) for values in (resource, node))
    to_a_day = 86_400.0 / seconds if seconds > 0.0 else float("nan")
    per_unit = np.divide(resource, facts.capacity, out=np.zeros_like(resource), where=facts.capacity > 0.0)
    return BottleneckPrices(
        usd_per_day=usd * to_a_day,
        resource_usd_per_day=per_unit * to_a_day,
        node_usd_per_day=node * to_a_day,
        stage_usd_per_day=1000.0 * stage * to_a_day,
        slots_left_out=left_out,
        slots_per_part=together,
    )


def _resource_prices(model: FluidModel, rps: np.ndarray, fluid: FluidSolution) -> np.ndarray:
    """``[node_type, resource]`` USD per hour and whole node's worth of the resource."""
    prices = np.array(fluid.resource_price_usd_per_hour)
    for n, r in np.argwhere(prices > 0.0).tolist():
        with_more = model.solve(rps, {(n, r): STEP})
        if with_more.status == "optimal":
            prices[n, r] = min(prices[n, r], max(0.0, (fluid.usd_per_hour - with_more.usd_per_hour) / STEP))
    return prices


def _parts(demand_rps: np.ndarray, length_s: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """At most `MOST_SLOTS` parts: mean demand and length, and the slots in one."""
    together = -(-len(length_s) // MOST_SLOTS)
    if together <= 1:
        return demand_rps, length_s, 1
    starts = np.arange(0, len(length_s), together)
    length = np.add.reduceat(length_s, starts)
    requests = np.add.reduceat(demand_rps * length_s[:, None], starts, axis=0)
    return requests / length[:, None], length, together
