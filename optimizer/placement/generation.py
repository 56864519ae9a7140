"""Column generation: contents of nodes that the linear programme would like, and the bound that they prove.

For any prices ``worth[class]`` of replicas, with ``z[type]`` the most valuable content of a node,

    sum worth * count - sum node_count[type] * max(0, z[type] - price[type])

is a lower bound on the cost (Lagrangian relaxation of "every replica is placed"; for columns Farley 1990, Gilmore and
Gomory 1961). It holds with an upper bound in the place of ``z``, so that pricing need not be exact, and for ``s *
worth`` with any ``s`` that makes no replica worth more than leaving it out costs, of which the best is taken. Prices
are smoothed towards those of the best bound (Wentges 1997).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from optimizer.placement.master import Master, MasterSolution
from optimizer.placement.pricing import Pricer
from optimizer.placement.problem import PlacementProblem
from optimizer.placement.proving import ExactPricer

__all__ = ["Generator", "lagrangian_bound"]

SMOOTHING = 0.5
"""Weight of the best prices so far against those of the last programme."""


def lagrangian_bound(problem: PlacementProblem, worth: np.ndarray, most_valuable: np.ndarray) -> float:
    """The bound above, scaled at best.

    Parameters
    ----------
    worth
        ``[class]``, at most the price of an unplaced replica.
    most_valuable
        ``[node_type]`` upper bounds on the worth of a node's content.
    """
    total = float(worth @ problem.count)
    ratio = np.divide(problem.price, most_valuable, out=np.ones(len(problem.price)), where=most_valuable > 0.0)
    # Beyond 1 too, as far as no replica is then worth more than being left out costs.
    most = problem.unplaced_price / max(float(worth.max(initial=0.0)), 1e-12)
    scales = np.unique([*np.clip(ratio, 0.0, max(1.0, most)).tolist(), 1.0])
    over = np.maximum(0.0, scales[:, None] * most_valuable - problem.price)
    return float((scales * total - over @ problem.node_count).max())


@dataclass
class Generator:
    """Contents known so far, and the best bound on the whole problem.

    Attributes
    ----------
    states
        States that pricing keeps.
    bound
        Lower bound on the cost of any placement.
    """

    problem: PlacementProblem
    states: int = 100
    bound: float = 0.0

    def __post_init__(self) -> None:
        self.master = Master(self.problem)
        self._pricers = [Pricer(self.problem, t) for t in range(len(self.problem.node_count))]
        self._exact: dict[int, ExactPricer] = {}
        self._best_worth: np.ndarray | None = None

    def begin(self, worth: np.ndarray) -> None:
        """First contents, and a first bound, from prices ``worth[class]`` that are known beforehand."""
        self._best_worth = worth
        upper = np.zeros(len(self.problem.node_count))
        for node_type in self._types():
            price = float(self.problem.price[node_type])
            found = self._pricers[node_type].best(worth, 0.5 * price, states=self.states, contents=8)
            upper[node_type] = found.upper
            for copies in found.copies:
                self.master.add(node_type, copies)
        self._raise_bound(worth, upper)

    def known(self) -> int:
        """Contents known so far."""
        return len(self.master.types)

    def run(self, rounds: int, gap: float, over: Callable[[], bool] = lambda: False) -> MasterSolution | None:
        """Rounds of pricing on the whole problem until programme and bound are within ``gap``, ``over()``, or so many.

        Pricing is heuristic while it finds contents; where it finds none, it is exact, which proves the bound.
        """
        solution = self.master.solve()
        for _ in range(rounds):
            if solution is None or solution.cost - self.bound <= gap * solution.cost or over():
                break
            worth = solution.worth
            if self._best_worth is not None:
                worth = SMOOTHING * self._best_worth + (1.0 - SMOOTHING) * worth
            before = self.bound
            added = self._price(worth, solution) or self._price(solution.worth, solution)
            added = added or self._prove(worth, solution)
            if not added and self.bound == before and not self._prove(solution.worth, solution):
                break
            solution = self.master.solve()
        return solution

    def _price(self, worth: np.ndarray, solution: MasterSolution) -> int:
        """A heuristic round at these prices: contents that became known."""
        upper, added = np.zeros(len(self.problem.node_count)), 0
        for node_type in self._types():
            matters = float(self.problem.price[node_type] + solution.scarce[node_type])
            found = self._pricers[node_type].best(worth, matters, states=self.states, contents=4)
            upper[node_type] = found.upper
            added += sum(self.master.add(node_type, copies) for copies in found.copies)
        self._raise_bound(worth, upper)
        return added

    def _prove(self, worth: np.ndarray, solution: MasterSolution) -> int:
        """An exact round at these prices."""
        upper, added = np.zeros(len(self.problem.node_count)), 0
        for node_type in self._types():
            if node_type not in self._exact:
                self._exact[node_type] = ExactPricer(self.problem, node_type)
            matters = float(self.problem.price[node_type] + solution.scarce[node_type])
            found = self._exact[node_type].best(worth, matters)
            upper[node_type] = found.upper
            added += sum(self.master.add(node_type, copies) for copies in found.copies)
        self._raise_bound(worth, upper)
        return added

    def _types(self) -> list[int]:
        return [int(t) for t in np.flatnonzero(self.problem.node_count > 0)]

    def _raise_bound(self, worth: np.ndarray, upper: np.ndarray) -> None:
        bound = lagrangian_bound(self.problem, worth, upper)
        if bound > self.bound or self._best_worth is None:
            self.bound, self._best_worth = max(self.bound, bound), worth

    def enrich(self, solution: MasterSolution) -> int:
        """Contents for what is left of the problem, at its own prices; proves nothing about the whole."""
        added = 0
        for node_type in self._types():
            matters = float(self.problem.price[node_type] + solution.scarce[node_type])
            found = self._pricers[node_type].best(solution.worth, matters, states=self.states // 4, contents=2)
            added += sum(self.master.add(node_type, copies) for copies in found.copies)
        return added
