"""Small fleets, observations and planning problems for the tests; all numbers are made up."""

from __future__ import annotations

from typing import Any

import numpy as np

from optimizer.fleet.problem import FleetProblem
from simulator.cluster import RESOURCES
from simulator.policy import Allocation, FleetFacts, Observation, Policy, PolicyContext

GIB = 2.0**30


def facts(**changes: Any) -> FleetFacts:
    """Two services, three stages, four variants, a GPU node type and a CPU node type.

    ``shop`` is retrieve (CPU or GPU) then rank (GPU only); ``video`` is one stage with two variants.
    """
    need = np.zeros((4, 2, len(RESOURCES)))
    need[0] = [[0.5, 4 * GIB, 2, 8 * GIB, 1e7, 1e7], [0, 0, 4, 8 * GIB, 1e7, 1e7]]
    need[1] = [[1.0, 20 * GIB, 4, 16 * GIB, 1e7, 2e7], [0, 0, 0, 0, 0, 0]]
    need[2] = [[1.0, 10 * GIB, 2, 8 * GIB, 1e7, 1e7], [0, 0, 16, 16 * GIB, 1e7, 1e7]]
    need[3] = [[0.5, 5 * GIB, 2, 8 * GIB, 1e7, 1e7], [0, 0, 8, 8 * GIB, 1e7, 1e7]]
    throughput = np.array([[400.0, 50.0], [300.0, 0.0], [500.0, 40.0], [220.0, 30.0]])
    values: dict[str, Any] = {
        "services": ("shop", "video"),
        "stages": ("shop/retrieve", "shop/rank", "video/rank"),
        "variants": ("shop/retrieve/base", "shop/rank/base", "video/rank/base", "video/rank/small"),
        "node_types": ("gpu", "cpu"),
        "stage_service": np.array([0, 0, 1]),
        "variant_stage": np.array([0, 1, 2, 2]),
        "throughput_rps": throughput,
        "best_throughput_rps": throughput * 1.4,
        "need": need,
        "capacity": np.array([[4, 96 * GIB, 48, 256 * GIB, 2e9, 3e9], [0, 0, 32, 128 * GIB, 1e9, 2e9]]),
        "node_count": np.array([6, 20]),
        "price_usd_per_hour": np.array([10.0, 1.5]),
        "start_delay_s": np.where(throughput > 0, 40.0, 0.0),
        "boot_s": np.array([60.0, 30.0]),
        "slo_s": np.array([0.1, 0.1]),
        "slo_quantile": np.array([0.99, 0.99]),
        "control_interval_s": 60.0,
        "duration_s": 86400.0,
        "headroom": 0.2,
        "unserved_usd_per_request": 0.001,
    }
    return FleetFacts(**(values | changes))


def context(fleet: FleetFacts, rates: np.ndarray) -> PolicyContext:
    """Context of a trace with ``rates[service, slot]``."""
    return PolicyContext(fleet, rates.max(axis=1), rates)


def observation(fleet: FleetFacts, slot: int, rates: np.ndarray, **changes: Any) -> Observation:
    """What a policy sees at the start of ``slot`` when ``rates[service, slot]`` arrived before it."""
    pairs, services = fleet.throughput_rps.shape, len(fleet.services)
    history = rates[:, : max(1, slot)]
    values: dict[str, Any] = {
        "now_s": slot * fleet.control_interval_s,
        "slot": slot,
        "facts": fleet,
        "history_rps": history,
        "arrival_rps": history[:, -1],
        "completed": np.zeros(services, dtype=np.int64),
        "rejected": np.zeros(services, dtype=np.int64),
        "failed": np.zeros(services, dtype=np.int64),
        "p50_s": np.full(services, np.nan),
        "p95_s": np.full(services, np.nan),
        "p99_s": np.full(services, np.nan),
        "served_requests": np.zeros(pairs, dtype=np.int64),
        "queue_requests": np.zeros(len(fleet.stages), dtype=np.int64),
        "busy_fraction": np.full(pairs, np.nan),
        "resource_utilisation": np.full(len(RESOURCES), np.nan),
        "ready": np.zeros(pairs, dtype=np.int64),
        "starting": np.zeros(pairs, dtype=np.int64),
        "draining": np.zeros(pairs, dtype=np.int64),
        "unplaced": np.zeros(pairs, dtype=np.int64),
        "open_nodes": np.zeros(len(fleet.node_types), dtype=np.int64),
    }
    values |= changes
    for value in values.values():
        if isinstance(value, np.ndarray):
            value.flags.writeable = False
    return Observation(**values)


