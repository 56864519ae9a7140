"""Placement one replica after another: first fit, best fit, alignment, fragmentation.

`first_fit`, `best_fit`, `dot_product` and `fgd` see replicas in the order in which they come, as a cluster scheduler
does; the ``decreasing`` ones see them all and begin with the largest.

* First fit takes the first node that has room, in the order in which nodes are listed.
* Best fit takes, of the nodes that are open, the one left with the least free capacity (sum of shares).
* Dot product takes the open node whose free capacity is best aligned with the need: Panigrahy, Talwar, Uyeda and
  Wieder, *Heuristics for vector bin packing* (2011); the alignment score of Tetris (Grandl et al., SIGCOMM 2014).
* FGD takes the node whose expected fragmentation grows least (`optimizer.placement.fragmentation`).

All but first fit and FGD open a node only where no open one has room, and then the type whose empty node would be
used best for its price.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from optimizer.placement.fragmentation import Fragmentation
from optimizer.placement.plan import PlacementPlan, check_placement
from optimizer.placement.problem import PlacementProblem
from optimizer.placement.room import Room
from simulator.placement import Seat

__all__ = ["GREEDY", "arrivals", "best_fit", "fill_room", "place_greedy"]

Choice: TypeAlias = Callable[[Room, int, np.ndarray], int]
"""``(room, class, nodes that fit) -> node``."""


def arrivals(problem: PlacementProblem, seed: int = 0) -> np.ndarray:
    """``[position]`` replicas in a random order: stands for the order of arrival where none is known."""
    return np.random.default_rng(seed).permutation(len(problem.replica_class))


def place_greedy(
    problem: PlacementProblem, policy: str, sequence: np.ndarray | None = None, node_order: np.ndarray | None = None
) -> PlacementPlan:
    """Place every replica that finds room, by a policy of `GREEDY`.

    Parameters
    ----------
    sequence
        ``[position]`` replicas as they come; by default in a random order (`arrivals`). Decreasing policies ignore it.
    node_order
        ``[position]`` nodes as they are listed; by default type by type. What is equally good goes to the first.
    """
    make, decreasing = GREEDY[policy]
    orders = _decreasing(problem) if decreasing else [arrivals(problem) if sequence is None else sequence]
    plans = []
    for order in orders:
        seats: list[Seat | None] = [None] * len(problem.replica_class)
        fill_room(Room(problem), order, make(problem), seats, node_order)
        plans.append(check_placement(problem, seats, method=policy))
    return min(plans, key=lambda plan: plan.cost)


def fill_room(
    room: Room,
    order: Sequence[int] | np.ndarray,
    choose: Choice,
    seats: list[Seat | None],
    node_order: np.ndarray | None = None,
) -> None:
    """Seat replicas of ``order`` in turn, in ``room`` and in ``seats``; those without room keep None."""
    full: set[int] = set()
    replica_class = room.problem.replica_class
    for replica in order:
        cls = int(replica_class[replica])
        if cls in full:
            continue
        fits = room.fits(cls)
        nodes = np.flatnonzero(fits) if node_order is None else node_order[fits[node_order]]
        if len(nodes) == 0:
            full.add(cls)
            continue
        seats[replica] = room.take(cls, choose(room, cls, nodes))


def _first(problem: PlacementProblem) -> Choice:
    return lambda room, cls, nodes: int(nodes[0])


def _first_cheapest(problem: PlacementProblem) -> Choice:
    """First fit over nodes ordered by what their capacity costs."""
    rank = _price_of_capacity(problem)[problem.node_type]

    def choose(room: Room, cls: int, nodes: np.ndarray) -> int:
        opened = nodes[room.hosted[nodes] > 0]
        among = opened if len(opened) else nodes
        return int(among[np.argmin(rank[among])])

    return choose


def best_fit(problem: PlacementProblem) -> Choice:
    def choose(room: Room, cls: int, nodes: np.ndarray) -> int:
        opened = nodes[room.hosted[nodes] > 0]
        if len(opened):
            return int(opened[np.argmin(room.free_share(opened).sum(axis=1))])
        return _open(room, cls, nodes)

    return choose


def _aligned(problem: PlacementProblem) -> Choice:
    def choose(room: Room, cls: int, nodes: np.ndarray) -> int:
        opened = nodes[room.hosted[nodes] > 0]
        if len(opened):
            score = (room.free_share(opened) * room.need_share(cls, opened)).sum(axis=1)
            return int(opened[np.argmax(score)])
        return _open(room, cls, nodes)

    return choose


def _fgd(problem: PlacementProblem) -> Choice:
    fragmentation = Fragmentation(problem)
    return lambda room, cls, nodes: int(nodes[np.argmin(fragmentation.growth(room, cls, nodes))])


def _fgd_packed(problem: PlacementProblem) -> Choice:
    fragmentation = Fragmentation(problem)

    def choose(room: Room, cls: int, nodes: np.ndarray) -> int:
        opened = nodes[room.hosted[nodes] > 0]
        among = opened if len(opened) else nodes
        return int(among[np.argmin(fragmentation.growth(room, cls, among))])

    return choose


def _open(room: Room, cls: int, nodes: np.ndarray) -> int:
    """An empty node of the type of which a replica takes the largest share for the price."""
    share = room.need_share(cls, nodes).sum(axis=1)
    return int(nodes[np.argmax(share / np.maximum(room.problem.price[room.problem.node_type[nodes]], 1e-12))])


def _price_of_capacity(problem: PlacementProblem) -> np.ndarray:
    """``[node_type]`` price over capacity, resources weighed by how scarce the demand makes them."""
    demand = np.append(problem.need.T @ problem.count, problem.gpus @ problem.count)
    capacity = np.column_stack([problem.capacity, problem.node_gpus])
    total = problem.node_count @ capacity
    weight = np.divide(demand, total, out=np.zeros(len(total)), where=total > 0.0)
    worth = (capacity / np.where(total > 0.0, total, 1.0)) @ weight
    return problem.price / np.maximum(worth, 1e-12)


def _decreasing(problem: PlacementProblem) -> list[np.ndarray]:
    """Orders of replicas, largest first: by the largest share of a resource, and by the sum of shares."""
    share = problem.largest_share
    return [np.argsort(-key[problem.replica_class], kind="stable") for key in (share.max(axis=1), share.sum(axis=1))]


GREEDY: dict[str, tuple[Callable[[PlacementProblem], Choice], bool]] = {
    "first_fit": (_first, False),
    "best_fit": (best_fit, False),
    "dot_product": (_aligned, False),
    "fgd": (_fgd, False),
    "fgd_packed": (_fgd_packed, False),
    "first_fit_decreasing": (_first_cheapest, True),
    "best_fit_decreasing": (best_fit, True),
    "dot_product_decreasing": (_aligned, True),
}
"""Name to what makes the choice, and whether the largest replicas come first."""
