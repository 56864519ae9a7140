"""The fleets that are timed: shipped profiles, 32 replicas a stage, batching, network and noise.

A fleet is written twice from one description, as a plan of the data plane and as a world of the oracle; a test holds
that both give every request the same times.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.fleet import Fleet
from simulator.latency_tables import LatencyTable
from simulator.plan import BatchRule, CacheLevelPlan, CachePlan, FleetPlan, ServicePlan, StagePlan
from tests.oracle.model import (
    Control,
    OracleArrival,
    OracleCache,
    OracleLevel,
    OracleReplica,
    OracleService,
    OracleStage,
    OracleVariant,
    OracleWorld,
    Router,
)
from workloads.arrivals import RateCurve, RenewalArrivals
from workloads.popularity import ZipfPopularity
from workloads.profile import load_profile
from workloads.trace import GeneratedTrace, IntRange, Stream, TraceBlock, TraceInfo

__all__ = ["CACHED", "ONE_STAGE", "THREE_STAGES", "Funnel", "StageSpec"]

NODES = 8
NIC_BYTES_PER_S = 100e9 / 8
HOP_DELAY_S = 2e-4
NOISE_SEED = 7
SLO_S = 0.1
USERS = ZipfPopularity(1_000_000, 0.8)
HIT_S = (1e-4, 1e-3)


@dataclass(frozen=True)
class StageSpec:
    """One stage: a shipped profile and its batch rule."""

    profile: str
    candidates: int
    item_bytes: float
    max_batch: int
    max_wait_s: float
    split_items: int = 0

    def variant(self, k: int) -> OracleVariant:
        """Stage `k`'s variant, with the measured quantiles."""
        profile = load_profile(self.profile)
        return OracleVariant(
            stage=k,
            unit_items=profile.unit == "items",
            max_batch=self.max_batch,
            max_wait_s=self.max_wait_s,
            queue_limit=0,
            batch_sizes=tuple(profile.batch_sizes.tolist()),
            levels=tuple(profile.quantile_levels.tolist()),
            latency_s=tuple(map(tuple, profile.latency_s.tolist())),
            mean_s=tuple(profile.mean_s.tolist()),
        )


