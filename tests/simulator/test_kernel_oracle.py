"""The compiled data plane against the oracle: every request's fate and times, over random worlds."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from tests.oracle.model import as_arrays
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
    return len(arrivals)


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
