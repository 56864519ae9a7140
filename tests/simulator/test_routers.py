"""Each router against its rule stated in a few lines of Python, over random pools that change all the time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.kernel.compiled import compiled
from simulator.kernel.pools import change_cost, least_other
from simulator.kernel.routers import choose
from simulator.plan import ROUTERS, StagePlan
from simulator.pools import PoolLayout
from simulator.routers import register

SEED = 7


@compiled
def choose_one(pools, stage, site, user, request_id):
    return choose(pools, stage, site, user, np.uint64(7), request_id, np.uint64(1))


@compiled
def change_one(pools, stage, position, change):
    change_cost(pools, stage, position, change)


@compiled
def choose_other(pools, stage, site, position):
    return least_other(pools, stage, site, position)


@register("two-of-the-user")
def two_of_the_user(outstanding, weight, first, size, user, draw):
    one, other = first + user % size, first + (user // size) % size
    return other if outstanding[other] < outstanding[one] else one


# --- the page's section "Routers", once more --------------------------------------------------------------


def mix(x: int) -> int:
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) % 2**64
    return x ^ (x >> 31)


GOLDEN = 0x9E3779B97F4A7C15


def h(x: int, salt: int) -> float:
    return (mix((x + GOLDEN * salt) % 2**64) >> 11) / 2**53


def draw_of(request_id: int, which: int) -> float:
    stream = mix((SEED + GOLDEN * (request_id + 1)) % 2**64)
    return (mix((stream + GOLDEN * (1 + 2**48 * which)) % 2**64) >> 11) / 2**53


@dataclass
class Member:
    slot: int
    site: int
    weight: float
    outstanding: int = 0


@dataclass
class Model:
    """One pool, as a list."""

    stage: StagePlan
    is_up: np.ndarray
    fastest: float
    members: list[Member] = field(default_factory=list)
    counter: int = 0

    def reached(self, site: int) -> list[Member]:
        pool = sorted(self.members, key=lambda m: (m.site, m.slot))
        return [m for m in pool if m.site == site or self.is_up[site, m.site]]

    def unit(self, member: Member) -> int:
        return round(1024 * self.fastest / member.weight)

    def choose(self, site: int, user: int, request_id: int) -> Member | None:
        pool = self.reached(site)
        return getattr(self, self.stage.router)(pool, site, user, request_id) if pool else None

    def least_outstanding(self, pool: list[Member], *_: int) -> Member:
        return min(pool, key=lambda m: m.outstanding)

    def weighted(self, pool: list[Member], *_: int) -> Member:
        return min(pool, key=lambda m: (m.outstanding + 1) * self.unit(m))

    def round_robin(self, pool: list[Member], *_: int) -> Member:
        self.counter += 1
        return pool[(self.counter - 1) % len(pool)]

    def power_of_two(self, pool: list[Member], site: int, user: int, request_id: int) -> Member:
        one, other = (pool[math.floor(draw_of(request_id, d) * len(pool))] for d in (1, 2))
        return other if other.outstanding < one.outstanding else one

    def limit(self, pool: list[Member]) -> int:
        return math.ceil((1 + self.stage.hash_bound) * (sum(m.outstanding for m in pool) + 1) / len(pool))

    def consistent_hash(self, pool: list[Member], site: int, user: int, request_id: int) -> Member:
        ring = sorted((h(m.slot, 16 + i), place) for place, m in enumerate(pool) for i in range(64))
        at = h(user, 3)
        upwards = [p for x, p in ring if x >= at] + [p for x, p in ring if x < at]
        return next(pool[p] for p in upwards if pool[p].outstanding + 1 <= self.limit(pool))

    def locality(self, pool: list[Member], site: int, *_: int) -> Member:
        mine = [m for m in pool if m.site == site]
        others = [m for m in pool if m.site != site]
        if not mine:
            return self.least_outstanding(others)
        least, spill = self.least_outstanding(mine), self.stage.spill_outstanding
        if spill and least.outstanding >= spill and others:
            other = self.least_outstanding(others)
            return other if other.outstanding < least.outstanding else least
        return least

    def function(self, pool: list[Member], site: int, user: int, request_id: int) -> Member:
        outstanding = np.array([m.outstanding for m in pool])
        return pool[two_of_the_user(outstanding, None, 0, len(pool), user, 0.5)]

    def other(self, site: int, but: Member) -> Member | None:
        pool = [m for m in self.reached(site) if m is not but]
        return self.least_outstanding(pool) if pool else None


class Both:
    """A pool laid out for the kernel beside the model of it; the stages around it must not matter."""

    def __init__(self, stage: StagePlan, is_up: np.ndarray, fastest: float = 4.0) -> None:
        around = StagePlan(0, 1, 0.0, "least_outstanding")
        self.model = Model(stage, is_up, fastest)
        self.layout = PoolLayout((around, stage, around), len(is_up), fastest)
        self.layout.set_reach(is_up | np.eye(len(is_up), dtype=bool))
        self.position: dict[int, int] = {}
        self.layout.rebuild(2, *(np.arange(3), np.zeros(3, int), np.zeros(3, int), np.ones(3)))

    def lay(self, members: Sequence[Member]) -> None:
        self.model.members = list(members)
        columns = [np.array([getattr(m, n) for m in members], int) for n in ("slot", "site", "outstanding")]
        position = self.layout.rebuild(1, *columns, np.array([m.weight for m in members]))
        self.position = {m.slot: int(p) for m, p in zip(members, position)}

    def change(self, member: Member, change: int) -> None:
        member.outstanding += change
        change_one(self.layout.state, 1, self.position[member.slot], change)

    def slot(self, position: int) -> int | None:
        return None if position < 0 else int(self.layout.state.members["slot"][position])

    def choose(self, site: int, user: int, request_id: int) -> Member | None:
        """The model's choice, after the kernel's was found to be the same."""
        with np.errstate(over="ignore"):
            found = self.slot(choose_one(self.layout.state, 1, site, user, request_id))
        expected = self.model.choose(site, user, request_id)
        assert found == (None if expected is None else expected.slot)
        return expected


def random_members(rng: np.random.Generator, count: int, sites: int) -> list[Member]:
    slots = rng.permutation(3 * count + 1)[:count]
    return [Member(int(s), int(rng.integers(sites)), float(rng.choice([1.0, 2.0, 3.3, 4.0]))) for s in slots]


def play(both: Both, rng: np.random.Generator, steps: int, sites: int) -> None:
    """Route, complete and hedge at random."""
    busy: list[Member] = []
    for request_id in range(steps):
        if busy and rng.random() < 0.4:
            both.change(busy.pop(int(rng.integers(len(busy)))), -1)
        site = int(rng.integers(sites))
        chosen = both.choose(site, int(rng.integers(2**40)), request_id)
        if chosen is not None:
            both.change(chosen, 1)
            busy.append(chosen)
            if both.model.stage.hedge_after_s > 0:
                other = choose_other(both.layout.state, 1, site, both.position[chosen.slot])
                expected = both.model.other(site, chosen)
                assert both.slot(other) == (None if expected is None else expected.slot)


@pytest.mark.parametrize("router", ROUTERS)
@settings(max_examples=12, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32), hedged=st.booleans())
def test_the_kernel_follows_the_rule(router: str, seed: int, hedged: bool) -> None:
    rng = np.random.default_rng(seed)
    sites = 1 if router == "function" else int(rng.integers(1, 4))
    is_up = rng.random((sites, sites)) < 0.6
    stage = StagePlan(
        0, 1, 0.0, router, hash_bound=float(rng.choice([0.0, 0.25, 1.0])), spill_outstanding=int(rng.integers(3)),
        function="two-of-the-user", hedge_after_s=float(hedged),
    )  # fmt: skip
    both = Both(stage, is_up)
    for count in (0, int(rng.integers(1, 6)), int(rng.integers(1, 40)), 3):  # grown, and shrunk again
        both.lay(random_members(rng, count, sites))
        play(both, rng, 40, sites)


@pytest.mark.parametrize("count", [1, 2, 3, 64, 65, 700])
def test_pools_of_many_levels_keep_their_least(count: int) -> None:
    rng = np.random.default_rng(count)
    both = Both(StagePlan(0, 1, 0.0, "weighted", hedge_after_s=1.0), np.ones((1, 1), bool))
    members = random_members(rng, count, 1)
    for member in members:
        member.outstanding = int(rng.integers(4))
    both.lay(members)
    play(both, rng, 200, 1)


def test_slow_replicas_with_long_queues_are_weighed_without_overflow() -> None:
    both = Both(StagePlan(0, 1, 0.0, "weighted"), np.ones((1, 1), bool), fastest=5e7)
    both.lay([Member(0, 0, 10.0, 20_001), Member(1, 0, 7.0, 100), Member(2, 0, 5.0, 60)])
    for request_id in range(8):
        chosen = both.choose(0, 0, request_id)
        assert chosen is not None
        both.change(chosen, 1)


# --- what consistent hashing and two choices promise ------------------------------------------------------


def hashed_pool(count: int, bound: float) -> Both:
    both = Both(StagePlan(0, 1, 0.0, "consistent_hash", hash_bound=bound), np.ones((1, 1), bool))
    both.lay([Member(slot, 0, 1.0) for slot in range(count)])
    return both


def choices(both: Both, users: int) -> np.ndarray:
    with np.errstate(over="ignore"):
        found = [both.slot(choose_one(both.layout.state, 1, 0, user, 0)) for user in range(users)]
    return np.array(found)


def test_no_replica_is_given_more_than_its_bound() -> None:
    both = hashed_pool(10, 0.25)
    rng = np.random.default_rng(1)
    users = rng.zipf(1.5, 600)  # a few users make most of the load
    for request_id, user in enumerate(users):
        total = sum(m.outstanding for m in both.model.members) + 1
        chosen = both.choose(0, int(user), request_id)
        assert chosen is not None
        both.change(chosen, 1)
        assert chosen.outstanding <= math.ceil(1.25 * total / 10)


def test_hashing_spreads_users_evenly_and_a_leaver_moves_its_own_alone() -> None:
    both = hashed_pool(10, 1e9)
    before = choices(both, 3000)
    shares = np.bincount(before, minlength=10) / 3000
    assert np.all(np.abs(shares - 0.1) < 5 * math.sqrt(0.01 / 64 + 0.1 / 3000))  # arcs of 64 points; counts of users
    both.lay([m for m in both.model.members if m.slot != 4])
    after = choices(both, 3000)
    assert np.array_equal(after[before != 4], before[before != 4])
    assert len(np.unique(after[before == 4])) > 3  # and these are spread over many


@compiled
def throw(pools, balls, seed):
    for ball in range(balls):
        change_cost(pools, 1, choose(pools, 1, 0, 0, np.uint64(seed), ball, np.uint64(1)), 1)


def test_two_choices_leave_the_fullest_a_double_logarithm_above_the_mean() -> None:
    """Berenbrink et al. (2000): m / n + ln ln n / ln 2 + O(1); one choice: about m / n + sqrt(2 m / n ln n)."""
    bins, balls = 1000, 10_000
    both = Both(StagePlan(0, 1, 0.0, "power_of_two"), np.ones((1, 1), bool))
    both.lay([Member(slot, 0, 1.0) for slot in range(bins)])
    with np.errstate(over="ignore"):
        throw(both.layout.state, balls, 7)
    two = int(both.layout.state.outstanding.max())
    one = int(np.bincount(np.random.default_rng(1).integers(bins, size=balls)).max())
    assert two <= balls / bins + math.log(math.log(bins)) / math.log(2) + 2
    assert one >= balls / bins + 0.6 * math.sqrt(2 * balls / bins * math.log(bins))
