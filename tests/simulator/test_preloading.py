"""Caches filled before the start: the keys asked for most, counted by hand, each site's own in a site's own cache."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from simulator.cache_counts import CacheCounts
from simulator.caches import build_caches, levels_of
from simulator.plan import CacheLevelPlan, CachePlan
from simulator.preloading import ANOTHER_DAY, hottest_keys, preload_caches
from simulator.scenario import Scenario
from simulator.trace_columns import columns_needed
from tests.oracle.draws import share
from tests.simulator.mini import load_mini
from tests.simulator.rich import RICH

CATALOGUE = {
    "users: {count: 500, zipf_s: 1.0}": "users: {count: 60, zipf_s: 1.0}\n      catalogue: {count: 9, zipf_s: 0.5}"
}


class Filled:
    """Keeps what it is told to preload."""

    def __init__(self) -> None:
        self.calls: dict[tuple[int, int, int | None], list[int]] = {}

    def preload(self, service: int, level: int, keys: np.ndarray, site: int | None = None) -> None:
        self.calls[service, level, site] = keys.tolist()


def rich(folder: Path, key: str) -> Scenario:
    return load_mini(folder, RICH | CATALOGUE | {"key: user\n": f"key: {key}\n"})


def by_hand(scenario: Scenario, key: str, most: int) -> tuple[list[int], list[list[int]]]:
    """The hottest keys of everyone, and of each site's users, of the first 100 s of another draw, the hottest last."""
    everyone: Counter[int] = Counter()
    at_site: list[Counter[int]] = [Counter(), Counter()]
    for block in scenario.trace_for(3 + ANOTHER_DAY).blocks(columns=("user", "item")):
        assert block.user is not None
        assert block.item is not None
        for arrival_s, service, user, item in zip(block.arrival_s, block.service, block.user, block.item):
            if service == 0 and arrival_s < 100.0:
                what = {"user": int(user), "item": int(item), "user_item": int(user) * 2**32 + int(item)}[key]
                everyone[what] += 1
                at_site[share(int(user), 1) >= 0.7][what] += 1

    def hottest(counts: Counter[int]) -> list[int]:
        return sorted(counts, key=lambda k: (counts[k], -k))[-most:]

    return hottest(everyone), [hottest(counts) for counts in at_site]


@pytest.mark.parametrize("key", ["user", "item", "user_item"])
def test_the_hottest_keys_of_each_site(tmp_path: Path, key: str) -> None:
    scenario, fleet = rich(tmp_path, key), Filled()
    preload_caches(fleet, scenario, seed=3)  # type: ignore[arg-type]
    everyone, at_site = by_hand(scenario, key, 20)
    assert fleet.calls == {(0, 0, 0): at_site[0], (0, 0, 1): at_site[1], (0, 1, None): everyone}


def test_a_level_takes_what_it_holds(tmp_path: Path) -> None:
    small = {"entries: 50": "entries: 3"}
    scenario, fleet = load_mini(tmp_path, RICH | CATALOGUE | small), Filled()
    preload_caches(fleet, scenario, seed=3)  # type: ignore[arg-type]
    _, at_site = by_hand(scenario, "user", 3)
    assert [fleet.calls[0, 0, site] for site in (0, 1)] == at_site
    assert len(fleet.calls[0, 1, None]) == 20


def test_ties_and_too_few_keys() -> None:
    assert hottest_keys(np.array([7, 3, 7, 5, 3, 9]), 3).tolist() == [5, 7, 3]
    assert hottest_keys(np.array([7, 3, 7]), 10).tolist() == [3, 7]
    assert hottest_keys(np.zeros(0, np.int64), 10).tolist() == []


def test_nothing_is_read_where_nothing_needs_it(mini: Scenario) -> None:
    fleet = Filled()
    preload_caches(fleet, mini, seed=3)  # type: ignore[arg-type]
    assert fleet.calls == {}
    assert columns_needed(mini) == ()


@pytest.mark.parametrize(
    ("key", "columns"), [("user", ("user",)), ("item", ("user", "item")), ("user_item", ("user", "item"))]
)
def test_columns_that_the_path_looks_at(tmp_path: Path, key: str, columns: tuple[str, ...]) -> None:
    """Homes and priorities go by user in any case."""
    assert columns_needed(rich(tmp_path, key)) == columns


# --- what passes the caches ------------------------------------------------------------------------------


def test_hits_and_those_that_waited_do_not_pass_and_background_requests_do() -> None:
    two = CachePlan("user", (CacheLevelPlan(4), CacheLevelPlan(9, is_shared=True)))
    caches = build_caches([None, two], 2)
    own, shared = levels_of(caches, 1, 0), levels_of(caches, 1, 1)
    caches.level["hits"][own] = [5, 7]
    caches.level["hits"][shared[0]] = 11
    caches.level["coalesced"][own] = [2, 1]
    services = np.zeros(2, [("background_started", "i8")])
    services["background_started"] = [0, 4]
    fleet: Any = SimpleNamespace(state=SimpleNamespace(services=services), whole=SimpleNamespace(caches=caches))
    assert CacheCounts(fleet).passed().tolist() == [0, 4 - 5 - 7 - 11 - 3]
