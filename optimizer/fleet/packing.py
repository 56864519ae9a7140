"""Whole replicas on whole nodes: what fits on one node, how many nodes a mix needs, and cuts for planning
problems.

A replica cannot be split over nodes, so ``sum need <= nodes * capacity`` is necessary and not sufficient.
Three tools close the gap: `per_node` (how many copies of one variant fit on one node), `packing_cuts`
(linear inequalities that every real placement satisfies and fractional ones often do not), and `first_fit`
(a placement, so an upper bound on the nodes needed).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = [
    "FIT_TOLERANCE",
    "FirstFits",
    "Packing",
    "Room",
    "first_fit",
    "nodes_at_least",
    "orders",
    "packing_cuts",
    "per_node",
    "seated",
    "shares",
]

FIT_TOLERANCE = 1e-9
"""Relative slack in capacity comparisons, for need and capacity that are decimal fractions."""

MAX_CUT_ORDER = 8
"""Cuts of higher order forbid almost nothing that the capacity rows allow."""


def shares(need: np.ndarray, capacity: np.ndarray) -> np.ndarray:
    """Part of one node that one replica claims.

    Parameters
    ----------
    need
        ``need[variant, node_type, resource]``.
    capacity
        ``capacity[node_type, resource]``.

    Returns
    -------
    numpy.ndarray
        ``share[variant, node_type, resource]``, infinite where something is needed of a resource that the
        node lacks.
    """
    need = np.asarray(need, dtype=np.float64)
    size = np.broadcast_to(np.asarray(capacity, dtype=np.float64), need.shape)
    share = np.full(need.shape, np.inf)
    np.divide(need, size, out=share, where=size > 0.0)
    share[need <= 0.0] = 0.0
    return share


def per_node(share: np.ndarray) -> np.ndarray:
    """Copies of one variant that fit on one empty node, ``[variant, node_type]``; 0 where none does.

    A replica that claims nothing is limited to 2^20 a node, so that the answer stays a number.
    """
    dominant = share.max(axis=-1)
    copies = np.floor((1.0 + FIT_TOLERANCE) / np.maximum(dominant, 2.0**-20))
    return np.where(np.isfinite(dominant), copies, 0.0).astype(np.int64)


@dataclass(frozen=True)
class Packing:
    """A placement on nodes of one type.

    Attributes
    ----------
    nodes
        Nodes that hold at least one replica.
    placed
        ``placed[variant]`` replicas that found room.
    order
        Variants in the order in which they were placed.
    """

    nodes: int
    placed: np.ndarray
    order: tuple[int, ...] = ()

    @property
    def complete(self) -> int:
        """Replicas placed in total."""
        return int(self.placed.sum())


def first_fit(share: np.ndarray, replicas: np.ndarray, node_count: int) -> Packing:
    """Place replicas on nodes of one type, first fit decreasing, the best of several orders.

    Parameters
    ----------
    share
        ``share[variant, resource]`` on this node type.
    replicas
        ``replicas[variant]`` to place.
    node_count
        Nodes there are.

    Returns
    -------
    Packing
        The order that places most replicas on the fewest nodes: variants by largest dominant share, by
        largest sum of shares, or by one resource. An upper bound on the nodes needed, exact where it meets
        a lower bound.
    """
    best: Packing | None = None
    for order in orders(share, replicas):
        room = Room(share[:, None, :], np.array([node_count]))
        placed = np.zeros(len(replicas), dtype=np.int64)
        for variant in order:
            placed[variant] = room.take(int(variant), 0, int(replicas[variant]))
        found = Packing(room.open_nodes_of(0), placed, order)
        if best is None or (-found.complete, found.nodes) < (-best.complete, best.nodes):
            best = found
        if best.complete == replicas.sum() and best.nodes <= nodes_at_least(share, replicas):
            break
    return best if best is not None else Packing(0, np.zeros(len(replicas), dtype=np.int64))


def seated(share: np.ndarray, packing: Packing) -> np.ndarray:
    """``[node, variant]`` replicas on each node of a placement by `first_fit`, for ``share[variant, resource]``."""
    room = Room(share[:, None, :], np.array([packing.nodes]))
    on = np.zeros((packing.nodes, len(packing.placed)), dtype=np.int64)
    for variant in packing.order:
        on[:, variant] = room.put(variant, 0, int(packing.placed[variant]))
    return on


def orders(share: np.ndarray, replicas: np.ndarray) -> list[tuple[int, ...]]:
    """Distinct orders of the variants that have replicas, largest first by several measures."""
    present = np.flatnonzero(replicas > 0)
    if present.size == 0:
        return []
    keys = [share[present].max(axis=1), share[present].sum(axis=1), *share[present].T]
    found = [tuple(int(v) for v in present[np.argsort(-key, kind="stable")]) for key in keys]
    return list(dict.fromkeys(found))


def nodes_at_least(share: np.ndarray, replicas: np.ndarray) -> int:
    """Nodes below which no placement exists: the fullest resource over one node."""
    used = share.T @ replicas
    return int(np.ceil(used.max(initial=0.0) - FIT_TOLERANCE * max(1.0, used.max(initial=0.0))))


class Room:
    """Room left on the nodes of a cluster while replicas are placed first fit; nodes open in order.

    Parameters
    ----------
    share
        ``share[variant, node_type, resource]``.
    node_count
        ``node_count[node_type]``.
    """

    def __init__(self, share: np.ndarray, node_count: np.ndarray) -> None:
        self._share = share
        self._left = [np.ones((int(c), share.shape[2])) for c in node_count]
        self._used = [np.zeros(int(c), dtype=bool) for c in node_count]

    def fits(self, variant: int, node_type: int, *, open_only: bool = False) -> np.ndarray:
        """``[node]`` further copies that each node of the type can take."""
        claim = self._share[variant, node_type]
        left = self._left[node_type]
        needed = claim > 0.0
        if not np.isfinite(claim).all():
            return np.zeros(len(left), dtype=np.int64)
        if not needed.any():
            copies = np.full(len(left), 2**20, dtype=np.int64)
        else:
            copies = np.floor(((left[:, needed] + FIT_TOLERANCE) / claim[needed]).min(axis=1)).astype(np.int64)
        return np.where(self._used[node_type], copies, 0) if open_only else copies

    def take(self, variant: int, node_type: int, replicas: int, *, open_only: bool = False) -> int:
        """Place up to ``replicas`` copies and return how many found room."""
        return int(self.put(variant, node_type, replicas, open_only=open_only).sum())

    def put(self, variant: int, node_type: int, replicas: int, *, open_only: bool = False) -> np.ndarray:
        """Place up to ``replicas`` copies and return how many each node got, ``[node]``."""
        if replicas <= 0:
            return np.zeros(len(self._used[node_type]), dtype=np.int64)
        copies = self.fits(variant, node_type, open_only=open_only)
        before = np.concatenate([[0], np.cumsum(copies)[:-1]]) if len(copies) else copies
        given = np.clip(replicas - before, 0, copies)
        self._left[node_type] -= given[:, None] * np.where(given[:, None] > 0, self._share[variant, node_type], 0.0)
        self._used[node_type] |= given > 0
        return given

    def left(self, node_type: int) -> np.ndarray:
        """``[node, resource]`` part of each node of the type that is left."""
        return self._left[node_type]

    def open_nodes(self) -> np.ndarray:
        """``[node_type]`` nodes that hold something."""
        return np.array([self.open_nodes_of(node_type) for node_type in range(len(self._used))], dtype=np.int64)

    def open_nodes_of(self, node_type: int) -> int:
        """Nodes of one type that hold something."""
        return int(np.count_nonzero(self._used[node_type]))


class FirstFits:
    """Which replicas find room while a `Room` fills, without looking at nodes again that were too full before.

    Nodes open in order and only fill, so the first node that takes a variant moves to later ones only.

    Attributes
    ----------
    anywhere, in_open
        ``[variant, node_type]`` whether a further copy fits on some node, or on one that holds something.
    """

    def __init__(self, room: Room, share: np.ndarray) -> None:
        self._room, self._share = room, share
        self._first = np.zeros(share.shape[:2], dtype=np.int64)
        self.anywhere = np.zeros(share.shape[:2], dtype=bool)
        self.in_open = np.zeros(share.shape[:2], dtype=bool)
        for node_type in range(share.shape[1]):
            self.look_again(node_type)

    def look_again(self, node_type: int) -> None:
        """After nodes of the type were filled."""
        left, first = self._room.left(node_type), self._first[:, node_type]
        finite = np.isfinite(self._share[:, node_type]).all(axis=1)
        first[~finite] = len(left)
        looking = np.flatnonzero(first < len(left))
        while len(looking):
            claim = self._share[looking, node_type]
            with np.errstate(divide="ignore", invalid="ignore"):
                copies = np.where(claim > 0.0, (left[first[looking]] + FIT_TOLERANCE) / claim, np.inf).min(axis=1)
            looking = looking[np.floor(copies) < 1.0]
            first[looking] += 1
            looking = looking[first[looking] < len(left)]
        self.anywhere[:, node_type] = first < len(left)
        self.in_open[:, node_type] = first < self._room.open_nodes_of(node_type)


def packing_cuts(share: np.ndarray, most_order: int = MAX_CUT_ORDER) -> np.ndarray:
    """Inequalities ``cut @ replicas <= nodes`` that hold for every real placement on nodes of one type.

    The dual feasible functions of Fekete and Schepers (2001), applied to one resource at a time: for order
    ``k``, a share ``a`` counts as ``a`` if ``(k + 1) a`` is whole and as ``floor((k + 1) a) / k``
    otherwise. Order ``floor(1 / a)`` says that no more than ``floor(1 / a)`` copies fit on a node.

    Parameters
    ----------
    share
        ``share[variant, resource]``; rows with an infinite share are ignored (their replicas are fixed at 0
        elsewhere).
    most_order
        Largest order.

    Returns
    -------
    numpy.ndarray
        ``cut[row, variant]``, without rows that the plain capacity rows imply.
    """
    finite = np.isfinite(share).all(axis=1)
    rows: list[np.ndarray] = []
    for claim in np.where(finite[:, None], share, 0.0).T:
        positive = claim[claim > 0.0]
        if positive.size == 0:
            continue
        orders = {int(k) for k in np.floor((1.0 + FIT_TOLERANCE) / positive) if 1 <= k <= most_order} | {1}
        for k in sorted(orders):
            cut = _dual_feasible(claim, k)
            if (cut > claim + 1e-7).any():
                rows.append(cut)
    return np.unique(np.round(rows, 12), axis=0) if rows else np.zeros((0, share.shape[0]))


def _dual_feasible(share: np.ndarray, order: int) -> np.ndarray:
    """Function ``u^(order)`` of Fekete and Schepers at each share.

    A share a little above a whole number counts as whole, by more than the room that placement leaves beside others a
    rounding error below it (`FIT_TOLERANCE`); one truly below must not, for it leaves room for more.
    """
    scaled = (order + 1) * share
    above = scaled - np.round(scaled)
    whole = (above > -1e-11) & (above < 2.0 * (order + 1) * FIT_TOLERANCE)
    return np.where(whole, share, np.floor(scaled) / order)
