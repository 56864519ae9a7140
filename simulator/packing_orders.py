"""Places kinds of replicas on the nodes of one type, in another order where the first leaves some without room."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from simulator.placement import Placement, Seat

__all__ = ["PlaceKind", "pack", "packing_orders"]

PlaceKind = Callable[[int, int], list[Seat]]
"""From a kind and a number of replicas to the seats of those that found room."""


def packing_orders(share: np.ndarray, count: np.ndarray) -> Iterator[tuple[int, ...]]:
    """Distinct orders of the kinds that have replicas: by number, by largest share, by sum of shares, largest first.

    Equal ones keep the order of their numbers. First fit (here best fit) decreasing by either measure is the usual
    heuristic of vector packing (Panigrahy et al., "Heuristics for vector bin packing", 2011), and what the
    optimizer's plans were packed with.

    Parameters
    ----------
    share
        ``share[kind, resource]`` of a node that one replica claims.
    count
        ``count[kind]`` replicas.

    Examples
    --------
    >>> list(packing_orders(np.array([[0.4, 0.1], [0.6, 0.1], [0.5, 0.4]]), np.array([2, 1, 1])))
    [(0, 1, 2), (1, 2, 0), (2, 1, 0)]
    """
    kinds = np.flatnonzero(count > 0)
    seen: set[tuple[int, ...]] = set()
    for size in (np.zeros(len(kinds)), share[kinds].max(axis=1), share[kinds].sum(axis=1)):
        order = tuple(kinds[np.argsort(-size, kind="stable")].tolist())
        if order not in seen:
            seen.add(order)
            yield order


def pack(
    placement: Placement,
    node_type: int,
    need: np.ndarray,
    count: np.ndarray,
    new_place: Callable[[], PlaceKind] | None = None,
) -> list[tuple[int, Seat]] | None:
    """Seats of ``count[kind]`` replicas, kind by kind in the order of their numbers, whatever order they were put in.

    Where the order of numbers leaves some without room, the others of `packing_orders` are tried.

    Parameters
    ----------
    need
        ``need[kind, resource]`` of one replica.
    new_place
        Makes, for each attempt, what gives the seats of so many replicas of a kind; by default wherever there is room.

    Returns
    -------
    list or None
        Kind and seat of each replica; None, and nothing placed, where no order finds room for all.
    """
    of_type = placement.nodes_of(node_type)
    nodes = slice(of_type.start, of_type.stop)
    before = placement.save(nodes)
    for attempt, order in enumerate(packing_orders(placement.shares(node_type, need), count)):
        if attempt == 1 and not _may_fit(placement, nodes, need, count):
            break
        place = _anywhere(placement, node_type, need) if new_place is None else new_place()
        seats: dict[int, list[Seat]] = {}
        for kind in order:
            seats[kind] = place(kind, int(count[kind]))
            if len(seats[kind]) < count[kind]:
                placement.restore(before, nodes)
                break
        else:
            return [(kind, seat) for kind in sorted(seats) for seat in seats[kind]]
    return None


def _anywhere(placement: Placement, node_type: int, need: np.ndarray) -> PlaceKind:
    return lambda kind, most: placement.place(node_type, need[kind], most)


def _may_fit(placement: Placement, nodes: slice, need: np.ndarray, count: np.ndarray) -> bool:
    """False where even replicas that could be cut would not fit."""
    free = placement.free[nodes][placement.is_usable[nodes]].sum(axis=0)
    return bool((count @ need <= free * (1.0 + 1e-6) + 1e-6).all())
