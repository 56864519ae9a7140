"""One replica's loop: look who has come, start a batch when one is due, run it, write down when.

The rule is that of the simulator (docs/request-path.md, step 6). A request counts as so many *units*. A replica that is
idle, with the request at the head of its queue ready since ``r0``, starts a batch at ``r0 + max_wait_s``, or as soon as
the queue holds ``max_batch`` units. The batch takes requests in order while their units sum to at most ``max_batch``;
the first is always taken. A request that comes during a batch waits.

The loop knows nothing of a request before it is ready: it polls the clock and asks its source who has come by now.
"""

from __future__ import annotations

import gc
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from workloads.server.clock import Clock

__all__ = ["BatchRule", "BatchRunner", "Batches", "Source", "expected_start_s", "serve", "without_collector"]


@dataclass(frozen=True)
class BatchRule:
    """Most units of a batch, and the longest that its first request waits for others."""

    max_batch: int
    max_wait_s: float


class BatchRunner(Protocol):
    """Runs batches of one model."""

    def stage(self, first_unit: int, units: int) -> None:
        """Assemble a batch: the inputs of so many units, the first being that of this number."""

    def run(self) -> None:
        """From the assembled batch to outputs in host memory."""


class Source(Protocol):
    """Where a replica's requests come from.

    ``ready_s[request]`` and ``total_units[request]``, units of all requests up to and including this one, in order of
    coming; they hold at least the requests that `look` told of.
    """

    ready_s: list[float]
    total_units: list[int]

    def look(self, now_s: float) -> int:
        """How many requests have come by now."""

    def next_s(self) -> float:
        """When the next one comes, for a clock that is not real; infinite where nobody can tell."""

    def is_over(self, taken: int) -> bool:
        """Whether no request comes after the first ``taken``."""

    def complete(self, first: int, count: int, done_s: float) -> None:
        """So many requests from ``first`` on have been answered."""


@dataclass(frozen=True)
class Batches:
    """Batches of one replica in order of time.

    ``requests[batch]`` and ``units[batch]`` it took; seconds of the run when it was begun (``start_s``), assembled
    (``staged_s``), and its outputs were in host memory (``done_s``).
    """

    requests: np.ndarray
    units: np.ndarray
    start_s: np.ndarray
    staged_s: np.ndarray
    done_s: np.ndarray


def serve(source: Source, rule: BatchRule, runner: BatchRunner, clock: Clock, limit_s: float = float("inf")) -> Batches:
    """Serve a source's requests until it is over; no batch begins after ``limit_s``, whoever still waits."""
    ready_s, total_units = source.ready_s, source.total_units
    now, look, max_batch, max_wait_s = clock.now, source.look, rule.max_batch, rule.max_wait_s
    rows: list[tuple[int, int, float, float, float]] = []
    head = units_before = 0
    while True:
        now_s = now()
        if now_s > limit_s:
            return _as_batches(rows)
        seen = look(now_s)
        if seen == head:
            if source.is_over(head):
                return _as_batches(rows)
            clock.pause(source.next_s())
            continue
        if total_units[seen - 1] - units_before < max_batch:
            due_s = ready_s[head] + max_wait_s
            if now_s < due_s:
                clock.pause(min(due_s, source.next_s()))
                continue
        count = max(1, bisect_right(total_units, units_before + max_batch, head, seen) - head)
        units = total_units[head + count - 1] - units_before
        runner.stage(units_before, units)
        staged_s = now()
        runner.run()
        done_s = now()
        rows.append((count, units, now_s, staged_s, done_s))
        source.complete(head, count, done_s)
        head += count
        units_before += units


def _as_batches(rows: list[tuple[int, int, float, float, float]]) -> Batches:
    columns = np.array(rows, np.float64).reshape(-1, 5).T
    return Batches(columns[0].astype(np.int64), columns[1].astype(np.int64), *columns[2:].copy())


def expected_start_s(ready_s: np.ndarray, total_units: np.ndarray, batches: Batches, rule: BatchRule) -> np.ndarray:
    """When each batch should have begun by the rule, given what the replica had done before: ``[batch]``.

    ``ready_s[request]`` and ``total_units[request]`` as in `Source`. What a batch begins later is the loop's own
    overhead: the time to notice, and to go on after the batch before.
    """
    head = np.cumsum(batches.requests) - batches.requests
    before = np.concatenate([[0], total_units])[head]
    filling = np.searchsorted(total_units, before + rule.max_batch)
    fill_s = np.concatenate([ready_s, [np.inf]])[np.minimum(filling, len(ready_s))]
    free_s = np.concatenate([[-np.inf], batches.done_s[:-1]])
    return np.maximum(free_s, np.minimum(ready_s[head] + rule.max_wait_s, fill_s))


@contextmanager
def without_collector() -> Iterator[None]:
    """No collection of garbage, which would stop the loop for milliseconds."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()
