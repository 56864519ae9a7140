"""Time, and the order of what falls on one instant: the page's section "Ties".

Events at one instant run by rank: first whatever follows at once from the event before (SimPy's own priorities
0 and 1: requests that go on), then the ranks below in their order.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappush

import simpy

AT_ONCE = 1
REPLICA = 2  # plus the slot
LINK = 1 << 40  # plus the site of an access link in, or the number of sites and that of the link
RETRY = 2 << 40  # plus the stage
HEDGE = 3 << 40  # plus the stage
TRACE = 4 << 40
CONTROL = 5 << 40
STOP = 6 << 40


class Clock(simpy.Environment):
    """An environment that can also wait for an absolute time.

    `timeout(t - now)` ends at `now + (t - now)`, which rounds and would break ties that the page decides.
    """

    def at(self, time_s: float, rank: int = AT_ONCE) -> simpy.Event:
        """Return an event of exactly `time_s`, processed by `rank` among those of the same time."""
        if time_s < self.now:
            raise AssertionError(f"an event of {time_s} was asked for at {self.now}")
        event = simpy.Event(self)
        event._ok, event._value = True, None
        entry: tuple[float, int, int, simpy.Event] = (time_s, rank, next(self._eid), event)
        heappush(self._queue, entry)  # type: ignore[misc]
        return event

    def then(self, time_s: float, rank: int, act: Callable[[], None]) -> None:
        """Do something at `time_s`; what was asked for earlier comes first within a rank."""
        callbacks = self.at(time_s, rank).callbacks
        assert callbacks is not None
        callbacks.append(lambda _: act())
