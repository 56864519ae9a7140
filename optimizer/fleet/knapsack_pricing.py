"""Cheapest covers of every stage's demand at given prices: the subproblem of column generation, for all stages at once.

For each stage: whole numbers ``0 <= x[item] <= bound`` that minimise ``sum cost x + shortage_price * shortage`` with
``shortage = max(0, required - sum rate x)``: a covering knapsack whose remainder may be bought.

The search is a branch and bound that goes through the items from the dearest per request/s to the cheapest and keeps,
for all stages together, the list of partial choices. A choice is dropped if what it costs, plus the remainder filled
by fractions of the cheaper items or bought, is more than a cover already known; or if another choice of the stage
leaves no more to fill and costs no more. Where more than `beam` choices of a stage are left, the best are kept, and the
least bound of the others limits what is claimed: the returned bound is below the true optimum in any case.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optimizer.fleet.blocks import Blocks

__all__ = ["Covers", "cheapest_covers"]

ROUNDING = 1e-9
"""Relative slack of comparisons: an item that serves all but this part of the remainder covers it."""

FEW = 3
"""Replicas of a second item in the covers that the search begins with."""


@dataclass(frozen=True)
class Covers:
    """Covers that were found, and what no cover can undercut.

    Attributes
    ----------
    stage
        ``[cover]``.
    count
        ``[cover, item]`` replicas of each item of the cover's stage.
    value_usd_per_hour
        ``[cover]`` cost at the prices asked for.
    bound_usd_per_hour
        ``[stage]`` at most the cost of the cheapest cover with at least one replica.
    """

    stage: np.ndarray
    count: np.ndarray
    value_usd_per_hour: np.ndarray
    bound_usd_per_hour: np.ndarray


@dataclass
class _Items:
    """Items of every stage, the cheapest per request/s first.

    ``pays`` says which are cheaper than shortage; ``full_rate`` and ``full_cost`` are totals of those among the first
    so many.
    """

    order: np.ndarray
    cost: np.ndarray
    rate: np.ndarray
    bound: np.ndarray
    pays: np.ndarray
    price: np.ndarray
    full_rate: np.ndarray
    full_cost: np.ndarray

    def in_order(self, values: np.ndarray) -> np.ndarray:
        """``values[stage, item]`` with items in this order."""
        return np.take_along_axis(values, self.order, axis=1)

    def fill(self, stage: np.ndarray, items: int, rest: np.ndarray) -> np.ndarray:
        """Least cost of serving ``rest`` by fractions of the first ``items`` items, or by shortage."""
        rest = np.maximum(rest, 0.0)
        price = self.price[stage]
        if items == 0:
            return price * rest
        inside = self.full_rate[stage, : items + 1] < rest[:, None]
        whole = np.minimum(inside[:, 1:].sum(axis=1), items)
        left = rest - self.full_rate[stage, whole]
        last = np.minimum(whole, self.cost.shape[1] - 1)
        each = np.where(whole < items, self.cost[stage, last] / self.rate[stage, last], np.inf)
        return self.full_cost[stage, whole] + left * np.minimum(each, price)


def cheapest_covers(
    blocks: Blocks,
    cost_usd_per_hour: np.ndarray,
    shortage_price: np.ndarray,
    known_usd_per_hour: np.ndarray,
    *,
    beam: int,
    keep: int,
    least_usd_per_hour: np.ndarray | None = None,
) -> Covers:
    """Search all stages with demand; for every cover below a cost (``least_usd_per_hour``) also those that only keep.

    Parameters
    ----------
    cost_usd_per_hour
        ``[stage, item]`` of one replica; infinite where there is no item. Items that pay for themselves (cost below 0)
        are taken in full.
    shortage_price
        ``[stage]`` USD per hour for each request/s not served, >= 0.
    known_usd_per_hour
        ``[stage]`` cost of a cover already known: only cheaper ones are returned.
    beam
        Partial choices kept for one stage at most.
    keep
        Covers returned for one stage at most.
    least_usd_per_hour
        ``[stage]`` what no cover undercuts. If given, every cover below ``known_usd_per_hour`` is returned and not only
        ever cheaper ones, and ``bound_usd_per_hour`` says below which cost none is
        missing.
    """
    width = blocks.pair.shape[1]
    gain = np.where(cost_usd_per_hour < 0.0, blocks.bound, 0)
    base_cost = (np.where(gain > 0, cost_usd_per_hour, 0.0) * gain).sum(axis=1)
    rest = blocks.required_rps - (blocks.rate_rps * gain).sum(axis=1)
    slack = ROUNDING * np.maximum(blocks.required_rps, 1e-300)
    rest = np.where(rest <= slack, 0.0, rest)
    items = _sorted_items(blocks, np.where(cost_usd_per_hour < 0.0, np.inf, cost_usd_per_hour), shortage_price)
    search = _Search(items, rest, slack, base_cost, np.asarray((gain > 0).any(axis=1)), known_usd_per_hour, beam)
    if least_usd_per_hour is not None:
        search.margin = known_usd_per_hour - np.minimum(least_usd_per_hour, known_usd_per_hour)
        search.saves = items.in_order(blocks.own_usd_per_hour < 0.0)
    # Without demand the cheapest cover is all that pays for itself; those within a margin are many.
    searched = blocks.required_rps > 0.0 if least_usd_per_hour is None else blocks.is_open
    search.run(searched)
    search.take_gains(np.flatnonzero(~searched))
    stage, value, count = search.found(keep)
    whole = np.zeros((len(stage), width), dtype=np.int64)
    np.put_along_axis(whole, items.order[stage], count, axis=1)
    bound = np.where(searched, np.minimum(search.limit, search.dropped), base_cost)
    if least_usd_per_hour is not None:
        # A cover without a replica that pays for itself costs at least what that one pays more than some other cover.
        paid = np.where(gain > 0, -cost_usd_per_hour, np.inf).min(axis=1)
        bound = np.minimum(bound, least_usd_per_hour + paid)
    return Covers(stage, whole + gain[stage], value, bound)


def _sorted_items(blocks: Blocks, cost: np.ndarray, shortage_price: np.ndarray) -> _Items:
    per_rate = cost / blocks.rate_rps
    order = np.argsort(per_rate, axis=1, kind="stable")

    def take(values: np.ndarray) -> np.ndarray:
        return np.take_along_axis(values, order, axis=1)

    bound = np.where(np.isfinite(cost), blocks.bound, 0)
    cost, rate, bound = take(cost), take(blocks.rate_rps), take(bound)
    zero = np.zeros((len(cost), 1))
    pays = (bound > 0) & (cost < shortage_price[:, None] * rate)
    full_rate = np.concatenate([zero, np.cumsum(rate * bound * pays, axis=1)], axis=1)
    full_cost = np.concatenate([zero, np.cumsum(np.where(pays, cost, 0.0) * bound, axis=1)], axis=1)
    return _Items(order, cost, rate, bound, pays, shortage_price, full_rate, full_cost)


class _Search:
    """The lists of partial choices, and the best covers."""

    def __init__(
        self,
        items: _Items,
        rest: np.ndarray,
        slack: np.ndarray,
        base_cost: np.ndarray,
        has_base: np.ndarray,
        known: np.ndarray,
        beam: int,
    ) -> None:
        self.margin: np.ndarray | None = None
        self.saves = np.zeros(items.cost.shape, dtype=bool)
        self._items, self._rest, self._slack, self._beam = items, rest, slack, beam
        self._base, self._has_base = base_cost, has_base
        self.limit = np.array(known, dtype=np.float64)
        self.dropped = np.full(len(rest), np.inf)
        self._covers: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def run(self, wanted: np.ndarray) -> None:
        """Go through the items from the dearest to the cheapest, over the stages ``wanted``."""
        items = self._items
        width = items.cost.shape[1]
        stage = np.flatnonzero(wanted)
        if self.margin is None:
            self._single_replicas(stage)
            self._two_items(stage)
        useful: np.ndarray = self._useful(stage)
        rest, cost = self._rest[stage], self._base[stage]
        count = np.zeros((len(stage), width), dtype=np.int32)
        self._complete(stage, rest, cost, count, self._has_base[stage])
        for level in range(int(np.flatnonzero(useful.any(axis=0)).max(initial=-1)), -1, -1):
            moving = useful[stage, level]
            grown = self._take(level, stage[moving], rest[moving], cost[moving], count[moving])
            kept: tuple[np.ndarray, ...] = (stage, rest, cost, count)
            states = [np.concatenate([old[~moving], new]) for old, new in zip(kept, grown, strict=True)]
            stage, rest, cost, count = self._prune(level, *states)

    def take_gains(self, stage: np.ndarray) -> None:
        """Covers of stages without demand: what pays for itself."""
        self._keep(stage, self._base[stage], np.zeros((len(stage), self._items.cost.shape[1]), dtype=np.int32))

    def _single_replicas(self, stage: np.ndarray) -> None:
        """Covers of one replica, whatever it serves: where items dearer than shortage have their place."""
        items = self._items
        short = np.maximum(self._rest[:, None] - items.rate, 0.0)
        short = np.where(short <= self._slack[:, None], 0.0, short)
        value = self._base[:, None] + items.cost + items.price[:, None] * short
        value = np.where(items.bound > 0, value, np.inf)
        best = value.argmin(axis=1)[stage]
        count = np.zeros((len(stage), items.cost.shape[1]), dtype=np.int32)
        count[np.arange(len(stage)), best] = 1
        self._keep(stage, value[stage, best], count)

    def _two_items(self, stage: np.ndarray) -> None:
        """Good covers to begin with: the cheapest items in full, few replicas of one item, the rest of the next."""
        items, (_, width) = self._items, self._items.cost.shape
        full = np.minimum((items.full_rate[stage, 1:] < self._rest[stage, None]).sum(axis=1), width - 1)
        rest = self._rest[stage] - items.full_rate[stage, full]
        start = self._base[stage] + items.full_cost[stage, full]
        main_rate, main_cost = items.rate[stage, full], items.cost[stage, full]
        for few in range(FEW + 1):
            left = np.maximum(rest[:, None] - few * items.rate[stage], 0.0)
            for up in (0, 1):
                copies = np.floor((left - self._slack[stage, None]) / main_rate[:, None]) + up
                copies = np.clip(copies, 0, items.bound[stage, full, None])
                short = np.maximum(left - copies * main_rate[:, None], 0.0)
                short = np.where(short <= self._slack[stage, None], 0.0, short)
                value = few * np.where(items.bound[stage] > 0, items.cost[stage], np.inf) if few else 0.0
                value = value + copies * np.where(copies > 0, main_cost[:, None], 0.0)
                value = value + start[:, None] + items.price[stage, None] * short
                taken = few + np.where(np.arange(width) == full[:, None], copies, 0.0)
                outside = (np.arange(width) < full[:, None]) | (taken > items.bound[stage])
                value = np.where(outside & (few > 0), np.inf, value)
                best = value.argmin(axis=1)
                row = np.arange(len(stage))
                before = (np.arange(width) < full[:, None]) & items.pays[stage]
                count = np.where(before, items.bound[stage], 0).astype(np.int32)
                count[row, full] += copies[row, best].astype(np.int32)
                if few:
                    count[row, best] += few
                some = count.any(axis=1)
                self._keep(stage[some], value[row, best][some], count[some])

    def _useful(self, stage: np.ndarray) -> np.ndarray:
        """``[stage, item]`` whether a cover with the item can be cheaper than the limit."""
        items = self._items
        out = np.zeros(items.cost.shape, dtype=bool)
        width = items.cost.shape[1]
        for item in range(width):
            there = stage[items.bound[stage, item] > 0]
            if there.size == 0:
                continue
            least = items.cost[there, item] + items.fill(there, width, self._rest[there] - items.rate[there, item])
            out[there, item] = self._base[there] + least < self.limit[there]
        return out

    def _take(
        self, level: int, stage: np.ndarray, rest: np.ndarray, cost: np.ndarray, count: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Every number of replicas of one item, as far as it may pay."""
        items = self._items
        rate, each = items.rate[stage, level], items.cost[stage, level]
        enough = np.ceil((rest - self._slack[stage]) / rate)
        # Kept replicas save what draining them costs, so a plan with room to spare may keep more than demand needs.
        enough = np.where(self.saves[stage, level], items.bound[stage, level], np.maximum(enough, 0.0))
        cheapest = np.minimum(items.cost[stage, 0] / items.rate[stage, 0], items.price[stage])
        waste = each - rate * cheapest
        budget = np.maximum(self.limit[stage] - cost - cheapest * rest, 0.0)
        wasteful = waste > 1e-12 * each
        affordable = np.where(wasteful, np.floor(budget / np.where(wasteful, waste, 1.0) + 1e-9), np.inf)
        most = np.minimum(np.minimum(enough, items.bound[stage, level]), affordable).astype(np.int64)
        again = np.repeat(np.arange(len(stage)), most + 1)
        first = np.cumsum(most + 1) - (most + 1)
        number = np.arange(len(again)) - first[again]
        stage, rest = stage[again], rest[again] - number * rate[again]
        cost = cost[again] + number * each[again]
        rest = np.where(rest <= self._slack[stage], 0.0, rest)
        likely = cost + items.fill(stage, level, rest) < self.limit[stage]
        stage, rest, cost, again, number = stage[likely], rest[likely], cost[likely], again[likely], number[likely]
        count = count[again]
        count[:, level] = number
        self._complete(stage, rest, cost, count, number > 0)
        return stage, rest, cost, count

    def _prune(
        self, level: int, stage: np.ndarray, rest: np.ndarray, cost: np.ndarray, count: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Keep the partial choices that can still lead to a cheaper cover."""
        least = cost + self._items.fill(stage, level, rest)
        open_ = ((rest > 0.0) | self.saves[stage, :level].any(axis=1)) & (least < self.limit[stage])
        stage, rest, cost, count, least = (a[open_] for a in (stage, rest, cost, count, least))
        order = np.lexsort((cost, rest, stage))
        offset = 2.0 * (1.0 + np.abs(cost).max(initial=0.0))
        lowered = cost[order] - stage[order] * offset
        before = np.concatenate([[np.inf], np.minimum.accumulate(lowered)[:-1]]) if len(order) else lowered
        # What another undercuts by all of the margin, and has no less to fill, leads to nothing within the margin.
        order = order[lowered < before + (0.0 if self.margin is None else self.margin[stage[order]])]
        order = self._best_of(order, stage, least)
        return stage[order], rest[order], cost[order], count[order]

    def _best_of(self, order: np.ndarray, stage: np.ndarray, least: np.ndarray) -> np.ndarray:
        """At most ``beam`` choices of each stage, those with the least bound."""
        if len(order) <= self._beam:
            return order
        ranked = order[np.lexsort((least[order], stage[order]))]
        owner = stage[ranked]
        first = np.searchsorted(owner, owner, side="left")
        over = np.arange(len(ranked)) - first >= self._beam
        np.minimum.at(self.dropped, owner[over], least[ranked[over]])
        return ranked[~over]

    def _complete(
        self, stage: np.ndarray, rest: np.ndarray, cost: np.ndarray, count: np.ndarray, chosen: np.ndarray
    ) -> None:
        """Take the ``chosen`` partial choices as covers, with the remainder bought."""
        stage = stage[chosen]
        self._keep(stage, cost[chosen] + self._items.price[stage] * rest[chosen], count[chosen])

    def _keep(self, stage: np.ndarray, value: np.ndarray, count: np.ndarray) -> None:
        better = value < self.limit[stage]
        if not better.any():
            return
        self._covers.append((stage[better], value[better], count[better]))
        if self.margin is None:
            np.minimum.at(self.limit, stage[better], value[better])

    def found(self, keep: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """``[cover]`` stage, value and counts by sorted item: the best few of each stage."""
        width = self._items.cost.shape[1]
        if not self._covers:
            return np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros((0, width), dtype=np.int32)
        stage, value, count = (np.concatenate(parts) for parts in zip(*self._covers))
        order = np.lexsort((value, stage))
        owner = stage[order]
        rank = np.arange(len(order)) - np.searchsorted(owner, owner, side="left")
        np.minimum.at(self.dropped, owner[rank >= keep], value[order[rank >= keep]])
        order = order[rank < keep]
        return stage[order], value[order], count[order]
