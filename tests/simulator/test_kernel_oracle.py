"""The compiled data plane against the oracle: every request's fate and times, over random worlds."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from simulator.fleet import Fleet
from simulator.histogram import bin_edges
from simulator.kernel.state import COMPLETED, FAILED, REJECTED
from tests.oracle.model import OracleArrival, as_arrays
from tests.oracle.simpy_oracle import run
from tests.oracle.worlds import random_world
from tests.simulator.oracle_bridge import run_on_fleet

TOLERANCE_S = 1e-9
COMPILED_WORLDS = 400
UNCOMPILED_WORLDS = 25


def assert_agrees(seed: int) -> int:
    """One random world on both; the number of requests compared."""
    rng = np.random.default_rng([20261122, seed])
    world, arrivals, controls = random_world(rng, requests=int(rng.integers(1, 300)))
    outcomes, oracle_released_s = run(world, arrivals, controls)
    fleet, released_s = run_on_fleet(world, arrivals, controls, rows=int(rng.integers(1, 100)))

    steps = fleet.state.record.step
    expected = as_arrays(outcomes, steps.shape[1])
    where = f"world {seed}"
    np.testing.assert_array_equal(fleet.state.record.outcome["status"], expected.status, err_msg=where)
    np.testing.assert_array_equal(steps["slot"], expected.slot, err_msg=where)
    for field in ("ready_s", "start_s", "end_s"):
        np.testing.assert_allclose(
            steps[field], getattr(expected, field), rtol=0, atol=TOLERANCE_S, err_msg=f"{where} {field}"
        )
    completed = expected.status == 1
    np.testing.assert_allclose(
        fleet.state.record.outcome["done_s"][completed],
        expected.done_s[completed],
        rtol=0,
        atol=TOLERANCE_S,
        err_msg=f"{where} done_s",
    )
    assert released_s == pytest.approx(oracle_released_s, rel=0, abs=TOLERANCE_S), where
    assert fleet.in_flight().sum() == 0, where
    assert_counted(fleet, arrivals, where)
    return len(arrivals)


def assert_counted(fleet: Fleet, arrivals: list[OracleArrival], where: str) -> None:
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


@pytest.mark.parametrize("first", range(0, COMPILED_WORLDS, 50))
def test_every_request_agrees_with_the_oracle(first: int) -> None:
    assert sum(assert_agrees(seed) for seed in range(first, first + 50)) > 50


def test_uncompiled_source_agrees_with_the_oracle() -> None:
    """The same source as plain Python, in a process of its own."""
    code = (
        "from simulator.kernel.loop import advance\n"
        "from tests.simulator.test_kernel_oracle import assert_agrees\n"
        "assert not hasattr(advance, 'signatures')\n"
        f"print(sum(assert_agrees(seed) for seed in range(1000, {1000 + UNCOMPILED_WORLDS})))\n"
    )
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > UNCOMPILED_WORLDS
