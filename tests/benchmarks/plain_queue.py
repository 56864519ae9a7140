"""Textbook queues on the compiled data plane: no network, one service, waits out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simulator.fleet import Fleet
from simulator.latency_tables import LatencyTable
from simulator.plan import BatchRule, FleetPlan, RecordPlan, ServicePlan, StagePlan
from tests.oracle.theory import quantile_moments
from workloads.trace import TraceBlock

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ServiceLaw:
    """A law of service times by its quantiles: ``value_s[level]`` at ``level[level]``, linear between them."""

    level: FloatArray
    value_s: FloatArray

    @property
    def mean_s(self) -> float:
        """Mean of what the data plane draws, chords and all."""
        return quantile_moments(self.level, self.value_s)[0]

    @property
    def second_moment_s2(self) -> float:
        """Second moment of what the data plane draws."""
        return quantile_moments(self.level, self.value_s)[1]


def exponential(levels: int = 2000) -> ServiceLaw:
    """Mean 1 but for the chords: its mean is 1.6e-5 too large, its squared coefficient of variation 3.2e-5 too small.

    The levels are denser towards 1, up to the quantile that one draw in 1e12 exceeds.
    """
    level = 1 - np.geomspace(1, 1e-12, levels)
    return ServiceLaw(level, -np.log1p(-level))


def deterministic() -> ServiceLaw:
    """Always 1."""
    return ServiceLaw(np.array([0.0, 1.0]), np.ones(2))


def lognormal(sigma: float = 1.0, levels: int = 400) -> ServiceLaw:
    """Quantiles of a lognormal law of median 1; theory uses the moments of the table itself, not of the lognormal."""
    from scipy.special import ndtri

    level = np.concatenate([np.geomspace(1e-9, 0.5, levels), 1 - np.geomspace(0.5, 1e-9, levels)[1:]])
    return ServiceLaw(level, np.exp(sigma * ndtri(level)))


@dataclass(frozen=True, eq=False)
class PlainQueue:
    """One stage of ``replicas`` equal replicas; ``stages`` of them in series.

    The latency of a batch does not depend on its size. ``max_outstanding=1`` makes of a stage one queue before many
    servers (docs/request-path.md).
    """

    law: ServiceLaw
    replicas: int = 1
    router: str = "least_outstanding"
    max_outstanding: int = 0
    max_batch: int = 1
    max_wait_s: float = 0.0
    stages: int = 1
    nic_bytes_per_s: float = 1e12
    class_shares: tuple[float, ...] = (1.0,)

    def plan(self, noise_seed: int) -> FleetPlan:
        """The queue as a plan of the fleet."""
        sizes = np.array([1, self.max_batch]) if self.max_batch > 1 else np.array([1])
        latency_s = np.tile(self.law.value_s, (len(sizes), 1))
        table = LatencyTable(sizes, self.law.level, latency_s, np.zeros(len(sizes)))
        return FleetPlan(
            stages=tuple(StagePlan(0, 1, 0.0, self.router, self.max_outstanding) for _ in range(self.stages)),
            rules=tuple(BatchRule(k, False, self.max_batch, self.max_wait_s, 0) for k in range(self.stages)),
            tables=(table,),
            nic_bytes_per_s=np.array([self.nic_bytes_per_s]),
            hop_delay_s=0.0,
            services=(ServicePlan(1.0, class_shares=self.class_shares),),
            noise_seed=noise_seed,
        )


def one_block(arrival_s: FloatArray, bytes_in: ArrayLike = 0) -> Iterator[TraceBlock]:
    """Arrivals of one service as a trace of one block."""
    rows = len(arrival_s)
    yield TraceBlock(
        start_index=0,
        arrival_s=arrival_s,
        service=np.zeros(rows, np.int16),
        items=np.ones(rows, np.int32),
        bytes_in=np.broadcast_to(np.asarray(bytes_in, np.int32), rows),
        user=np.arange(rows),
        item=np.arange(rows),
    )


def classes(queue: PlainQueue, requests: int) -> NDArray[np.int64]:
    """Class ``[request]`` of each request: users are numbered as requests are, and a class is drawn by user."""
    salted = np.arange(requests, dtype=np.uint64) + np.uint64((2 * 0x9E3779B97F4A7C15) % 2**64)
    salted = (salted ^ (salted >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    salted = (salted ^ (salted >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    share = ((salted ^ (salted >> np.uint64(31))) >> np.uint64(11)) / 2.0**53
    return np.searchsorted(np.cumsum(queue.class_shares)[:-1], share, side="right").astype(np.int64)


def serve(
    queue: PlainQueue, arrival_s: ArrayLike, *, noise_seed: int = 1, bytes_in: ArrayLike = 0, record: bool = True
) -> Fleet:
    """Serve the arrivals to the end on replicas that are ready from the start."""
    times_s = np.ascontiguousarray(arrival_s, dtype=np.float64)
    fleet = Fleet(queue.plan(noise_seed), one_block(times_s, bytes_in), RecordPlan(len(times_s) if record else 0))
    fleet.activate(*[fleet.add_replica(k, 0, 0) for k in range(queue.stages) for _ in range(queue.replicas)])
    fleet.finish()
    return fleet


def waits_s(queue: PlainQueue, arrival_s: ArrayLike, *, noise_seed: int = 1) -> FloatArray:
    """Waits ``[request, stage]``: from reaching the stage to the start of the batch."""
    step = serve(queue, arrival_s, noise_seed=noise_seed).state.record.step
    reached_s = np.column_stack([np.asarray(arrival_s, dtype=np.float64), step["end_s"][:, :-1]])
    return np.asarray(step["start_s"] - reached_s, dtype=np.float64)


def poisson_arrivals_s(rng: np.random.Generator, rate_rps: float, requests: int) -> FloatArray:
    """Times ``[request]`` of a Poisson process."""
    return np.cumsum(rng.exponential(1 / rate_rps, requests))
