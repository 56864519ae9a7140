"""From a scenario to the data plane's plan: numbering of stages, variants, tables and nodes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from simulator.cluster import resource_index
from simulator.embedding_tiers import lookup_plan, of_scenario
from simulator.latency_tables import Interference, LatencyTable, best_throughput
from simulator.plan import BatchRule, FleetPlan, LookupPlan
from simulator.scenario import Scenario, Service, Stage, Variant

__all__ = ["Numbering", "fleet_plan", "latency_table", "lookup_plans", "number"]


@dataclass(frozen=True)
class Numbering:
    """The scenario's stages, variants and nodes in the order of all arrays.

    Attributes
    ----------
    stages, variants
        ``(service index, stage)`` and ``(stage index, variant)``.
    table_of
        ``[variant, node_type]`` number of the latency table, -1 where the variant cannot run.
    runs
        ``(variant, node_type)`` of each table.
    node_type_of
        ``[node]``; nodes are numbered type by type.
    """

    stages: tuple[tuple[int, Stage], ...]
    variants: tuple[tuple[int, Variant], ...]
    table_of: np.ndarray
    runs: tuple[tuple[int, int], ...]
    node_type_of: np.ndarray


def _all_stages(services: tuple[Service, ...]) -> Iterator[tuple[int, Stage]]:
    for i, service in enumerate(services):
        for stage in service.stages:
            yield i, stage


def number(scenario: Scenario) -> Numbering:
    """Number everything, in the order of the scenario file."""
    stages = tuple(_all_stages(scenario.services))
    variants = tuple((k, variant) for k, (_, stage) in enumerate(stages) for variant in stage.variants)
    node_types = scenario.cluster.node_types
    table_of = np.full((len(variants), len(node_types)), -1, np.int64)
    runs: list[tuple[int, int]] = []
    for v, (_, variant) in enumerate(variants):
        for n, node in enumerate(node_types):
            if node.speed_of(variant.profile.device) > 0 and variant.shortage_on(node) is None:
                table_of[v, n] = len(runs)
                runs.append((v, n))
    counts = scenario.cluster.count
    return Numbering(
        stages=stages,
        variants=variants,
        table_of=table_of,
        runs=tuple(runs),
        node_type_of=np.repeat(np.arange(len(node_types)), counts),
    )


def latency_table(scenario: Scenario, variant: Variant, node_type: int) -> LatencyTable:
    """Latencies of a variant on a node type, with or without noise as the scenario says."""
    profile = variant.profile
    cores_busy = np.minimum(profile.cpu_core_s / profile.mean_s, variant.cpu_cores)
    table = LatencyTable(
        batch_sizes=profile.batch_sizes,
        levels=profile.quantile_levels,
        latency_s=profile.latency_s,
        cores_busy=cores_busy,
        weight=best_throughput(profile.batch_sizes, profile.mean_s, variant.max_batch),
        interference=Interference.measured(profile) if variant.gpu_share < 1.0 else None,
    )
    if not scenario.service_noise:
        table = table.without_noise(profile.mean_s)
    return table.scaled(scenario.cluster.node_types[node_type].speed_of(profile.device))


def lookup_plans(scenario: Scenario, numbering: Numbering, now_s: float) -> tuple[LookupPlan | None, ...]:
    """What batches of each table read of embedding rows at a time of the run; empty where none reads any."""
    files = [numbering.variants[v][1].embedding for v, _ in numbering.runs]
    if not any(files):
        return ()
    tiers = scenario.cluster.tiers
    return tuple(None if file is None else lookup_plan(*of_scenario(file, tiers), file.age_s(now_s)) for file in files)


def noise_seed(seed: int) -> int:
    """The run's 64-bit seed of service noise."""
    return int.from_bytes(hashlib.sha256(f"recfleet service noise {seed}".encode()).digest()[:8], "little")


def fleet_plan(scenario: Scenario, numbering: Numbering, seed: int) -> FleetPlan:
    """The plan of all stages, variants, tables and nodes."""
    cluster, network = scenario.cluster, scenario.cluster.network
    nic = cluster.capacity[:, resource_index("network")]
    return FleetPlan(
        stages=tuple(stage.plan for _, stage in numbering.stages),
        rules=tuple(
            BatchRule(k, v.profile.unit == "items", v.max_batch, v.max_wait_s, v.queue_limit)
            for k, v in numbering.variants
        ),
        tables=tuple(latency_table(scenario, numbering.variants[v][1], n) for v, n in numbering.runs),
        nic_bytes_per_s=nic[numbering.node_type_of],
        hop_delay_s=cluster.hop_delay_s,
        services=tuple(service.plan for service in scenario.services),
        noise_seed=noise_seed(seed),
        sites=network.sites,
        node_site=np.array([n.site for n in cluster.node_types], np.int64)[numbering.node_type_of],
        links=network.links,
        tiers=cluster.tiers,
        lookups=lookup_plans(scenario, numbering, now_s=0.0),
    )
