"""A thread's core watched for company, and left when it has some.

On a shared host the other thread of a physical core may be another guest's. While it is busy, a virtual core runs at
about half its speed, for tenths of a second to seconds, and whatever the host does for a batch takes twice as long
(docs/fidelity.md). A thread that polls never sleeps, so that the host has little occasion to move it; but it can move
itself, to a virtual core that has slept and is woken where there is room.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection
from types import TracebackType

__all__ = ["SteadyCore"]

_LOOPS = range(64)
_SLOW = 1.6
"""A probe that takes so many times the shortest usual one was slow."""
_IN_A_ROW = 16
"""So many slow probes one after the other are company that stays. A move takes the time of a dozen slow batches: the
core that one goes to has slept, and the host must wake it."""
_LOOKS = 5
"""Probes at a new core, of which the shortest counts: the first ones meet cold caches."""
_MOST_TRIES = 6
"""Cores tried at once; where all are slow, the machine is."""


def _probe_s() -> float:
    """Seconds of two microseconds' work."""
    total = 0
    begin_s = time.perf_counter()
    for number in _LOOPS:
        total += number * number
    return time.perf_counter() - begin_s


def _move_to(cores: Collection[int]) -> None:
    os.sched_setaffinity(0, cores)


class SteadyCore:
    """Keeps the calling thread on one core that runs as fast as the machine's cores do when they have no company.

    What is usual is the quickest look at any of the cores on entering: where all have company then, none is noticed.
    Use it in a ``with`` statement, which gives the thread its cores back at the end, and call `check` before a batch.

    Parameters
    ----------
    cores
        Where the thread may go. With fewer than two nothing is done.
    probe_s, move_to
        Time a probe; let the thread run on these cores only. For tests.

    Attributes
    ----------
    moves, probes, slow
        How often it moved, probed, and found a probe slow, since the last `facts`.
    """

    def __init__(
        self,
        cores: Collection[int],
        probe_s: Callable[[], float] = _probe_s,
        move_to: Callable[[Collection[int]], None] = _move_to,
    ) -> None:
        self.cores = sorted(cores)
        self.moves = self.probes = self.slow = 0
        self._probe_s, self._move_to = probe_s, move_to
        self._place, self._in_a_row, self._entered = 0, 0, False
        self._usual_s = float("inf")

    def __enter__(self) -> SteadyCore:
        """Settle on a core, having looked at all of them."""
        self._entered = len(self.cores) > 1
        if self._entered:
            looks_s = [self._look_s(place) for place in range(len(self.cores))]
            self._usual_s = min(looks_s)
            self._look_s(looks_s.index(min(looks_s)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._entered:
            self._move_to(self.cores)
        self._entered = False

    def check(self) -> None:
        """Probe the core, and leave it where it has company."""
        if not self._entered:
            return
        slow = self._probe_s() > _SLOW * self._usual_s
        self.probes += 1
        self.slow += slow
        self._in_a_row = self._in_a_row + 1 if slow else 0
        if self._in_a_row >= _IN_A_ROW:
            self._leave()

    def facts(self) -> dict[str, float]:
        """``moves``, ``probes`` and the share of them that were slow, since this was last asked; nothing without."""
        if self.probes == 0:
            return {}
        told = {"moves": self.moves, "probes": self.probes, "slow_share": round(self.slow / self.probes, 4)}
        self.moves = self.probes = self.slow = 0
        return told

    def _leave(self) -> None:
        """To the next core that is quick, or after some tries wherever that has led."""
        self._in_a_row = 0
        self.moves += 1
        for _ in range(min(_MOST_TRIES, len(self.cores) - 1)):
            if self._look_s((self._place + 1) % len(self.cores)) <= _SLOW * self._usual_s:
                return

    def _look_s(self, place: int) -> float:
        """Go to a core and time the shortest of a few probes."""
        self._place = place
        self._move_to((self.cores[place],))
        return min(self._probe_s() for _ in range(_LOOKS))
