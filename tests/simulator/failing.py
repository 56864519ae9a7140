"""Random schedules of failure under load, on a small scenario that has everything that can fail."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from simulator.engine import simulate
from simulator.life.plan import Job, Life, Outage, Refresh
from simulator.plan import RecordPlan
from simulator.policy import Allocation, Observation, PolicyContext
from simulator.result import RunResult
from simulator.scenario import Scenario, load_scenario
from tests.simulator.mini import SCENARIO, arrays_of, write_mini
from tests.simulator.rich import RICH

DURATION_S = 60.0
PRELOAD = "      preload: {hottest: 20, seen_s: 100}\n"
SMALL = {old: new.replace(PRELOAD, "") for old, new in RICH.items()} | {
    "duration_s: 290": f"duration_s: {DURATION_S:g}",
    "control_interval_s: 20": "control_interval_s: 6",
    "flash_crowds: [{at_s: 100, rise_s: 10, hold_s: 40, fall_s: 10, factor: 4.0}]": "cv: 2.0",
    "rate_rps: 4.0": "rate_rps: 12.0",
    "count: 6": "count: 2",
    "count: 4": "count: 2",
    "boot_s: 10": "boot_s: 1",
    "boot_s: 30": "boot_s: 2",
    "storage_gbyte_per_s: 1.0": "storage_gbyte_per_s: 4.0",
    "storage_gbyte_per_s: 0.5": "storage_gbyte_per_s: 2.0",
    "storage_gbyte_per_s: 0.8": "storage_gbyte_per_s: 2.0",
}
"""Ten intervals of 6 s; nodes 0 and 1 at the edge, 2 and 3 in the centre, 4 and 5 with GPUs there."""

NODES, MOST_REQUESTS = 6, 4000
ENOUGH = np.array([[1, 1, 0], [0, 0, 2], [0, 1, 0], [0, 0, 1]])
"""``[variant, node_type]``: retrieval at both sites, ranking on GPUs, ads on both kinds."""


def small_scenario(folder: Path) -> Scenario:
    """The mini scenario with sites, caches and the rest, shorter and with fewer nodes."""
    return load_scenario(write_mini(folder, SCENARIO, SMALL))


def random_outage(rng: np.random.Generator) -> Outage:
    """A node, a link, an access link, the store or a straggler is out for some seconds."""
    at_s = float(rng.uniform(0.0, DURATION_S))
    until_s = at_s + float(rng.exponential(8.0))
    kind = str(rng.choice(["node", "node", "node", "link", "link", "access", "store", "slow_node", "spot", "cache"]))
    if kind in ("node", "slow_node", "spot"):
        notice_s = min(5.0, until_s - at_s) if kind == "spot" else 0.0
        factor = 4.0 if kind == "slow_node" else 0.0
        return Outage(at_s, until_s, kind, (int(rng.integers(NODES)),), factor, notice_s)
    if kind == "cache":
        return Outage(at_s, at_s, kind, () if rng.random() < 0.5 else (int(rng.integers(2)),))
    if kind == "store":
        return Outage(at_s, until_s, kind, (), float(rng.choice([0.0, 0.2])))
    first = int(rng.integers(2))
    return Outage(at_s, until_s, kind, (first, 1 - first if kind == "link" else int(rng.integers(2))))


def random_life(rng: np.random.Generator, base: Life) -> Life:
    """One to twelve outages, some at one instant; at times with refreshes and a job beside."""
    outages = [random_outage(rng) for _ in range(int(rng.integers(1, 13)))]
    if rng.random() < 0.3:  # several things at the very instant of a decision
        outages = [replace(o, at_s=12.0, until_s=max(o.until_s, 12.0 + o.notice_s)) for o in outages]
    job = Job("train", 1, 20.0, (2,), (1.0, 0.0, 1.0, 0.0, 0.0, 0.0), checkpoint_gpu_s=5.0, read_bytes=1e9)
    return replace(
        base,
        outages=tuple(outages),
        replaces_at_once=bool(rng.random() < 0.5),
        evicts=bool(rng.random() < 0.3),
        priorities=(1, 0),
        refreshes=(Refresh(0, 20.0, 5.0, 2, bool(rng.random() < 0.5)),) if rng.random() < 0.3 else (),
        jobs=(job,) if rng.random() < 0.3 else (),
    )


class Restless:
    """Wants enough for the load, and now and then one more or one less of something."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._wanted = ENOUGH.copy()

    def decide(self, observation: Observation) -> Allocation:
        runs = observation.facts.best_throughput_rps > 0
        if self._rng.random() < 0.5:
            step = np.where(self._rng.random(runs.shape) < 0.3, self._rng.integers(-1, 2, runs.shape), 0)
            self._wanted = np.where(runs, np.clip(self._wanted + step, 0, 3), 0)
        return Allocation(self._wanted)


def failing_run(scenario: Scenario, context: PolicyContext, seed: int) -> RunResult:
    """A run under the schedule of a seed, with every request recorded."""
    rng = np.random.default_rng([seed, 11])
    cursed = replace(scenario, life=random_life(rng, scenario.life))
    return simulate(cursed, Restless(rng), seed=seed, context=context, requests=RecordPlan(rows=MOST_REQUESTS))


def check_conservation(result: RunResult) -> None:
    """Every request of the trace has one outcome, and is counted under it once."""
    arrived = result.completed + result.rejected + result.failed
    np.testing.assert_array_equal(result.arrived, arrived)
    sample = result.sample
    assert sample is not None
    assert len(sample) < MOST_REQUESTS
    services = range(len(result.arrived))
    by_status = [[int(((sample.service == s) & (sample.status == k)).sum()) for s in services] for k in range(4)]
    assert by_status == [
        [0] * len(services),
        *([c.tolist() for c in (result.completed, result.rejected, result.failed)]),
    ]
    np.testing.assert_array_equal(result.histogram.sum(axis=1), result.completed)
    answered = sample.status == 1
    assert (sample.done_s[answered] >= sample.arrival_s[answered]).all()
    i = result.intervals
    net = i.arrived - i.completed - i.rejected - i.failed
    assert (i.in_flight >= 0).all()
    np.testing.assert_array_equal(i.in_flight, np.cumsum(net, axis=0))
    for count in (i.arrived, i.completed, i.rejected, i.failed, i.slo_met, i.queue_requests):
        assert (count >= 0).all()


def digest(result: RunResult) -> str:
    """All numbers of a run, its events and what became of every request."""
    sink = hashlib.sha256(repr((result.events, result.jobs)).encode())
    for name, array in arrays_of(result):
        sink.update(f"{name} {array.dtype} {array.shape}".encode())
        sink.update(np.ascontiguousarray(array).tobytes())
    sample = result.sample
    assert sample is not None
    for array in (sample.status, sample.done_s, sample.slot, sample.start_s, sample.end_s):
        sink.update(np.ascontiguousarray(array).tobytes())
    return sink.hexdigest()
