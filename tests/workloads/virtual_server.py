"""The server's loop on a clock that is not real, with a runner of known latencies."""

from __future__ import annotations

import math

import numpy as np

from workloads.server.batching import Batches, BatchRule, serve
from workloads.server.sources import ClockSource

__all__ = ["VirtualClock", "VirtualRunner", "serve_virtually"]


class VirtualClock:
    """Goes where it is told, and never back."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def now(self) -> float:
        return self.now_s

    def pause(self, until_s: float) -> None:
        assert self.now_s < until_s < math.inf
        self.now_s = until_s


class VirtualRunner:
    """Takes ``latency_s[units]``, linear between sizes."""

    def __init__(self, clock: VirtualClock, sizes: tuple[int, ...], mean_s: tuple[float, ...]) -> None:
        self.clock, self.sizes, self.mean_s = clock, sizes, mean_s
        self.staged: list[tuple[int, int]] = []

    def stage(self, first_unit: int, units: int) -> None:
        self.staged.append((first_unit, units))

    def run(self) -> None:
        self.clock.now_s += float(np.interp(self.staged[-1][1], self.sizes, self.mean_s))


def serve_virtually(
    ready_s: np.ndarray, units: int | np.ndarray, rule: BatchRule, sizes: tuple[int, ...], mean_s: tuple[float, ...]
) -> Batches:
    """Serve arrivals exactly by the rule."""
    clock = VirtualClock()
    source = ClockSource(ready_s, units, np.arange(len(ready_s)))
    return serve(source, rule, VirtualRunner(clock, sizes, mean_s), clock)