@dataclass(frozen=True)
class Funnel:
    """A service of one or more stages, its replicas and its traffic: Poisson at ``rate_rps``.

    ``cache_entries[level]`` of a result cache in front of it, by user.
    """

    name: str
    stages: tuple[StageSpec, ...]
    rate_rps: float
    replicas: int = 32
    router: Router = "least_outstanding"
    noise: bool = True
    cache_entries: tuple[int, ...] = ()

    def world(self) -> OracleWorld:
        """The fleet as the oracle takes it."""
        levels = tuple(OracleLevel(entries, hit_s) for entries, hit_s in zip(self.cache_entries, HIT_S))
        cache = OracleCache("user", levels) if levels else None
        return OracleWorld(
            services=1,
            stages=tuple(
                OracleStage(0, k, stage.candidates, stage.item_bytes, self.router, split_items=stage.split_items)
                for k, stage in enumerate(self.stages)
            ),
            variants=tuple(stage.variant(k) for k, stage in enumerate(self.stages)),
            nic_bytes_per_s=(NIC_BYTES_PER_S,) * NODES,
            hop_delay_s=HOP_DELAY_S,
            noise_seed=NOISE_SEED,
            noise=self.noise,
            service_plans=(OracleService(SLO_S, cache=cache),),
        )

    def controls(self) -> list[Control]:
        """All replicas are there from the start, spread over the nodes."""
        placed = [(k, i) for k in range(len(self.stages)) for i in range(self.replicas)]
        return [Control(0.0, "activate", OracleReplica(slot, k, i % NODES, 1.0)) for slot, (k, i) in enumerate(placed)]

    def trace(self, requests: int, seed: int = 1) -> GeneratedTrace:
        """About `requests` requests, drawn as they are read."""
        duration_s = requests / self.rate_rps
        info = TraceInfo(self.name, (self.name,), duration_s, "generated", "none needed", synthetic=True)
        arrivals = RenewalArrivals(RateCurve.constant(self.rate_rps, duration_s))
        stream = Stream(self.name, 0, arrivals, users=USERS, items=IntRange(500, 1000), bytes_in=IntRange(2000, 6000))
        return GeneratedTrace(info, [stream], seed)

    def plan(self) -> FleetPlan:
        """The fleet as the data plane takes it; every stage has a table of its own."""
        levels = tuple(CacheLevelPlan(entries, hit_s) for entries, hit_s in zip(self.cache_entries, HIT_S))
        cache = CachePlan("user", levels) if levels else None
        variants = [stage.variant(k) for k, stage in enumerate(self.stages)]
        return FleetPlan(
            stages=tuple(
                StagePlan(0, stage.candidates, stage.item_bytes, self.router, split_items=stage.split_items)
                for stage in self.stages
            ),
            rules=tuple(BatchRule(v.stage, v.unit_items, v.max_batch, v.max_wait_s, v.queue_limit) for v in variants),
            tables=tuple(self._table(variant) for variant in variants),
            nic_bytes_per_s=np.full(NODES, NIC_BYTES_PER_S),
            hop_delay_s=HOP_DELAY_S,
            services=(ServicePlan(SLO_S, cache=cache),),
            noise_seed=NOISE_SEED,
        )

    def _table(self, variant: OracleVariant) -> LatencyTable:
        sizes = np.array(variant.batch_sizes)
        measured = LatencyTable(sizes, np.array(variant.levels), np.array(variant.latency_s), np.zeros(len(sizes)))
        return measured if self.noise else measured.without_noise(np.array(variant.mean_s))

    def blocks(self, requests: int) -> list[TraceBlock]:
        """The trace in memory, users where they matter."""
        return list(self.trace(requests).blocks(columns=self.columns))

    @property
    def columns(self) -> tuple[str, ...]:
        """What is read of the trace beyond what always is."""
        return ("user", "item") if self.cache_entries else ()

    def oracle_arrivals(self, requests: int) -> list[OracleArrival]:
        """The same trace as rows for the oracle."""
        rows: list[OracleArrival] = []
        for block in self.trace(requests).blocks(columns=("user", "item")):
            assert block.user is not None
            columns = (block.arrival_s.tolist(), block.items.tolist(), block.bytes_in.tolist(), block.user.tolist())
            rows += [
                OracleArrival(time_s, 0, items, float(size), user=user) for time_s, items, size, user in zip(*columns)
            ]
        return rows

    def activate(self, fleet: Fleet) -> None:
        """Put the replicas of `controls` into a fleet of `plan`."""
        placed = [control.replica for control in self.controls()]
        fleet.activate(*[fleet.add_replica(r.variant, r.variant, r.node, slot=r.slot) for r in placed])


RERANK = StageSpec("bert_reranker-h200-bf16-graph", 20, 300.0, 256, 2e-3)

ONE_STAGE = Funnel("rerank", (RERANK,), 36_000.0)

RETRIEVE = StageSpec("two_tower-h200-bf16-graph", 1, 0.0, 64, 1e-3)
RANK = StageSpec("dlrm-h200-bf16-graph", 1000, 60.0, 8192, 1e-3, split_items=512)
ORDER = StageSpec("sasrec-h200-bf16-graph", 1, 0.0, 64, 1e-3)

THREE_STAGES = Funnel("retrieve, rank, order", (RETRIEVE, RANK, ORDER), 500_000.0)
"""A large site: 500,000 requests/s on 96 GPUs, those of the ranking stage busy for two thirds of the time."""

CACHED = Funnel("rerank behind a cache", (RERANK,), 68_000.0, cache_entries=(10_000, 100_000))


def batch_sizes(fleet: Fleet) -> np.ndarray:
    """Mean tasks in a batch ``[stage]``."""
    tables = fleet.state.tables
    return np.asarray(tables["requests"] / np.maximum(tables["batches"], 1))
