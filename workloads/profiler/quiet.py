"""Keeping other work out of CPU timings: which timings it touched, and waiting until it stops."""

from __future__ import annotations

import time
from collections.abc import Callable

from workloads.profiler.machine import LoadMeter

__all__ = ["QUIET_CORES", "QuietWatch"]

QUIET_CORES = 0.15
_WINDOW_S = 1.0


class QuietWatch:
    """Cuts time into windows of a second or more and tells how many cores other processes used in each.

    Parameters
    ----------
    patience_s
        Time in all that may be spent waiting for other work to stop.
    """

    def __init__(self, patience_s: float) -> None:
        self.patience_s = patience_s
        self._open()

    def window_over(self) -> bool:
        """Whether the present window is long enough to judge."""
        return time.perf_counter() - self._start_s >= _WINDOW_S

    def close_window(self) -> float:
        """Cores that other work used in the window; the next one starts."""
        other_cores = self._meter.other_cores()
        self._open()
        return other_cores or 0.0

    def wait_for_quiet(self, tell: Callable[[], None]) -> None:
        """Sleep until a whole window is quiet, or patience is used up."""
        while self.patience_s > 0:
            tell()
            time.sleep(_WINDOW_S)
            self.patience_s -= _WINDOW_S
            if self.close_window() <= QUIET_CORES:
                return

    def _open(self) -> None:
        self._start_s = time.perf_counter()
        self._meter = LoadMeter()
