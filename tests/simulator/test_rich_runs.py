"""Runs of the mini scenario with sites, links, caches, tiers, splits, retries, hedges, priorities and shared GPUs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from simulator.engine import simulate
from simulator.facts import fleet_facts, prepare
from simulator.scenario import Scenario, load_scenario
from tests.simulator.mini import PROFILES, Calling, Erratic, arrays_of, write_mini
from tests.simulator.rich import INTERFERENCE, RICH

ROWS = "{rows: 100000000, row_bytes: 256, lookups_per_unit: 20, zipf_s: 1.0, device_gib: 3, dram_gib: 5, shards: 2"
ALL = RICH | {
    "queue_limit: 12,": f"gpu_share: 0.5, embedding: {ROWS}, drift_rows_per_hour: 100000000}},",
    "gpu_memory_gib: 32": "gpu_memory_gib: 80",
}


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    folder: Path = tmp_path_factory.mktemp("rich-runs")
    path = write_mini(folder, changes=ALL)
    (folder / "rank.json").write_text(json.dumps(PROFILES["rank.json"] | {"interference": INTERFERENCE}))
    return load_scenario(path)


@pytest.mark.parametrize("seed", [3, 4])
def test_every_request_ends_once_under_restless_policies(scenario: Scenario, seed: int) -> None:
    policy = Erratic(seed)
    result = simulate(scenario, policy, seed=seed)
    assert (result.completed + result.rejected + result.failed == result.arrived).all()
    assert result.completed.sum() > 0.1 * result.arrived.sum()
    least = result.facts.min_replicas
    assert least.sum() == 2
    for decision in result.decisions:
        assert (decision.wanted >= least).all()
    for seen in policy.seen:
        assert seen.stage_history_rps.shape == (3, max(seen.slot, 1))
        assert (seen.stage_rps >= -1e-9).all()
        assert seen.stage_rps[2] == seen.arrival_rps[1], "ads have no cache"
        assert not seen.stage_rps.flags.writeable


def test_a_run_is_reproducible_to_the_bit(scenario: Scenario) -> None:
    one, other = (dict(arrays_of(simulate(scenario, Erratic(7), seed=5))) for _ in range(2))
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name], err_msg=name)


def test_policies_see_what_passed_the_cache(scenario: Scenario) -> None:
    """Requests of the retrieving stage, counted where they are served, are those that policies saw pass."""
    facts = fleet_facts(scenario)
    seen = []

    def plenty(observation):  # type: ignore[no-untyped-def]
        from simulator.policy import Allocation

        seen.append(observation)
        return Allocation(np.where(facts.best_throughput_rps > 0, 3, 0))

    result = simulate(scenario, Calling(plenty), seed=3)
    passed = sum(each.stage_rps[0] * 20.0 for each in seen[1:])
    served = sum(each.served_requests[0].sum() for each in seen[1:])
    arrived = sum(each.arrival_rps[0] * 20.0 for each in seen[1:])
    assert served == pytest.approx(passed, abs=12), "but for a few in flight"
    assert passed < 0.95 * arrived
    assert seen[0].stage_rps[0] == pytest.approx(0.75 * seen[0].arrival_rps[0])
    assert result.failed.sum() == 0


def test_facts_know_splits_shares_and_rows(scenario: Scenario) -> None:
    """Against the same scenario without them: whole requests, slower where the GPU is crowded and rows are far."""
    facts, context = fleet_facts(scenario), prepare(scenario, 3)
    rank, gpu = facts.variants.index("feed/rank/rank"), facts.node_types.index("gpu")
    assert facts.tasks_per_request.tolist()[0] == 1.0
    assert 1.0 < facts.tasks_per_request[1] < 3.0
    assert 0.0 < facts.throughput_rps[rank, gpu] < 0.7 * facts.best_throughput_rps[rank, gpu]
    assert facts.need[rank, gpu, 0] == 0.5
    assert facts.planned_demand(context.peak_rps)[0] == pytest.approx(0.75 * context.peak_rps[0])
