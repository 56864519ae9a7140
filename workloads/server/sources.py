"""Where a replica's requests come from: the clock, or a queue that another process fills."""

from __future__ import annotations

import ctypes
from multiprocessing.context import SpawnContext
from typing import Any

import numpy as np

__all__ = ["ClockSource", "Queue", "QueueSource"]

_LINE = 8
_TAIL, _COMPLETED, _CLOSED = 0, _LINE, 2 * _LINE


class ClockSource:
    """Requests that are due by the clock: nobody sends them, so no sender can be late.

    Parameters
    ----------
    ready_s
        Arrivals in rising order.
    units
        Of every request, or ``[request]``.
    ids
        Their numbers in the run, in the same order.
    sink
        Queue of the next stage; None where this one answers.
    """

    def __init__(
        self,
        ready_s: np.ndarray,
        units: int | np.ndarray,
        ids: np.ndarray,
        sink: Queue | None = None,
    ) -> None:
        self.ready_s: list[float] = ready_s.tolist()
        self.total_units: list[int] = np.cumsum(np.broadcast_to(units, len(ready_s))).tolist()
        self._ids: list[int] = ids.tolist()
        self._sink = sink
        self._seen, self._count = 0, len(ready_s)

    def look(self, now_s: float) -> int:
        ready_s, seen, count = self.ready_s, self._seen, self._count
        while seen < count and ready_s[seen] <= now_s:
            seen += 1
        self._seen = seen
        return seen

    def next_s(self) -> float:
        return self.ready_s[self._seen] if self._seen < self._count else float("inf")

    def is_over(self, taken: int) -> bool:
        return taken == self._count

    def complete(self, first: int, count: int, done_s: float) -> None:
        if self._sink is not None:
            for place in range(first, first + count):
                self._sink.push(self._ids[place], done_s)


class Queue:
    """A queue in shared memory from one process to one other, and what the second has completed.

    Both poll it: there is no lock, because each number has one writer, and x86 processors make stores visible in their
    order.
    """

    def __init__(self, context: SpawnContext, most_requests: int) -> None:
        self._memory = (
            context.RawArray(ctypes.c_longlong, 3 * _LINE),
            context.RawArray(ctypes.c_longlong, most_requests),
            context.RawArray(ctypes.c_double, most_requests),
        )
        self._open()

    def _open(self) -> None:
        """Views without the cost of ctypes."""
        counts, ids, ready_s = (memoryview(part).cast("B") for part in self._memory)
        self._counts, self._ids, self._ready_s = counts.cast("q"), ids.cast("q"), ready_s.cast("d")

    def __getstate__(self) -> Any:
        return self._memory

    def __setstate__(self, memory: Any) -> None:
        self._memory = memory
        self._open()

    def clear(self) -> None:
        """Begin anew; only while nobody polls."""
        for place in (_TAIL, _COMPLETED, _CLOSED):
            self._counts[place] = 0

    def push(self, request: int, ready_s: float) -> None:
        """Hand a request over, ready at this time."""
        tail = self._counts[_TAIL]
        self._ids[tail] = request
        self._ready_s[tail] = ready_s
        self._counts[_TAIL] = tail + 1

    def close(self) -> None:
        """Nothing comes after this."""
        self._counts[_CLOSED] = 1

    def outstanding(self) -> int:
        """Handed over and not completed."""
        return self._counts[_TAIL] - self._counts[_COMPLETED]


class QueueSource:
    """Requests from a queue, as the process that serves them sees it."""

    def __init__(self, queue: Queue, units: int, sink: Queue | None = None) -> None:
        self.ready_s: list[float] = []
        self.total_units: list[int] = []
        self._queue, self._units, self._sink = queue, units, sink
        self._counts, self._ids, self._queue_ready_s = queue._counts, queue._ids, queue._ready_s

    def look(self, now_s: float) -> int:
        seen, tail = len(self.ready_s), self._counts[_TAIL]
        # What was handed over after ``now_s`` was read has not come by then: its batch would begin before it.
        while seen < tail and (ready_s := self._queue_ready_s[seen]) <= now_s:
            self.ready_s.append(ready_s)
            seen += 1
            self.total_units.append(seen * self._units)
        return seen

    def next_s(self) -> float:
        return float("inf")

    def is_over(self, taken: int) -> bool:
        return bool(self._counts[_CLOSED]) and taken == self._counts[_TAIL]

    def complete(self, first: int, count: int, done_s: float) -> None:
        if self._sink is not None:
            for place in range(first, first + count):
                self._sink.push(self._ids[place], done_s)
        self._counts[_COMPLETED] += count
