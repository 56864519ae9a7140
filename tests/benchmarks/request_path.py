"""Requests a second through the whole request path, and through the per-request SimPy oracle on the same fleet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from simulator import journey_arrays
from simulator.fleet import Fleet
from simulator.plan import RecordPlan
from tests.benchmarks.funnels import Funnel, batch_sizes
from tests.benchmarks.measuring import Timing, timed
from tests.oracle import simpy_oracle
from workloads.trace import TraceBlock

__all__ = ["OraclePath", "Path", "measure_oracle", "measure_path", "serve"]

CONTROL_INTERVAL_S = 10.0


@dataclass(frozen=True)
class Path:
    """A funnel on the compiled data plane. ``generated`` draws its trace meanwhile, ``stored`` has it in memory."""

    requests: int
    generated: Timing
    stored: Timing
    utilisation: np.ndarray
    batch_tasks: np.ndarray
    hit_share: float

    @property
    def rps(self) -> float:
        """Requests per second of one core, without drawing the trace."""
        return self.requests / self.stored.cpu_s

    @property
    def generated_rps(self) -> float:
        """The same, drawing included."""
        return self.requests / self.generated.cpu_s


@dataclass(frozen=True)
class OraclePath:
    """A funnel on the oracle."""

    requests: int
    timing: Timing

    @property
    def rps(self) -> float:
        """Requests per second of one core."""
        return self.requests / self.timing.cpu_s


def serve(
    funnel: Funnel,
    blocks: Iterator[TraceBlock],
    duration_s: float,
    record: RecordPlan | None = None,
    path: journey_arrays.Path | None = None,
) -> Fleet:
    """Serve a trace, stopping at every control interval as a run does."""
    fleet = Fleet(funnel.plan(), blocks, record, path=path)
    funnel.activate(fleet)
    for end_s in np.arange(CONTROL_INTERVAL_S, duration_s, CONTROL_INTERVAL_S):
        fleet.advance(float(end_s))
    fleet.finish()
    return fleet


def measure_path(funnel: Funnel, requests: int, repeats: int) -> Path:
    """Time a funnel with its trace drawn and stored."""
    trace = funnel.trace(requests)
    duration_s = trace.info.duration_s
    done: list[Fleet] = []

    def run(blocks: Iterable[TraceBlock]) -> None:
        done[:] = [serve(funnel, iter(blocks), duration_s)]

    generated = timed(lambda: run(trace.blocks(columns=funnel.columns, even=False)), repeats)
    stored_blocks = funnel.blocks(requests)
    stored = timed(lambda: run(stored_blocks), repeats)
    services, tables = done[0].state.services, done[0].state.tables
    served = int(services["completed"].sum())
    if served != sum(map(len, stored_blocks)):
        raise AssertionError(f"{funnel.name}: {served} requests completed, {sum(map(len, stored_blocks))} arrived")
    hit_share = 1 - tables["requests"][0] / served if funnel.cache_entries else 0.0
    busy = tables["busy_s"] / (funnel.replicas * duration_s)
    return Path(served, generated, stored, busy, batch_sizes(done[0]), float(hit_share))


def measure_oracle(funnel: Funnel, requests: int, repeats: int) -> OraclePath:
    """Time the oracle on the first part of the same trace; all requests are at hand before."""
    world, arrivals, controls = funnel.world(), funnel.oracle_arrivals(requests), funnel.controls()
    timing = timed(lambda: simpy_oracle.run(world, arrivals, controls), repeats, warm_up=False)
    return OraclePath(len(arrivals), timing)
