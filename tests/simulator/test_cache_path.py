"""Result caches on the request path: worked out by hand, on a real key stream, and under failures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from simulator.caches import levels_of
from simulator.fleet import Fleet
from simulator.kernel.cache_state import RECORD_MISS, RECORD_WAIT
from simulator.kernel.draws import hashes
from simulator.kernel.state import COMPLETED, FAILED
from simulator.latency_tables import LatencyTable
from simulator.plan import (
    BatchRule,
    CacheLevelPlan,
    CachePlan,
    FleetPlan,
    LinkPlan,
    RecordPlan,
    ServicePlan,
    SitePlan,
    StagePlan,
)
from workloads.data_folder import data_folder
from workloads.trace import TraceBlock

EVER = float("inf")


def plan_of(cache: CachePlan, *, latency_s: float = 1.0, sites: int = 1, **service: object) -> FleetPlan:
    """One stage, batches of one request that take as long whatever they hold, no network but between sites."""
    table = LatencyTable(np.array([1]), np.array([0.5]), np.array([[latency_s]]), np.zeros(1))
    return FleetPlan(
        stages=(StagePlan(0, 1, 0.0, "least_outstanding"),),
        rules=(BatchRule(0, False, 1, 0.0, 0),),
        tables=(table,),
        nic_bytes_per_s=np.full(sites, 1e300),
        hop_delay_s=0.0,
        services=(ServicePlan(2.0, cache=cache, **service),),  # type: ignore[arg-type]
        noise_seed=1,
        sites=(SitePlan(),) * sites,
        node_site=np.arange(sites),
        links={(a, b): LinkPlan(0.0, 0.0, 0.25) for a in range(sites) for b in range(sites) if a != b},
    )


def block_of(arrival_s: Sequence[float], item: Sequence[int], user: Sequence[int] | None = None) -> TraceBlock:
    rows = len(arrival_s)
    zeros = np.zeros(rows, np.int32)
    users = np.zeros(rows, np.int64) if user is None else np.array(user, np.int64)
    return TraceBlock(0, np.array(arrival_s), np.zeros(rows, np.int16), zeros, zeros, users, np.array(item, np.int64))


def serve(plan: FleetPlan, block: TraceBlock, replicas: int = 8, preloaded: Sequence[int] = ()) -> Fleet:
    fleet = Fleet(plan, iter([block]), RecordPlan(len(block)))
    fleet.activate(*[fleet.add_replica(0, 0, node % len(plan.node_site)) for node in range(replicas)])
    if preloaded:
        fleet.preload(0, 0, np.array(preloaded))
    fleet.finish()
    return fleet


def told(fleet: Fleet) -> tuple[list[int], list[float]]:
    """What each request found in the cache, and when it was answered."""
    outcome = fleet.state.record.outcome
    assert (outcome["status"] == COMPLETED).all()
    return outcome["cache"].tolist(), outcome["done_s"].tolist()


def count(fleet: Fleet, name: str) -> list[int]:
    assert fleet.whole is not None
    return fleet.whole.caches.level[name].tolist()


def test_a_miss_fills_and_a_hit_takes_the_time_of_its_level() -> None:
    cache = CachePlan("item", (CacheLevelPlan(1, 0.125), CacheLevelPlan(8, 0.5)))
    fleet = serve(plan_of(cache), block_of([0, 2, 4, 6, 8], [1, 1, 2, 1, 1]))
    assert told(fleet) == ([RECORD_MISS, 1, RECORD_MISS, 2, 1], [1.0, 2.125, 5.0, 6.5, 8.125])
    assert count(fleet, "hits") == [2, 1]
    assert count(fleet, "misses") == [3, 2]
    assert count(fleet, "evicted") == [2, 0]


def test_identical_misses_wait_for_the_first() -> None:
    cache = CachePlan("item", (CacheLevelPlan(8, 0.125),))
    fleet = serve(plan_of(cache), block_of([0, 0.5, 0.75, 0.75, 1.0], [1, 1, 1, 2, 1]))
    found, done_s = told(fleet)
    assert found == [RECORD_MISS, RECORD_WAIT, RECORD_WAIT, RECORD_MISS, 1]
    assert done_s == [1.0, 1.0, 1.0, 1.75, 1.125]
    assert count(fleet, "coalesced") == [2]
    assert fleet.state.tables["requests"].sum() == 2


def test_without_coalescing_each_miss_goes_on() -> None:
    cache = CachePlan("item", (CacheLevelPlan(8),), coalesces=False)
    fleet = serve(plan_of(cache), block_of([0, 0.5], [1, 1]))
    assert told(fleet) == ([RECORD_MISS, RECORD_MISS], [1.0, 1.5])
    assert fleet.state.tables["requests"].sum() == 2


def test_an_old_entry_is_a_miss() -> None:
    cache = CachePlan("item", (CacheLevelPlan(8, ttl_s=3.0),))
    fleet = serve(plan_of(cache), block_of([0, 3.5, 4.0], [1, 1, 1]))
    assert told(fleet) == ([RECORD_MISS, 1, RECORD_MISS], [1.0, 3.5, 5.0])
    assert (count(fleet, "expired"), count(fleet, "misses")) == ([1], [2])


def test_a_hit_that_is_due_sends_one_refresh() -> None:
    """Filled at 1, due from 3: the hits at 3 and 3.5 send one, which is home at 4; that at 5 is fresh."""
    cache = CachePlan("item", (CacheLevelPlan(8, refresh_after_s=2.0),))
    fleet = serve(plan_of(cache), block_of([0, 3, 3.5, 5], [1, 1, 1, 1]))
    assert told(fleet) == ([RECORD_MISS, 1, 1, 1], [1.0, 3.0, 3.5, 5.0])
    assert count(fleet, "refreshed") == [1]
    service = fleet.state.services[0]
    assert (service["arrived"], service["completed"]) == (4, 4)
    assert (service["background_started"], service["background_ended"]) == (1, 1)
    assert fleet.state.tables["requests"].sum() == 2


def test_a_miss_prefetches_the_keys_that_follow() -> None:
    """Keys 2 and 3 come with 1; the miss on 2 waits for its prefetch, which does not prefetch, but the miss does: 4."""
    cache = CachePlan("item", (CacheLevelPlan(8),), prefetch=2)
    fleet = serve(plan_of(cache), block_of([0, 0.5, 1.0, 1.5], [1, 2, 3, 4]))
    assert told(fleet) == ([RECORD_MISS, RECORD_WAIT, 1, 1], [1.0, 1.0, 1.0, 1.5])
    assert count(fleet, "prefetched") == [3]
    assert fleet.state.services[0]["background_ended"] == 3


def test_preloaded_keys_hit_at_once() -> None:
    cache = CachePlan("user_item", (CacheLevelPlan(8, ttl_s=10.0),))
    key = 3 * 2**32 + 7
    fleet = serve(plan_of(cache), block_of([0, 9, 10], [7, 7, 7], [3, 3, 3]), preloaded=[key])
    assert told(fleet)[0] == [1, 1, RECORD_MISS]


def test_levels_of_sites_and_shared_ones() -> None:
    """Every user's home is site 1; the second level is one for both sites."""
    cache = CachePlan("item", (CacheLevelPlan(1), CacheLevelPlan(4, is_shared=True)))
    plan = plan_of(cache, sites=2, home_shares=(0.0, 1.0))
    fleet = serve(plan, block_of([0, 2, 4], [1, 2, 1]))
    assert fleet.whole is not None
    assert [levels_of(fleet.whole.caches, 0, level).tolist() for level in range(2)] == [[0, 1], [2, 2]]
    assert told(fleet)[0] == [RECORD_MISS, RECORD_MISS, 2]
    assert count(fleet, "misses") == [0, 3, 2]


