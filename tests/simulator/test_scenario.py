"""A good scenario: what is read, resolved, assumed and remembered."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pytest

from simulator.cluster import RESOURCES, resource_index
from simulator.facts import arrivals_per_slot, fleet_facts, prepare, slot_ends_s
from simulator.scenario import Scenario, load_scenario
from tests.simulator.mini import PROFILES, load_mini, write_mini, write_trace

GIB = 2.0**30


def test_everything_is_read_in_its_unit(mini: Scenario) -> None:
    assert (mini.name, mini.seed, mini.control_interval_s, mini.duration_s) == ("mini", 3, 20.0, 290.0)
    assert mini.service_names == ("feed", "ads")
    assert mini.service_noise
    assert mini.headroom == 0.2
    assert mini.unserved_usd_per_request == pytest.approx(1e-4)
    assert mini.cluster.storage_bytes_per_s == 1e9
    assert mini.cluster.hop_delay_s == pytest.approx(0.0005)
    box, gpu = mini.cluster.node_types
    assert (box.name, box.count, box.boot_s, box.price_usd_per_hour) == ("box", 6, 10.0, 0.4)
    assert dict(zip(RESOURCES, gpu.capacity)) == {
        "gpu": 2.0, "gpu_memory": 32 * GIB, "cpu": 8.0, "memory": 32 * GIB, "storage": 0.8e9, "network": 1.25e8,
    }  # fmt: skip
    assert gpu.speed_of("mini-cpu") == 1.5
    assert box.speed_of("mini-gpu") == 0.0
    feed, ads = mini.services
    assert (feed.slo_s, feed.slo_quantile) == (0.6, 0.99)
    assert [(s.name, s.slo_share, s.plan.router, s.plan.candidates) for s in feed.stages] == [
        ("retrieve", 0.4, "least_outstanding", 1),
        ("rank", 0.6, "round_robin", 40),
    ]
    assert ads.stages[0].plan.max_outstanding == 6
    assert ads.stages[0].slo_share == 1.0
    cpu, on_gpu = ads.stages[0].variants
    assert (cpu.name, cpu.max_batch, cpu.max_wait_s, cpu.cpu_cores, cpu.warm_up_s) == ("ads-cpu", 2, 0.0, 3.0, 0.0)
    assert (on_gpu.name, on_gpu.max_wait_s, on_gpu.container_start_s) == ("ads-gpu", 0.02, 4.0)
    assert dict(zip(RESOURCES, on_gpu.need())) == {
        "gpu": 1.0, "gpu_memory": 10 * GIB, "cpu": 1.0, "memory": 4 * GIB, "storage": 0.0, "network": 0.0,
    }  # fmt: skip


def test_inputs_are_hashed(mini: Scenario) -> None:
    assert set(mini.inputs) == {str(mini.path), *PROFILES}
    assert mini.file_sha256 == hashlib.sha256(mini.path.read_bytes()).hexdigest()
    for name in PROFILES:
        assert mini.inputs[name] == hashlib.sha256((mini.path.parent / name).read_bytes()).hexdigest()


def test_what_is_assumed_is_said(mini: Scenario) -> None:
    told = "\n".join(mini.assumptions)
    assert "synthetic" in told
    assert "1.5 of the measured speed: newer cores" in told
    for name in ("retrieve", "ads-cpu", "rank"):
        assert f"Profile {name} is assumed, not measured." in mini.assumptions


def test_equal_shares_where_none_is_given(tmp_path: Path) -> None:
    scenario = load_mini(tmp_path, {"        slo_share: 0.4\n": "", "        slo_share: 0.6\n": ""})
    assert [s.slo_share for s in scenario.services[0].stages] == [0.5, 0.5]


def test_the_rest_goes_to_stages_without_a_share(tmp_path: Path) -> None:
    scenario = load_mini(tmp_path, {"        slo_share: 0.4\n": ""})
    assert [s.slo_share for s in scenario.services[0].stages] == pytest.approx([0.4, 0.6])


def test_inventory_gives_the_commonest_shape(tmp_path: Path) -> None:
    path = write_mini(
        tmp_path, changes={"count: 6\n      cpu_cores: 8\n      memory_gib: 16\n": "inventory: {file: nodes.csv}\n"}
    )
    rows = ["32000,65536,0,"] * 3 + ["16000,32768,0,"] * 5 + ["64000,131072,8,A10"] * 9
    (tmp_path / "nodes.csv").write_text("\n".join(["cpu_milli,memory_mib,gpu_count,gpu_model", *rows]) + "\n")
    scenario = load_scenario(path)
    box = scenario.cluster.node_types[0]
    assert box.count == 5
    assert box.capacity[resource_index("cpu")] == 16.0
    assert box.capacity[resource_index("memory")] == 32 * GIB
    assert "nodes.csv" in scenario.inputs
    assert any("5 such nodes" in line and "nodes.csv" in line for line in scenario.sources)


def test_numbers_follow_the_order_of_the_file(mini: Scenario) -> None:
    facts = fleet_facts(mini)
    assert facts.stages == ("feed/retrieve", "feed/rank", "ads/rank")
    assert facts.variants == (
        "feed/retrieve/retrieve", "feed/rank/rank", "ads/rank/ads-cpu", "ads/rank/ads-gpu",
    )  # fmt: skip
    assert facts.stage_service.tolist() == [0, 0, 1]
    assert facts.variant_stage.tolist() == [0, 1, 2, 2]
    # Accelerator profiles run on the accelerator alone; processor profiles run on both, 1.5 times as fast there.
    assert (facts.best_throughput_rps > 0).tolist() == [[True, True], [False, True], [True, True], [False, True]]
    np.testing.assert_allclose(facts.best_throughput_rps[[0, 2], 1], 1.5 * facts.best_throughput_rps[[0, 2], 0])
    assert facts.best_throughput_rps[0, 0] == pytest.approx(4 / 0.080)
    assert facts.best_throughput_rps[2, 0] == pytest.approx(2 / 0.160)
    assert facts.best_throughput_rps[3, 1] == pytest.approx(64 / 0.090 / 20)
    assert (facts.throughput_rps <= facts.best_throughput_rps).all()
    assert facts.start_delay_s[0].tolist() == pytest.approx([3 + 1e9 / 0.5e9 + 1, 3 + 1e9 / 0.8e9 + 1])


def test_facts_are_read_only(mini: Scenario) -> None:
    facts = fleet_facts(mini)
    for item in dataclasses.fields(facts):
        value = getattr(facts, item.name)
        assert not isinstance(value, np.ndarray) or not value.flags.writeable, item.name
    context = prepare(mini, 3)
    assert not context.peak_rps.flags.writeable
    assert not context.future_rps.flags.writeable


def test_a_changed_copy_has_its_own_facts(mini: Scenario) -> None:
    """What is remembered belongs to the scenario, not to its file."""
    other = dataclasses.replace(mini, headroom=0.7, control_interval_s=60.0)
    assert fleet_facts(mini).headroom == 0.2
    assert fleet_facts(other).headroom == 0.7
    assert prepare(other, 3).future_rps.shape == (2, 5)
    assert prepare(mini, 3).future_rps.shape == (2, 15)


def test_intervals_cover_the_trace(mini: Scenario) -> None:
    ends_s = slot_ends_s(mini)
    assert ends_s.tolist() == [*np.arange(20.0, 281.0, 20.0), 290.0]
    shorter = dataclasses.replace(mini, control_interval_s=1000.0)
    assert slot_ends_s(shorter).tolist() == [290.0]
    exact = dataclasses.replace(mini, control_interval_s=29.0)
    assert slot_ends_s(exact).tolist() == (29.0 * np.arange(1, 11)).tolist()


def trace_of_hand(folder: Path, times: list[float], duration_s: float, interval_s: float) -> Scenario:
    text = write_mini(folder).read_text()
    streams = text[text.index("trace:") : text.index("cluster:")]
    changes = {streams: "trace: {file: t.parquet}\n", "control_interval_s: 20": f"control_interval_s: {interval_s}"}
    write_trace(folder / "t.parquet", times, duration_s)
    return load_mini(folder, changes)


def test_a_request_at_the_end_of_an_interval_belongs_to_it(tmp_path: Path) -> None:
    scenario = trace_of_hand(tmp_path, [0.0, 10.0, 10.0, 10.5, 20.0, 29.0, 30.0, 34.0], 34.0, 10)
    assert arrivals_per_slot(scenario, 3)[1].tolist() == [3, 2, 2, 1]
    context = prepare(scenario, 3)
    np.testing.assert_allclose(context.future_rps[1], [0.3, 0.2, 0.2, 0.25])
    assert arrivals_per_slot(scenario, 3)[0].tolist() == [0, 0, 0, 0]


def test_a_last_interval_too_short_to_tell_is_no_peak(tmp_path: Path) -> None:
    scenario = trace_of_hand(tmp_path, [1.0, 2.0, 15.0, 20.01], 20.02, 10)
    context = prepare(scenario, 3)
    assert context.future_rps[1, 2] == pytest.approx(50.0)
    assert context.peak_rps[1] == pytest.approx(0.2)
