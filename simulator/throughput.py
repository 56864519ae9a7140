"""How many requests a second one replica serves within its stage's latency budget, found by the data plane itself.

One replica on an otherwise idle node receives renewal arrivals with the trace's own burstiness and its own numbers of
items and bytes; the largest rate at which the budget's quantile still holds is the replica's SLO-feasible throughput.

Where a stage splits requests, the replica receives tasks, each a request for itself: the others of its request are
elsewhere. All ``p`` tasks must be in time, so that a task is held to the quantile ``q ** (1 / p)``; tasks of one
request meet like queues, which makes that cautious. Rates are of whole requests: those of tasks over the mean of ``p``.
Retries, hedges, deadlines and links between sites play no part.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from simulator.fleet import Fleet
from simulator.latency_tables import LatencyTable
from simulator.plan import BatchRule, FleetPlan, LookupPlan, ServicePlan, StagePlan, TierPlan
from workloads.trace import TraceBlock

__all__ = ["Load", "Lookups", "best_throughput_rps", "crowded", "slo_throughput_rps"]

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

    def tasks(self, stage: StagePlan) -> Load:
        """A sample of tasks in place of requests, ``[task]``, where the stage splits them."""
        if stage.split_items == 0:
            return self
        items = self.units(stage, counts_items=True)
        parts = -(-items // stage.split_items)
        request = np.repeat(np.arange(len(items)), parts)
        part = np.arange(len(request)) - np.repeat(np.cumsum(parts) - parts, parts)
        whole, more = items // parts, items % parts
        task_items = (whole[request] + (part < more[request])).astype(np.int32)
        return Load(task_items, self.bytes_in[request], self.gap_cv)

    def tasks_per_request(self, stage: StagePlan) -> float:
        """Mean number of tasks of a request."""
        return len(self.tasks(stage).items) / len(self.items)

    def units(self, stage: StagePlan, counts_items: bool) -> np.ndarray:
        """Batch units ``[request]`` at a stage."""
        if not counts_items:
            return np.ones(len(self.items), np.int64)
        return np.where(self.items == 0, stage.candidates, np.minimum(self.items, stage.candidates))


@dataclass(frozen=True)
class Lookups:
    """Where batches look up embedding rows, and what they read for each unit; nothing unless given."""

    tiers: tuple[TierPlan, ...] = ()
    plan: LookupPlan | None = None

    def least_s(self, units: np.ndarray, nic_bytes_per_s: float) -> list[np.ndarray]:
        """Times ``[size]`` that a batch of ``units[size]`` spends at least, one for each thing that it waits for."""
        if self.plan is None:
            return [np.zeros(len(units))]
        decode_s = units * self.plan.decode_s_per_unit
        waits = [
            units * read / tier.bytes_per_s + tier.delay_s + decode_s
            for tier, read in zip(self.tiers, self.plan.bytes_per_unit)
            if read > 0
        ]
        return [*waits, units * self.plan.sharded_bytes_per_unit / nic_bytes_per_s + decode_s]


def best_throughput_rps(
    stage: StagePlan,
    rule: BatchRule,
    table: LatencyTable,
    load: Load,
    nic_bytes_per_s: float,
    lookups: Lookups = Lookups(),
) -> float:
    """Requests/s of a replica that is always busy with its most efficient batch, or of its card if that is less.

    The latency is piecewise linear in the batch, and so is what a tier adds to it; units per second peak at a measured
    size, at the cap or, where one task alone exceeds the cap, at the largest task. Where the router lets a replica hold
    only so many tasks (`StagePlan.max_outstanding`), no batch holds more. The replica has its GPU and its tiers for
    itself.
    """
    tasks = load.tasks(stage)
    per_request = len(tasks.items) / len(load.items)
    units = tasks.units(stage, rule.counts_items)
    biggest = int(units.max())
    cap = min(rule.max_batch, stage.max_outstanding * biggest) if stage.max_outstanding else rule.max_batch
    largest = max(cap, biggest)
    sizes = np.unique(np.concatenate([table.batch_sizes[table.batch_sizes <= largest], [largest]]))
    mean_s = table.mean_s(sizes)
    units_per_s = min(float((sizes / (mean_s + wait_s)).max()) for wait_s in lookups.least_s(sizes, nic_bytes_per_s))
    items = tasks.units(stage, counts_items=True)
    payload_bytes = float((tasks.bytes_in + items * stage.item_bytes).mean())
    if lookups.plan is not None:
        payload_bytes += lookups.plan.sharded_bytes_per_unit * float(units.mean())
    tasks_per_s = units_per_s / float(units.mean())
    if payload_bytes > 0:
        tasks_per_s = min(tasks_per_s, nic_bytes_per_s / payload_bytes)
    return tasks_per_s / per_request


def crowded(table: LatencyTable, replicas: int) -> LatencyTable:
    """The table of a replica that always shares its GPU with ``replicas - 1`` busy ones; docs/request-path.md, step 8.

    Between measured sizes the product of two linear pieces is taken for one.
    """
    interference = table.interference
    if replicas <= 1 or interference is None:
        return table
    counts = np.array([1, *interference.replicas])
    at_size = [np.ones(len(table.batch_sizes))]
    at_size += [np.interp(table.batch_sizes, interference.batch_sizes, row) for row in interference.slowdown]
    slowdown = np.array([np.interp(replicas, counts, by_count) for by_count in np.transpose(at_size)])
    slowdown *= max(1.0, replicas / counts[-1])
    return replace(table, latency_s=table.latency_s * slowdown[:, None], interference=None)


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
    lookups: Lookups = Lookups(),
) -> float:
    """Largest rate (requests/s) at which the stage's latency at ``budget_quantile`` is within ``budget_s``.

    The latency is that of the stage: transfer, waiting, compute and one hop. 0 where no rate of the grid (5 to 95 % of
    ``best_rps``) meets the budget. Resolution: about 0.3 % of ``best_rps``. Times between arrivals are gamma
    distributed with the load's coefficient of variation.
    """

    tasks = load.tasks(stage)
    per_request = len(tasks.items) / len(load.items)
    quantile = budget_quantile ** (1.0 / per_request)

    def holds(rate_rps: float) -> bool:
        plan = FleetPlan(
            stages=(StagePlan(0, stage.candidates, stage.item_bytes, "least_outstanding", stage.max_outstanding),),
            rules=(BatchRule(0, rule.counts_items, rule.max_batch, rule.max_wait_s, 0),),
            tables=(table,),
            nic_bytes_per_s=np.array([nic_bytes_per_s]),
            hop_delay_s=hop_delay_s / 2,
            services=(ServicePlan(budget_s),),
            noise_seed=0,
            tiers=lookups.tiers if lookups.plan is not None else (),
            lookups=(lookups.plan,) if lookups.plan is not None else (),
        )
        fleet = Fleet(plan, _arrivals(tasks, per_request * rate_rps))
        fleet.activate(fleet.add_replica(0, 0, 0))
        fleet.finish()
        return int(fleet.state.services[0].slo_met) >= quantile * REQUESTS - 1e-6

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
