"""Result caches alone: against a model of ordered dictionaries, a real trace's known hit rates, and theory."""

from __future__ import annotations

from collections import OrderedDict, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.caches import build_caches, clear, grow_flights, levels_of, lru_hit_rate, preload
from simulator.kernel.cache import MISS, replay
from simulator.kernel.cache_state import FLIGHT, Caches
from simulator.kernel.compiled import compiled
from simulator.kernel.flight import end_flight, find_flight, start_flight
from simulator.kernel.state import NOBODY
from simulator.plan import CacheLevelPlan, CachePlan
from workloads.data_folder import data_folder

INFINITE = float("inf")


class Model:
    """The levels of one service as dictionaries from key to time of filling, most recent last."""

    def __init__(self, plans: list[CacheLevelPlan]) -> None:
        self.plans = plans
        self.levels: list[OrderedDict[int, float]] = [OrderedDict() for _ in plans]
        self.expired = [0] * len(plans)

    def look_up(self, key: int, now: float) -> tuple[int, bool]:
        for number, (plan, level) in enumerate(zip(self.plans, self.levels)):
            if key in level and now - level[key] >= plan.ttl_s:
                del level[key]
                self.expired[number] += 1
            if key in level:
                level.move_to_end(key)
                for upper in range(number):
                    self.put(upper, key, level[key])
                return number, now - level[key] >= plan.refresh_after_s
        return MISS, False

    def put(self, number: int, key: int, filled_s: float) -> None:
        level = self.levels[number]
        if key not in level and len(level) == self.plans[number].entries:
            level.popitem(last=False)
        level[key] = filled_s
        level.move_to_end(key)

    def fill(self, key: int, now: float) -> None:
        for number in range(len(self.plans)):
            self.put(number, key, now)


def contents(caches: Caches, at: int) -> list[tuple[int, float]]:
    """Keys of a level with their times of filling, least recent first, as its ring has them."""
    level = caches.level[at]
    found = []
    entry = int(caches.entry[int(level.anchor)].previous)
    while entry != level.anchor:
        if caches.entry[entry].filled_s > -INFINITE:
            found.append((int(caches.entry[entry].key), float(caches.entry[entry].filled_s)))
        entry = int(caches.entry[entry].previous)
    assert len(found) == level.filled
    return found


def run(plans: list[CacheLevelPlan], keys: list[int], time_s: list[float]) -> tuple[Caches, np.ndarray, np.ndarray]:
    caches = build_caches([CachePlan("item", tuple(plans))], sites=1)
    level, is_due = np.zeros(len(keys), np.int8), np.zeros(len(keys), np.bool_)
    with np.errstate(over="ignore"):
        replay(caches, np.array(keys, np.int64), np.array(time_s), level, is_due)
    return caches, level, is_due


LEVELS = st.lists(
    st.builds(
        CacheLevelPlan,
        entries=st.integers(1, 6),
        ttl_s=st.sampled_from([1.0, 2.5, INFINITE]),
        refresh_after_s=st.sampled_from([0.5, 1.5, INFINITE]),
    ),
    min_size=1,
    max_size=3,
)
LOOK_UPS = st.lists(st.tuples(st.integers(-1, 12), st.sampled_from([0.0, 0.25, 1.0])), min_size=1, max_size=120)


@settings(max_examples=150, deadline=None)
@given(plans=LEVELS, look_ups=LOOK_UPS)
def test_levels_are_the_models(plans: list[CacheLevelPlan], look_ups: list[tuple[int, float]]) -> None:
    keys = [key * 3**20 for key, _ in look_ups]
    time_s = np.cumsum([step for _, step in look_ups]).tolist()
    caches, level, is_due = run(plans, keys, time_s)
    model = Model(plans)
    for row, (key, now) in enumerate(zip(keys, time_s)):
        found, due = model.look_up(key, now)
        assert (level[row], is_due[row]) == (found, due), row
        if found == MISS or due:
            model.fill(key, now)
    for number in range(len(plans)):
        assert contents(caches, number) == list(model.levels[number].items())
        assert caches.level["hits"][number] == (level == number).sum()
        assert caches.level["expired"][number] == model.expired[number]
    looked = caches.level["hits"] + caches.level["misses"]
    assert looked.tolist() == [len(keys) - ((level >= 0) & (level < number)).sum() for number in range(len(plans))]


