"""Where the simulator puts a static fleet's replicas, spread over its nodes where it is told to."""

from __future__ import annotations

import numpy as np

from optimizer.fleet.problem import FleetProblem
from optimizer.fleet.reserve import place_evenly
from simulator.cluster import resource_index
from simulator.life.fairness import Place, Placed, place_all
from simulator.placement import Placement, Seat
from simulator.policy import FleetFacts

__all__ = ["even_most", "seated"]


def even_most(problem: FleetProblem, replicas: np.ndarray, nodes: np.ndarray) -> np.ndarray | None:
    """``[variant, node_type]`` most replicas on one of ``nodes[node_type]`` nodes where stages are spread evenly.

    None where the demand has no reserve to keep, or no such placement is found.
    """
    if problem.reserve_rps is None:
        return None
    found = [place_evenly(problem, n, replicas[:, n], int(count)) for n, count in enumerate(nodes)]
    columns = [on.max(axis=0, initial=0) for on in found if on is not None]
    return np.stack(columns, axis=1) if len(columns) == len(found) else None


def seated(
    facts: FleetFacts, replicas: np.ndarray, nodes: np.ndarray, most_per_node: np.ndarray | None = None
) -> tuple[Placement, Placed | None]:
    """The simulator's placement of the replicas on ``nodes[node_type]`` empty nodes; None where not all fit."""
    placement = Placement(facts.capacity, nodes, resource_index("gpu"), resource_index("gpu_memory"))
    within = None if most_per_node is None else _within(placement, facts, most_per_node)
    return placement, place_all(placement, facts, replicas, None if within is None else lambda: within)


def _within(placement: Placement, facts: FleetFacts, most_per_node: np.ndarray) -> Place:
    """As `simulator.spread`, of kinds of which none stands yet."""

    def place(variant: int, node_type: int, count: int) -> list[Seat]:
        need = facts.need[variant, node_type]
        room = np.full(len(placement.nodes_of(node_type)), most_per_node[variant, node_type])
        seats = placement.place(node_type, need, count, room)
        return seats + (placement.place(node_type, need, count - len(seats)) if len(seats) < count else [])

    return place
