"""The cheapest fleet for each of very many demands, between two proven values, by few solves.

What a fleet costs at least does not fall when demand grows. So the lower value of a solve at ``p`` holds for every
demand that is nowhere below ``p``, and the fleet found there serves every demand that is nowhere above what it can
serve. A day has a thousand demands and a handful of fleets: most of them are settled by a few solves.

`Levels.refine` spends its solves where they tell most: it holds boxes of demands whose two values differ, takes the one
with the largest difference, solves at its lowest and its highest corner, and halves what is then still open.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from optimizer.certificate.covering import ROUNDING, SEARCH_NODES, Answer, Covering, solve
from optimizer.fleet.greedy import solve_greedy
from optimizer.fleet.problem import FleetProblem
from simulator.policy import FleetFacts

__all__ = ["Levels", "solves_within"]

SETTLED = 2e-4
"""Relative difference of the two values below which a demand is not looked at again."""
LARGE = 1e300
MOST_SOLVES = 160
MOST_ADDED = 24
"""Replicas that a fleet found is tried to be given more, where they cost no node."""
WORK = 64_000
"""Solves times replicas' variables of one refinement: large fleets get fewer solves, to stay within seconds."""


def solves_within(problem: Covering) -> int:
    """Solves that a problem of this size may take: 160 for a few services, 4 for thousands of pairs."""
    pairs = int((problem.rate_rps > 0.0).sum())
    return max(4, min(MOST_SOLVES, WORK // max(1, pairs)))


class Levels:
    """Proven values of ``f(demand)``, the cost of the cheapest fleet that serves a demand, USD per hour.

    Where a demand is beyond the cluster there is no such fleet; both values are then the price of all nodes.

    Attributes
    ----------
    problem
        What is solved.
    fleets, nodes
        ``[fleet, variant, node_type]`` and ``[fleet, node_type]`` of the fleets found so far.
    solves
        Carried out so far.
    """

    def __init__(self, problem: Covering, facts: FleetFacts | None = None) -> None:
        self.problem = problem
        self.solves = 0
        self._facts = facts
        stages = int(problem.variant_stage.max(initial=-1)) + 1
        self._known: set[bytes] = set()
        self._at = np.zeros((0, stages))
        self._lower = np.zeros(0)
        self._reach = np.zeros((0, stages))
        self._usd = np.zeros(0)
        self.fleets = np.zeros((0, *problem.rate_rps.shape), dtype=np.int64)
        self.nodes = np.zeros((0, len(problem.node_count)), dtype=np.int64)

    def solve_at(self, demand_rps: np.ndarray) -> None:
        """Learn from one solve at ``demand_rps[stage]``."""
        key = np.ascontiguousarray(demand_rps, dtype=np.float64).tobytes()
        if key in self._known:
            return
        self._known.add(key)
        self.solves += 1
        answer = self.answer_at(demand_rps)
        self._at = np.vstack([self._at, demand_rps])
        self._lower = np.append(self._lower, answer.lower_usd_per_hour)
        if answer.replicas is not None and answer.nodes is not None:
            replicas, reach_rps = self.fleet_of(answer, demand_rps)
            self._reach = np.vstack([self._reach, reach_rps])
            self._usd = np.append(self._usd, answer.upper_usd_per_hour)
            self.fleets = np.concatenate([self.fleets, replicas[None]])
            self.nodes = np.concatenate([self.nodes, answer.nodes[None]])

    def answer_at(self, demand_rps: np.ndarray) -> Answer:
        """What a solve proves and finds."""
        pairs = max(1, int((self.problem.rate_rps > 0.0).sum()))
        answer = solve(self.problem, demand_rps, max(2, min(SEARCH_NODES, 40_000 // pairs)))
        if answer.replicas is None and answer.status != "infeasible":
            return self._by_greedy(demand_rps, answer)
        return answer

    def fleet_of(self, answer: Answer, demand_rps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The fleet found, filled up, and ``[stage]`` the largest demand that it serves."""
        assert answer.replicas is not None
        assert answer.nodes is not None
        replicas = _filled(self.problem, answer.replicas, answer.nodes, demand_rps)
        return replicas, self.problem.served_rps(replicas)

    def _by_greedy(self, demand_rps: np.ndarray, answer: Answer) -> Answer:
        """A fleet from the greedy where the solver had none to give, if it serves all."""
        if self._facts is None or self.problem.standing.any():
            return answer
        rate = self.problem.rate_rps
        facts = replace(self._facts, throughput_rps=rate, headroom_after_loss=None, budget_usd_per_hour=np.inf)
        plan = solve_greedy(FleetProblem.from_facts(facts, demand_rps, headroom=0.0))
        if plan.unserved_rps.max(initial=0.0) > ROUNDING * float(np.max(demand_rps)):
            return answer
        usd = float(self.problem.price_usd_per_hour @ plan.open_nodes)
        return Answer("feasible", min(answer.lower_usd_per_hour, usd), usd, plan.replicas, plan.open_nodes)

    def lower(self, demand_rps: np.ndarray) -> np.ndarray:
        """``usd_per_hour[slot]`` below which no fleet serves ``demand_rps[slot, stage]``."""
        return np.minimum(self._proven(demand_rps), self.problem.all_nodes_usd_per_hour)

    def upper(self, demand_rps: np.ndarray) -> np.ndarray:
        """``usd_per_hour[slot]`` of the cheapest fleet found that serves ``demand_rps[slot, stage]``."""
        return np.minimum(self._found(demand_rps), self.problem.all_nodes_usd_per_hour)

    def beyond(self, demand_rps: np.ndarray) -> np.ndarray:
        """``[slot]`` true where it is proven that the cluster cannot serve ``demand_rps[slot, stage]``."""
        return np.asarray(np.isinf(self._proven(demand_rps)))

    def _proven(self, demand_rps: np.ndarray, since: int = 0) -> np.ndarray:
        """Lower values by the solves from number ``since`` on; ``inf`` beyond the cluster."""
        usd = np.zeros(len(demand_rps))
        for at, value in zip(self._at[since:], self._lower[since:]):
            np.maximum(usd, np.where((demand_rps >= at).all(axis=1), value, 0.0), out=usd)
        return usd

    def serves(self, demand_rps: np.ndarray) -> np.ndarray:
        """``[slot, fleet]`` which of the fleets found serve ``demand_rps[slot, stage]``."""
        needed = demand_rps * (1.0 - ROUNDING)
        each = [(needed <= reach).all(axis=1) for reach in self._reach]
        return np.stack(each, axis=1) if each else np.zeros((len(demand_rps), 0), dtype=bool)

    def _found(self, demand_rps: np.ndarray, since: int = 0) -> np.ndarray:
        """Upper values by the fleets from number ``since`` on; ``inf`` where none serves."""
        usd = np.full(len(demand_rps), np.inf)
        for reach, value in zip(self._reach[since:] * (1.0 + ROUNDING), self._usd[since:]):
            np.minimum(usd, np.where((demand_rps <= reach).all(axis=1), value, np.inf), out=usd)
        return usd

    def refine(self, demand_rps: np.ndarray, weight: np.ndarray, solves: int | None = None) -> None:
        """Bring the two values of ``demand_rps[slot, stage]`` together, those of large ``weight[slot]`` first."""
        demand, index = np.unique(demand_rps, axis=0, return_inverse=True)
        weight = np.bincount(index.ravel(), weight, len(demand))
        last = self.solves + (solves_within(self.problem) if solves is None else solves)
        boxes = [np.arange(len(demand))]
        lower, upper = self._proven(demand), self._found(demand)
        most_usd = self.problem.all_nodes_usd_per_hour
        while boxes and self.solves < last:
            is_open = np.isfinite(lower) & (np.minimum(upper, LARGE) - lower > SETTLED * np.minimum(upper, LARGE))
            boxes = [left for box in boxes if len(left := box[is_open[box]])]
            if not boxes:
                return
            width = weight * (np.minimum(upper, most_usd) - np.minimum(lower, most_usd))
            worst = max(range(len(boxes)), key=lambda i: float(width[boxes[i]].sum()))
            box = boxes.pop(worst)
            for corner in (demand[box].max(axis=0), demand[box].min(axis=0)):
                seen = len(self._lower), len(self._usd)
                self.solve_at(corner)
                np.maximum(lower, self._proven(demand, seen[0]), out=lower)
                np.minimum(upper, self._found(demand, seen[1]), out=upper)
            boxes += _halves(demand, weight, box)


def _filled(problem: Covering, replicas: np.ndarray, nodes: np.ndarray, demand_rps: np.ndarray) -> np.ndarray:
    """The fleet with more replicas on the same nodes, where it is nearest to its demand first: it reaches further."""
    fleet = np.array(replicas)
    is_open = problem.rate_rps > 0.0
    for _ in range(MOST_ADDED):
        served = problem.served_rps(fleet)
        reach = np.divide(served, demand_rps, out=np.full_like(served, np.inf), where=demand_rps > 0.0)
        order = np.where(is_open & (fleet > 0), reach[problem.variant_stage][:, None], np.inf)
        if not np.isfinite(order).any():
            break
        pair = np.unravel_index(int(np.argmin(order)), order.shape)
        fleet[pair] += 1
        found = problem.nodes(fleet)
        if found is None or (found > nodes).any() or not problem.keeps_floor(fleet):
            fleet[pair] -= 1
            is_open[pair] = False
    return fleet


def _halves(demand_rps: np.ndarray, weight: np.ndarray, box: np.ndarray) -> list[np.ndarray]:
    """The box cut where half of the weight lies, across the stage whose demand varies most; nothing left of a point."""
    inside = demand_rps[box]
    top = inside.max(axis=0)
    spread = np.divide(top - inside.min(axis=0), top, out=np.zeros_like(top), where=top > 0.0)
    stage = int(np.argmax(spread))
    if spread[stage] <= 0.0:
        return []
    order = np.argsort(inside[:, stage], kind="stable")
    values = inside[order, stage]
    middle = int(np.searchsorted(np.cumsum(weight[box][order]), 0.5 * weight[box].sum()))
    cut = int(np.searchsorted(values, values[min(middle, len(values) - 1)], side="left"))
    if cut == 0:
        cut = int(np.searchsorted(values, values[0], side="right"))
    return [box[order[:cut]], box[order[cut:]]]
