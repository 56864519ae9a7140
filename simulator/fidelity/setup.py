"""What served a log, as the data plane knows it: profiles, batch rules, replicas, routers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from simulator.latency_tables import Interference, LatencyTable, best_throughput
from simulator.plan import BatchRule, FleetPlan, ServicePlan, StagePlan
from workloads.errors import InputError
from workloads.interpolation import interpolate
from workloads.profile import ModelProfile

__all__ = ["COLD_AFTER_S", "ServedStage", "gone_cold", "idle_before_s", "served_stage", "with_assembly"]

COLD_AFTER_S = 1e-3
"""Time in which an idle machine goes cold."""

_NO_LIMIT = 1e15
"""Bytes a second of a card through which nothing passes; an objective that nothing misses."""


def gone_cold(idle_s: np.ndarray) -> np.ndarray:
    """How far machines have gone cold that were idle so long: from 0 to 1."""
    return np.asarray(-np.expm1(-idle_s / COLD_AFTER_S))


def idle_before_s(start_s: np.ndarray, done_s: np.ndarray) -> np.ndarray:
    """Idle time of one replica before each of its batches ``[batch]``, in order of time; none before the first."""
    return np.concatenate([np.zeros(min(len(start_s), 1)), np.maximum(start_s[1:] - done_s[:-1], 0.0)])


@dataclass(frozen=True)
class ServedStage:
    """One stage of what is served.

    Attributes
    ----------
    table
        Latencies by batch size.
    runs
        ``runs[size]`` timings behind each size of the table.
    counts_items
        Whether a request counts as its items, or as one.
    max_batch, max_wait_s
        The batch rule, ``max_batch`` in those units.
    replicas, router
        How many there are, and who hands requests to them.
    shares_device
        Whether all replicas are on one device, and slow one another down as the profile measured.
    """

    table: LatencyTable
    runs: np.ndarray
    counts_items: bool
    max_batch: int
    max_wait_s: float
    replicas: int = 1
    router: str = "least_outstanding"
    shares_device: bool = False

    def with_table(self, table: LatencyTable) -> ServedStage:
        """The same with other latencies."""
        return replace(self, table=table)

    def scaled(self, factor: float) -> ServedStage:
        """The same with every latency so many times as long."""
        return self.with_table(self.table.scaled(1.0 / factor))


def served_stage(
    profile: ModelProfile,
    max_batch: int,
    max_wait_s: float,
    replicas: int = 1,
    router: str = "least_outstanding",
    shares_device: bool = False,
) -> ServedStage:
    """A stage that serves a profiled model.

    Raises
    ------
    InputError
        Batches larger than any that was measured, a wait that is no time, or a shared device without measured
        interference.
    """
    largest = int(profile.batch_sizes[-1])
    if not 1 <= max_batch <= largest:
        problem = f"{max_batch} {profile.unit} is not between 1 and the largest measured batch, {largest}"
        raise InputError("--max-batch", problem, "give a cap that the profile covers, or profile larger sizes")
    if not (np.isfinite(max_wait_s) and max_wait_s >= 0.0):
        raise InputError("--max-wait-ms", f"{1e3 * max_wait_s:g} is no time", "give milliseconds from 0 up")
    interference = Interference.measured(profile) if shares_device and replicas > 1 else None
    if interference is not None and profile.device_kind == "cuda":
        interference = replace(interference, takes_turns=True)
    if shares_device and replicas > 1 and interference is None:
        raise InputError(profile.name, "holds no measured interference", "profile it with --replicas")
    table = LatencyTable(
        batch_sizes=profile.batch_sizes,
        levels=profile.quantile_levels,
        latency_s=profile.latency_s,
        cores_busy=np.minimum(profile.cpu_core_s / profile.mean_s, profile.host_cores),
        weight=best_throughput(profile.batch_sizes, profile.mean_s, max_batch),
        interference=interference,
    )
    runs = profile.runs if len(profile.runs) else np.full(len(profile.batch_sizes), 30)
    is_items = profile.unit == "items"
    return ServedStage(table, runs, is_items, max_batch, max_wait_s, replicas, router, shares_device)


def with_assembly(stage: ServedStage, assembly: Mapping[str, Any]) -> ServedStage:
    """A stage whose batches also take the mean time of assembling their inputs, which a profile leaves out.

    ``assembly`` holds ``batch_sizes`` and ``mean_s`` of each, as `workloads.server` measures it. It is added at the
    table's own sizes. Where it also says what a batch takes longer after an idle time (``cold_s``), batches do.
    """
    sizes, mean_s = np.array(assembly["batch_sizes"]), np.array(assembly["mean_s"])
    extra_s = interpolate(sizes, mean_s, stage.table.batch_sizes)
    table = replace(stage.table, latency_s=stage.table.latency_s + extra_s[:, None])
    return stage.with_table(replace(table, cold_s=float(assembly.get("cold_s", 0.0)), cold_after_s=COLD_AFTER_S))


def fleet_plan(stages: tuple[ServedStage, ...], candidates: int, noise_seed: int) -> FleetPlan:
    """The data plane of one service with these stages: no network, no limits, nothing but batching and compute."""
    return FleetPlan(
        stages=tuple(StagePlan(0, candidates, 0.0, stage.router) for stage in stages),
        rules=tuple(
            BatchRule(k, stage.counts_items, stage.max_batch, stage.max_wait_s, 0) for k, stage in enumerate(stages)
        ),
        tables=tuple(stage.table for stage in stages),
        nic_bytes_per_s=np.array([_NO_LIMIT]),
        hop_delay_s=0.0,
        services=(ServicePlan(_NO_LIMIT),),
        noise_seed=noise_seed,
    )
