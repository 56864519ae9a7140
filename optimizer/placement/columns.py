"""Placement with a proof: column generation over contents of nodes, rounding, and large-neighbourhood search.

1. Prices of a linear programme over replicas (`optimizer.placement.bounds`), and the best of two greedy placements
   where that is quick, give the first contents and the first bound.
2. Column generation (`optimizer.placement.generation`) gives prices of replicas and a lower bound.
3. Diving and SCIP over the known contents (`optimizer.placement.rounding`) give whole nodes.
4. The nodes that are least worth their price, at the prices of replicas, are emptied and filled anew, while that helps.

The search ends when cost and bound are within the gap asked for, or the work or the time allowed is used up.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from optimizer.placement.bounds import sharpened_prices
from optimizer.placement.contents import Content, contents_of, seats_of
from optimizer.placement.generation import Generator
from optimizer.placement.greedy import place_greedy
from optimizer.placement.plan import PlacementPlan, check_placement, round_up_to_prices
from optimizer.placement.problem import PlacementProblem
from optimizer.placement.rounding import dive, solve_known

__all__ = ["ColumnLimits", "place_columns"]

ROUNDS_AT_ONCE = 8
"""Rounds of pricing between looks at the clock and at what rounding would give."""

WORTH_ROUNDING = 1.6
"""By how much the contents known must have grown since the last rounding."""

QUICK_GREEDY = 200_000
"""Replicas times nodes up to which the search begins with greedy placements; beyond, they take longer than prices."""

KEPT_FOR_ROUNDING = 0.3
"""Part of the time, where it is limited, that generation leaves."""


@dataclass(frozen=True)
class ColumnLimits:
    """When the search stops.

    Attributes
    ----------
    gap
        ``(cost - bound) / cost`` that is good enough.
    rounds
        Rounds of pricing on the whole problem.
    search_nodes
        Branch-and-bound nodes of SCIP, each time.
    neighbourhoods
        Sets of nodes that are emptied and filled anew.
    cpu_s
        Seconds of CPU time; None counts work alone, so that the answer is the same on every machine.
    """

    gap: float = 0.01
    rounds: int = 400
    search_nodes: int = 200
    neighbourhoods: int = 60
    cpu_s: float | None = None


@dataclass
class _Search:
    """Best placement and bound so far."""

    problem: PlacementProblem
    limits: ColumnLimits
    watch: Callable[[float, float], object]
    began_s: float = field(default_factory=time.process_time)

    def __post_init__(self) -> None:
        problem = self.problem
        self.generator = Generator(problem)
        self.generator.bound, worth = sharpened_prices(problem)
        self.plan = check_placement(problem, [None] * len(problem.replica_class))
        if len(problem.replica_class) * problem.nodes <= QUICK_GREEDY:
            self.try_greedy()
        self.generator.begin(worth)
        self.watch(self.plan.cost, self.bound)

    def try_greedy(self) -> None:
        """Take the better of two greedy placements, and make both known."""
        for policy in ("best_fit", "first_fit_decreasing"):
            start = place_greedy(self.problem, policy)
            for node_type, copies in contents_of(self.problem, start.seats):
                self.generator.master.add(node_type, copies)
            self.plan = min(self.plan, start, key=lambda plan: plan.cost)

    @property
    def bound(self) -> float:
        return round_up_to_prices(self.problem, self.generator.bound)

    def left_s(self) -> float | None:
        """Seconds that may still be used."""
        if self.limits.cpu_s is None:
            return None
        return max(0.0, self.limits.cpu_s - (time.process_time() - self.began_s))

    def over(self) -> bool:
        """Whether cost and bound are close enough, or the time is used up."""
        left_s = self.left_s()
        return self.plan.cost - self.bound <= self.limits.gap * self.plan.cost or (left_s is not None and left_s <= 0.0)

    def enough_generated(self) -> bool:
        """`over`, or the part of the time used up that is meant for prices and bound."""
        left_s = self.left_s()
        late = left_s is not None and self.limits.cpu_s is not None and left_s < KEPT_FOR_ROUNDING * self.limits.cpu_s
        return late or self.over()

    def offer(self, contents: list[Content]) -> bool:
        """Keep a placement if it is cheaper than the best."""
        plan = check_placement(self.problem, seats_of(self.problem, contents))
        if plan.cost >= self.plan.cost - 1e-9:
            return False
        self.plan = plan
        self.watch(plan.cost, self.bound)
        return True


def place_columns(
    problem: PlacementProblem,
    limits: ColumnLimits | None = None,
    watch: Callable[[float, float], object] = lambda cost, bound: None,
) -> PlacementPlan:
    """Place all replicas at nearly least cost, with a bound that proves how near.

    Parameters
    ----------
    watch
        Told ``(cost, bound)`` whenever one is improved.

    Returns
    -------
    PlacementPlan
        Checked; ``bound`` rounded up to what costs can be.
    """
    search = _Search(problem, limits or ColumnLimits(), watch)
    if problem.count.any() and problem.nodes:
        _generate(search)
        _round(search)
        _improve(search)
        if search.plan.unplaced:
            search.try_greedy()
    note = "" if search.left_s() != 0.0 else "time limit"
    return check_placement(problem, search.plan.seats, bound=search.bound, method="columns", note=note)


def _generate(search: _Search) -> None:
    """Rounds of pricing, to a tenth of the gap; roundings on the way, for an answer in time."""
    generator, limits, problem = search.generator, search.limits, search.problem
    rounded_at = 0.0
    for _ in range(0, limits.rounds, ROUNDS_AT_ONCE):
        before = generator.bound, generator.known()
        solution = generator.run(ROUNDS_AT_ONCE, 0.1 * limits.gap, search.enough_generated)
        if generator.bound > before[0]:
            search.watch(search.plan.cost, search.bound)
        if search.enough_generated() or solution is None or (generator.bound, generator.known()) == before:
            return
        if solution.cost - generator.bound <= 0.1 * limits.gap * solution.cost:
            return
        if generator.known() >= WORTH_ROUNDING * rounded_at and search.plan.cost > (1.0 + limits.gap) * solution.cost:
            rounded_at = generator.known()
            search.offer(dive(generator, problem.count, problem.node_count, over=search.over))


def _round(search: _Search) -> None:
    """A dive, which finds contents that suit what is left over, and SCIP over all that are then known."""
    problem, limits = search.problem, search.limits
    if search.over():
        return
    search.offer(dive(search.generator, problem.count, problem.node_count, over=search.over))
    if search.over():
        return
    left_s = search.left_s()
    found = solve_known(
        search.generator,
        problem.count,
        problem.node_count,
        gap=0.2 * limits.gap,
        search_nodes=limits.search_nodes,
        seconds=None if left_s is None else 0.7 * left_s,
    )
    if found is not None:
        search.offer(found)


def _improve(search: _Search) -> None:
    """Empty the nodes least worth their price, with some at random, and fill as few anew as can be."""
    problem = search.problem
    rng = np.random.default_rng(1)
    failed = 0
    for _ in range(search.limits.neighbourhoods):
        if search.over():
            return
        search.generator.master.ask(problem.count, problem.node_count)
        solution = search.generator.master.solve()
        if solution is None:
            return
        contents = contents_of(problem, search.plan.seats)
        freed = _least_worth(problem, contents, solution.worth, rng, 8 + 2 * failed)
        kept = [content for place, content in enumerate(contents) if place not in freed]
        count = problem.count - sum((c.copies for c in kept), np.zeros(problem.classes, dtype=np.int64))
        there = problem.node_count - np.bincount([c.node_type for c in kept], minlength=len(problem.node_count))
        anew = dive(search.generator, count, there, over=search.over)
        better = search.offer(kept + anew)
        if not better and not search.over():
            known = solve_known(
                search.generator,
                count,
                there,
                gap=0.0,
                search_nodes=search.limits.search_nodes,
                seconds=search.left_s(),
            )
            better = known is not None and search.offer(kept + known)
        failed = 0 if better else min(failed + 1, 10)


def _least_worth(
    problem: PlacementProblem, contents: list[Content], worth: np.ndarray, rng: np.random.Generator, size: int
) -> set[int]:
    """Places of contents to give up: half the worst by price less worth, half drawn with a leaning to the worst."""
    loss = np.array([problem.price[c.node_type] - float(worth @ c.copies) for c in contents])
    ranked = np.argsort(-loss, kind="stable")
    worst = ranked[: size // 2]
    rest = ranked[size // 2 :]
    weight = 1.0 / (1.0 + np.arange(len(rest)))
    size = min(size - len(worst), len(rest))
    drawn = rng.choice(rest, size=size, replace=False, p=weight / weight.sum()) if size else rest
    return {int(place) for place in (*worst, *drawn)}
