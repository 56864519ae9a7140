"""Runs small enough to follow by hand: start-up, drain, cancellation, costs. `mini.HAND` has the numbers.

A replica needs 3 of 8 cores, so two share a node. From decision to ready: 30 s boot if its node must be opened, 2 s
container, 2 GB at up to 0.5 GB/s a node and 0.8 GB/s in all, 1 s warm-up. A loaded replica holds 2 GiB, so the
integral of used memory tells when replicas became ready and when they left, to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from simulator.cluster import resource_index
from simulator.engine import simulate
from simulator.result import RunResult
from tests.simulator.mini import Scripted, load_hand

MEMORY = resource_index("memory")
CPU = resource_index("cpu")
REPLICA_BYTES = 2 * 2.0**30
USD_PER_NODE_S = 0.001
WEIGHTS = 2e9
FEW = [1.0]


def plan(*replicas: int) -> Scripted:
    return Scripted(*([[n]] for n in replicas))


def run(
    folder: Path, policy: Scripted, duration_s: float, arrival_s: Sequence[float] = FEW, changes: dict | None = None
) -> RunResult:
    return simulate(load_hand(folder, arrival_s, duration_s, changes), policy, seed=1)


def loaded_s(result: RunResult) -> list[float]:
    """Replica-seconds with weights loaded, by interval."""
    return (result.intervals.used[:, MEMORY] / REPLICA_BYTES).tolist()


def claimed_s(result: RunResult) -> list[float]:
    return (result.intervals.allocated[:, CPU] / 3.0).tolist()


def node_s(result: RunResult) -> list[float]:
    return (result.intervals.provisioned[:, CPU] / 8.0).tolist()


def test_a_start_on_a_standing_node(tmp_path: Path) -> None:
    """Decided at 20: container to 22, load to 26, warm-up to 27. The node stood before the run: no boot."""
    result = run(tmp_path, plan(1, 2), 60.0)
    assert loaded_s(result) == pytest.approx([20, 20 + 13, 40])
    assert claimed_s(result) == pytest.approx([20, 40, 40])
    assert node_s(result) == pytest.approx([20, 20, 20])
    assert result.intervals.ready[:, 0, 0].tolist() == [1, 2, 2]
    assert result.cold_starts == 1
    assert result.storage_bytes_loaded == pytest.approx(WEIGHTS)


def test_two_starts_on_one_new_node_share_its_bandwidth(tmp_path: Path) -> None:
    """Decided at 20: boot to 50, containers to 52, two loads at 0.25 GB/s to 60, warm-up to 61."""
    result = run(tmp_path, plan(2, 4), 80.0)
    assert loaded_s(result) == pytest.approx([40, 40, 40, 40 + 2 * 19])
    assert node_s(result) == pytest.approx([20, 40, 40, 40])
    assert result.intervals.starting[:, 0, 0].tolist() == [0, 2, 2, 0]
    storage = result.intervals.used[:, resource_index("storage")]
    assert storage.tolist() == pytest.approx([0, 0, 0.5e9 * 8, 0])


def test_starts_on_two_new_nodes_share_the_store(tmp_path: Path) -> None:
    """0.8 GB/s for three loads on two nodes, of which one hosts two.

    Node 1: 0.25 GB/s each under its own limit; the third on node 2: 0.8 - 0.5 = 0.3. It ends at 52 + 6.667 s;
    the two at 52 + 8 s. Ready 1 s later: at 59.667, and twice at 61.
    """
    result = run(tmp_path, plan(2, 5), 80.0)
    assert sum(loaded_s(result)) == pytest.approx(2 * 80 + (80 - 59.0 - 2 / 3) + 2 * 19)
    assert node_s(result) == pytest.approx([20, 60, 60, 60])


def test_a_later_start_waits_for_the_boot_that_is_under_way(tmp_path: Path) -> None:
    """A node opened at 20 boots to 50; a replica placed on it at 40 waits for that and no longer."""
    result = run(tmp_path, plan(2, 3, 4), 80.0)
    assert sum(loaded_s(result)) == pytest.approx(2 * 80 + 2 * 19)


def test_a_cancelled_start_frees_its_node_and_its_bandwidth(tmp_path: Path) -> None:
    """Decided at 10 on a standing node: container to 12, load; at 15 given up with 3 of 4 s read."""
    policy = plan(1, 1, 2, 1)
    result = run(tmp_path, policy, 20.0, changes={"control_interval_s: 20": "control_interval_s: 5"})
    assert loaded_s(result) == pytest.approx([5, 5, 5, 5])
    assert claimed_s(result) == pytest.approx([5, 5, 10, 5])
    assert result.storage_bytes_loaded == pytest.approx(0.5e9 * 3)
    assert (result.decisions[3].started, result.decisions[3].drained) == (0, 1)
    assert result.cold_starts == 1


def test_several_starts_cancelled_at_one_instant(tmp_path: Path) -> None:
    """Four loads on two new nodes, all given up while they read: at 60 they have read for 8 s at 0.8 GB/s, so
    that each had 1.6 of its 2 GB."""
    result = run(tmp_path, plan(2, 6, 6, 2), 80.0)
    assert result.storage_bytes_loaded == pytest.approx(0.8e9 * 8)
    assert loaded_s(result) == pytest.approx([40, 40, 40, 40])
    assert node_s(result) == pytest.approx([20, 60, 60, 20])
    assert result.intervals.starting[:, 0, 0].tolist() == [0, 4, 4, 0]


def test_a_cancelled_start_then_another(tmp_path: Path) -> None:
    """The youngest start goes; what comes later starts anew."""
    result = run(tmp_path, plan(2, 4, 2, 4), 140.0)
    # Cancelled at 40 during the boot; opened again at 60: boot to 90, container to 92, loads to 100, ready at 101.
    assert sum(loaded_s(result)) == pytest.approx(2 * 140 + 2 * 39)
    assert node_s(result) == pytest.approx([20, 40, 20, 40, 40, 40, 40])
    assert result.cold_starts == 4


def test_the_fleet_stands_before_the_run(tmp_path: Path) -> None:
    policy = plan(2)
    result = run(tmp_path, policy, 60.0, arrival_s=[0.0, 0.0, 5.0, 25.0])
    assert result.completed.tolist() == [4]
    assert result.failed.tolist() == [0]
    assert result.cold_starts == 0
    assert loaded_s(result) == pytest.approx([40, 40, 40])
    first = policy.seen[0]
    assert first.now_s == 0.0
    assert first.history_rps.tolist() == [[3 / 20]]
    assert first.arrival_rps.tolist() == [3 / 20]
    assert first.completed.tolist() == [0]
    assert np.isnan(first.p99_s).all()
    assert first.ready.sum() == 0


def test_a_replica_drains_what_it_holds(tmp_path: Path) -> None:
    """35 requests at 19 s take 3.5 s on one replica. It leaves at 20, ends at 22.5 and is found empty at 23."""
    result = run(tmp_path, plan(1, 0), 40.0, arrival_s=[19.0] * 35)
    assert result.completed.tolist() == [35]
    assert result.failed.tolist() == [0]
    assert node_s(result) == pytest.approx([20, 3])
    assert loaded_s(result) == pytest.approx([20, 3])
    assert result.intervals.draining[:, 0, 0].tolist() == [0, 0]
    busy = result.intervals.used[:, CPU] / (0.6 * 3)
    assert busy.tolist() == pytest.approx([1.0, 2.5])


def test_an_idle_replica_leaves_at_once(tmp_path: Path) -> None:
    result = run(tmp_path, plan(1, 0), 40.0)
    assert node_s(result) == pytest.approx([20, 0])


def test_a_drain_that_outlives_the_trace(tmp_path: Path) -> None:
    """600 requests at 19.05 s take until 79.05 s; the trace ends at 40, and nothing is paid after it."""
    result = run(tmp_path, plan(1, 0), 40.0, arrival_s=[19.05] * 600)
    assert result.completed.tolist() == [600]
    assert result.intervals.in_flight[:, 0].tolist() == [591, 391]
    assert result.intervals.cost_usd.sum() == pytest.approx(40 * USD_PER_NODE_S)


def test_without_replicas_requests_fail(tmp_path: Path) -> None:
    result = run(tmp_path, plan(1, 0, 1), 80.0, arrival_s=[1.0, 20.0, 20.001, 30.0, 39.9, 79.5])
    assert result.failed.tolist() == [3]  # what arrives at 20.0 comes before the decision at 20
    assert result.completed.tolist() == [3]
    # Back at 40: boot to 70, container to 72, load to 76, ready at 77.
    assert sum(loaded_s(result)) == pytest.approx(20 + 0.1 + 3, abs=0.9)
    assert node_s(result) == pytest.approx([20, 1, 20, 20])


def test_what_the_router_holds_fails_when_the_last_replica_leaves(tmp_path: Path) -> None:
    changes = {"candidates: 1": "candidates: 1\n        max_outstanding: 2"}
    result = run(tmp_path, plan(1, 0), 40.0, arrival_s=[19.95] * 10, changes=changes)
    assert result.completed.tolist() == [2]
    assert result.failed.tolist() == [8]
    assert result.intervals.failed[:, 0].tolist() == [0, 8]


def test_cost_from_the_decisions(tmp_path: Path) -> None:
    """Ready or starting replicas fill nodes two by two; idle ones leave at once."""
    wanted = [1, 3, 6, 2, 0, 5]
    result = run(tmp_path, plan(*wanted), 117.0)
    nodes = [(n + 1) // 2 for n in wanted]
    lengths = [20, 20, 20, 20, 20, 17]
    expected = [USD_PER_NODE_S * n * t for n, t in zip(nodes, lengths)]
    assert result.intervals.cost_usd.tolist() == pytest.approx(expected)
    assert result.intervals.open_nodes[:, 0].tolist() == nodes
    assert result.intervals.length_s.tolist() == lengths
    assert result.intervals.start_s.tolist() == [0, 20, 40, 60, 80, 100]


def test_rates_of_a_short_last_interval(tmp_path: Path) -> None:
    policy = plan(1)
    result = run(tmp_path, policy, 45.0, arrival_s=[1.0, 2.0, 41.0, 45.0])
    assert len(policy.seen) == 3
    assert policy.seen[2].history_rps.tolist() == [[0.1, 0.0]]
    assert result.intervals.arrived[:, 0].tolist() == [2, 0, 2]
    assert result.completed.tolist() == [4]
    assert result.intervals.completed[:, 0].sum() == 3  # the last one ends after the trace


def test_what_no_node_can_take_is_reported(tmp_path: Path) -> None:
    policy = plan(20, 20, 4)
    result = run(tmp_path, policy, 60.0)
    assert [(d.started, d.drained, d.unplaced) for d in result.decisions] == [(6, 0, 14), (0, 0, 14), (0, 2, 0)]
    assert [o.unplaced.tolist() for o in policy.seen] == [[[0]], [[14]], [[14]]]
    assert result.intervals.ready[:, 0, 0].tolist() == [6, 6, 4]
    assert result.intervals.open_nodes[:, 0].tolist() == [3, 3, 2]


def test_replicas_leave_the_emptiest_node_first(tmp_path: Path) -> None:
    """A first replica of 3 cores shares node 0 with one of 5; two more of 3 cores open node 1. When the large one
    has gone, the oldest of the small ones is alone on its node, and it is the one that goes."""
    small = "{profile: ads-cpu.json, max_batch: 1, container_start_s: 2, warm_up_s: 1}"
    changes = {f"[{small}]": f"[{small}, {small.replace('max_batch', 'name: large, cpu_cores: 5, max_batch')}]"}
    policy = Scripted(*([[a], [b]] for a, b in [(1, 1), (3, 1), (3, 1), (3, 1), (3, 0), (2, 0)]))
    result = run(tmp_path, policy, 120.0, changes=changes)
    assert result.intervals.open_nodes[:, 0].tolist() == [1, 2, 2, 2, 2, 1]
    assert result.intervals.ready[:, :, 0].tolist() == [[1, 1], [1, 1], [1, 1], [3, 1], [3, 0], [2, 0]]
    assert result.intervals.cost_usd[-1] == pytest.approx(20 * USD_PER_NODE_S)


def test_a_draining_replica_counts_in_the_busy_fraction_while_it_is_there(tmp_path: Path) -> None:
    """59 requests of 0.1 s from 18 s on: drained at 20, it computes until 23.9 and is released at the look at 24."""
    scenario = load_hand(tmp_path, np.linspace(18.0, 19.9, 59).tolist(), 80.0)
    policy = Scripted([[1]], [[0]])
    simulate(scenario, policy, seed=1)
    at_40, at_60 = (seen.busy_fraction for seen in policy.seen[2:4])
    np.testing.assert_allclose(at_40, [[3.9 / 4.0]])
    assert np.isnan(at_60).all()
