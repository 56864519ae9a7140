"""The fleets that are timed: shipped profiles, 32 replicas a stage, batching, network and noise.

A fleet is written as a world of the oracle, so that the compiled data plane and the oracle serve the very same one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.fleet import Fleet
from simulator.plan import FleetPlan
from tests.oracle.model import Control, OracleArrival, OracleReplica, OracleStage, OracleVariant, OracleWorld, Router
from tests.simulator.oracle_bridge import plan_of
from workloads.arrivals import RateCurve, RenewalArrivals
from workloads.profile import load_profile
from workloads.trace import GeneratedTrace, IntRange, Stream, TraceInfo

__all__ = ["ONE_STAGE", "THREE_STAGES", "Funnel", "StageSpec"]

NODES = 8
NIC_BYTES_PER_S = 25e9 / 8
HOP_DELAY_S = 2e-4
NOISE_SEED = 7


@dataclass(frozen=True)
class StageSpec:
    """One stage: a shipped profile and its batch rule."""

    profile: str
    candidates: int
    item_bytes: float
    max_batch: int
    max_wait_s: float

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
    """A service of one or more stages, its replicas and its traffic: Poisson at ``rate_rps``."""

    name: str
    stages: tuple[StageSpec, ...]
    rate_rps: float
    replicas: int = 32
    router: Router = "least_outstanding"
    noise: bool = True

    def world(self) -> OracleWorld:
        """The fleet as the oracle takes it."""
        return OracleWorld(
            services=1,
            stages=tuple(
                OracleStage(0, k, stage.candidates, stage.item_bytes, self.router)
                for k, stage in enumerate(self.stages)
            ),
            variants=tuple(stage.variant(k) for k, stage in enumerate(self.stages)),
            nic_bytes_per_s=(NIC_BYTES_PER_S,) * NODES,
            hop_delay_s=HOP_DELAY_S,
            noise_seed=NOISE_SEED,
            noise=self.noise,
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
        stream = Stream(self.name, 0, arrivals, items=IntRange(500, 1000), bytes_in=IntRange(2000, 6000))
        return GeneratedTrace(info, [stream], seed)

    def plan(self) -> FleetPlan:
        """The fleet as the data plane takes it; every stage has a table of its own."""
        return plan_of(self.world(), self.controls())[0]

    def oracle_arrivals(self, requests: int) -> list[OracleArrival]:
        """The same trace as rows for the oracle."""
        rows: list[OracleArrival] = []
        for block in self.trace(requests).blocks():
            columns = (block.arrival_s.tolist(), block.items.tolist(), block.bytes_in.tolist())
            rows += [OracleArrival(time_s, 0, items, float(size)) for time_s, items, size in zip(*columns)]
        return rows

    def activate(self, fleet: Fleet) -> None:
        """Put the replicas of `controls` into a fleet of `plan`."""
        placed = [control.replica for control in self.controls()]
        fleet.activate(*[fleet.add_replica(r.variant, r.variant, r.node, slot=r.slot) for r in placed])


RETRIEVE = StageSpec("two_tower-h200-bf16-graph", 1, 0.0, 64, 1e-3)
RANK = StageSpec("dlrm-h200-bf16-graph", 1000, 60.0, 8192, 1e-3)
RERANK = StageSpec("bert_reranker-h200-bf16-graph", 20, 300.0, 256, 2e-3)

ONE_STAGE = Funnel("rerank", (RERANK,), 40_000.0)
THREE_STAGES = Funnel("retrieve, rank, rerank", (RETRIEVE, RANK, RERANK), 40_000.0)


def batch_sizes(fleet: Fleet) -> np.ndarray:
    """Mean requests in a batch ``[stage]``."""
    tables = fleet.state.tables
    return np.asarray(tables["requests"] / np.maximum(tables["batches"], 1))
