"""The compiled data plane against the oracle: every request's fate and times, and all counters, over random worlds."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest

from simulator.fleet import Fleet
from simulator.histogram import bin_edges
from simulator.journey_arrays import Path, path_of
from simulator.kernel.cache_state import RECORD_MISS, RECORD_WAIT, Caches
from simulator.kernel.lookup import Lookups
from simulator.kernel.state import COMPLETED, FAILED, REJECTED
from tests.oracle.controls import AnyControl
from tests.oracle.coverage import seen_in, unseen
from tests.oracle.finished import Finished
from tests.oracle.model import OracleArrival, OracleWorld, as_arrays
from tests.oracle.simpy_oracle import simulate
from tests.oracle.whole_worlds import FEATURES, whole_world
from tests.oracle.worlds import random_world
from tests.simulator.oracle_bridge import plan_of, run_on_fleet

TOLERANCE_S = 1e-9
PLAIN_WORLDS, PLAIN_WORLDS_ELSEWHERE, LEAN_WORLDS, WHOLE_WORLDS, UNCOMPILED_WORLDS = 150, 100, 120, 250, 14
LEAN_FEATURES = ("splits", "tiers", "interference", "caches", "stragglers", "replica failures")
SLOW_WORLDS = 4000

KERNEL_CACHE = {"miss": RECORD_MISS, "wait": RECORD_WAIT}
COUNTED = ("arrived", "completed", "rejected", "failed")

World = tuple[OracleWorld, list[OracleArrival], list[AnyControl]]


def plain_world(seed: int) -> World:
    rng = np.random.default_rng([20261122, seed])
    world, arrivals, controls = random_world(rng, requests=int(rng.integers(1, 300)))
    return world, arrivals, list(controls)


def lean_world(seed: int) -> World:
    """A world of what the lean path knows, or the plain one where it has neither splits nor caches."""
    rng = np.random.default_rng([20261124, seed])
    features = [name for name in LEAN_FEATURES if rng.random() < 0.6]
    return whole_world(rng, requests=int(rng.integers(1, 200)), features=features)


def dressed_world(seed: int) -> World:
    """A world of the whole path."""
    rng = np.random.default_rng([20261123, seed])
    chance = float(rng.choice([0.15, 0.4, 0.8]))
    features = sorted(name for name in FEATURES if rng.random() < chance)
    return whole_world(rng, requests=int(rng.integers(1, 150)), features=features)


def assert_agrees(scenario: World, where: str, *, path: Path | None = None, rows: int = 37) -> Finished:
    """One world on both."""
    counted: list[list[tuple[int, ...]]] = []

    def watch(fleet: Fleet) -> None:
        counted.append([tuple(int(service[name]) for name in COUNTED) for service in fleet.state.services])

    world, arrivals, controls = scenario
    oracle = simulate(world, arrivals, controls)
    where = f"{where} ({', '.join(sorted(world.features)) or 'plain'})"
    fleet, released_s = run_on_fleet(world, arrivals, controls, rows=rows, path=path, watch=watch)
    assert_same_requests(fleet, oracle, where)
    assert released_s == pytest.approx(oracle.released_s, rel=0, abs=TOLERANCE_S), where
    assert fleet.in_flight().sum() == 0, where
    assert fleet.state.clock["free_numbers"][0] == len(fleet.state.tasks) - 1, where
    assert not fleet.state.stages["queue"].any(), where
    assert not fleet.state.running.any(), where
    before_controls = oracle.snapshots[: 2 * world.services * len(controls)]
    for i, each in enumerate(counted):
        snaps = before_controls[2 * world.services * i :][: world.services]
        assert each == [(s.arrived, s.completed, s.rejected, s.failed) for s in snaps], f"{where} at {snaps[0].time_s}"
    assert_same_counts(fleet, oracle, where)
    assert_counted(fleet, arrivals, where)
    return oracle


def assert_same_requests(fleet: Fleet, oracle: Finished, where: str) -> None:
    """Every request's fate, and its pass through each stage that it has left behind."""
    outcome, steps = fleet.state.record.outcome, fleet.state.record.step
    expected = as_arrays(oracle.outcomes, steps.shape[1])
    np.testing.assert_array_equal(outcome["status"], expected.status, err_msg=where)
    looked = [KERNEL_CACHE.get(each.cache) or int(each.cache[4:]) + 1 for each in oracle.outcomes if each.cache]
    np.testing.assert_array_equal(
        outcome["cache"][[bool(each.cache) for each in oracle.outcomes]], looked, err_msg=f"{where} cache"
    )
    np.testing.assert_allclose(outcome["done_s"], expected.done_s, rtol=0, atol=TOLERANCE_S, err_msg=f"{where} done_s")
    is_passed = expected.slot >= 0
    np.testing.assert_array_equal(steps["slot"][is_passed], expected.slot[is_passed], err_msg=where)
    for field in ("ready_s", "start_s", "end_s"):
        np.testing.assert_allclose(
            steps[field][is_passed],
            getattr(expected, field)[is_passed],
            rtol=0,
            atol=TOLERANCE_S,
            err_msg=f"{where} {field}",
        )
    units = [request.outcome.stage_batch_units for request in oracle.requests if not request.is_background]
    for row, mine in enumerate(units):
        reached = is_passed[row, : len(mine)]
        assert steps["batch_units"][row, : len(mine)][reached].tolist() == np.array(mine)[reached].tolist(), where


