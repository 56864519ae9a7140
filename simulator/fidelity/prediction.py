"""What the simulator's data plane does with logged arrivals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from simulator.fidelity.setup import ServedStage, fleet_plan
from simulator.fleet import Fleet
from simulator.kernel.state import NONE
from simulator.plan import RecordPlan
from workloads.server.log import RequestLog
from workloads.trace import TraceBlock

__all__ = ["predict"]


def predict(
    arrival_s: np.ndarray, stages: Sequence[ServedStage], noise_seed: int, items: np.ndarray | None = None
) -> RequestLog:
    """Serve arrivals as `simulator` serves any trace, and tell what became of each request.

    Parameters
    ----------
    arrival_s
        ``arrival_s[request]`` in rising order, from 0 on.
    stages
        The funnel, one stage or more.
    noise_seed
        Seed of the batches' latencies.
    items
        ``items[request]``, where stages count items; one each unless given.

    Returns
    -------
    RequestLog
        ``start_s`` at the first stage, ``done_s`` and ``batch`` (in its units) at the last.
    """
    count = len(arrival_s)
    items = np.ones(count, np.int32) if items is None else items.astype(np.int32)
    zeros = np.zeros(count, np.int32)
    block = TraceBlock(0, arrival_s.astype(np.float64), np.zeros(count, np.int16), items, zeros)
    plan = fleet_plan(tuple(stages), int(items.max(initial=1)), noise_seed)
    fleet = Fleet(plan, iter([block]), RecordPlan(rows=count))
    slots = [
        fleet.add_replica(k, k, 0, device=k if stage.shares_device else NONE)
        for k, stage in enumerate(stages)
        for _ in range(stage.replicas)
    ]
    fleet.activate(*slots)
    fleet.finish()
    steps = fleet.state.record.step[:count]
    last = len(stages) - 1
    units = items.astype(np.int64) if stages[last].counts_items else np.ones(count, np.int64)
    batch = _batch_units(steps["slot"][:, last], steps["start_s"][:, last], units)
    return RequestLog(arrival_s, steps["start_s"][:, 0].copy(), steps["end_s"][:, last].copy(), batch)


def _batch_units(slot: np.ndarray, start_s: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Units of each request's batch: of all requests that the same replica began at the same time."""
    order = np.lexsort((start_s, slot))
    begins = np.ones(len(order), np.bool_)
    begins[1:] = (np.diff(slot[order]) != 0) | (np.diff(start_s[order]) != 0)
    number = np.empty(len(order), np.int64)
    number[order] = np.cumsum(begins) - 1
    return np.bincount(number, weights=units).astype(np.int64)[number]
