"""The timing loop: warm up, then time the sizes in random order, each batch on other inputs."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np

from workloads.profiler.inputs import InputPool
from workloads.profiler.machine import own_wait_s
from workloads.profiler.quiet import QUIET_CORES, QuietWatch
from workloads.profiler.runners import Runner
from workloads.profiler.settings import ProfileSettings
from workloads.profiler.steady_core import SteadyCore

__all__ = ["Progress", "SizeTimings", "time_sizes"]

Progress = Callable[[str, int, int], None]
_SPLIT_RUNS = 30
_WAIT_SHARE = 0.02
_WAIT_FLOOR_S = 50e-6


@dataclass(frozen=True)
class SizeTimings:
    """Timings of one batch size in order of time.

    ``latency_s[run]``, ``cpu_core_s[run]``, ``split_s[run, part]`` (transfer in, compute, transfer out); the mean
    of cores that other work used meanwhile (on a CPU); how many timings were set aside; and how many of those kept
    were disturbed by other work.
    """

    size: int
    latency_s: np.ndarray
    cpu_core_s: np.ndarray
    split_s: np.ndarray
    other_cores: float
    set_aside: int
    disturbed_kept: int


@dataclass(frozen=True)
class _Timing:
    size: int
    latency_s: float
    cpu_core_s: float
    wait_s: float
    other_cores: float = 0.0
    company: bool = False

    @property
    def disturbed(self) -> bool:
        return self.company or self.wait_s > max(_WAIT_FLOOR_S, _WAIT_SHARE * self.latency_s)

    @property
    def disturbance(self) -> float:
        return self.wait_s / self.latency_s + self.other_cores


class SizeTimer:
    """Times batches of one runner; on a CPU, watches for other work on the same cores; else leaves a slow core.

    ``core`` is that of a server that goes on serving; the timer's own otherwise.
    """

    def __init__(
        self,
        runner: Runner,
        pool: InputPool,
        settings: ProfileSettings,
        generator: np.random.Generator,
        core: SteadyCore | None = None,
    ) -> None:
        self.runner, self.pool, self.settings, self.generator = runner, pool, settings, generator
        self.watch = QuietWatch(settings.patience_s) if settings.device_kind == "cpu" else None
        self.core = core or SteadyCore(() if settings.device_kind == "cpu" else os.sched_getaffinity(0))

    def time_once(self, size: int) -> _Timing:
        """Time one batch from inputs staged to outputs in host memory."""
        self.core.check()
        self.runner.stage(self.pool.batch(size))
        wait_before_s = own_wait_s() if self.watch else 0.0
        cpu_before_s = time.process_time()
        start_s = time.perf_counter()
        self.runner.run()
        end_s = time.perf_counter()
        cpu_after_s = time.process_time()
        wait_s = own_wait_s() - wait_before_s if self.watch else 0.0
        return _Timing(size, end_s - start_s, cpu_after_s - cpu_before_s, wait_s)

    def warm_up(self, size: int) -> float:
        """Run until two successive medians of five agree within 5 %, or the time is up; the last median."""
        limit_s = 0.02 * self.settings.timing_s
        seen: list[float] = []
        start_s = time.perf_counter()
        while True:
            seen.append(self.time_once(size).latency_s)
            if len(seen) >= 10:
                last, before = np.median(seen[-5:]), np.median(seen[-10:-5])
                if abs(last - before) <= 0.05 * before:
                    break
            if len(seen) >= 3 and time.perf_counter() - start_s > limit_s:
                break
        return float(np.median(seen[-5:]))

    def warm_up_mixed(self, sizes: tuple[int, ...]) -> None:
        """Run sizes in random order, as the timings will, for a twentieth of their time."""
        end_s = time.perf_counter() + 0.05 * self.settings.timing_s
        while time.perf_counter() < end_s:
            self.time_once(int(self.generator.choice(sizes)))

    def time_counts(self, counts: dict[int, int], end_s: float, progress: Progress) -> list[_Timing]:
        """Time each size as often as asked, in one shuffled order; stop early at ``end_s``."""
        order = np.repeat(list(counts), list(counts.values()))
        self.generator.shuffle(order)
        timings: list[_Timing] = []
        judged = 0
        for done, size in enumerate(order.tolist()):
            timings.append(self.time_once(size))
            if self.watch and self.watch.window_over():
                judged = self._judge(timings, judged, progress)
            if done % 16 == 0:
                progress("timing", done, len(order))
                if time.perf_counter() > end_s:
                    break
        if self.watch:
            self._judge(timings, judged, progress)
        progress("timing", len(order), len(order))
        return timings

    def _judge(self, timings: list[_Timing], first: int, progress: Progress) -> int:
        """Close the window: its timings learn how busy other work was; wait while it still is."""
        assert self.watch is not None
        other_cores = self.watch.close_window()
        company = self.settings.patience_s > 0 and other_cores > QUIET_CORES
        timings[first:] = [replace(t, other_cores=other_cores, company=company) for t in timings[first:]]
        if other_cores > QUIET_CORES and self.watch.patience_s > 0:
            self.watch.wait_for_quiet(lambda: progress("waiting for other work to stop", 0, 1))
        return len(timings)


def time_sizes(
    runner: Runner,
    pool: InputPool,
    sizes: tuple[int, ...],
    settings: ProfileSettings,
    generator: np.random.Generator,
    progress: Progress,
    core: SteadyCore | None = None,
) -> list[SizeTimings]:
    """Time every size, in an order shuffled over all sizes and runs.

    Beside a GPU the thread leaves a core that has company (`SteadyCore`), as a server's does. On a CPU, a timing is set
    aside and repeated when this process's threads waited for a core more than 2 % of its time and, if the settings
    allow waiting, when other processes used more than 0.15 cores in the second around it.
    Repeating stops after the planned time and the waiting allowed; where too few quiet timings remain, the least
    disturbed are kept.
    """
    timer = SizeTimer(runner, pool, settings, generator, core)
    with timer.core if core is None else nullcontext():
        timings, planned, splits = _timed(timer, sizes, settings, progress)
    return [
        _kept([timing for timing in timings if timing.size == size], planned[size], splits[size], settings)
        for size in sizes
    ]


def _timed(
    timer: SizeTimer, sizes: tuple[int, ...], settings: ProfileSettings, progress: Progress
) -> tuple[list[_Timing], dict[int, int], dict[int, np.ndarray]]:
    """All timings, how many of each size were planned, and the splits of each."""
    warm_s: dict[int, float] = {}
    for done, size in enumerate(sizes):
        progress("warming up", done, len(sizes))
        warm_s[size] = timer.warm_up(size)
    timer.warm_up_mixed(sizes)
    planned = _planned_runs(warm_s, settings)
    gc.collect()
    gc.disable()
    try:
        timings = _time_until_quiet(timer, planned, warm_s, settings, progress)
        splits = _time_splits(timer, sizes, progress)
    finally:
        gc.enable()
    return timings, planned, splits


def _planned_runs(warm_s: dict[int, float], settings: ProfileSettings) -> dict[int, int]:
    share_s = settings.timing_s / len(warm_s)
    return {
        size: int(np.clip(share_s / latency_s, settings.fewest_runs, settings.most_runs))
        for size, latency_s in warm_s.items()
    }


def _time_until_quiet(
    timer: SizeTimer,
    planned: dict[int, int],
    warm_s: dict[int, float],
    settings: ProfileSettings,
    progress: Progress,
) -> list[_Timing]:
    planned_s = sum(planned[size] * warm_s[size] for size in planned)
    timings = timer.time_counts(planned, end_s=float("inf"), progress=progress)
    end_s = time.perf_counter() + planned_s + (settings.patience_s if timer.watch else 0.0)
    while time.perf_counter() < end_s:
        quiet = {size: sum(t.size == size and not t.disturbed for t in timings) for size in planned}
        missing = {size: planned[size] - quiet[size] for size in planned if quiet[size] < planned[size]}
        if not missing:
            break
        timings += timer.time_counts(missing, end_s, progress)
    return timings


def _time_splits(timer: SizeTimer, sizes: tuple[int, ...], progress: Progress) -> dict[int, np.ndarray]:
    parts: dict[int, list[tuple[float, float, float]]] = {size: [] for size in sizes}
    if timer.settings.device_kind == "cuda":
        order = np.repeat(sizes, min(_SPLIT_RUNS, timer.settings.fewest_runs))
        timer.generator.shuffle(order)
        for done, size in enumerate(order.tolist()):
            progress("timing transfers", done, len(order))
            timer.runner.stage(timer.pool.batch(size))
            parts[size].append(timer.runner.run_split_s())
    return {size: np.array(rows).reshape(-1, 3) for size, rows in parts.items()}


def _kept(timings: list[_Timing], planned: int, split_s: np.ndarray, settings: ProfileSettings) -> SizeTimings:
    kept = [timing for timing in timings if not timing.disturbed]
    if len(kept) < min(settings.fewest_runs, planned):
        limit = sorted(timing.disturbance for timing in timings)[min(planned, len(timings)) - 1]
        kept = [timing for timing in timings if timing.disturbance <= limit]
    return SizeTimings(
        size=timings[0].size,
        latency_s=np.array([timing.latency_s for timing in kept]),
        cpu_core_s=np.array([timing.cpu_core_s for timing in kept]),
        split_s=split_s,
        other_cores=float(np.mean([timing.other_cores for timing in kept])),
        set_aside=len(timings) - len(kept),
        disturbed_kept=sum(timing.disturbed for timing in kept),
    )