def test_those_who_wait_fail_with_the_one_they_wait_for() -> None:
    cache = CachePlan("item", (CacheLevelPlan(8),))
    fleet = Fleet(plan_of(cache), iter([block_of([0, 0.25, 0.25, 2], [1, 1, 2, 1])]), RecordPlan(4))
    fleet.activate(fleet.add_replica(0, 0, 0), fleet.add_replica(0, 0, 0))
    fleet.advance(0.5)
    assert fleet.in_flight().tolist() == [3]
    fleet.fail(0)
    assert fleet.in_flight().tolist() == [1]
    outcome = fleet.state.record.outcome
    assert outcome["status"].tolist()[:2] == [FAILED, FAILED]
    assert outcome["done_s"].tolist()[:2] == [0.5, 0.5]
    fleet.finish()
    assert outcome["status"].tolist() == [FAILED, FAILED, COMPLETED, COMPLETED]
    assert outcome["cache"].tolist() == [RECORD_MISS, RECORD_WAIT, RECORD_MISS, RECORD_MISS]


def test_cleared_caches_are_cold() -> None:
    cache = CachePlan("item", (CacheLevelPlan(8),))
    fleet = Fleet(plan_of(cache), iter([block_of([0, 2, 4], [1, 1, 1])]), RecordPlan(3))
    fleet.activate(fleet.add_replica(0, 0, 0))
    fleet.advance(3.0)
    fleet.clear_caches()
    fleet.finish()
    assert told(fleet)[0] == [RECORD_MISS, 1, RECORD_MISS]


