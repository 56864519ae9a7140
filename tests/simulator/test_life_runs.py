"""Whole runs with a life: what the result tells of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from simulator.cluster import resource_index
from simulator.engine import simulate
from simulator.life.events import PURPOSES
from simulator.result import RunResult
from simulator.scenario import load_scenario
from tests.simulator.mini import HAND, PROFILES, SCENARIO, Scripted, load_hand, load_mini, write_mini
from tests.simulator.rich import INTERFERENCE

FEW = [1.0]
LAST = "policies: [static_peak]\n"


def by_hand(folder: Path, life: str, policy: Scripted, duration_s: float, arrivals: list[float] = FEW) -> RunResult:
    assert LAST in HAND
    scenario = load_hand(folder, arrivals, duration_s, {LAST: f"{LAST}life:\n{life}"})
    return simulate(scenario, policy, seed=1)


def moved(result: RunResult, purpose: str) -> float:
    return float(result.storage_bytes_by_purpose[PURPOSES.index(purpose)])


def test_an_image_is_pulled_before_a_container_starts(tmp_path: Path) -> None:
    """Decided at 20, on a new node: boot to 50, 5 GB to 60, container to 62, two loads to 70, warm-up to 71."""
    result = by_hand(tmp_path, "  images: [{name: serving, gbyte: 5}]\n", Scripted([[2]], [[4]]), 80.0)
    loaded_s = result.intervals.used[:, resource_index("memory")] / (2 * 2.0**30)
    assert loaded_s.tolist() == pytest.approx([40, 40, 40, 40 + 2 * 9])
    assert (moved(result, "image"), moved(result, "weights")) == pytest.approx((5e9, 4e9))
    used = result.intervals.used[:, resource_index("storage")].sum()
    assert used == pytest.approx(result.storage_bytes_loaded) == pytest.approx(9e9)


def test_a_refresh_by_hand(tmp_path: Path) -> None:
    """Two replicas fill a node; at 30 s a third starts on a new one: boot to 60, ready at 67. The first leaves then,
    and the fourth takes its place on the standing node, ready at 74."""
    life = "  refreshes: [{variant: ads/rank/ads-cpu, first_min: 0.5, period_min: 60}]\n"
    result = by_hand(tmp_path, life, Scripted([[2]]), 80.0)
    times = [(event.what, event.at_s) for event in result.events]
    assert times == [("refresh_began", 30.0), ("refresh_ended", 74.0)]
    assert moved(result, "refresh") == pytest.approx(2 * 2e9)
    assert result.intervals.ready[:, 0, 0].tolist() == [2, 2, 2, 2]
    assert result.intervals.starting.sum() == 2
    assert result.decisions[2].started == result.decisions[2].drained == 0
    assert result.completed.tolist() == [1]


def test_what_stands_whatever_a_policy_wants(tmp_path: Path) -> None:
    changes = {"warm_up_s: 1}": "warm_up_s: 1, min_replicas: {box: 2}}"}
    result = simulate(load_hand(tmp_path, FEW, 60.0, changes), Scripted([[0]], [[3]]), seed=1)
    assert result.intervals.ready[:, 0, 0].tolist() == [2, 2, 3]
    assert [int(decision.wanted[0, 0]) for decision in result.decisions] == [2, 3, 3]


def test_jobs_use_idle_gpus_and_serving_does_not_notice(tmp_path: Path) -> None:
    """Two replicas on the GPU node's two GPUs from 100 s on, one before."""
    plan = [[[2, 0], [0, 1], [1, 0], [0, 0]]] * 5 + [[[2, 0], [0, 2], [1, 0], [0, 0]]]
    life = "life:\n  jobs: [{name: train, gpus: 1, work_gpu_h: 1, checkpoint_every_gpu_min: 1}]\n"
    results = []
    for name, text in (("without", ""), ("with", life)):
        (tmp_path / name).mkdir()
        scenario = load_mini(tmp_path / name, {LAST: LAST + text})
        results.append(simulate(scenario, Scripted(*plan), seed=3))
    without, with_jobs = results
    np.testing.assert_array_equal(without.histogram, with_jobs.histogram)
    np.testing.assert_array_equal(without.intervals.cost_usd, with_jobs.intervals.cost_usd)
    np.testing.assert_array_equal(without.intervals.used, with_jobs.intervals.used)
    assert without.intervals.training_gpu_s.sum() == 0.0
    assert with_jobs.intervals.training_gpu_s.tolist()[:6] == pytest.approx([20.0] * 5 + [0.0])
    (job,) = with_jobs.jobs
    assert (job.preempted, job.done_gpu_s, job.lost_gpu_s) == (1, 60.0, pytest.approx(40.0))


def test_a_run_without_a_life_tells_nothing(tmp_path: Path) -> None:
    result = simulate(load_mini(tmp_path), Scripted(np.array([[2, 0], [0, 2], [2, 0], [0, 1]])), seed=3)
    assert result.events == ()
    assert result.jobs == ()
    assert result.replicas_lost == 0
    assert moved(result, "image") == 0.0
    assert result.intervals.usable_nodes.tolist() == [[6, 4]] * len(result.decisions)
    assert SCENARIO.count("life:") == 0


def test_replicas_that_share_a_gpu_slow_each_other(tmp_path: Path) -> None:
    """Two ranking replicas on halves of one GPU, and on a GPU each: the same requests, longer batches, half the claims.

    Measured (by assumption) for two: 1.5 to 1.8 times as long while both are at work.
    """
    results = []
    for name, share in (("whole", ""), ("shared", "gpu_share: 0.5, ")):
        (tmp_path / name).mkdir()
        changes = {"queue_limit: 12,": f"queue_limit: 12, {share}", "gpu_memory_gib: 32": "gpu_memory_gib: 80"}
        path = write_mini(tmp_path / name, changes=changes | {"rate_rps: 4.0": "rate_rps: 30.0"})
        (tmp_path / name / "rank.json").write_text(json.dumps(PROFILES["rank.json"] | {"interference": INTERFERENCE}))
        scenario = load_scenario(path)
        results.append(simulate(scenario, Scripted([[6, 0], [0, 2], [2, 0], [0, 0]]), seed=3))
    whole, shared = results
    gpu = resource_index("gpu")
    np.testing.assert_allclose(shared.intervals.allocated[:, gpu], whole.intervals.allocated[:, gpu] / 2)
    batch_s = [r.stage_compute_s[1] / r.served_requests[1, 1] for r in results]
    assert batch_s[1] > 1.2 * batch_s[0]  # slower ones find more waiting too
    assert (shared.intervals.used[:, gpu] <= shared.intervals.allocated[:, gpu] * (1 + 1e-9)).all()
