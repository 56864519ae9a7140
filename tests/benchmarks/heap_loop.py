"""One stage as a plain Python event loop: a heap of events, lists and deques, one object for each replica.

What a careful programmer would write without a compiler or a framework, with the semantics of docs/request-path.md for
one stage with least outstanding, batching, node cards and measured noise: a replica has one next event, so the heap
holds few, arrivals come from their own list, and an event that was overtaken is dropped where it is met. A test holds
that it gives every request the oracle's times.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush

from simulator.histogram import BINS_PER_UNIT_LOG, LOWEST_S, N_BINS
from tests.benchmarks.funnels import HOP_DELAY_S, NIC_BYTES_PER_S, NODES, Funnel
from tests.oracle.model import OracleArrival, OracleVariant

__all__ = ["HeapLoop"]

_NEVER = math.inf


@dataclass(slots=True)
class _Replica:
    node: int
    waiting: deque[tuple[float, int, int]] = field(default_factory=deque)
    """Ready time, units and number of each queued request."""
    units: int = 0
    fill_s: float = _NEVER
    free_s: float = 0.0
    batch: list[int] | None = None
    event_s: float = _NEVER


class HeapLoop:
    """The one-stage funnel; `serve` takes its arrivals in order.

    Parameters
    ----------
    funnel
        Of one stage with least outstanding.
    draw
        The uniform number of a batch, by the number of its first request.

    Attributes
    ----------
    end_s
        When each request's batch ended.
    histogram
        Latencies, in the bins of `simulator.histogram`.
    """

    def __init__(self, funnel: Funnel, draw: Callable[[int], float] | None = None) -> None:
        stage = funnel.stages[0]
        self._variant: OracleVariant = stage.variant(0)
        self._candidates, self._item_bytes = stage.candidates, stage.item_bytes
        self._max_batch, self._max_wait_s = stage.max_batch, stage.max_wait_s
        self._draw = draw or (lambda number: random.random())
        self._replicas = [_Replica(i % NODES) for i in range(funnel.replicas)]
        self._outstanding = [0] * funnel.replicas
        self._nic_free_s = [0.0] * NODES
        self._events: list[tuple[float, int]] = []
        self._arrivals: Sequence[OracleArrival] = ()
        self.end_s: list[float] = []
        self.histogram = [0] * N_BINS

    def serve(self, arrivals: Sequence[OracleArrival]) -> None:
        """Serve the arrivals to the end; events of replicas come before arrivals at the same time."""
        self._arrivals = arrivals
        self.end_s = [math.nan] * len(arrivals)
        events = self._events
        for number, arrival in enumerate(arrivals):
            time_s = arrival.arrival_s
            while events and events[0][0] <= time_s:
                self._happen(*heappop(events))
            self._arrive(number, arrival)
        while events:
            self._happen(*heappop(events))

    def _arrive(self, number: int, arrival: OracleArrival) -> None:
        outstanding = self._outstanding
        slot = outstanding.index(min(outstanding))
        outstanding[slot] += 1
        replica = self._replicas[slot]
        items = arrival.items
        units = min(items, self._candidates) if items else self._candidates
        free_s = self._nic_free_s[replica.node]
        start_s = arrival.arrival_s if arrival.arrival_s > free_s else free_s
        free_s = start_s + (arrival.bytes_in + units * self._item_bytes) / NIC_BYTES_PER_S
        self._nic_free_s[replica.node] = free_s
        ready_s = free_s + HOP_DELAY_S
        replica.waiting.append((ready_s, units, number))
        replica.units += units
        filled = replica.units >= self._max_batch and replica.fill_s == _NEVER
        if filled:
            replica.fill_s = ready_s
        if replica.batch is None and (filled or len(replica.waiting) == 1):
            self._plan_start(slot, replica)

    def _plan_start(self, slot: int, replica: _Replica) -> None:
        due_s = min(replica.waiting[0][0] + self._max_wait_s, replica.fill_s)
        start_s = due_s if due_s > replica.free_s else replica.free_s
        if start_s != replica.event_s:
            replica.event_s = start_s
            heappush(self._events, (start_s, slot))

    def _happen(self, time_s: float, slot: int) -> None:
        replica = self._replicas[slot]
        if time_s != replica.event_s:
            return
        replica.event_s = _NEVER
        if replica.batch is None:
            self._start(time_s, slot, replica)
        else:
            self._complete(time_s, slot, replica, replica.batch)

    def _start(self, time_s: float, slot: int, replica: _Replica) -> None:
        waiting, taken = replica.waiting, 0
        batch: list[int] = []
        while waiting:
            ready_s, units, number = waiting[0]
            if ready_s > time_s or (batch and taken + units > self._max_batch):
                break
            waiting.popleft()
            batch.append(number)
            taken += units
        replica.batch = batch
        replica.units -= taken
        replica.fill_s = _NEVER
        if replica.units >= self._max_batch:
            self._find_fill(replica)
        replica.event_s = time_s + self._latency_s(taken, self._draw(batch[0]))
        heappush(self._events, (replica.event_s, slot))

    def _find_fill(self, replica: _Replica) -> None:
        units = 0
        for ready_s, more, _ in replica.waiting:
            units += more
            if units >= self._max_batch:
                replica.fill_s = ready_s
                return

    def _complete(self, time_s: float, slot: int, replica: _Replica, batch: list[int]) -> None:
        answered_s = time_s + HOP_DELAY_S
        arrivals, histogram = self._arrivals, self.histogram
        for number in batch:
            self.end_s[number] = time_s
            latency_s = answered_s - arrivals[number].arrival_s
            histogram[int(math.log(latency_s / LOWEST_S) * BINS_PER_UNIT_LOG)] += 1
        self._outstanding[slot] -= len(batch)
        replica.batch, replica.free_s = None, time_s
        if replica.waiting:
            self._plan_start(slot, replica)

    def _latency_s(self, units: int, u: float) -> float:
        """As `tests.oracle.service_time` has it, by bisection."""
        variant = self._variant
        sizes, levels = variant.batch_sizes, variant.levels
        if u <= levels[0]:
            level, share = 0, 0.0
        elif u >= levels[-1]:
            level, share = len(levels) - 2, 1.0
        else:
            level = bisect_left(levels, u) - 1
            share = (u - levels[level]) / (levels[level + 1] - levels[level])
        upper = min(bisect_left(sizes, units), len(sizes) - 1)
        high = variant.latency_s[upper]
        high_s = high[level] + (high[level + 1] - high[level]) * share
        if units <= sizes[0]:
            return high_s
        low = variant.latency_s[upper - 1]
        low_s = low[level] + (low[level + 1] - low[level]) * share
        return low_s + (high_s - low_s) * (units - sizes[upper - 1]) / (sizes[upper] - sizes[upper - 1])
