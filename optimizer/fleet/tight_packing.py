"""Replicas on nearly the fewest nodes of one type: contents of nodes by column generation, then whole nodes.

First fit fills a node by what is left to place. Where replicas claim much of two resources, each in a proportion of its
own, it leaves some of both on most nodes: 5 to 11 % more nodes than needed, on nodes that hold up to four replicas.
Here a linear programme (Gilmore and Gomory 1961; `optimizer.placement.master`) says what a replica of each variant is
worth, and pricing looks for contents worth more than a node: from each variant as the first one, replicas are added one
by one, and of each variant's partial contents the most valuable are kept. All are kept in one array, so a round of
pricing takes milliseconds and finds hundreds of contents. The programme's solution is then rounded by diving. Nothing
here is a bound.
"""

from __future__ import annotations

import numpy as np

from optimizer.fleet.packing import FIT_TOLERANCE
from optimizer.placement.master import Master
from optimizer.placement.problem import PlacementProblem

__all__ = ["pack_tightly"]

MOST_ON_NODE = 8
"""Replicas of the smallest variant on a node; nodes that hold more are filled well by first fit."""

ROUNDS = 50
"""Of pricing on all replicas."""

LEAST_GAIN = 2e-4
"""Of the programme's value in a round, below which the next one keeps twice as many partial contents."""

BEAMS = (4, 24)
"""Partial contents kept for each variant that comes first, to begin with and at most."""

CELLS = 10_000_000
"""Comparisons of one step of pricing at most, about: fewer partial contents are kept where there are many variants."""


def pack_tightly(share: np.ndarray, replicas: np.ndarray, node_count: int) -> np.ndarray | None:
    """``[node, variant]`` replicas on few nodes.

    Parameters
    ----------
    share
        ``share[variant, resource]`` on this node type.
    replicas
        ``replicas[variant]``, all of which are to be placed.
    node_count
        Nodes there are.

    Returns
    -------
    numpy.ndarray or None
        None where nodes hold so many replicas that this is not worth its time, or where room is not found for all.
    """
    present = np.flatnonzero(replicas)
    if present.size == 0 or share[present].max(axis=1).min() * MOST_ON_NODE < 1.0:
        return None
    count = np.asarray(replicas, dtype=np.int64)[present]
    pricing = _Pricing(share[present], count)
    master = Master(_one_type(share[present], count, node_count))
    for copies in _one_after_another(pricing, share[present].sum(axis=1), count):
        master.add(0, copies)
    _generate(master, pricing, count)
    found = _dive(master, pricing, count, node_count)
    if found is None:
        return None
    on = np.zeros((len(found), len(replicas)), dtype=np.int64)
    on[:, present] = found
    return on


def _one_type(share: np.ndarray, count: np.ndarray, node_count: int) -> PlacementProblem:
    """The placement on nodes whose resources are all pooled; a node costs 1."""
    classes, resources = share.shape
    return PlacementProblem(
        resources=tuple(str(r) for r in range(resources)), need=share, gpus=np.zeros(classes),
        gpu_memory_gib=np.zeros(classes), count=count, capacity=np.ones((1, resources)),
        node_gpus=np.zeros(1, dtype=np.int64), gpu_capacity_gib=np.zeros(1), node_count=np.array([node_count]),
        price=np.ones(1), group=np.full(classes, -1),
    )  # fmt: skip


