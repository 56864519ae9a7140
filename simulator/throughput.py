"""How many requests a second one replica serves within its stage's latency budget, found by the data plane itself.

One replica on an otherwise idle node receives renewal arrivals with the trace's own burstiness and its own numbers of
items and bytes; the largest rate at which the budget's quantile still holds is the replica's SLO-feasible throughput.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from simulator.fleet import Fleet
from simulator.latency_tables import LatencyTable, mean_over_quantiles
from simulator.plan import BatchRule, FleetPlan, ServicePlan, StagePlan
from workloads.trace import TraceBlock

__all__ = ["Load", "best_throughput_rps", "slo_throughput_rps"]

REQUESTS = 20_000
GRID = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95)
BISECTIONS = 5


@dataclass(frozen=True)
class Load:
    """What requests of a stage look like.

    Attributes
    ----------
    items, bytes_in
        A sample ``[request]``.
    gap_cv
        Coefficient of variation of the time between arrivals; 1 is a Poisson stream.
    """

    items: np.ndarray
    bytes_in: np.ndarray
    gap_cv: float = 1.0

    def units(self, stage: StagePlan, counts_items: bool) -> np.ndarray:
        """Batch units ``[request]`` at a stage."""
        if not counts_items:
            return np.ones(len(self.items), np.int64)
        return np.where(self.items == 0, stage.candidates, np.minimum(self.items, stage.candidates))


def best_throughput_rps(
    stage: StagePlan, rule: BatchRule, table: LatencyTable, load: Load, nic_bytes_per_s: float
) -> float:
    """Requests/s of a replica that is always busy with its most efficient batch, or of its card if that is less.

    The latency is piecewise linear in the batch, so units per second peak at a measured size, at the cap or, where one
    request alone exceeds the cap, at the largest request. Where the router lets a replica hold only so many requests
    (`StagePlan.max_outstanding`), no batch holds more.
    """
    units = load.units(stage, rule.counts_items)
    biggest = int(units.max())
    cap = min(rule.max_batch, stage.max_outstanding * biggest) if stage.max_outstanding else rule.max_batch
    largest = max(cap, biggest)
    sizes = np.unique(np.concatenate([table.batch_sizes[table.batch_sizes <= largest], [largest]]))
    mean_s = _interpolate(table.batch_sizes, mean_over_quantiles(table), sizes)
    compute = float((sizes / mean_s).max()) / float(units.mean())
    items = load.units(stage, counts_items=True)
    payload_bytes = float((load.bytes_in + items * stage.item_bytes).mean())
    return min(compute, nic_bytes_per_s / payload_bytes) if payload_bytes > 0 else compute


def _interpolate(sizes: np.ndarray, latency_s: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The kernel's rule on means: linear inside, constant below, the last segment extended above."""
    inside = np.interp(at, sizes, latency_s)
    if len(sizes) == 1:
        return np.where(at > sizes[0], latency_s[0] * at / sizes[0], inside)
    slope = (latency_s[-1] - latency_s[-2]) / (sizes[-1] - sizes[-2])
    return np.where(at > sizes[-1], latency_s[-1] + slope * (at - sizes[-1]), inside)


def slo_throughput_rps(
    stage: StagePlan,
    rule: BatchRule,
    table: LatencyTable,
    load: Load,
    *,
    nic_bytes_per_s: float,
    hop_delay_s: float,
    budget_s: float,
    budget_quantile: float,
    best_rps: float,
) -> float:
    """Largest rate (requests/s) at which the stage's latency at ``budget_quantile`` is within ``budget_s``.

    The latency is that of the stage: transfer, waiting, compute and one hop. 0 where no rate of the grid (5 to 95 % of
    ``best_rps``) meets the budget. Resolution: about 0.3 % of ``best_rps``. Times between arrivals are gamma
    distributed with the load's coefficient of variation.
    """

    def holds(rate_rps: float) -> bool:
        plan = FleetPlan(
            stages=(replace(stage, service=0),),
            rules=(BatchRule(0, rule.counts_items, rule.max_batch, rule.max_wait_s, 0),),
            tables=(table,),
            nic_bytes_per_s=np.array([nic_bytes_per_s]),
            hop_delay_s=hop_delay_s / 2,
            services=(ServicePlan(budget_s),),
            noise_seed=0,
        )
        fleet = Fleet(plan, _arrivals(load, rate_rps))
        fleet.activate(fleet.add_replica(0, 0, 0))
        fleet.finish()
        return int(fleet.state.services[0].slo_met) >= budget_quantile * REQUESTS - 1e-6

    low, high = 0.0, 1.0
    for share in reversed(GRID):
        if holds(share * best_rps):
            low = share
            break
        high = share
    if low == 0.0:
        return 0.0
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        if holds(middle * best_rps):
            low = middle
        else:
            high = middle
    return low * best_rps


def _arrivals(load: Load, rate_rps: float) -> Iterator[TraceBlock]:
    """The same luck at every rate, so that the answer changes with the rate alone."""
    shape = 1.0 / load.gap_cv**2
    gaps = np.random.default_rng(np.random.SeedSequence([0, 1])).gamma(shape, 1.0 / shape, REQUESTS)
    pick = np.random.default_rng(np.random.SeedSequence([0, 2])).integers(0, len(load.items), REQUESTS)
    yield TraceBlock(
        start_index=0,
        arrival_s=np.cumsum(gaps) / rate_rps,
        service=np.zeros(REQUESTS, np.int16),
        items=load.items[pick],
        bytes_in=load.bytes_in[pick],
    )
