"""How the cost of a request grows: ``python -m tests.benchmarks.growth`` with replicas, services, stages, intervals.

The load of each replica stays the same throughout, so that batches do. Costs are nanoseconds of one core for a request
and stage, with the trace in memory; the control interval is varied in whole runs, trace and autoscaler included.
``growth`` is the cost over the first row's, ``logarithm`` what it would be if it grew with the logarithm of the number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import typer

from simulator.fleet import Fleet
from simulator.latency_tables import LatencyTable
from simulator.plan import BatchRule, FleetPlan, ServicePlan, StagePlan
from tests.benchmarks import day, machine
from tests.benchmarks.funnels import ONE_STAGE
from tests.benchmarks.measuring import timed
from workloads.trace import TraceBlock

__all__ = ["Many", "Point", "points"]

REPLICA_RPS = ONE_STAGE.rate_rps / ONE_STAGE.replicas
REPLICAS_A_NODE = 4
INTERVAL_S = 10.0


@dataclass(frozen=True)
class Point:
    """Cost at one size."""

    what: str
    size: float
    ns_a_request: float
    requests: int


@dataclass(frozen=True)
class Many:
    """``services`` alike, each with a funnel of ``stages`` alike, each on ``replicas`` rerankers."""

    services: int = 1
    stages: int = 1
    replicas: int = 32

    @property
    def rate_rps(self) -> float:
        """Of all services together."""
        return REPLICA_RPS * self.replicas * self.services

    def plan(self) -> FleetPlan:
        """As the data plane takes it."""
        rerank = ONE_STAGE.stages[0]
        variant = rerank.variant(0)
        sizes = np.array(variant.batch_sizes)
        table = LatencyTable(sizes, np.array(variant.levels), np.array(variant.latency_s), np.zeros(len(sizes)))
        stages = self.services * self.stages
        return FleetPlan(
            stages=tuple(
                StagePlan(s, rerank.candidates, rerank.item_bytes, "least_outstanding")
                for s in range(self.services)
                for _ in range(self.stages)
            ),
            rules=tuple(BatchRule(k, True, rerank.max_batch, rerank.max_wait_s, 0) for k in range(stages)),
            tables=(table,) * stages,
            nic_bytes_per_s=np.full(-(-stages * self.replicas // REPLICAS_A_NODE), 25e9 / 8),
            hop_delay_s=2e-4,
            services=(ServicePlan(0.1),) * self.services,
            noise_seed=1,
        )

    def block(self, requests: int) -> TraceBlock:
        """The trace."""
        rng = np.random.default_rng(1)
        return TraceBlock(
            start_index=0,
            arrival_s=np.cumsum(rng.standard_exponential(requests) / self.rate_rps),
            service=rng.integers(0, self.services, requests).astype(np.int16),
            items=rng.integers(500, 1001, requests).astype(np.int32),
            bytes_in=rng.integers(2000, 6001, requests).astype(np.int32),
        )

    def ready(self, block: TraceBlock) -> Fleet:
        """A fleet with all replicas there, before the first request."""
        fleet = Fleet(self.plan(), iter([block]))
        placed = [(k, i) for k in range(self.services * self.stages) for i in range(self.replicas)]
        nodes = len(fleet.plan.nic_bytes_per_s)
        fleet.activate(*[fleet.add_replica(k, k, number % nodes) for number, (k, _) in enumerate(placed)])
        return fleet

    def measure(self, requests: int, repeats: int) -> float:
        """Nanoseconds a request, from the first arrival to the last answer."""
        block = self.block(requests)
        fleets: list[Fleet] = []

        def run() -> None:
            fleet = fleets[-1]
            for end_s in np.arange(INTERVAL_S, block.arrival_s[-1], INTERVAL_S):
                fleet.advance(float(end_s))
            fleet.finish()

        timing = timed(run, repeats, before=lambda: fleets.append(self.ready(block)))
        if int(fleets[-1].state.services["completed"].sum()) != requests:
            raise AssertionError("requests are missing")
        return timing.cpu_s / requests * 1e9


def points(requests: int, repeats: int) -> Iterator[Point]:
    """All sizes. Large fleets get more requests, so that every replica serves some hundred."""
    for replicas in (10, 32, 100, 320, 1_000, 3_200, 10_000):
        some = max(requests, 100 * replicas)
        yield Point("replicas", replicas, Many(replicas=replicas).measure(some, repeats), some)
    for services in (1, 5, 20, 100, 500):
        some = max(requests, 400 * services)
        yield Point("services, of 4 replicas each", services, Many(services, replicas=4).measure(some, repeats), some)
    for stages in (1, 2, 3, 4, 5):
        cost = Many(stages=stages).measure(requests, repeats) / stages
        yield Point("stages, of 32 replicas each", stages, cost, requests)


def intervals(duration_s: float) -> Iterator[Point]:
    """Whole runs at several control intervals."""
    for interval_s in (60, 30, 10, 5, 2, 1):
        ran = day.measure("ranking", duration_s, interval_s=interval_s)
        yield Point("decisions a minute", 60 / interval_s, ran.run_s / ran.requests * 1e9, ran.requests)


def changes_us(replicas: int, repeats: int) -> float:
    """Microseconds to add one replica to so many, and to drain it."""
    fleet = Many(replicas=replicas).ready(Many().block(1))
    fleet.advance(0.0)

    def change() -> None:
        for _ in range(20):
            slot = fleet.add_replica(0, 0, 0)
            fleet.activate(slot)
            fleet.drain(slot)
            fleet.remove(slot)

    return timed(change, repeats).cpu_s / 20 * 1e6


def table(rows: list[Point]) -> str:
    """One table for each thing that grows, as Markdown."""
    lines = ["| what | number | ns a request and stage | growth | logarithm |", "| --- | ---: | ---: | ---: | ---: |"]
    first: Point | None = None
    for row in rows:
        if first is None or row.what != first.what:
            first = row
        log = math.log2(1 + row.size) / math.log2(1 + first.size)
        growth = row.ns_a_request / first.ns_a_request
        lines.append(f"| {row.what} | {row.size:,g} | {row.ns_a_request:.0f} | {growth:.2f} | {log:.2f} |")
    return "\n".join(lines)


def main(requests: int = 400_000, repeats: int = 5, duration_s: float = 3600.0) -> None:
    """Print the tables."""
    print(table([*points(requests, repeats), *intervals(duration_s)]))
    print("\n| replicas there | us to add and drain one more |\n| ---: | ---: |")
    for replicas in (10, 100, 1_000, 10_000):
        print(f"| {replicas:,} | {changes_us(replicas, repeats):.0f} |")
    about = machine.describe()
    print(f"\n{about['date']}, load average {about['load_average_1min']}.")


if __name__ == "__main__":
    typer.run(main)
