"""What holds in every run, over scenarios and erratic policies drawn at random (with fixed seeds)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest

from optimizer.bounds import fluid_bound_usd
from simulator import throughput
from simulator.cluster import RESOURCES, resource_index
from simulator.engine import prepare, simulate
from simulator.facts import arrivals_per_slot
from simulator.result import RunResult
from simulator.scenario import Scenario
from tests.simulator.mini import Erratic, arrays_of, load_mini

SCENARIOS: dict[str, dict[str, str]] = {
    "as written": {},
    "intervals below a second, means": {"control_interval_s: 20": "control_interval_s: 0.7\nservice_noise: false"},
    "tight queues": {
        "queue_limit: 12": "queue_limit: 1",
        "max_wait_ms: 5,": "max_wait_ms: 50, queue_limit: 2,",
        "rate_rps: 4.0": "rate_rps: 12.0",
    },
    "few nodes, slow start": {
        "count: 6": "count: 2",
        "count: 4": "count: 1",
        "storage_gbyte_per_s: 1.0": "storage_gbyte_per_s: 0.2",
        "boot_s: 10": "boot_s: 45",
    },
    "slow cards, one interval": {
        "gbit_per_s: 1\n      price_usd_per_hour: 0.4": "gbit_per_s: 0.001\n      price_usd_per_hour: 0.4",
        "control_interval_s: 20": "control_interval_s: 500",
    },
}
POLICY_SEEDS = range(6)
CLAIMED = [resource_index(name) for name in ("gpu", "gpu_memory", "cpu", "memory")]


@dataclass(frozen=True)
class Run:
    scenario: Scenario
    policy: Erratic
    result: RunResult


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, int], Run]:
    """Every scenario under every policy."""
    done = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(throughput, "REQUESTS", 2000)
        for name, changes in SCENARIOS.items():
            scenario = load_mini(tmp_path_factory.mktemp("invariants"), changes)
            for seed in POLICY_SEEDS:
                policy = Erratic(seed, change=min(0.6, scenario.control_interval_s / 20))
                context = prepare(scenario, 100 + seed)
                done[name, seed] = Run(scenario, policy, simulate(scenario, policy, seed=100 + seed, context=context))
    return done


@pytest.fixture(params=[(name, seed) for name in SCENARIOS for seed in POLICY_SEEDS], ids=lambda p: f"{p[0]}-{p[1]}")
def run(request: pytest.FixtureRequest, runs: dict[tuple[str, int], Run]) -> Run:
    return runs[request.param]


def test_the_runs_shake_everything(runs: dict[tuple[str, int], Run]) -> None:
    """The invariants below would be empty without failures, rejections, drains, cold starts and refusals."""
    results = [run.result for run in runs.values()]
    for name in ("completed", "rejected", "failed", "slo_met"):
        assert sum(getattr(r, name).sum() for r in results) > 1000, name
    assert sum(r.cold_starts for r in results) > 500
    assert sum(d.unplaced for r in results for d in r.decisions) > 50
    assert sum((r.intervals.draining > 0).any() for r in results) > 3
    assert sum((r.intervals.used[:, resource_index("network")] > 0).any() for r in results) == len(results)


def test_requests_are_conserved(run: Run) -> None:
    r, i = run.result, run.result.intervals
    counts = np.array([r.arrived, r.completed, r.rejected, r.failed, r.slo_met])
    assert (counts >= 0).all()
    np.testing.assert_array_equal(r.arrived, r.completed + r.rejected + r.failed)
    for kind in (i.arrived, i.completed, i.rejected, i.failed, i.slo_met, i.in_flight, i.queue_requests):
        assert (kind >= 0).all()
    net = i.arrived - i.completed - i.rejected - i.failed
    np.testing.assert_array_equal(i.in_flight, np.cumsum(net, axis=0))
    np.testing.assert_array_equal(i.arrived.sum(axis=0), r.arrived)
    assert (i.completed.sum(axis=0) <= r.completed).all()
    # Whatever was in flight at the end has an outcome.
    after = r.completed + r.rejected + r.failed - (i.completed + i.rejected + i.failed).sum(axis=0)
    np.testing.assert_array_equal(after, i.in_flight[-1])
    waiting = np.zeros_like(i.in_flight)
    for stage, service in enumerate(r.facts.stage_service):
        waiting[:, service] += i.queue_requests[:, stage]
    assert (waiting <= i.in_flight).all()


def test_arrivals_are_the_traces(run: Run) -> None:
    """The same intervals that clairvoyant policies are told of."""
    expected = arrivals_per_slot(run.scenario, run.result.seed)
    np.testing.assert_array_equal(run.result.intervals.arrived.T, expected)


def test_latencies_are_those_of_completed_requests(run: Run) -> None:
    r, i = run.result, run.result.intervals
    np.testing.assert_array_equal(r.histogram.sum(axis=1), r.completed)
    assert (r.slo_met <= r.completed).all()
    assert (i.slo_met <= i.completed).all()
    np.testing.assert_array_equal(np.isnan(i.p50_s), i.completed == 0)
    some = i.completed > 0
    assert (i.p50_s[some] <= i.p95_s[some]).all()
    assert (i.p95_s[some] <= i.p99_s[some]).all()
    assert (r.stage_wait_s >= 0).all()


def test_stages_serve_what_reaches_them(run: Run) -> None:
    r = run.result
    served = np.zeros(len(r.facts.stages), np.int64)
    np.add.at(served, r.facts.variant_stage, r.served_requests.sum(axis=1))
    ended = r.intervals.completed.sum(axis=0)
    assert served[0] >= served[1] == ended[0]
    assert served[2] == ended[1]
    assert (served <= r.arrived[r.facts.stage_service]).all()
    running_at_most = r.intervals.ready[-1] + r.intervals.draining[-1]
    assert (r.served_batches <= r.served_requests + running_at_most).all()
    assert (r.extrapolated_batches <= r.served_batches).all()
    assert (r.served_requests[r.facts.best_throughput_rps == 0] == 0).all()


def test_used_within_allocated_within_provisioned(run: Run) -> None:
    i = run.result.intervals
    slack = 1 + 1e-9
    floor = 1e-6 * i.provisioned.max(axis=0) + 1e-9
    assert (i.used <= i.provisioned * slack + floor).all()
    assert (i.used[:, CLAIMED] <= i.allocated[:, CLAIMED] * slack + floor[CLAIMED]).all()
    assert (i.allocated <= i.provisioned * slack + floor).all()
    assert (i.used >= -1e-9).all()
    count = run.result.facts.node_count @ run.result.facts.capacity
    assert (i.provisioned <= np.outer(i.length_s, count) * slack).all()


def test_cost_is_node_seconds_times_price(run: Run) -> None:
    """Node-seconds of each type recomputed from two resources that tell the types apart."""
    i, facts = run.result.intervals, run.result.facts
    pair = [resource_index("gpu"), resource_index("cpu")]
    node_s = np.linalg.solve(facts.capacity[:, pair].T, i.provisioned[:, pair].T)
    assert (node_s >= -1e-6).all()
    np.testing.assert_allclose(facts.price_usd_per_hour / 3600 @ node_s, i.cost_usd, rtol=1e-9, atol=1e-12)


def test_replicas_are_what_was_wanted_and_could_be_placed(run: Run) -> None:
    r, i = run.result, run.result.intervals
    for slot, decision in enumerate(r.decisions):
        missing = decision.wanted - i.ready[slot] - i.starting[slot]
        assert (missing >= 0).all()
        assert missing.sum() == decision.unplaced
        if slot + 1 < len(r.decisions):
            np.testing.assert_array_equal(run.policy.seen[slot + 1].unplaced, missing)
        else:
            assert decision.now_s < r.duration_s
    assert r.cold_starts == sum(d.started for d in r.decisions[1:])
    assert (i.open_nodes <= r.facts.node_count).all()
    replicas = (i.ready + i.starting + i.draining).sum(axis=1)
    np.testing.assert_array_equal(i.open_nodes > 0, replicas > 0)
    assert (i.open_nodes <= replicas).all()


def test_bytes_loaded_are_bytes_used(run: Run) -> None:
    r = run.result
    used = r.intervals.used[:, resource_index("storage")].sum()
    assert r.storage_bytes_loaded == pytest.approx(used)
    weights = max(p.weights_bytes for p in run.scenario.profiles)
    assert r.storage_bytes_loaded <= r.cold_starts * weights * (1 + 1e-9)


def test_intervals_tile_the_trace(run: Run) -> None:
    i = run.result.intervals
    ends = i.start_s + i.length_s
    assert i.start_s[0] == 0
    np.testing.assert_allclose(ends[:-1], i.start_s[1:], rtol=1e-12)
    assert ends[-1] == pytest.approx(run.scenario.duration_s)
    assert len(ends) == math.ceil(run.scenario.duration_s / run.scenario.control_interval_s)
    assert [d.now_s for d in run.result.decisions] == i.start_s.tolist()


def test_observations_are_the_intervals(run: Run) -> None:
    i = run.result.intervals
    rates = (i.arrived / i.length_s[:, None]).T
    for slot, seen in enumerate(run.policy.seen):
        assert seen.slot == slot
        assert seen.now_s == i.start_s[slot]
        if slot == 0:
            np.testing.assert_allclose(seen.history_rps, rates[:, :1])
            continue
        np.testing.assert_allclose(seen.history_rps, rates[:, :slot])
        np.testing.assert_array_equal(seen.arrival_rps, seen.history_rps[:, -1])
        for name in ("completed", "rejected", "failed", "p50_s", "p95_s", "p99_s", "queue_requests"):
            np.testing.assert_array_equal(getattr(seen, name), getattr(i, name)[slot - 1], err_msg=name)
        for name in ("ready", "starting", "draining", "open_nodes"):
            np.testing.assert_array_equal(getattr(seen, name), getattr(i, name)[slot - 1], err_msg=name)
        with np.errstate(invalid="ignore", divide="ignore"):
            used = i.used[slot - 1] / i.provisioned[slot - 1]
        np.testing.assert_allclose(seen.resource_utilisation, used)
        known = ~np.isnan(seen.busy_fraction)
        assert (seen.busy_fraction[known] >= 0).all()
        assert (seen.busy_fraction[known] <= 1 + 1e-9).all()


def test_the_fluid_bound_is_below_the_cost(run: Run) -> None:
    r = run.result
    served = np.zeros(len(r.facts.stages))
    np.add.at(served, r.facts.variant_stage, r.served_requests.sum(axis=1))
    bound = fluid_bound_usd(r.facts, served, r.duration_s)
    assert bound.status == "optimal"
    assert 0 < bound.usd <= r.intervals.cost_usd.sum() * (1 + 1e-9)


def test_axes(run: Run) -> None:
    facts = run.result.facts
    slots, services, stages = len(run.result.decisions), len(facts.services), len(facts.stages)
    fleet = (len(facts.variants), len(facts.node_types))
    shapes = {
        "arrived": (slots, services), "p99_s": (slots, services), "queue_requests": (slots, stages),
        "ready": (slots, *fleet), "open_nodes": (slots, fleet[1]), "used": (slots, len(RESOURCES)),
        "cost_usd": (slots,),
    }  # fmt: skip
    named = dict(arrays_of(run.result))
    for name, shape in shapes.items():
        assert named[f"intervals.{name}"].shape == shape, name