def assert_same_counts(fleet: Fleet, oracle: Finished, where: str) -> None:
    """The counters of services, stages and links."""
    services, stages = fleet.state.services, fleet.state.stages
    for index, service in enumerate(services):
        for name in ("arrived", "completed", "rejected", "failed"):
            assert service[name] == oracle.counts[name, index], f"{where} {name}"
    assert_same_tiers(fleet.state.lookups, oracle, where)
    assert stages["budget_met"].tolist() == [oracle.counts["budget_met", k] for k in range(len(stages))], where
    if fleet.whole is None:
        return
    for index, service in enumerate(services):
        for name in ("background_started", "background_ended"):
            assert service[name] == oracle.counts[name.replace("_", " "), index], f"{where} {name}"
    for index, stage in enumerate(stages):
        for name in ("lost", "retried", "hedged", "hedges_won", "expired"):
            assert stage[name] == oracle.counts[name, index], f"{where} {name}"
    network = oracle.network
    expected = [*network.access_in, *network.links.values(), *network.access_out]
    for kernel_link, link in zip(fleet.whole.links, expected, strict=True):
        assert bool(kernel_link["is_there"]) == (link is not None), where
        if link is not None:
            assert kernel_link["messages"] == link.server.count, f"{where} messages"
            assert kernel_link["lost"] == link.lost, f"{where} lost on a link"
            assert kernel_link["bytes"] == pytest.approx(link.server.size_bytes), f"{where} bytes"
            assert kernel_link["busy_s"] == pytest.approx(link.server.busy_s), f"{where} busy_s"
    assert_same_caches(fleet.whole.caches, oracle, where)


def assert_same_caches(caches: Caches, oracle: Finished, where: str) -> None:
    """The counters of every instance of every level."""
    for row, cache in zip(caches.cache, oracle.caches, strict=True):
        assert row["levels"] == (0 if cache is None else len(cache.levels)), where
        for number, level in enumerate(cache.levels if cache else ()):
            for site, instance in enumerate(level):
                kernel_level = caches.level[caches.place[row["first"] + number * row["sites"] + site]]
                for name in ("hits", "misses", "expired", "coalesced", "refreshed", "prefetched"):
                    assert kernel_level[name] == instance.counts[name], f"{where} {name}"
                assert kernel_level["filled"] == len(instance.filled_s), f"{where} entries"


def assert_same_tiers(lookups: Lookups, oracle: Finished, where: str) -> None:
    """What every tier of embedding rows was asked for."""
    for (tier, node), server in oracle.tiers.servers.items():
        kind = lookups.kinds[tier]
        kernel_tier = lookups.tiers[kind["first"] + kind["step"] * node]
        assert kernel_tier["bytes"] == pytest.approx(server.size_bytes), f"{where} bytes of tier {tier}"
        assert kernel_tier["busy_s"] == pytest.approx(server.busy_s), f"{where} busy_s of tier {tier}"


