"""Sites, links, caches, tiers, splits, retries, priorities and shared GPUs: from the file to the data plane's plan."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import get_args

import pytest

from simulator.cluster import GIB, resource_index
from simulator.fleet_plan import fleet_plan, number
from simulator.plan import CACHE_KEYS, ROUTERS, FleetPlan
from simulator.scenario import Scenario, load_scenario
from simulator.scenario_cache import CacheFile
from simulator.scenario_fields import RouterName
from tests.simulator.mini import PROFILES, load_mini, write_mini
from tests.simulator.rich import INTERFERENCE, RICH

GPU, GPU_MEMORY, MEMORY = resource_index("gpu"), resource_index("gpu_memory"), resource_index("memory")


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    return load_mini(tmp_path_factory.mktemp("rich"), RICH)


@pytest.fixture(scope="module")
def plan(rich: Scenario) -> FleetPlan:
    return fleet_plan(rich, number(rich), seed=3)


def test_names_are_those_of_the_plan() -> None:
    assert get_args(RouterName) == ROUTERS
    assert get_args(CacheFile.model_fields["key"].annotation) == CACHE_KEYS


def test_a_node_type_of_several_sites_is_one_at_each(rich: Scenario, plan: FleetPlan) -> None:
    assert [(n.name, n.site, n.count) for n in rich.cluster.node_types] == [
        ("box-edge", 0, 6), ("box-centre", 1, 6), ("gpu", 1, 4),
    ]  # fmt: skip
    assert plan.node_site.tolist() == [0] * 6 + [1] * 10
    assert len(plan.nic_bytes_per_s) == 16


def test_links_are_in_seconds_and_bytes(plan: FleetPlan) -> None:
    """compress + ratio / bandwidth + decompress + encrypt + decrypt, for a byte given."""
    link = plan.links[0, 1]
    assert link == plan.links[1, 0]
    assert len(plan.links) == 2
    expected_ns = 1 / 2 + 0.5 * 8 / 4 + 1 / 5 + 2 * 0.5 / 4
    assert link.s_per_byte == pytest.approx(expected_ns * 1e-9)
    assert (link.s_per_message, link.delay_s) == (pytest.approx(7e-6), 0.012)
    edge, centre = plan.sites
    assert edge.access_in == edge.access_out
    assert edge.access_in is not None
    assert (edge.access_in.s_per_byte, edge.access_in.delay_s) == (pytest.approx(1e-9), 0.003)
    assert centre.access_out is not None
    assert (centre.access_out.s_per_byte, centre.access_out.delay_s) == (pytest.approx(4e-9), 0.001)


def test_one_way_links_stay_so(tmp_path: Path) -> None:
    one_way = {"between: [edge, centre]": "one_way: true\n      between: [edge, centre]"}
    scenario = load_mini(tmp_path, RICH | one_way | {"{edge: 0.7, centre: 0.3}": "{centre: 1.0}"})
    assert set(scenario.cluster.network.links) == {(0, 1)}


def test_stages_and_services(plan: FleetPlan) -> None:
    retrieve, rank, ads = plan.stages
    assert (rank.split_items, rank.router, rank.spill_outstanding) == (16, "locality", 3)
    assert (rank.retries, rank.retry_delay_s, rank.hedge_after_s) == (2, 0.004, 0.15)
    assert (retrieve.expire_s, rank.expire_s, ads.expire_s) == (0.9, 0.45, math.inf)
    assert [s.budget_s for s in plan.stages] == pytest.approx([0.24, 0.36, 0.5])
    assert [s.service for s in plan.stages] == [0, 0, 1]
    feed, other = plan.services
    assert (feed.home_shares, feed.class_shares, feed.bytes_out) == ((0.7, 0.3), (0.2, 0.8), 1024)
    assert (other.home_shares, other.class_shares, other.cache) == ((0.0, 1.0), (1.0,), None)
    assert (retrieve.retries, retrieve.hedge_after_s, retrieve.split_items, retrieve.hash_bound) == (0, 0.0, 0, 0.25)


def test_caches(rich: Scenario, plan: FleetPlan) -> None:
    cache = plan.services[0].cache
    assert cache is not None
    assert (cache.key, cache.coalesces, cache.prefetch) == ("user", True, 1)
    first, second = cache.levels
    assert (first.entries, first.hit_s, first.ttl_s, first.refresh_after_s, first.is_shared) == (
        50, 0.0002, 60.0, 30.0, False,
    )  # fmt: skip
    assert (second.entries, second.ttl_s, second.is_shared) == (1048, math.inf, True)
    feed = rich.services[0]
    assert (feed.level_names, feed.preload_keys, feed.preload_seen_s) == (("memory", "L2"), 20, 100.0)
    assert (feed.planned_hit_share, feed.weight, feed.class_names) == (0.25, 3.0, ("paying", "free"))


def test_tiers_keep_their_order(plan: FleetPlan) -> None:
    assert [(t.name, t.bytes_per_s, t.is_shared) for t in plan.tiers] == [
        ("dram", 40e9, False), ("remote", 5e9, True),
    ]  # fmt: skip
    assert [t.delay_s for t in plan.tiers] == pytest.approx([1e-6, 3e-4])


def test_a_file_without_them_says_nothing_of_them(mini: Scenario) -> None:
    plan = fleet_plan(mini, number(mini), seed=3)
    assert len(plan.sites) == 1
    assert plan.sites[0].access_in is None
    assert (plan.links, plan.tiers) == ({}, ())
    assert not plan.node_site.any()
    for service in plan.services:
        assert (service.home_shares, service.class_shares, service.cache) == ((), (1.0,), None)
    for stage in plan.stages:
        assert (stage.split_items, stage.expire_s, stage.retries, stage.hedge_after_s) == (0, math.inf, 0, 0.0)


# --- shared GPUs and larger tables --------------------------------------------------------------------


def shared(folder: Path, changes: dict[str, str]) -> Scenario:
    path = write_mini(folder, changes=changes)
    (folder / "rank.json").write_text(json.dumps(PROFILES["rank.json"] | {"interference": INTERFERENCE}))
    return load_scenario(path)


def test_a_share_of_a_gpu_is_claimed_with_its_whole_memory(tmp_path: Path) -> None:
    scenario = shared(
        tmp_path, {"queue_limit: 12,": "queue_limit: 12, gpu_share: 0.25,", "gpu_memory_gib: 32": "gpu_memory_gib: 80"}
    )
    variant = scenario.services[0].stages[1].variants[0]
    assert variant.most_on_gpu == 4
    assert variant.need()[GPU] == 0.25
    assert variant.need()[GPU_MEMORY] == 10 * GIB


def test_a_gpu_too_small_for_any_replica_has_no_say_in_how_many_share_one(tmp_path: Path) -> None:
    """Neither have nodes that name the device and have no GPU."""
    other = "{name: NAME, count: 1, GPUS, cpu_cores: 8, memory_gib: 32, storage_gbyte_per_s: 1, network_gbit_per_s: 1, \
price_usd_per_hour: 1, boot_s: 1, devices: [{device: mini-gpu}]}"
    small = other.replace("NAME", "small").replace("GPUS", "gpus: 1, gpu_memory_gib: 4")
    none = other.replace("NAME", "none").replace("GPUS", "gpus: 0")
    changes = {
        "    - name: gpu\n": f"    - {small}\n    - {none}\n    - name: gpu\n",
        "gpu_memory_gib: 32": "gpu_memory_gib: 64",
        "queue_limit: 12,": "queue_limit: 12, gpu_share: 0.5,",
    }
    path = write_mini(tmp_path, changes=changes)
    (tmp_path / "rank.json").write_text(json.dumps(PROFILES["rank.json"] | {"interference": INTERFERENCE}))
    rank = number(load_scenario(path)).table_of[1]
    assert (rank >= 0).tolist() == [False, False, False, True]


def test_larger_tables_take_the_place_of_the_profiled_ones(tmp_path: Path) -> None:
    rows = "{rows: 100000000, row_bytes: 256, lookups_per_unit: 20, zipf_s: 1.0, device_gib: 3, dram_gib: 5}"
    tiers = "hop_delay_ms: 0.5\n  tiers: {dram: {gbyte_per_s: 40}, remote: {gbyte_per_s: 5}}\n"
    changes = {"queue_limit: 12,": f"queue_limit: 12, embedding: {rows},", "hop_delay_ms: 0.5\n": tiers}
    variant = load_mini(tmp_path, changes).services[0].stages[1].variants[0]
    assert variant.need()[GPU_MEMORY] == 13 * GIB
    assert variant.need()[MEMORY] == 9 * GIB
    assert variant.load_bytes == 4e9 + 8 * GIB
    few = {old: new.replace("rows: 100000000", "rows: 16777216") for old, new in changes.items()}
    variant = load_mini(tmp_path, few).services[0].stages[1].variants[0]
    assert variant.load_bytes == 4e9 + 3 * GIB + 1 * GIB  # no more than there are rows


def test_a_router_function_is_named_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def choose(outstanding, weight, first, size, user, draw):\n    return first\n")
    changes = {"router: round_robin\n": "router: function\n        function: mine.py:choose\n"}
    scenario = load_mini(tmp_path, changes)
    assert scenario.services[0].stages[1].plan.function == f"{tmp_path.resolve() / 'mine.py'}:choose"
    assert "mine.py" in scenario.inputs


def test_a_router_function_may_be_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.py").write_text("def choose(a, b, first, d, e, f): return first\n")
    changes = {"router: round_robin": "router: function\n        function: ~/mine.py:choose"}
    (tmp_path / "s").mkdir()
    stage = load_scenario(write_mini(tmp_path / "s", changes=changes)).services[0].stages[1]
    assert stage.plan.function == f"{tmp_path}/mine.py:choose"


def test_what_is_assumed_is_said(rich: Scenario) -> None:
    told = "\n".join(rich.assumptions)
    for words in (
        "edge to centre: 4 Gbit/s, 12 ms, payloads compressed to 0.5",
        "users of feed: 70 % edge, 30 % centre",
        "feed: 20 % paying, 80 % free",
        "25 % of the requests of feed",
        "tier dram: 40 GB/s, 1 us a batch, one for each node",
        "hottest 20 keys",
        "GPUs are claimed whole; replicas on one node do not slow each other but for the network card and tiers.",
    ):
        assert words in told, words
