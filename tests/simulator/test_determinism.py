"""The same run, bit by bit: in other processes, uncompiled, in other blocks; and common luck for all policies."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simulator import throughput
from simulator.engine import simulate
from simulator.result import RunResult
from simulator.scenario import Scenario
from tests.simulator.mini import Erratic, Scripted, arrays_of, load_hand, load_mini
from workloads.trace import Trace

ROOT = Path(__file__).resolve().parents[2]
FEW_REQUESTS = 60
"""For the search of throughputs, so that it is quick without a compiler."""
SHORT = {"duration_s: 290": "duration_s: 90", "at_s: 100": "at_s: 20", "rate_rps: 4.0": "rate_rps: 2.0"}


def digest(result: RunResult) -> str:
    sink = hashlib.sha256()
    for name, array in arrays_of(result):
        sink.update(f"{name} {array.dtype} {array.shape}".encode())
        sink.update(np.ascontiguousarray(array).tobytes())
    return sink.hexdigest()


def short_run() -> RunResult:
    """A short run in a folder of its own; called in this process and in others."""
    throughput.REQUESTS = FEW_REQUESTS
    with tempfile.TemporaryDirectory() as folder:
        return simulate(load_mini(Path(folder), SHORT), Erratic(5, change=0.5), seed=11)


def elsewhere(**environment: str) -> str:
    code = (
        "from tests.simulator.test_determinism import digest, short_run\n"
        "from simulator.kernel.loop import advance\n"
        "print(digest(short_run()), hasattr(advance, 'signatures'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def here() -> Iterator[RunResult]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(throughput, "REQUESTS", FEW_REQUESTS)
        yield short_run()


def test_the_short_run_is_not_trivial(here: RunResult) -> None:
    assert here.completed.sum() > 100
    assert here.failed.sum() > 20
    assert here.cold_starts > 5


@pytest.mark.parametrize("hash_seed", ["1", "4294967295"])
def test_another_process_with_another_hash_seed(here: RunResult, hash_seed: str) -> None:
    assert elsewhere(PYTHONHASHSEED=hash_seed) == f"{digest(here)} True"


def test_the_uncompiled_source(here: RunResult) -> None:
    assert elsewhere(NUMBA_DISABLE_JIT="1") == f"{digest(here)} False"


@pytest.mark.parametrize("rows", [1, 7, 100])
def test_blocks_of_the_trace_do_not_matter(mini: Scenario, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = digest(simulate(mini, Erratic(2), seed=3))
    blocks = Trace.blocks
    monkeypatch.setattr(Trace, "blocks", lambda self, *names, **given: blocks(self, *names, **{"rows": rows} | given))
    assert digest(simulate(mini, Erratic(2), seed=3)) == expected


def test_again_in_this_process(mini: Scenario) -> None:
    assert digest(simulate(mini, Erratic(2), seed=3)) == digest(simulate(mini, Erratic(2), seed=3))


def test_seeds_differ(mini: Scenario) -> None:
    policy: Any = np.array([[2, 0], [0, 2], [2, 0], [0, 1]])
    assert digest(simulate(mini, Scripted(policy), seed=3)) != digest(simulate(mini, Scripted(policy), seed=4))


# --- common random numbers ----------------------------------------------------------------------------


def test_policies_meet_the_same_arrivals(mini: Scenario) -> None:
    results = [simulate(mini, Erratic(seed), seed=3) for seed in range(3)]
    for result in results[1:]:
        np.testing.assert_array_equal(result.intervals.arrived, results[0].intervals.arrived)
    assert len({digest(result) for result in results}) == 3


NOISY = {"service_noise: false": "service_noise: true"}


def test_a_request_has_the_same_luck_under_every_policy(tmp_path: Path) -> None:
    """Alone on its replica, a request takes as long with one replica as with four, started at whatever time."""
    arrivals = np.arange(0.5, 119.0, 1.0)
    scenario = load_hand(tmp_path, arrivals, 120.0, NOISY)
    one, four, growing = (simulate(scenario, Scripted(*p), seed=9) for p in ([[[1]]], [[[4]]], [[[1]], [[2]], [[5]]]))
    assert one.completed.tolist() == [119]
    np.testing.assert_array_equal(one.histogram, four.histogram)
    np.testing.assert_array_equal(one.histogram, growing.histogram)
    np.testing.assert_allclose(one.stage_compute_s, four.stage_compute_s, rtol=1e-12)
    other_luck = simulate(scenario, Scripted([[1]]), seed=10)
    assert (other_luck.histogram != one.histogram).any()


def test_luck_does_not_depend_on_waiting(tmp_path: Path) -> None:
    """In batches of one every request heads its batch: a crowded fleet draws the same service times."""
    arrivals = np.sort(np.random.default_rng(0).uniform(0, 100, 800))
    scenario = load_hand(tmp_path, arrivals, 120.0, NOISY)
    crowded, idle = (simulate(scenario, Scripted([[n]]), seed=9) for n in (1, 6))
    assert crowded.stage_wait_s[0] > 10 * idle.stage_wait_s[0]
    np.testing.assert_allclose(crowded.stage_compute_s, idle.stage_compute_s, rtol=1e-12)


def test_another_service_changes_nothing_for_the_first(tmp_path: Path) -> None:
    """Streams are seeded by name: more traffic for one service is not other traffic for another."""
    base = load_mini(tmp_path)
    expected = simulate(base, Erratic(1), seed=3).intervals.arrived[:, 0]
    (tmp_path / "more").mkdir()
    more = load_mini(tmp_path / "more", {"rate_rps: 3.0, cv: 2.0": "rate_rps: 9.0, cv: 1.0"})
    found = simulate(more, Erratic(1), seed=3).intervals.arrived
    np.testing.assert_array_equal(found[:, 0], expected)
