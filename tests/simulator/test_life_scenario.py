"""The section ``life`` of a scenario file: what becomes of every field, and one line for whatever is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from simulator.cluster import GIB
from simulator.facts import fleet_facts
from simulator.life.plan import Image, Job, Outage, Refresh, Risk
from simulator.scenario import Scenario, load_scenario
from tests.simulator.mini import SCENARIO, write_mini
from tests.simulator.rich import RICH
from workloads.errors import InputError

LIFE = """\
life:
  images:
    - {name: serving, gbyte: 6.5, variants: [feed/rank/rank]}
    - {name: small, gbyte: 0.5}
  replace: at_once
  failures:
    - {at_s: 10, lasts_s: 20, node: gpu/1}
    - {at_s: 11, lasts_s: 20, node: box-centre/0, slow_factor: 2.5}
    - {at_s: 12, lasts_s: 20, link: [centre, edge]}
    - {at_s: 13, lasts_s: 20, access_in: edge}
    - {at_s: 14, lasts_s: 20, access_out: centre}
    - {at_s: 15, lasts_s: 20, store_share: 0.25}
    - {at_s: 16, cache: centre}
    - {at_s: 17, cache: all}
  risks:
    nodes: [{node_type: gpu, mtbf_h: 100, mttr_min: 30}]
    stragglers: [{node_type: gpu, share: 0.2, lasts_min: 2, factor: 3}]
    links: [{link: [edge, centre], mtbf_h: 10, mttr_min: 1}]
    store: {mtbf_h: 1000, mttr_min: 10, share_left: 0.5}
  spot:
    - {node_type: box-edge, mean_life_h: 5, notice_s: 120, mean_away_min: 10, price_factor: 0.3}
  refreshes:
    - {variant: ads/rank/ads-cpu, period_min: 60, max_unavailable: 2, how: in_place}
  jobs:
    - {name: train, gpus: 2, work_gpu_h: 3, gpu_memory_gib: 20, cpu_cores: 4, checkpoint_every_gpu_min: 10,
       read_gbyte: 5}
    - {name: update, gpus: 0, period_min: 30, write_gbyte: 2}
  priorities: {ads: 1}
  evict_lower_priority: true
