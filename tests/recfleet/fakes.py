"""A plausible, conserved run without a simulator: three services on two node types over a synthetic day."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from recfleet.jobs import Job
from recfleet.run_record import RunRecord
from simulator.histogram import N_BINS, bin_edges
from simulator.policy import FleetFacts
from simulator.result import Decision, Intervals, RunResult

GB = 1e9


def facts(interval_s: float = 30.0, duration_s: float = 3600.0) -> FleetFacts:
    throughput = np.array([[900.0, 60.0], [400.0, 25.0], [150.0, 0.0]])
    need = np.zeros((3, 2, 6))
    need[:, 0] = [1.0, 20 * GB, 4.0, 16 * GB, 0.1 * GB, 0.5 * GB]
    need[:, 1] = [0.0, 0.0, 8.0, 16 * GB, 0.1 * GB, 0.2 * GB]
    return FleetFacts(
        services=("feed", "shop", "search"),
        stages=("feed/rank", "shop/rank", "search/rerank"),
        variants=("feed/rank/dlrm", "shop/rank/dlrm", "search/rerank/bert"),
        node_types=("h200-8", "cpu-64"),
        stage_service=np.array([0, 1, 2]),
        variant_stage=np.array([0, 1, 2]),
        throughput_rps=throughput,
        best_throughput_rps=throughput * 1.3,
        need=need,
        capacity=np.array(
            [
                [8.0, 8 * 141 * GB, 192.0, 2000 * GB, 20 * GB, 50 * GB],
                [0.0, 0.0, 64.0, 256 * GB, 5 * GB, 12.5 * GB],
            ]
        ),
        node_count=np.array([4, 20]),
        price_usd_per_hour=np.array([40.0, 2.5]),
        start_delay_s=np.full((3, 2), 25.0),
        boot_s=np.array([120.0, 60.0]),
        slo_s=np.array([0.05, 0.1, 0.2]),
        slo_quantile=np.array([0.99, 0.99, 0.95]),
        control_interval_s=interval_s,
        duration_s=duration_s,
        headroom=0.2,
        unserved_usd_per_request=0.001,
    )


def run_result(
    policy: str = "static_peak",
    seed: int = 1,
    *,
    generosity: float = 1.5,
    intervals: int = 120,
    interval_s: float = 30.0,
    peak_rps: float = 2000.0,
    of: FleetFacts | None = None,
    flat: bool = False,
) -> RunResult:
    """A run whose books balance; ``generosity`` is provisioned over needed, below 1 it rejects."""
    fleet = of or facts(interval_s, intervals * interval_s)
    rng = np.random.default_rng([seed, 7])
    noise = np.random.default_rng([seed, int(hashlib.sha256(policy.encode()).hexdigest()[:6], 16)])
    day = np.arange(intervals) / intervals
    shape = 0.25 + 0.75 * np.sin(math.pi * day) ** 2 + 0.6 * np.exp(-(((day - 0.7) / 0.02) ** 2))
    weights = np.array([0.5, 0.35, 0.15])
    rate = peak_rps * shape[:, None] * weights
    arrived = rng.poisson(rate * interval_s)
    lagged = np.vstack([rate[:1], rate[:-1]]) if not flat else np.broadcast_to(rate.max(0), rate.shape)
    capacity_rps = lagged * generosity
    lost = np.maximum(arrived - capacity_rps * interval_s, 0).astype(np.int64)
    rejected, failed = lost - lost // 5, lost // 5
    in_flight = np.minimum(noise.poisson(rate * 0.02), arrived - lost)
    before = np.vstack([np.zeros((1, 3), dtype=np.int64), in_flight[:-1]])
    completed = arrived - lost + before - in_flight
    load = np.minimum(arrived / (capacity_rps * interval_s), 0.999)
    miss = np.clip(0.002 + 0.6 * np.maximum(load - 0.85, 0), 0, 1)
    slo_met = completed - noise.binomial(completed, miss)
    replicas = np.ceil(capacity_rps / fleet.throughput_rps[:, 0]).astype(np.int64)
    ready = np.zeros((intervals, 3, 2), dtype=np.int64)
    ready[:, :, 0] = replicas
    nodes = np.maximum(1, np.ceil(replicas.sum(1) / 8)).astype(np.int64)
    open_nodes = np.column_stack([nodes, np.full(intervals, 2)])
    length = np.full(intervals, interval_s)
    provisioned = (open_nodes @ fleet.capacity) * interval_s
    allocated = np.minimum((ready[..., None] * fleet.need).sum(axis=(1, 2)) * interval_s, provisioned)
    used = allocated * np.clip(load.mean(1, keepdims=True) * np.array([0.9, 0.6, 0.5, 0.7, 0.02, 0.1]), 0, 1)
    tail = in_flight[-1]
    slow = 0.012 / (1.02 - load.max(0))
    middles = np.sqrt(bin_edges()[:-1] * bin_edges()[1:])
    histogram = np.zeros((3, N_BINS), dtype=np.int64)
    total = completed.sum(0) + tail
    for s in range(3):
        z = (np.log(middles) - math.log(slow[s] * (s + 1))) / 0.45
        density = np.exp(-0.5 * z**2)
        histogram[s] = noise.multinomial(total[s], density / density.sum())
    p50 = slow / 2 + 0.01 * load
    serves = tuple(_decision(i, interval_s, ready, policy) for i in range(intervals))
    served = np.zeros((3, 2), dtype=np.int64)
    served[:, 0] = completed.sum(0)
    return RunResult(
        scenario="fake day",
        policy=policy,
        seed=seed,
        trace_name="synthetic day",
        facts=fleet,
        intervals=Intervals(
            start_s=np.arange(intervals) * interval_s,
            length_s=length,
            arrived=arrived,
            completed=completed,
            rejected=rejected,
            failed=failed,
            slo_met=slo_met,
            in_flight=in_flight,
            p50_s=p50,
            p95_s=p50 * 2,
            p99_s=p50 * 3,
            queue_requests=in_flight,
            ready=ready,
            starting=np.zeros_like(ready),
            draining=np.zeros_like(ready),
            open_nodes=open_nodes,
            provisioned=provisioned,
            allocated=allocated,
            used=used,
            cost_usd=open_nodes @ fleet.price_usd_per_hour * interval_s / 3600.0,
            training_gpu_s=np.zeros(intervals),
            replicas_lost=np.zeros_like(ready),
            usable_nodes=np.broadcast_to(fleet.node_count, open_nodes.shape),
        ),
        decisions=serves,
        arrived=arrived.sum(0),
        completed=total,
        rejected=rejected.sum(0),
        failed=failed.sum(0),
        slo_met=slo_met.sum(0) + tail,
        histogram=histogram,
        served_requests=served,
        served_batches=served // 20,
        extrapolated_batches=served // 2000,
        stage_wait_s=total * 0.004,
        stage_compute_s=total * 0.006,
        cold_starts=int(np.maximum(np.diff(ready, axis=0), 0).sum()),
        duration_s=intervals * interval_s,
        storage_bytes_loaded=3e11,
    )


def _decision(slot: int, interval_s: float, ready: np.ndarray, policy: str) -> Decision:
    change = int((ready[slot] - ready[max(slot - 1, 0)]).sum())
    return Decision(
        slot=slot,
        now_s=slot * interval_s,
        wanted=ready[slot],
        started=max(change, 0),
        drained=max(-change, 0),
        unplaced=0,
        status="rule",
        objective_usd_per_hour=None,
        bound_usd_per_hour=None,
        note=f"{policy}: demand moved" if change else "",
    )


GENEROSITY = {"static_peak": 1.1, "hpa": 1.9, "document_greedy": 1.0, "document_lp": 1.4, "mip": 1.6}


def record(policy: str = "static_peak", seed: int = 1, **changes: Any) -> RunRecord:
    options: dict[str, Any] = {
        "generosity": GENEROSITY.get(policy, 1.5),
        "flat": policy == "static_peak",
    } | changes
    result = run_result(policy, seed, **options)
    cost = float(result.intervals.cost_usd.sum())
    return RunRecord(result, 0.45 * cost, "optimal", policy.startswith("clairvoyant"), wall_s=0.5)


def replaced(value: RunRecord, **fields: Any) -> RunRecord:
    """The record with fields of its result replaced."""
    return dataclasses.replace(value, result=dataclasses.replace(value.result, **fields))


def fake_runner(scenario: Any, job: Job, progress: Callable[[float], None]) -> RunRecord:
    """Stands in for `recfleet.jobs.simulate_job`; at module level, so that worker processes can import it."""
    progress(0.5)
    return record(job.label, job.seed, intervals=scenario.intervals)


@dataclasses.dataclass(frozen=True)
class FakeScenario:
    """The fields of `simulator.scenario.Scenario` that the comparison reads."""

    name: str = "fake day"
    description: str = "A synthetic day, only for tests."
    path: Path = Path("scenarios/fake.yaml")
    file_sha256: str = "0" * 64
    seed: int = 1
    control_interval_s: float = 30.0
    intervals: int = 120
    policies: tuple[Any, ...] = ("static_peak", "hpa", "mip")
    services: tuple[Any, ...] = ()
    assumptions: tuple[str, ...] = ("The arrivals are synthetic.", "Prices are assumed.")
    sources: tuple[str, ...] = ("Profiles: none, this scenario is fake.",)
    inputs: tuple[tuple[str, str], ...] = ()
    alert_rules: tuple[Any, ...] = ()

    @property
    def duration_s(self) -> float:
        return self.intervals * self.control_interval_s

    @property
    def cluster(self) -> Any:
        return SimpleNamespace(node_types=(), source="", notes=())
