"""Requests a second through one stage behind a result cache of two levels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from simulator.fleet import Fleet
from simulator.plan import CacheLevelPlan, CachePlan, FleetPlan
from tests.benchmarks.funnels import ONE_STAGE
from tests.benchmarks.measuring import Timing, timed
from tests.benchmarks.request_path import CONTROL_INTERVAL_S
from workloads.popularity import ZipfPopularity
from workloads.trace import GeneratedTrace, TraceBlock

__all__ = ["CACHE", "CATALOGUE", "CachedPath", "measure_cached"]

CACHE = CachePlan("item", (CacheLevelPlan(10_000), CacheLevelPlan(90_000, hit_s=1e-4, is_shared=True)))
"""100,000 entries: 10,000 at the site, 90,000 behind them."""

CATALOGUE = ZipfPopularity(1_000_000, 0.8)


@dataclass(frozen=True)
class CachedPath:
    """The stage behind its cache, with the trace in memory. ``hit_rate[level]`` of all requests; the caches are cold at
    the start. ``waited`` is the share that waited for one in flight."""

    requests: int
    stored: Timing
    hit_rate: np.ndarray
    waited: float

    @property
    def rps(self) -> float:
        """Requests per second of one core, without drawing the trace."""
        return self.requests / self.stored.cpu_s


def cached_plan(cache: CachePlan = CACHE) -> FleetPlan:
    """The plan of one stage with 32 replicas, behind a cache."""
    plan = ONE_STAGE.plan()
    return replace(plan, services=tuple(replace(service, cache=cache) for service in plan.services))


def cached_trace(requests: int) -> GeneratedTrace:
    """The trace of the one stage, its items drawn by popularity."""
    trace = ONE_STAGE.trace(requests)
    return GeneratedTrace(trace.info, [replace(stream, catalogue=CATALOGUE) for stream in trace.streams], trace.seed)


def serve_cached(plan: FleetPlan, blocks: Iterator[TraceBlock], duration_s: float) -> Fleet:
    """Serve a trace, stopping at every control interval as a run does."""
    fleet = Fleet(plan, blocks)
    ONE_STAGE.activate(fleet)
    for end_s in np.arange(CONTROL_INTERVAL_S, duration_s, CONTROL_INTERVAL_S):
        fleet.advance(float(end_s))
    fleet.finish()
    return fleet


def measure_cached(requests: int, repeats: int, cache: CachePlan = CACHE) -> CachedPath:
    """Time the stage behind its cache."""
    trace, plan = cached_trace(requests), cached_plan(cache)
    stored: Iterable[TraceBlock] = list(trace.blocks(columns=("arrival_s", "service", "items", "bytes_in", "item")))
    done: list[Fleet] = []

    def run() -> None:
        done[:] = [serve_cached(plan, iter(stored), trace.info.duration_s)]

    timing = timed(run, repeats)
    fleet = done[0]
    served = int(fleet.state.services["completed"].sum())
    if fleet.whole is None or served != sum(map(len, stored)):
        raise AssertionError(f"{served} requests completed, {sum(map(len, stored))} arrived")
    levels = fleet.whole.caches.level
    return CachedPath(served, timing, levels["hits"] / served, float(levels["coalesced"].sum() / served))
