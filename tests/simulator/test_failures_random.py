"""Random schedules of node, link and store loss under load: every request has one outcome, and runs are reproducible.

Sixty schedules in `make test`, a thousand more where slow tests run (`pytest -m slow`, `make bench`).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from simulator import throughput
from simulator.engine import prepare
from simulator.policy import PolicyContext
from simulator.result import RunResult
from simulator.scenario import Scenario
from tests.simulator.failing import check_conservation, digest, failing_run, small_scenario

FEW, MANY = 60, 1000
AGAIN = 10
"""Every so many-th run is made twice."""

World = tuple[Scenario, PolicyContext]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(throughput, "REQUESTS", 1000)
        scenario = small_scenario(tmp_path_factory.mktemp("failing"))
        return scenario, prepare(scenario, 0)


def survive(world: World, seeds: range) -> list[RunResult]:
    scenario, context = world
    results = []
    for seed in seeds:
        result = failing_run(scenario, context, seed)
        check_conservation(result)
        if seed % AGAIN == 0:
            assert digest(failing_run(scenario, context, seed)) == digest(result), seed
        results.append(result)
    return results


def check_they_shake_everything(results: list[RunResult]) -> None:
    """The checks would be empty without losses of every kind."""
    seen = Counter(event.what for result in results for event in result.events)
    for what in ("node_failed", "node_repaired", "link_failed", "link_repaired", "store_failed", "store_repaired",
                 "node_slow", "spot_notice", "spot_taken", "refresh_ended", "cache_lost"):  # fmt: skip
        assert seen[what] > 0, what
    for outcome in ("completed", "rejected", "failed"):
        assert sum(getattr(result, outcome).sum() for result in results) > len(results), outcome
    assert sum(result.replicas_lost for result in results) > len(results)


def test_sixty_schedules(world: World) -> None:
    check_they_shake_everything(survive(world, range(FEW)))


@pytest.mark.slow
def test_a_thousand_schedules(world: World) -> None:
    check_they_shake_everything(survive(world, range(FEW, FEW + MANY)))


@pytest.mark.slow
def test_another_process_has_the_same_luck(world: World) -> None:
    """With another hash seed, and the plan's throughputs searched anew."""
    code = (
        "import tempfile, pathlib\n"
        "from simulator import throughput\n"
        "from simulator.engine import prepare\n"
        "from tests.simulator.failing import digest, failing_run, small_scenario\n"
        "throughput.REQUESTS = 1000\n"
        "with tempfile.TemporaryDirectory() as folder:\n"
        "    scenario = small_scenario(pathlib.Path(folder))\n"
        "    context = prepare(scenario, 0)\n"
        "    print(*(digest(failing_run(scenario, context, seed)) for seed in range(5)))\n"
    )
    root = Path(__file__).resolve().parents[2]
    environment = os.environ | {"PYTHONHASHSEED": "77"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    scenario, context = world
    assert done.stdout.split() == [digest(failing_run(scenario, context, seed)) for seed in range(5)]
