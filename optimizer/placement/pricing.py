"""The most valuable content of one node: a knapsack with many rows, by dynamic programming with bounds.

Classes are decided one after another. A state is what is left of each row, and what the copies chosen so far are
worth. States with equal remainders are merged; a state whose value and bound together do not reach what matters is
dropped. The bound is Lagrangian: with prices ``mu`` of the rows, no completion is worth more than ``value + mu . left
+ sum over what is undecided of its reduced value``. Where more states remain than are kept, the best by bound are,
and the largest bound among the others enters the upper bound that is returned, which therefore always holds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ortools.linear_solver import pywraplp

from optimizer.fleet.packing import FIT_TOLERANCE
from optimizer.placement.cards import pack_cards
from optimizer.placement.problem import PlacementProblem
from optimizer.placement.rows import node_rows

__all__ = ["Contents", "Pricer"]

CHECKED = 80
"""Most valuable states of which it is checked whether they fit on the GPUs."""


@dataclass(frozen=True)
class Contents:
    """Contents of a node found by pricing.

    Attributes
    ----------
    copies
        ``[content, class]`` of each, most valuable first; each fits on a node.
    value
        ``[content]``.
    upper
        No content of the node is worth more than this, or than what was said not to matter.
    """

    copies: np.ndarray
    value: np.ndarray
    upper: float


class Pricer:
    """Contents of nodes of one type by value; keeps what does not change from one call to the next."""

    def __init__(self, problem: PlacementProblem, node_type: int) -> None:
        self._problem = problem
        self._node_type = node_type
        self._rows = node_rows(problem, node_type, cuts=True)
        rows = self._rows
        self._solver = pywraplp.Solver.CreateSolver("GLOP")
        self._copies = [self._solver.NumVar(0.0, float(most), "") for most in rows.most]
        self._capacity = []
        for share in rows.share.T:
            row = self._solver.Constraint(0.0, 1.0)
            for place in np.flatnonzero(share):
                row.SetCoefficient(self._copies[place], float(share[place]))
            self._capacity.append(row)
        self._solver.Objective().SetMaximization()
        fraction = problem.gpus[rows.classes]
        self._shares_cards = bool(((fraction > 0.0) & (fraction < 1.0)).any())
        key = np.random.default_rng(7).integers(1, 2**40, size=rows.share.shape[1])
        self._key = key.astype(np.int64)

    def best(self, value: np.ndarray, matters: float, *, states: int, contents: int) -> Contents:
        """Contents worth more than ``matters``, at most so many.

        Parameters
        ----------
        value
            ``[class]`` of a copy, at least 0.
        states
            How many states are kept after each class.
        """
        rows = self._rows
        worth = value[rows.classes]
        empty = np.zeros((0, self._problem.classes), dtype=np.int64)
        if len(worth) == 0 or worth.max() <= 0.0:
            return Contents(empty, np.zeros(0), matters)
        prices, relaxed = self._row_prices(worth)
        if relaxed <= matters:
            return Contents(empty, np.zeros(0), matters)
        found, total, dropped = self._search(worth, prices, matters, states)
        upper = max(matters, min(relaxed, max(dropped, float(total.max(initial=0.0)))))
        return self._checked(found, total, worth, matters, contents, upper)

    def _row_prices(self, worth: np.ndarray) -> tuple[np.ndarray, float]:
        """``[row]`` prices, and the bound that they give, from the knapsack's LP."""
        objective = self._solver.Objective()
        for variable, amount in zip(self._copies, worth.tolist()):
            objective.SetCoefficient(variable, amount)
        if self._solver.Solve() != pywraplp.Solver.OPTIMAL:
            return np.zeros(len(self._capacity)), np.inf
        prices = np.maximum([row.dual_value() for row in self._capacity], 0.0)
        reduced = np.maximum(worth - self._rows.share @ prices, 0.0)
        return prices, float(prices.sum() + reduced @ self._rows.most)

    def _search(
        self, worth: np.ndarray, prices: np.ndarray, matters: float, states: int
    ) -> tuple[np.ndarray, np.ndarray, float]:
        """``copies[state, place]`` and ``value[state]`` of the last states, and the largest bound of those cut off."""
        rows = self._rows
        reduced = worth - rows.share @ prices
        order, rest = self._order(worth, reduced)
        left = np.ones((1, rows.share.shape[1]))
        total = np.zeros(1)
        copies = np.zeros((1, len(worth)), dtype=np.int16)
        room = np.zeros(1, dtype=np.int64)
        dropped = 0.0
        group_before = -1
        for step, place in enumerate(order):
            if rows.group[place] < 0:
                room = np.full(len(total), int(rows.most[place]))
            elif rows.group[place] != group_before:
                room = np.full(len(total), int(rows.limit[place]))
            group_before = int(rows.group[place])
            left, total, copies, room = _extend(
                left, total, copies, room, rows.share[place], worth[place], int(place), int(rows.most[place])
            )
            bound = total + left @ prices + rest[step + 1]
            keep = np.flatnonzero(bound > matters + 1e-9)
            same_group = step + 1 < len(order) and group_before >= 0 and rows.group[order[step + 1]] == group_before
            keep = keep[self._distinct(left[keep], total[keep], room[keep] if same_group else None)]
            if len(keep) > states:
                ranked = keep[np.argsort(-bound[keep], kind="stable")]
                dropped = max(dropped, float(bound[ranked[states]]))
                keep = ranked[:states]
            left, total, copies, room = left[keep], total[keep], copies[keep], room[keep]
            if len(keep) == 0:
                break
        return copies, total, dropped

    def _order(self, worth: np.ndarray, reduced: np.ndarray) -> tuple[list[int], np.ndarray]:
        """Places in the order of decision, groups together, and ``rest[step]``: reduced value of what is undecided."""
        rows = self._rows
        blocks: dict[tuple[int, int], list[int]] = {}
        for place in np.argsort(-reduced, kind="stable").tolist():
            if worth[place] > 0.0:
                group = int(rows.group[place])
                blocks.setdefault((0, group) if group >= 0 else (1, place), []).append(place)
        order = [place for block in blocks.values() for place in block]
        gain = np.array([max(0.0, reduced[place]) * rows.most[place] for place in order])
        return order, np.append(np.cumsum(gain[::-1])[::-1], 0.0)

    def _distinct(self, left: np.ndarray, total: np.ndarray, room: np.ndarray | None) -> np.ndarray:
        """Positions of the states without those that have the same left over and are worth no more."""
        key = np.round(left * 1e7).astype(np.int64) @ self._key
        if room is not None:
            key = key * 31 + room
        order = np.lexsort((-total, key))
        ranked = key[order]
        first = np.ones(len(order), dtype=np.bool_)
        first[1:] = ranked[1:] != ranked[:-1]
        return np.sort(order[first])

    def _checked(
        self, copies: np.ndarray, total: np.ndarray, worth: np.ndarray, matters: float, contents: int, upper: float
    ) -> Contents:
        """The most valuable that fit on the GPUs too; where none does, the best less what is in the way."""
        problem, classes = self._problem, self._rows.classes
        chosen: list[np.ndarray] = []
        ranked = np.argsort(-total, kind="stable")
        for state in ranked[:CHECKED]:
            if total[state] <= matters + 1e-9 or len(chosen) == contents:
                break
            if not self._shares_cards or self._seated(copies[state]):
                chosen.append(copies[state].astype(np.int64))
        if not chosen and len(ranked):
            light = [self._lightened(copies[state].astype(np.int64), worth) for state in ranked[:contents]]
            chosen = [self._refilled(found, worth) for found in light]
        whole = np.zeros((len(chosen), problem.classes), dtype=np.int64)
        for place, found in enumerate(chosen):
            whole[place, classes] = found
        value = np.array([float(found @ worth) for found in chosen])
        useful = value > matters + 1e-9
        return Contents(whole[useful], value[useful], upper)

    def _seated(self, copies: np.ndarray) -> bool:
        replicas = np.repeat(self._rows.classes, copies).tolist()
        return pack_cards(self._problem, self._node_type, replicas) is not None

    def _refilled(self, copies: np.ndarray, worth: np.ndarray) -> np.ndarray:
        """With as many more replicas as fit, those first that are worth most for what they take."""
        rows = self._rows
        members = {int(g): int(copies[rows.group == g].sum()) for g in np.unique(rows.group) if g >= 0}
        left = 1.0 - copies @ rows.share
        for place in np.argsort(-worth / np.maximum(rows.share.sum(axis=1), 1e-9), kind="stable").tolist():
            group = int(rows.group[place])
            while (
                worth[place] > 0.0
                and copies[place] < rows.most[place]
                and (group < 0 or members[group] < rows.limit[place])
                and (left >= rows.share[place] - FIT_TOLERANCE).all()
            ):
                copies[place] += 1
                if not self._seated(copies):
                    copies[place] -= 1
                    break
                left = left - rows.share[place]
                if group >= 0:
                    members[group] += 1
        return copies

    def _lightened(self, copies: np.ndarray, worth: np.ndarray) -> np.ndarray:
        """Without the cheapest replicas on shares of GPUs, one by one, until the rest fits."""
        fraction = self._problem.gpus[self._rows.classes]
        while not self._seated(copies):
            parts = np.flatnonzero((copies > 0) & (fraction > 0.0) & (fraction < 1.0))
            copies[parts[np.argmin(worth[parts] / fraction[parts])]] -= 1
        return copies


def _extend(
    left: np.ndarray,
    total: np.ndarray,
    copies: np.ndarray,
    room: np.ndarray,
    share: np.ndarray,
    worth: float,
    place: int,
    most: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """All states with 0 to ``most`` copies more of a class."""
    lefts, totals, all_copies, rooms = [left], [total], [copies], [room]
    for _ in range(most):
        fits = (left >= share - FIT_TOLERANCE).all(axis=1) & (room > 0)
        if not fits.any():
            break
        left, total, room = left[fits] - share, total[fits] + worth, room[fits] - 1
        copies = copies[fits].copy()
        copies[:, place] += 1
        lefts.append(left)
        totals.append(total)
        all_copies.append(copies)
        rooms.append(room)
    return np.concatenate(lefts), np.concatenate(totals), np.concatenate(all_copies), np.concatenate(rooms)