def run(policy: Policy, fleet: FleetFacts, rates: np.ndarray, slots: int | None = None) -> list[Allocation]:
    """Drive a policy with a crude stand-in for the simulator: what was asked for is ready one interval later."""
    shape = fleet.throughput_rps.shape
    ready, starting = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    answers = []
    for slot in range(slots or rates.shape[1]):
        demand = fleet.stage_demand(rates[:, max(0, slot - 1)])[fleet.variant_stage][:, None]
        stage_rate = np.bincount(fleet.variant_stage, (fleet.throughput_rps * ready).sum(axis=1), len(fleet.stages))[
            fleet.variant_stage
        ][:, None]
        busy = np.where(ready > 0, np.minimum(1.0, demand / np.maximum(stage_rate, 1e-9)), np.nan)
        seen = observation(fleet, slot, rates, ready=ready.copy(), starting=starting.copy(), busy_fraction=busy)
        answer = policy.decide(seen)
        answers.append(answer)
        wanted = np.asarray(answer.replicas)
        ready = np.minimum(wanted, ready + starting)
        starting = wanted - ready
    return answers


def tiny_problem(rng: np.random.Generator, *, churn: bool = True) -> FleetProblem:
    """At most two stages, three variants and two node types of three nodes: small enough to enumerate.

    A quarter of the stages have no demand, whether or not replicas of them run.
    """
    stages, types, resources = int(rng.integers(1, 3)), int(rng.integers(1, 3)), 2
    variants = stages + int(rng.integers(0, 2))
    variant_stage = np.sort(np.concatenate([np.arange(stages), rng.integers(0, stages, variants - stages)]))
    capacity = rng.choice([4.0, 8.0], (types, resources))
    need = rng.integers(0, 5, (variants, types, resources)) + np.array([1.0, 0.0])
    throughput = np.where(rng.random((variants, types)) < 0.85, rng.integers(5, 40, (variants, types)), 0.0)
    throughput[(need > capacity).any(axis=2)] = 0.0
    return FleetProblem(
        demand_rps=rng.integers(0, 70, stages) * (rng.random(stages) < 0.75).astype(float),
        stage_service=np.sort(rng.integers(0, stages, stages)),
        variant_stage=variant_stage,
        throughput_rps=throughput,
        need=need,
        capacity=capacity,
        node_count=rng.integers(1, 4, types),
        price_usd_per_hour=rng.integers(1, 20, types).astype(float),
        replicas_now=rng.integers(0, 3, (variants, types)) * (throughput > 0),
        churn_usd_per_hour=np.full((variants, types), float(rng.choice([0.0, 0.3])) if churn else 0.0),
        unserved_usd_per_request=float(rng.choice([1e-4, 1e-3])),
        headroom=float(rng.choice([0.0, 0.2])),
    )


def funnel_problem(rng: np.random.Generator) -> FleetProblem:
    """Six stages, seven variants, three node types: the size of a control loop's problem, a few nodes large."""
    stage = np.array([0, 1, 2, 3, 4, 5, 5])
    capacity = np.array(
        [[8, 1120e9, 128, 1.5e12, 1e10, 1e10], [0, 0, 64, 512e9, 2e9, 3e9], [4, 64e9, 48, 256e9, 2e9, 3e9]]
    )
    need, throughput = np.zeros((7, 3, len(RESOURCES))), np.zeros((7, 3))
    for v in range(7):
        memory, on_gpu = rng.uniform(2e9, 14e9), v not in (0, 6)
        for n in (0, 2) if on_gpu else (0, 1, 2):
            gpu = [rng.choice([0.5, 1.0]), memory, 4] if on_gpu else [0, 0, rng.integers(2, 9)]
            need[v, n] = [*gpu, 2 * memory, 1e7, 1e7]
            throughput[v, n] = rng.uniform(100, 300) * (3.0 if n == 0 else 0.6) if on_gpu else rng.uniform(20, 200)
    return FleetProblem(
        demand_rps=rng.uniform(100, 3000, 6),
        stage_service=np.arange(6),
        variant_stage=stage,
        throughput_rps=throughput,
        need=need,
        capacity=capacity,
        node_count=np.array([10, 40, 20]),
        price_usd_per_hour=np.array([30.0, 3.2, 9.0]),
        replicas_now=rng.integers(0, 4, (7, 3)) * (throughput > 0),
        churn_usd_per_hour=np.full((7, 3), 0.05),
        unserved_usd_per_request=0.001,
        headroom=0.1,
    )