class _Pricing:
    """Contents of a node that are worth much."""

    def __init__(self, share: np.ndarray, count: np.ndarray) -> None:
        self._share = share = _binding(share)
        claimed = count @ share
        self._row_price = claimed / claimed.sum()
        self.most = int(np.clip(CELLS // (len(share) ** 2 * share.shape[1]), *BEAMS))
        self.beam = BEAMS[0]

    def best(self, worth: np.ndarray, count: np.ndarray, first: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """``copies[content, variant]`` and their worth: for each of the variants ``first`` the best that holds it."""
        share, row = self._share, np.arange(len(first))
        seed = row.copy()
        left, value = 1.0 - share[first], worth[first].astype(float)
        copies = np.zeros((len(first), len(share)), dtype=np.int64)
        copies[row, first] = 1
        last = np.full(len(first), len(share))
        best_copies, best_value = copies.copy(), value.copy()
        wanted = (worth > 0.0) & (count > 0)
        while True:
            fits = (left[:, None, :] + FIT_TOLERANCE >= share).all(axis=2) & wanted & (copies < count)
            # Beyond the first, replicas come in one order only.
            fits &= np.arange(len(share)) <= last[:, None]
            state, variant = np.nonzero(fits)
            if len(state) == 0:
                return best_copies, best_value
            value = value[state] + worth[variant]
            seed = seed[state]
            hope = value + (left[state] - share[variant]) @ self._row_price
            order = np.lexsort((-hope, seed))
            rank = np.arange(len(order)) - np.searchsorted(seed[order], seed[order], side="left")
            by_value = np.lexsort((-value, seed))
            top = by_value[np.concatenate([[True], np.diff(seed[by_value]) > 0])]
            order = order[rank < self.beam]
            better = value[top] > best_value[seed[top]]
            for choice in top[better]:
                best_value[seed[choice]] = value[choice]
                best_copies[seed[choice]] = copies[state[choice]]
                best_copies[seed[choice], variant[choice]] += 1
            state, last, value, seed = state[order], variant[order], value[order], seed[order]
            left, copies = left[state] - share[last], copies[state].copy()
            copies[np.arange(len(state)), last] += 1


def _binding(share: np.ndarray) -> np.ndarray:
    """Without resources of which every variant claims no more than of another one."""
    kept: list[int] = []
    for r in np.argsort(-share.sum(axis=0), kind="stable").tolist():
        if not any((share[:, r] <= share[:, k]).all() for k in kept):
            kept.append(r)
    return share[:, kept]


def _one_after_another(pricing: _Pricing, size: np.ndarray, count: np.ndarray) -> list[np.ndarray]:
    """Contents to begin with: nodes filled one after the other, each with the largest replica that is left."""
    left, found = count.copy(), []
    while left.any():
        first = int(np.argmax(np.where(left > 0, size, -1.0)))
        copies = pricing.best(size, left, np.array([first]))[0][0]
        used = copies > 0
        left -= copies * int((left[used] // copies[used]).min())
        found.append(copies)
    return found


def _generate(master: Master, pricing: _Pricing, count: np.ndarray) -> None:
    """Contents worth more than a node, until they gain little."""
    before = np.inf
    for _ in range(ROUNDS):
        solution = master.solve()
        if solution is None:
            return
        if before - solution.cost < LEAST_GAIN * solution.cost:
            if pricing.beam >= pricing.most:
                return
            pricing.beam = min(2 * pricing.beam, pricing.most)
        before = solution.cost
        copies, value = pricing.best(solution.worth, count, np.arange(len(count)))
        found = sum(master.add(0, c) for c in copies[value > 1.0 + 1e-6])
        if not found and pricing.beam >= pricing.most:
            return


def _dive(master: Master, pricing: _Pricing, count: np.ndarray, node_count: int) -> np.ndarray | None:
    """Whole nodes of the programme's solution fixed, and again for what is left, with contents priced for that."""
    left = count.copy()
    chosen: list[np.ndarray] = []
    while left.any():
        master.ask(left, np.array([node_count - len(chosen)]))
        solution = master.solve()
        if solution is None or solution.missing.max(initial=0.0) > 1e-6:
            return None
        copies, value = pricing.best(solution.worth, left, np.flatnonzero(left))
        if sum(master.add(0, c) for c in copies[value > 1.0 + 1e-6]):
            solution = master.solve()
            if solution is None:
                return None
        whole = np.floor(solution.nodes + 1e-6).astype(np.int64)
        if not whole.any():
            whole[int(np.argmax(solution.nodes))] = 1
        for content in np.flatnonzero(whole).tolist():
            for _ in range(int(whole[content])):
                taken = np.minimum(master.copies[content], left)
                if taken.any():
                    chosen.append(taken)
                    left = left - taken
    return np.array(chosen) if len(chosen) <= node_count else None
