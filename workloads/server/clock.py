"""The clock that a server runs by."""

from __future__ import annotations

import time
from typing import Protocol

__all__ = ["Clock", "WallClock"]


class Clock(Protocol):
    """Seconds since the start of a run."""

    def now(self) -> float:
        """Seconds since the start of the run."""

    def pause(self, until_s: float) -> None:
        """Nothing can happen before ``until_s``: a clock that is not real may go there at once."""


class WallClock:
    """Real time, by polling: a server that sleeps wakes up late.

    ``origin_s`` is the start of the run on `time.perf_counter`, which all processes of a Linux machine share.
    """

    def __init__(self, origin_s: float) -> None:
        self.origin_s = origin_s

    def now(self) -> float:
        return time.perf_counter() - self.origin_s

    def pause(self, until_s: float) -> None:
        """Go on polling."""
