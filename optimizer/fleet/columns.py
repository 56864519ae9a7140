"""The allocation problem by Dantzig-Wolfe decomposition: a strong bound, and plans from whole covers.

One block a stage: whole replicas that cover its demand. The master (`optimizer.fleet.master`) mixes covers of all
stages on the nodes; `optimizer.fleet.knapsack_pricing` finds the covers that its prices call for.

**Bound.** For any row prices ``pi >= 0`` and shortage prices ``w >= 0``,

    constant + sum_stage min(cheapest cover at pi and w, no replica at all)
             + sum_node_type count min(0, price - sum_{its rows} pi)
             + sum_service largest demand min(0, penalty - sum_{its stages} w)

is the Lagrangian dual function, hence at most the optimum (for a service of one stage ``w`` is the penalty; a type's
price is left over only where all its nodes are in use). It is computed at every iteration, with the pricing's own bound
in place of its best cover, and the largest is kept. It is stronger than the linear relaxation because each block is
solved in whole numbers.

**Sharper where it pays.** If every cover whose reduced cost is less than ``t`` is in the integer programme
(`optimizer.fleet.rounding`), a plan either uses none but those, and costs no less than that programme's bound, or uses
another and costs at least the Lagrangian bound plus ``t``.

Work is counted (iterations, partial choices, covers, branch-and-bound nodes); the wall clock matters only where it is
guarded.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, fields, replace
from functools import partial

import numpy as np

from optimizer.fleet.blocks import Blocks, Rows, build_blocks, build_rows
from optimizer.fleet.knapsack_pricing import cheapest_covers
from optimizer.fleet.master import CoverPool, Master, Prices
from optimizer.fleet.mip import MipLimits, solve_fleet_mip
from optimizer.fleet.plan import FleetPlan, validate_plan
from optimizer.fleet.problem import FleetProblem
from optimizer.fleet.rounding import Rounding, best_placed, place

__all__ = ["ColumnLimits", "ColumnSolver", "is_large", "solve_fleet_columns", "supports"]

BOUND_TOLERANCE = 1e-9
"""Part of the bound that is given away for rounding errors."""

CLOSED = 3e-4
"""Relative distance of bound and master below which more prices are not worth their time."""

LARGE = 400
"""Stages times node types from which `is_large` says so."""

_SUPPORTED = frozenset(
    {
        "demand_rps", "stage_service", "variant_stage", "throughput_rps", "need", "capacity", "node_count",
        "price_usd_per_hour", "replicas_now", "churn_usd_per_hour", "unserved_usd_per_request", "headroom",
        "replica_limit", "lost_usd_per_hour", "floor_credit", "service_weight",
    }
)  # fmt: skip


@dataclass(frozen=True)
class ColumnLimits:
    """When the search stops.

    Attributes
    ----------
    gap
        ``(value - bound) / value`` that is good enough.
    iterations
        Solves of the master at most.
    beam
        Partial choices of one stage in pricing, at most.
    covers
        Covers in the first integer programme; each further one has three times as many.
    nodes
        Branch-and-bound nodes of one integer programme.
    rounds, repairs
        Integer programmes with more covers, and with rows tightened for the placement of each.
    wall_s
        Guard on the wall clock; none by default, so that a run is the same on every machine. Hit, the best so far is
        returned and the note says so.
    """

    gap: float = 0.01
    iterations: int = 40
    beam: int = 200
    covers: int = 400
    nodes: int = 200
    rounds: int = 4
    repairs: int = 3
    wall_s: float | None = None


def supports(problem: FleetProblem) -> str | None:
    """None if the decomposition solves the problem as it stands, else what it does not know.

    Anything that a problem may have beyond what was known when this was written is refused.
    """
    if problem.floored_stages:
        return "a floor of the mean accuracy"
    for field in fields(problem):
        if field.name in _SUPPORTED:
            continue
        value = getattr(problem, field.name)
        if value is not None and np.any(np.asarray(value) != field.default):
            return field.name.replace("_", " ")
    if not (np.asarray(problem.price_usd_per_hour) >= 0.0).all():
        return "a negative price"
    if problem.lost_usd_per_hour is not None and not (problem.lost_usd_per_hour >= 0.0).all():
        return "a negative price of lost accuracy"
    return None


def is_large(problem: FleetProblem) -> bool:
    """Whether the decomposition is likely to be better than the counted model: from some hundred pairs on."""
    return len(problem.demand_rps) * len(problem.node_count) >= LARGE


def solve_fleet_columns(problem: FleetProblem, limits: ColumnLimits | None = None) -> FleetPlan:
    """One problem, from the beginning."""
    return ColumnSolver(limits).solve(problem)


class ColumnSolver:
    """Solves problems one after the other, each from the prices and the plan of the one before.

    Raises
    ------
    ValueError
        By `solve`, if `supports` names something.
    """

    def __init__(self, limits: ColumnLimits | None = None) -> None:
        self._limits = limits or ColumnLimits()
        self._prices: Prices | None = None
        self._replicas: np.ndarray | None = None
        self.iterations = 0

    def solve(self, problem: FleetProblem) -> FleetPlan:
        """Best plan found within the limits, checked and placed, ``optimal`` if within the gap."""
        reason = supports(problem)
        if reason is not None:
            raise ValueError(f"column generation does not know {reason}")
        if not (problem.required_rps > 0.0).any() and not problem.replicas_now.any():
            none = np.zeros_like(problem.replicas_now)
            return validate_plan(problem, none, status="optimal", bound=0.0, note="no demand")
        run = _Run(problem, self._limits)
        plan = run.solve(self._prices, self._replicas)
        self._prices, self._replicas, self.iterations = run.prices, plan.replicas, run.iterations
        return plan


class _Run:
    """One solve: prices and bound, then plans."""

    def __init__(self, problem: FleetProblem, limits: ColumnLimits) -> None:
        self.problem, self.limits = problem, limits
        self.began = time.perf_counter()
        self.blocks: Blocks = build_blocks(problem)
        self.rows: Rows = build_rows(problem)
        self.pool = CoverPool(problem, self.blocks, self.rows)
        self.bound = -np.inf
        self.iterations = 0
        self.least = np.zeros(0)
        self.generated = 0
        self.mixed = np.zeros(0, dtype=np.int64)
        self.guard_hit = False
        self.prices = self._first_prices()

    def solve(self, prices: Prices | None, replicas: np.ndarray | None) -> FleetPlan:
        """From the prices and replicas of a problem before, if they fit this one."""
        stages, width = self.blocks.pair.shape
        every = np.arange(stages)
        self.pool.add(every, np.zeros((stages, width), dtype=np.int64))
        for known in (self.problem.replicas_now, replicas):
            if known is not None and known.shape == self.problem.throughput_rps.shape:
                self.pool.add(every, self.blocks.counts(known))
        if prices is not None and prices.row.shape == self.prices.row.shape and len(prices.stage) == stages:
            self.prices = prices
        self._generate()
        return self._plan()

    def _left_s(self) -> float | None:
        """Seconds left before the guard; marks it hit."""
        if self.limits.wall_s is None:
            return None
        left = self.limits.wall_s - (time.perf_counter() - self.began)
        self.guard_hit = self.guard_hit or left <= 0.0
        return left

    def _first_prices(self) -> Prices:
        """Each node's price split evenly over its resources; shortage at its penalty, split over a service's stages."""
        problem, rows = self.problem, self.rows
        resources = np.bincount(rows.node_type[~rows.is_cut], minlength=len(problem.node_count))
        row = np.where(rows.is_cut, 0.0, (problem.price_usd_per_hour / np.maximum(resources, 1))[rows.node_type])
        stages_of = np.bincount(problem.stage_service, minlength=problem.services)[problem.stage_service]
        return Prices(
            row, problem.unserved_usd_per_hour_rps[problem.stage_service] / stages_of, np.zeros(len(stages_of))
        )

    def _generate(self) -> None:
        """Covers and prices until bound and master meet, nothing new is found, or the limits are reached."""
        master = Master(self.problem, self.pool, self.rows)
        master.add_covers(np.arange(len(self.pool.stage)))
        prices, best = self.prices, self.prices
        beam = self.limits.beam
        while self.iterations < self.limits.iterations:
            self.iterations += 1
            stage, count, bound, least = self._price(prices, beam)
            if bound > self.bound:
                self.bound, best, self.least = bound, prices, least
            new = self.pool.add(stage, count)
            master.add_covers(new)
            solution = master.solve()
            broken = master.violated_rows(solution, MOST_ROWS)
            master.add_rows(broken)
            left = self._left_s()
            met = solution.usd_per_hour + self.blocks.constant_usd_per_hour - self.bound <= CLOSED * abs(self.bound)
            if (met and broken.size == 0) or (left is not None and left <= 0.0):
                break
            if new.size == 0 and broken.size == 0:
                if beam >= MOST_BEAM:
                    break
                beam *= 4
            prices = solution.prices
        self.mixed = np.flatnonzero(solution.weight > 1e-9)
        self.prices = replace(best, stage=self._stage_values(best))
        self.master, self.solution = master, solution

    def _dive(self) -> None:
        """Covers for whole nodes: round the nodes of one type after the other, and price what that calls for.

        What the master mixes on a fraction of a dear node is of little use when there is none, or all of it.
        """
        master, solution = self.master, self.solution
        fixed = np.zeros(len(solution.nodes), dtype=bool)
        while True:
            part = np.abs(solution.nodes - np.round(solution.nodes))
            left = np.flatnonzero((part > 1e-6) & ~fixed)
            seconds = self._left_s()
            if left.size == 0 or (seconds is not None and seconds <= 0.0):
                break
            chosen = int(left[np.argmin(part[left])])
            fixed[chosen] = True
            master.fix_nodes(chosen, float(np.round(solution.nodes[chosen])))
            for _ in range(DIVE_ITERATIONS):
                stage, count, _, _ = self._price(solution.prices, self.limits.beam)
                new = self.pool.add(stage, count)
                master.add_covers(np.arange(len(master), len(self.pool.stage)))
                solution = master.solve()
                if new.size == 0:
                    break
            self.mixed = np.union1d(self.mixed, np.flatnonzero(solution.weight > 1e-9))
        master.free_nodes(self.problem.node_count)

    def _price(self, prices: Prices, beam: int) -> tuple[np.ndarray, np.ndarray, float, np.ndarray]:
        """Covers cheaper at the prices than all known, the Lagrangian bound, and each stage's part in it."""
        pool, blocks = self.pool, self.blocks
        used = pool.count.any(axis=1)
        known = np.full(len(blocks.required_rps), np.inf)
        np.minimum.at(known, pool.stage[used], pool.value(prices)[used])
        found = cheapest_covers(
            blocks, blocks.cost(pool.pair_price(prices)), prices.shortage, known, beam=beam, keep=KEEP
        )
        least = found.bound_usd_per_hour
        return found.stage, found.count, self._lagrangian(prices, least), least

    def _lagrangian(self, prices: Prices, cheapest: np.ndarray) -> float:
        """The bound of this module's page, from each stage's cheapest cover with a replica."""
        problem, blocks = self.problem, self.blocks
        required = blocks.required_rps
        nothing = np.where(required > 0.0, blocks.absent_usd_per_hour + prices.shortage * required, 0.0)
        value = np.minimum(cheapest, nothing).sum()
        row_price = np.bincount(self.rows.node_type, prices.row, len(problem.node_count))
        value += np.minimum(0.0, problem.price_usd_per_hour - row_price) @ problem.node_count
        services = problem.stage_service
        total = np.bincount(services, prices.shortage, problem.services)
        largest = np.zeros(len(total))
        np.maximum.at(largest, services, required)
        value += np.minimum(0.0, problem.unserved_usd_per_hour_rps - total) @ largest
        return float(value + blocks.constant_usd_per_hour - BOUND_TOLERANCE * abs(value))

    def _stage_values(self, prices: Prices) -> np.ndarray:
        """``[stage]`` cost of the cheapest cover known."""
        values = np.full(len(self.blocks.required_rps), np.inf)
        np.minimum.at(values, self.pool.stage, self.pool.value(prices))
        return values

    def _plan(self) -> FleetPlan:
        """Integer programmes over more and more covers until a plan is within the gap."""
        limits, problem = self.limits, self.problem
        best: FleetPlan | None = None
        bound = self.bound
        hint: np.ndarray | None = None
        allowed = np.zeros(0, dtype=np.int64)
        for round_ in range(limits.rounds):
            before = len(allowed)
            if round_ == (0 if self.blocks.pair.shape[0] * len(problem.node_count) <= EARLY_DIVE else 1):
                self._dive()
            self.generated = self.generated if round_ > 1 else len(self.pool.stage)
            allowed, complete_to = self._best_covers(limits.covers * 3**round_)
            if len(allowed) == before:
                break
            gap = max(limits.gap / 8.0, COARSE / 4.0**round_)
            rounding = Rounding(gap * max(abs(self.bound), 1e-9), limits.nodes, self._left_s)
            plan, dual, covers = best_placed(
                problem,
                self.pool,
                self.rows,
                allowed,
                rounding,
                good_enough=partial(self._within, bound=bound),
                repairs=limits.repairs,
                hint=hint,
            )
            whole = min(dual + self.blocks.constant_usd_per_hour, self.bound + complete_to)
            bound = max(bound, whole - BOUND_TOLERANCE * abs(whole))
            if plan is not None and (best is None or plan.objective_usd_per_hour < best.objective_usd_per_hour):
                best, hint = plan, covers
            left = self._left_s()
            if (best is not None and self._within(best, bound)) or (left is not None and left <= 0.0):
                break
        if (best is None or not self._within(best, bound)) and self._is_small() and not self.guard_hit:
            exact = solve_fleet_mip(problem, MipLimits(gap=limits.gap / 2.0, nodes=SMALL_NODES, thorough=True))
            bound = max(bound, exact.bound_usd_per_hour or 0.0)
            best = exact if best is None or exact.objective_usd_per_hour < best.objective_usd_per_hour else best
        if best is None:
            best = self._cheapest_placed()
        status = "optimal" if self._within(best, bound) else "feasible"
        note = f"the wall-clock guard of {limits.wall_s:g} s was hit" if self.guard_hit else ""
        bound = max(0.0, min(bound, best.objective_usd_per_hour))
        return replace(best, status=status, bound_usd_per_hour=bound, note=note)

    def _cheapest_placed(self) -> FleetPlan:
        """Each stage's cheapest cover at the prices, as far as there is room."""
        reduced = self.pool.value(self.prices) - self.prices.stage[self.pool.stage]
        covers = np.flatnonzero(_rank_in_stage(self.pool.stage, reduced) == 0)
        replicas = self.pool.replicas(covers, self.problem.throughput_rps.shape)
        return place(self.problem, replicas, self.problem.node_count)[0]

    def _is_small(self) -> bool:
        return int((self.blocks.pair >= 0).sum()) <= SMALL_ITEMS

    def _within(self, plan: FleetPlan, bound: float) -> bool:
        value = plan.objective_usd_per_hour
        return value - bound <= self.limits.gap * abs(value) + 1e-9

    def _best_covers(self, most: int) -> tuple[np.ndarray, float]:
        """Covers of least reduced cost, about so many, and up to which reduced cost none is missing."""
        values = self.prices.stage
        step = max(2e-3 * abs(self.bound) / len(values), 1e-9)
        cost = self.blocks.cost(self.pool.pair_price(self.prices))
        complete_to, first, each = 0.0, step, max(FEWEST, 2 * most // len(values))
        beam = max(self.limits.beam, min(MOST_BEAM, ENUMERATED // len(values)))
        while True:
            found = cheapest_covers(
                self.blocks,
                cost,
                self.prices.shortage,
                values + step,
                beam=beam,
                keep=each,
                least_usd_per_hour=self.least,
            )
            self.pool.add(found.stage, found.count)
            reduced = np.where(self.blocks.is_open, found.bound_usd_per_hour - values, np.inf)
            complete_to = min(step, float(reduced.min(initial=np.inf)))
            if len(found.stage) >= most or not step < abs(self.bound) or step > 8.0 * max(complete_to, first):
                break
            step *= 3.0
        reduced = self.pool.value(self.prices) - values[self.pool.stage]
        rank = _rank_in_stage(self.pool.stage, reduced)
        order = np.argsort(np.where(rank < each, reduced, np.inf), kind="stable")
        # Covers that different prices called for are more diverse than the cheapest at the last ones.
        called_for = np.argsort(reduced[: self.generated], kind="stable")[:most]
        allowed = np.unique(np.concatenate([order[:most], called_for, np.flatnonzero(rank < FEWEST), self.mixed]))
        left_out = np.delete(reduced, allowed).min(initial=np.inf)
        return allowed, max(0.0, min(complete_to, float(left_out)))


def _rank_in_stage(stage: np.ndarray, reduced: np.ndarray) -> np.ndarray:
    """``[cover]`` how many covers of its stage have less reduced cost."""
    order = np.lexsort((reduced, stage))
    owner = stage[order]
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order)) - np.searchsorted(owner, owner, side="left")
    return rank


ENUMERATED = 20_000
"""Partial choices of all stages together, at least, when covers are enumerated."""

SMALL_ITEMS = 200
"""Problems with no more items, whose nodes are few and their rounding dear, end with the full integer programme."""

SMALL_NODES = 2000
"""Branch-and-bound nodes of that."""

EARLY_DIVE = 2000
"""Problems with no more stages times node types round nodes before the first integer programme, others after it."""

COARSE = 0.002
"""Gap of the first integer programme at least; each further one has a quarter."""

DIVE_ITERATIONS = 3
"""Pricings after each rounding of a type's nodes."""

KEEP = 3
"""Covers that one pricing adds for a stage at most."""

FEWEST = 4
"""Covers of each stage in every integer programme."""

MOST_BEAM = 800
"""Pricing is not tried with more partial choices of a stage than this."""

MOST_ROWS = 50
"""Cuts added to the master at once."""