def assert_counted(fleet: Fleet, arrivals: Sequence[OracleArrival], where: str) -> None:
    """The kernel's own counters and histogram against the outcomes that it recorded."""
    outcome = fleet.state.record.outcome
    of_service = np.array([arrival.service for arrival in arrivals])
    latency_s = outcome["done_s"] - np.array([arrival.arrival_s for arrival in arrivals])
    edges_s = bin_edges()
    for index, service in enumerate(fleet.state.services):
        mine = of_service == index
        done_s = latency_s[mine & (outcome["status"] == COMPLETED)]
        assert service["completed"] == len(done_s), where
        assert service["rejected"] == (outcome["status"][mine] == REJECTED).sum(), where
        assert service["failed"] == (outcome["status"][mine] == FAILED).sum(), where
        assert service["slo_met"] == (done_s <= service["slo_s"]).sum(), where
        places = np.repeat(np.arange(len(edges_s) - 1), fleet.state.histogram[index])
        tolerance = 1 + 1e-9
        assert (np.sort(done_s) <= edges_s[places + 1] * tolerance).all(), where
        assert (np.sort(done_s) * tolerance >= np.where(places > 0, edges_s[places], 0.0)).all(), where


@pytest.mark.parametrize("first", range(0, PLAIN_WORLDS, 50))
def test_plain_worlds_agree(first: int) -> None:
    served = [assert_agrees(plain_world(seed), f"plain world {seed}") for seed in range(first, first + 50)]
    assert sum(len(each.outcomes) for each in served) > 50


@pytest.mark.parametrize("path", ["lean", "whole"])
@pytest.mark.parametrize("first", range(0, PLAIN_WORLDS_ELSEWHERE, 50))
def test_plain_worlds_agree_on_other_paths(first: int, path: Path) -> None:
    for seed in range(first, first + 50):
        assert_agrees(plain_world(seed), f"plain world {seed}", path=path)


def test_lean_worlds_agree() -> None:
    """Worlds of what the lean path knows; every third on the whole path too."""
    taken: Counter[str] = Counter()
    for seed in range(LEAN_WORLDS):
        scenario = lean_world(seed)
        taken[path_of(plan_of(scenario[0], scenario[2])[0])] += 1
        assert_agrees(scenario, f"lean world {seed}", rows=1 + seed % 90)
        if seed % 3 == 0:
            assert_agrees(scenario, f"lean world {seed} on the whole path", path="whole")
    assert set(taken) == {"plain", "lean"}
    assert taken["lean"] > LEAN_WORLDS / 2


def test_whole_worlds_agree() -> None:
    seen: Counter[str] = Counter()
    for seed in range(WHOLE_WORLDS):
        scenario = dressed_world(seed)
        seen += seen_in(scenario, assert_agrees(scenario, f"world {seed}", rows=1 + seed % 90))
    assert unseen(seen) == []


@pytest.mark.slow
@pytest.mark.parametrize("first", range(WHOLE_WORLDS, WHOLE_WORLDS + SLOW_WORLDS, 200))
def test_many_whole_worlds_agree(first: int) -> None:
    for seed in range(first, first + 200):
        assert_agrees(dressed_world(seed), f"world {seed}")
        assert_agrees(lean_world(seed), f"lean world {seed}")


def test_uncompiled_source_agrees_with_the_oracle() -> None:
    """The same source as plain Python, in a process of its own."""
    code = (
        "from simulator.kernel.loop import advance\n"
        "from tests.simulator.test_kernel_oracle import assert_agrees, dressed_world, lean_world, plain_world\n"
        "assert not hasattr(advance, 'signatures')\n"
        f"for seed in range(10000, {10000 + UNCOMPILED_WORLDS}):\n"
        "    assert_agrees(plain_world(seed), f'plain world {seed}')\n"
        "    assert_agrees(lean_world(seed), f'lean world {seed}')\n"
        "    assert_agrees(dressed_world(seed), f'world {seed}')\n"
        "print(seed)\n"
    )
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == 10000 + UNCOMPILED_WORLDS - 1
