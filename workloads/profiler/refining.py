"""Sizes added to the default ones where a first look says that interpolation between those would be off.

A short look at every size gives medians; where leaving a size out foretells it worse than 3 %, the gaps beside it may
be halved. A few are, those between two such sizes first, for a step lies there; the new sizes are looked at, and so on.
What is then measured in earnest, and in one shuffled order, are all of them: the look serves to choose only.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np

from workloads.interpolation import left_out_errors
from workloads.profiler.inputs import InputPool
from workloads.profiler.settings import ProfileSettings
from workloads.profiler.start import Started
from workloads.profiler.timing import Progress, SizeTimer

__all__ = ["TOLERANCE", "refine", "refined_sizes"]

TOLERANCE = 0.03
_ROUNDS = 8
_ADDED_A_ROUND, _ADDED_IN_ALL = 0.25, 1.0
"""At most so many sizes are added for each one begun with."""
_NARROWEST = 32
"""A gap below this part of its lower end stays whole."""
_LOOK_SHARE = 0.2
_FEWEST_RUNS, _MOST_RUNS = 7, 40

Look = Callable[[tuple[int, ...]], dict[int, float]]


def refined_sizes(sizes: tuple[int, ...], look: Look) -> tuple[int, ...]:
    """Rising sizes: those given, and what was put between them.

    Parameters
    ----------
    sizes
        Rising.
    look
        Median latency of each of some sizes, in seconds; called with sizes that it has not seen.
    """
    most_a_round = math.ceil(_ADDED_A_ROUND * len(sizes))
    most = len(sizes) + int(_ADDED_IN_ALL * len(sizes))
    seen_s = look(sizes)
    for _ in range(_ROUNDS):
        new = _between(seen_s, min(most_a_round, most - len(seen_s)))
        if not new:
            break
        seen_s |= look(new)
    return tuple(sorted(seen_s))


def _between(seen_s: dict[int, float], most: int) -> tuple[int, ...]:
    """Middles of the gaps whose ends are foretold worst by the other sizes; at most so many."""
    sizes = np.array(sorted(seen_s))
    error = np.zeros(len(sizes))
    error[1:-1] = np.abs(left_out_errors(sizes, np.array([seen_s[size] for size in sizes.tolist()])))
    low, high = sizes[:-1], sizes[1:]
    wanting = (np.maximum(error[:-1], error[1:]) > TOLERANCE) & (high - low > np.maximum(1, low // _NARROWEST))
    worst_first = np.argsort(-(error[:-1] + error[1:]), kind="stable")
    chosen = worst_first[wanting[worst_first]][:most]
    return tuple(sorted(((low + high) // 2)[chosen].tolist()))


def refine(
    started: Started,
    pool: InputPool,
    sizes: tuple[int, ...],
    settings: ProfileSettings,
    generator: np.random.Generator,
    progress: Progress,
) -> tuple[int, ...]:
    """The sizes to measure with a runner that has started on some; it is made ready for the new ones."""
    timer = SizeTimer(started.runner, pool, settings, generator)

    def look(some: tuple[int, ...]) -> dict[int, float]:
        if some != sizes:
            started.prepare(pool, some)
        found_s = {}
        with started.runner.context():
            for done, size in enumerate(generator.permutation(some).tolist()):
                progress("choosing sizes", done, len(some))
                found_s[size] = _look_s(timer, size, _LOOK_SHARE * settings.timing_s / len(sizes))
        return found_s

    return refined_sizes(sizes, look)


def _look_s(timer: SizeTimer, size: int, limit_s: float) -> float:
    """Median of a few runs after a warm-up, in seconds."""
    timer.warm_up(size)
    seen_s: list[float] = []
    end_s = time.perf_counter() + limit_s
    while len(seen_s) < _FEWEST_RUNS or (len(seen_s) < _MOST_RUNS and time.perf_counter() < end_s):
        seen_s.append(timer.time_once(size).latency_s)
    return float(np.median(seen_s))