def test_more_keys_in_flight_than_the_table_held_at_first() -> None:
    rows = 3000
    cache = CachePlan("item", (CacheLevelPlan(8),), prefetch=1)
    keys = np.tile(np.arange(0, rows, 2), 2)
    fleet = serve(plan_of(cache), block_of(np.linspace(0, 0.5, 2 * len(keys) // 2), keys), replicas=4)
    found = np.array(told(fleet)[0])
    assert (found[: rows // 2] == RECORD_MISS).all()
    assert (found[rows // 2 :] == RECORD_WAIT).all()
    assert fleet.whole is not None
    assert fleet.whole.caches.flights[0] == 0
    assert not fleet.whole.caches.flight["count"].any()


def _spaced(keys: np.ndarray, rows: int = 65_536) -> Iterator[TraceBlock]:
    for first in range(0, len(keys), rows):
        some = keys[first : first + rows]
        block = block_of(first + np.arange(len(some), dtype=float), some)
        yield TraceBlock(first, *(getattr(block, name) for name in _COLUMNS))


_COLUMNS = ("arrival_s", "service", "items", "bytes_in", "user", "item")


@pytest.mark.data
@pytest.mark.skipif(data_folder() is None, reason="no folder of real traces (RECFLEET_DATA)")
@pytest.mark.parametrize(("entries", "rate"), [(1_000, 0.2720), (10_000, 0.4868), (50_000, 0.6862)])
def test_hit_rates_of_a_real_key_stream_through_the_fleet(entries: int, rate: float) -> None:
    """A request a second, served in a millisecond: each ends before the next."""
    import pyarrow.parquet as pq

    folder = data_folder()
    assert folder is not None
    keys = pq.read_table(folder / "cache_scarab_recs.parquet")["key"].to_numpy()
    fleet = Fleet(plan_of(CachePlan("item", (CacheLevelPlan(entries),)), latency_s=1e-3), _spaced(keys))
    fleet.activate(fleet.add_replica(0, 0, 0))
    fleet.finish()
    assert fleet.state.services["completed"][0] == len(keys)
    assert round(count(fleet, "hits")[0] / len(keys), 4) == rate
    assert count(fleet, "coalesced") == [0]


def test_a_result_that_another_site_shared_meanwhile_is_kept_once() -> None:
    cache = CachePlan("item", (CacheLevelPlan(8), CacheLevelPlan(8, is_shared=True)))
    plan = plan_of(cache, sites=2, home_shares=(0.5, 0.5))
    homes = np.floor(2 * hashes(np.arange(100), np.array([1]))[:, 0]).astype(int)
    here, there = np.flatnonzero(homes == 0)[0], np.flatnonzero(homes == 1)[0]
    # The other site's result is shared at 1.5; at 1.75 it is copied here, where one's own is on its way until 2.0.
    fleet = serve(plan, block_of([0, 1.0, 1.75], [1, 1, 1], [there, here, here]))
    assert told(fleet) == ([RECORD_MISS, RECORD_MISS, 2], [1.5, 2.0, 1.75])
    assert count(fleet, "filled") == [1, 1, 1]
