"""The whole request path: as the plain one on what that knows, sound on everything else, compiled or not."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from simulator.fleet import Fleet
from simulator.journey_arrays import PATHS, Path, path_of
from simulator.latency_tables import Interference, LatencyTable
from simulator.plan import (
    ROUTERS,
    BatchRule,
    CacheLevelPlan,
    CachePlan,
    FleetPlan,
    LinkPlan,
    LookupPlan,
    ServicePlan,
    SitePlan,
    StagePlan,
    TierPlan,
)
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
    fleet = Fleet(draw_world(1).plan, iter(()))
    assert fleet.whole is not None
    assert fleet.whole.wide


STAGE = StagePlan(0, 100, 8.0, "least_outstanding")
SLOWDOWN = Interference((2,), np.ones(1), np.full((1, 1), 2.0))
ALONE = LatencyTable(np.array([1]), np.zeros(1), np.ones((1, 1)), np.zeros(1))
PLAN = FleetPlan((STAGE,), (BatchRule(0, True, 8, 0.1, 0),), (ALONE,), np.ones(2), 0.0, (ServicePlan(1.0),), 1)


@pytest.mark.parametrize(
    ("path", "changes"),
    [
        *(("plain", {"stages": (replace(STAGE, router=name),)}) for name in ("least_outstanding", "round_robin")),
        ("plain", {"stages": (replace(STAGE, max_outstanding=2, budget_s=0.1),)}),
        ("plain", {"tiers": (TierPlan("ssd", 1.0, 0.0),), "lookups": (LookupPlan((1.0,)),)}),
        ("plain", {"tables": (replace(ALONE, interference=SLOWDOWN),)}),
        ("lean", {"stages": (replace(STAGE, split_items=10),)}),
        ("lean", {"services": (ServicePlan(1.0, cache=CachePlan("user", (CacheLevelPlan(10, 0.0),))),)}),
        *(("whole", {"stages": (replace(STAGE, router=name),)}) for name in ROUTERS[2:6]),
        ("whole", {"stages": (replace(STAGE, expire_s=1.0),)}),
        ("whole", {"stages": (replace(STAGE, retries=1),)}),
        ("whole", {"stages": (replace(STAGE, hedge_after_s=1.0),)}),
        ("whole", {"services": (ServicePlan(1.0, class_shares=(0.5, 0.5)),)}),
        ("whole", {"sites": (SitePlan(), SitePlan()), "node_site": np.array([0, 1])}),
        ("whole", {"sites": (SitePlan(access_in=LinkPlan(1.0, 0.0, 0.0)),)}),
        ("whole", {"sites": (SitePlan(access_out=LinkPlan(1.0, 0.0, 0.0)),)}),
    ],
)
def test_a_plan_takes_the_smallest_path_that_knows_it(path: Path, changes: dict[str, Any]) -> None:
    plan = replace(PLAN, **changes)
    assert path_of(plan) == path
    for smaller in PATHS[: PATHS.index(path)]:
        with pytest.raises(ValueError, match=f"the {smaller} path does not know"):
            Fleet(plan, iter(()), path=smaller)
