"""The whole request path: as the plain one on what that knows, sound on everything else, compiled or not."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from simulator.fleet import Fleet
from simulator.journey_arrays import Path
from tests.oracle.worlds import random_world
from tests.simulator.oracle_bridge import run_on_fleet
from tests.simulator.whole_worlds import check, draw_world, serve

PLAIN_WORLDS = 60
WHOLE_WORLDS = 200
UNCOMPILED = "0 3 5 11"


@pytest.mark.parametrize("first", range(0, PLAIN_WORLDS, 20))
@pytest.mark.parametrize("path", ["lean", "whole"])
def test_plain_worlds_take_all_paths_alike(first: int, path: Path) -> None:
    for seed in range(first, first + 20):
        rng = np.random.default_rng([4711, seed])
        world, arrivals, controls = random_world(rng, requests=int(rng.integers(1, 200)))
        plain, plain_released_s = run_on_fleet(world, arrivals, controls)
        whole, whole_released_s = run_on_fleet(world, arrivals, controls, path=path)
        assert plain.whole is None
        assert whole.whole is not None
        assert plain_released_s == whole_released_s
        np.testing.assert_array_equal(plain.state.histogram, whole.state.histogram)
        np.testing.assert_array_equal(plain.state.services, whole.state.services)
        for ours, theirs in zip(plain.state.record, whole.state.record):
            for name in ours.dtype.names or ():
                np.testing.assert_array_equal(ours[name], theirs[name], err_msg=f"{name} of world {seed}")
        for name in ("queue", "wait_s", "compute_s"):
            np.testing.assert_allclose(plain.state.stages[name], whole.state.stages[name], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("first", range(0, WHOLE_WORLDS, 50))
def test_whatever_fails_every_request_ends_once(first: int) -> None:
    met: dict[str, int] = {}
    for seed in range(first, first + 50):
        fleet = serve(draw_world(seed))
        check(fleet)
        for name in ("lost", "retried", "hedged", "hedges_won", "expired", "budget_met"):
            met[name] = met.get(name, 0) + int(fleet.state.stages[name].sum())
    assert min(met.values()) > 100, met


def digest(seed: int) -> str:
    """Of everything recorded and counted in a world."""
    fleet = serve(draw_world(seed, requests=120))
    sink = hashlib.sha256()
    assert fleet.whole is not None
    for array in (*fleet.state.record, fleet.state.services, fleet.whole.links):
        for name in array.dtype.names or ():
            sink.update(np.ascontiguousarray(array[name]).tobytes())
    return sink.hexdigest()


def test_uncompiled_source_does_the_same() -> None:
    code = (
        "from simulator.kernel.whole_loop import advance_whole\n"
        "from tests.simulator.test_whole_path import digest\n"
        "assert not hasattr(advance_whole, 'signatures')\n"
        f"print(*[digest(int(seed)) for seed in '{UNCOMPILED}'.split()])\n"
    )
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [digest(int(seed)) for seed in UNCOMPILED.split()]


def test_the_fleet_is_whole_where_the_plan_says_so() -> None:
    world = draw_world(1)
    assert Fleet(world.plan, iter(())).whole is not None