@pytest.mark.data
@pytest.mark.skipif(data_folder() is None, reason="no folder of real traces (RECFLEET_DATA)")
@pytest.mark.parametrize(("entries", "rate"), [(1_000, 0.2720), (10_000, 0.4868), (50_000, 0.6862)])
def test_hit_rates_of_a_real_key_stream(entries: int, rate: float) -> None:
    import pyarrow.parquet as pq

    folder = data_folder()
    assert folder is not None
    keys = pq.read_table(folder / "cache_scarab_recs.parquet")["key"].to_numpy()
    assert round(lru_hit_rate(keys, entries), 4) == rate


def test_hit_rate_of_zipf_keys_is_that_of_theory() -> None:
    """Che's approximation (Che, Tung and Wang 2002), exact to a few thousandths at this size."""
    from scipy.optimize import brentq

    share = np.arange(1, 5001.0) ** -0.8
    share /= share.sum()
    entries = 500
    time = brentq(lambda t: (1 - np.exp(-share * t)).sum() - entries, 1, 1e6)
    expected = (share * (1 - np.exp(-share * time))).sum()
    keys = np.random.default_rng(1).choice(len(share), size=400_000, p=share)
    assert lru_hit_rate(keys, entries) == pytest.approx(expected, abs=0.005)


def test_a_level_of_one_entry_holds_the_last_key() -> None:
    assert lru_hit_rate(np.array([5, 5, 6, 5, 6, 6]), 1) == 2 / 6


def test_no_keys_or_no_entries_is_an_error() -> None:
    with pytest.raises(ValueError, match="0 keys, 3 entries"):
        lru_hit_rate(np.array([]), 3)
    with pytest.raises(ValueError, match="2 keys, 0 entries"):
        lru_hit_rate(np.array([1, 2]), 0)


def two_services() -> Caches:
    """The second one has a level at each of three sites and one that is shared; the first has no cache."""
    levels = (CacheLevelPlan(2), CacheLevelPlan(4, is_shared=True))
    return build_caches([None, CachePlan("user", levels)], sites=3)


def test_instances_are_by_site_or_shared() -> None:
    caches = two_services()
    assert levels_of(caches, 1, 0).tolist() == [0, 1, 2]
    assert levels_of(caches, 1, 1).tolist() == [3, 3, 3]
    assert caches.level["entries"].tolist() == [2, 2, 2, 4]


def test_preloaded_keys_are_there_the_last_most_recent() -> None:
    caches = two_services()
    preload(caches, 1, 0, np.array([7, 8, 9]), site=1)
    preload(caches, 1, 1, np.array([7, 8, 9]))
    assert [len(contents(caches, at)) for at in range(4)] == [0, 2, 0, 3]
    assert contents(caches, 1) == [(8, 0.0), (9, 0.0)]


def test_a_site_that_fails_loses_its_own_levels() -> None:
    caches = two_services()
    preload(caches, 1, 0, np.array([1, 2]))
    preload(caches, 1, 1, np.array([1, 2]))
    clear(caches, site=2)
    assert [len(contents(caches, at)) for at in range(4)] == [2, 2, 0, 2]
    preload(caches, 1, 0, np.array([5]), site=2)
    assert contents(caches, 2) == [(5, 0.0)]
    clear(caches)
    assert [len(contents(caches, at)) for at in range(4)] == [0, 0, 0, 0]


@compiled
def step(caches: Caches, where: int, key: int, starts: bool) -> int:
    """Start or end a flight; how many are under way then, negative if anybody waited."""
    if starts:
        start_flight(caches, find_flight(caches.flight, where, key), where, key)
    elif end_flight(caches, where, key) != NOBODY:
        return -1
    return caches.flight[find_flight(caches.flight, where, key)].count


@compiled
def flights_of(caches: Caches, where: int, key: int) -> int:
    return caches.flight[find_flight(caches.flight, where, key)].count


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 8), st.booleans()), max_size=60), st.integers(0, 60))
def test_flights_are_counted_by_key_and_place(steps: list[tuple[int, int, bool]], grown_at: int) -> None:
    caches = two_services()._replace(flight=np.zeros(128, FLIGHT))
    counts: dict[tuple[int, int], int] = defaultdict(int)
    with np.errstate(over="ignore"):
        for number, (where, key, starts) in enumerate(steps):
            if number == grown_at:
                caches = grow_flights(caches)
            if starts or counts[where, key]:
                counts[where, key] += 1 if starts else -1
                assert step(caches, where, np.int64(key), starts) == counts[where, key]
            for (w, k), count in counts.items():
                assert flights_of(caches, w, np.int64(k)) == count
    assert (caches.flight["count"] > 0).sum() == caches.flights[0] == sum(count > 0 for count in counts.values())
