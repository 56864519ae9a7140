"""Failures over the real data plane, small enough to follow by hand. `mini.HAND` has the numbers: two replicas fill a
node, a request takes 0.1 s, a start 30 s boot, 2 s container, 4 s load (alone) and 1 s warm-up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from simulator.engine import simulate
from simulator.result import RunResult
from tests.simulator.mini import Scripted, load_hand

LAST = "policies: [static_peak]\n"
RETRIES = {"candidates: 1\n": "candidates: 1\n        retries: 1\n        retry_delay_ms: 50\n"}
EVERY_S = 1 / 16
USD_PER_NODE_S = 0.001


def run(
    folder: Path, life: str, policy: Scripted, duration_s: float, arrival_s: list[float], changes: dict | None = None
) -> RunResult:
    scenario = load_hand(folder, arrival_s, duration_s, {LAST: f"{LAST}life:\n{life}"} | (changes or {}))
    return simulate(scenario, policy, seed=1)


def steady(until_s: float, from_s: float = EVERY_S / 2) -> list[float]:
    return np.arange(from_s, until_s, EVERY_S).tolist()


def lines(result: RunResult) -> list[tuple[float, str]]:
    return [(event.at_s, event.what) for event in result.events]


NODE_0 = "  failures: [{at_s: 30, lasts_s: 20, node: box/0}]\n"


def test_without_a_replica_left_requests_fail_until_a_new_one_is_ready(tmp_path: Path) -> None:
    """16 requests/s on two replicas of one node, lost at 30. What was in their batches fails, and all that arrive from
    then on; at 40 the decision starts two on another node: boot to 70, container to 72, loads to 80, ready at 81."""
    result = run(tmp_path, NODE_0, Scripted([[2]]), 100.0, steady(100.0))
    assert result.arrived.tolist() == [1600]
    arrived_meanwhile = 16 * 51
    # At 30 s the replicas are at work on what came at 29.906 and at 29.969.
    assert result.failed.tolist() == [arrived_meanwhile + 2]
    assert result.completed.tolist() == [1600 - arrived_meanwhile - 2]
    assert result.replicas_lost == 2
    assert result.intervals.replicas_lost[:, 0, 0].tolist() == [0, 2, 0, 0, 0]
    assert result.intervals.usable_nodes[:, 0].tolist() == [3, 2, 3, 3, 3]
    assert lines(result) == [(30.0, "node_failed"), (50.0, "node_repaired")]
    node_s = result.intervals.cost_usd / USD_PER_NODE_S
    assert node_s.tolist() == pytest.approx([20, 10, 20, 20, 20])


def test_replaced_at_once_the_outage_is_shorter(tmp_path: Path) -> None:
    result = run(tmp_path, "  replace: at_once\n" + NODE_0, Scripted([[2]]), 100.0, steady(100.0))
    assert result.failed.tolist() == [16 * 41 + 2]
    assert result.cold_starts == 2


def test_with_others_left_only_what_was_in_hand_is_lost_and_retries_save_it(tmp_path: Path) -> None:
    """Three replicas, two of them on the node that fails: the third alone serves 10 of 16 requests/s, and queues."""
    one = run(tmp_path, NODE_0, Scripted([[3]]), 40.0, steady(40.0))
    assert 1 <= one.failed[0] <= 2
    two = run(tmp_path, NODE_0, Scripted([[3]]), 40.0, steady(40.0), RETRIES)
    assert two.failed.tolist() == [0]
    assert two.completed.tolist() == [640]


def test_a_straggler_takes_its_factor_longer(tmp_path: Path) -> None:
    """One request a second on one replica: 0.1 s each, and 0.3 s those that start between 10 and 30."""
    life = "  failures: [{at_s: 10, lasts_s: 20, node: box/0, slow_factor: 3}]\n"
    result = run(tmp_path, life, Scripted([[1]]), 40.0, np.arange(0.5, 40.0).tolist())
    assert result.stage_compute_s.tolist() == pytest.approx([20 * 0.1 + 20 * 0.3])
    assert lines(result) == [(10.0, "node_slow"), (30.0, "node_well")]


def test_a_start_waits_for_the_store(tmp_path: Path) -> None:
    """Decided at 20 on the standing node: load from 22; the store is out from 23 to 33, and the rest takes 3 s."""
    life = "  failures: [{at_s: 23, lasts_s: 10, store_share: 0.0}]\n"
    result = run(tmp_path, life, Scripted([[1]], [[2]]), 60.0, [1.0])
    loaded_s = result.intervals.used[:, 3] / (2 * 2.0**30)
    assert loaded_s.tolist() == pytest.approx([20, 20 + 3, 40])
    assert lines(result) == [(23.0, "store_failed"), (33.0, "store_repaired")]


def test_spot_nodes_cost_less_and_are_left_in_time(tmp_path: Path) -> None:
    """All three nodes get notices; with 120 s of notice and replacement at once, nothing is lost but money saved."""
    spot = "  spot: [{node_type: box, mean_life_h: 0.1, notice_s: 60, mean_away_min: 1, price_factor: 0.25}]\n"
    life = "  replace: at_once\n" + spot
    result = run(tmp_path, life, Scripted([[2]]), 600.0, steady(600.0))
    assert [event.what for event in result.events].count("spot_taken") >= 2
    assert result.replicas_lost == 0
    node_s = result.intervals.provisioned[:, 2].sum() / 8.0
    assert result.intervals.cost_usd.sum() == pytest.approx(0.25 * USD_PER_NODE_S * node_s)
    assert result.completed[0] + result.failed[0] == result.arrived[0]


def test_policies_see_what_failed(tmp_path: Path) -> None:
    policy = Scripted([[2]])
    run(tmp_path, NODE_0, policy, 80.0, steady(80.0))
    assert [seen.usable_nodes.tolist() for seen in policy.seen] == [[3], [3], [2], [3]]
    assert [seen.replicas_lost.tolist() for seen in policy.seen] == [[[0]], [[0]], [[2]], [[0]]]


def test_every_policy_meets_the_same_failures(tmp_path: Path) -> None:
    risks = "  risks: {nodes: [{node_type: box, mtbf_h: 0.02, mttr_min: 0.5}]}\n"
    results = [run(tmp_path, risks, Scripted([[n]]), 300.0, steady(300.0)) for n in (1, 4)]
    one, four = ([(e.at_s, e.what, e.where) for e in result.events] for result in results)
    assert one == four
    assert len(one) > 5