"""


def load(folder: Path, life: str, changes: dict[str, str] | None = None) -> Scenario:
    return load_scenario(write_mini(folder, SCENARIO + life, RICH if changes is None else changes))


def test_every_field_in_numbers_and_seconds(tmp_path: Path) -> None:
    """Nodes: 6 boxes at the edge, 6 in the centre, 4 with GPUs."""
    scenario = load(tmp_path, LIFE)
    life = scenario.life
    serving, small = Image("serving", 6.5e9), Image("small", 0.5e9)
    assert life.images == (small, serving, small, small)
    assert life.replaces_at_once
    assert life.evicts
    assert life.outages == (
        Outage(10, 30, "node", (13,)),
        Outage(11, 31, "slow_node", (6,), 2.5),
        Outage(12, 32, "link", (1, 0)),
        Outage(13, 33, "access", (0, 0)),
        Outage(14, 34, "access", (1, 1)),
        Outage(15, 35, "store", (), 0.25),
        Outage(16, 16, "cache", (1,)),
        Outage(17, 17, "cache"),
    )
    by_kind = {kind: [risk for risk in life.risks if risk.kind == kind] for kind in {r.kind for r in life.risks}}
    assert by_kind["node"] == [Risk("node", (12 + i,), f"gpu/{i}", 360_000, 1800) for i in range(4)]
    assert by_kind["slow_node"][1] == Risk("slow_node", (13,), "gpu/1", 480, 120, 3.0)
    assert by_kind["link"] == [Risk("link", (0, 1), "edge->centre", 36_000, 60)]
    assert by_kind["store"] == [Risk("store", (), "store", 3.6e6, 600, 0.5)]
    assert len(by_kind["spot"]) == 6
    assert by_kind["spot"][5] == Risk("spot", (5,), "box-edge/5", 18_000, 600, notice_s=120)
    assert life.refreshes == (Refresh(2, 3600, 3600, 2, True),)
    train = Job("train", 2, 10_800.0, (2,), (2.0, 20 * GIB, 4.0, 0.0, 0.0, 0.0), checkpoint_gpu_s=600.0, read_bytes=5e9)
    assert life.jobs[0] == train
    assert (life.jobs[1].gpus, life.jobs[1].period_s, life.jobs[1].write_bytes) == (0, 1800.0, 2e9)
    assert life.priorities == (0, 1)
    assert life.weights == (3.0, 1.0)
    assert [tier.name for tier in scenario.cluster.tiers] == ["dram", "remote"]
    assert life.slowed_tiers == (1,)
    np.testing.assert_allclose(scenario.cluster.price_usd_per_hour, [0.12, 0.4, 2.0])
    told = " ".join(scenario.assumptions)
    for words in ("Random outages (nodes, stragglers, spot nodes, links, the store)", "8 outages are stated"):
        assert words in told


def test_facts_tell_policies_of_weights_and_priorities(tmp_path: Path) -> None:
    facts = fleet_facts(
        load(tmp_path, "life: {priorities: {feed: 2}}\n", {"slo_ms: 500\n": "slo_ms: 500\n    weight: 2\n"})
    )
    assert facts.service_priority.tolist() == [2, 0]
    assert facts.service_weight.tolist() == [1.0, 2.0]


def test_policies_know_of_the_image_that_a_start_pulls(tmp_path: Path) -> None:
    """4 GB at the 0.5 GB/s of a box take 8 s, at the 0.8 GB/s of a GPU node 5 s."""
    image = "life: {images: [{name: serve, gbyte: 4, variants: [feed/retrieve/retrieve]}]}\n"
    plain, pulled = (fleet_facts(load(tmp_path, text, {})).start_delay_s for text in ("", image))
    np.testing.assert_allclose(pulled[0] - plain[0], [8.0, 5.0])
    np.testing.assert_array_equal(pulled[1:], plain[1:])


def test_nothing_happens_unless_stated(tmp_path: Path) -> None:
    life = load(tmp_path, "", {}).life
    assert not any((life.outages, life.risks, life.refreshes, life.jobs, life.evicts, life.replaces_at_once))
    assert set(life.images) == {None}


BAD = {
    "node type": ("failures: [{at_s: 1, lasts_s: 1, node: disk/0}]", "there is no node 'disk/0'", "gpu/0"),
    "node number": ("failures: [{at_s: 1, lasts_s: 1, node: gpu/4}]", "there is no node 'gpu/4'", "gpu/3"),
    "node name": ("failures: [{at_s: 1, lasts_s: 1, node: gpu}]", "got 'gpu'", ""),
    "two things": ("failures: [{at_s: 1, lasts_s: 1, node: gpu/0, store_share: 0.5}]", "hits one thing", ""),
    "nothing hit": ("failures: [{at_s: 1, lasts_s: 1}]", "hits one thing", ""),
    "slow link": ("failures: [{at_s: 1, lasts_s: 1, store_share: 0.5, slow_factor: 2}]", "goes with node", ""),
    "endless": ("failures: [{at_s: 1, store_share: 0.5}]", "lasts_s is needed", "add lasts_s, in seconds"),
    "lasting cache": ("failures: [{at_s: 1, lasts_s: 2, cache: all}]", "emptied at once", ""),
    "no link": ("failures: [{at_s: 1, lasts_s: 1, link: [a, b]}]", "there is no site 'a'", ""),
    "no access": ("failures: [{at_s: 1, lasts_s: 1, access_in: site}]", "no access link", "leave this out"),
    "risk": ("risks: {nodes: [{node_type: gpux, mtbf_h: 1, mttr_min: 1}]}", "no node type 'gpux'", "box, gpu"),
    "risk twice": (
        "risks: {nodes: [{node_type: gpu, mtbf_h: 1, mttr_min: 1}, {node_type: gpu, mtbf_h: 2, mttr_min: 1}]}",
        "'gpu' is used twice", "",
    ),
    "share": ("risks: {stragglers: [{node_type: gpu, share: 1.5, lasts_min: 1, factor: 2}]}", "got 1.5", ""),
    "spot": ("spot: [{node_type: gup, mean_life_h: 1, notice_s: 1}]", "no node type 'gup'", "box, gpu"),
    "variant": ("refreshes: [{variant: rank, period_min: 5}]", "no variant 'rank'", "feed/rank/rank"),
    "two images": ("images: [{name: a, gbyte: 1}, {name: b, gbyte: 1}]", "second image for all", "name its variants"),
    "image twice": (
        "images: [{name: a, gbyte: 1, variants: [feed/rank/rank, feed/rank/rank]}]", "has an image already", "",
    ),
    "job too large": ("jobs: [{name: t, gpus: 3, work_gpu_h: 1}]", "fits no node", "ask for less"),
    "job too large for its GPU": ("jobs: [{name: t, gpus: 1, work_gpu_h: 1, gpu_memory_gib: 20}]", "fits no node", ""),
    "job twice": ("jobs: [{name: t, gpus: 1, work_gpu_h: 1}, {name: t, gpus: 1, work_gpu_h: 1}]", "used twice", ""),
    "job without work": ("jobs: [{name: t, gpus: 1}]", "both gpus and work_gpu_h", ""),
    "job of nothing": ("jobs: [{name: t, gpus: 0}]", "does nothing", ""),
    "service": ("priorities: {add: 1}", "no service 'add'", "feed, ads"),
    "tier": ("store_tiers: [ssd]", "no shared tier 'ssd'", "leave it out"),
    "misspelt": ("failuers: []", "unknown key 'failuers'", "did you mean 'failures'"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD.values(), ids=BAD.keys())
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, case: tuple[str, str, str]) -> None:
    text, problem, fix = case
    with pytest.raises(InputError) as error:
        load(tmp_path, f"life:\n  {text}\n", {})
    line = SCENARIO.count("\n") + 2
    assert f"mini.yaml:{line}" in error.value.where
    assert problem in error.value.problem, error.value.problem
    assert fix in error.value.fix, error.value.fix
