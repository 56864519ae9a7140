"""Medians of repeated timings, by the processor's clock and the wall's."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

__all__ = ["Timing", "timed"]


@dataclass(frozen=True)
class Timing:
    """Medians of the repeats.

    ``cpu_s`` counts the seconds in which this process had a core, so that it stands on a machine with other work;
    everything timed here is of one thread. ``wall_s`` is what one waits.
    """

    cpu_s: float
    wall_s: float
    repeats: int


def timed(
    work: Callable[[], object], repeats: int, *, before: Callable[[], object] | None = None, warm_up: bool = True
) -> Timing:
    """Time `work`, each repeat after an untimed `before`; with `warm_up` once more at first, untimed."""
    cpu_s, wall_s = [], []
    for repeat in range(-1 if warm_up else 0, repeats):
        if before is not None:
            before()
        gc.collect()
        cpu, wall = time.process_time(), time.perf_counter()
        work()
        if repeat >= 0:
            cpu_s.append(time.process_time() - cpu)
            wall_s.append(time.perf_counter() - wall)
    return Timing(median(cpu_s), median(wall_s), repeats)
