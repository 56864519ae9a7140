"""What replicas of a model on the same device do to one another: each alone, then several at once.

Replicas are processes, each with its own copy of the model, as a server would start them. All stay loaded; those
whose turn it is run batches back to back, the others wait.
"""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import os
import threading
import time
import traceback
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import numpy as np
import torch

from workloads.profiler.document import rounded
from workloads.profiler.inputs import InputPool
from workloads.profiler.machine import LoadMeter
from workloads.profiler.settings import ProfileSettings
from workloads.profiler.start import start
from workloads.profiler.subject import Subject, load_subject
from workloads.profiler.timing import Progress

__all__ = ["InterferenceError", "chosen_sizes", "measure_interference"]

LEVELS = (0.5, 0.95, 0.99)
_MOST_SIZES = 5
_SHORTEST_WINDOW_S = 0.2
_START_LIMIT_S = 900.0
_FEWEST_BATCHES = 3


class InterferenceError(RuntimeError):
    """A replica failed; the message is its own."""


@dataclass(frozen=True)
class _Window:
    """Batches of one replica: ``start_s[batch]`` and ``end_s[batch]`` on the clock that all processes share.

    ``cpu_s`` are the core-seconds that the process used from the order to the answer.
    """

    start_s: np.ndarray
    end_s: np.ndarray
    cpu_s: float = 0.0

    def within(self, first_s: float, last_s: float) -> _Window:
        """The batches that lie wholly within a time."""
        inside = (self.start_s >= first_s) & (self.end_s <= last_s)
        return _Window(self.start_s[inside], self.end_s[inside])

    @property
    def latency_s(self) -> np.ndarray:
        """``latency_s[batch]``."""
        return self.end_s - self.start_s

    @property
    def batches_per_s(self) -> float:
        """From the first start to the last end; NaN without batches."""
        return len(self.end_s) / (self.end_s[-1] - self.start_s[0]) if len(self.end_s) else math.nan


def measure_interference(subject: Subject, sizes: tuple[int, ...], folder: Path, progress: Progress) -> dict[str, Any]:
    """The ``interference`` part of a profile.

    Parameters
    ----------
    subject
        What was profiled; each replica loads it anew.
    sizes
        The profile's batch sizes, of which a few are taken.
    folder
        Where drawn weights lie.

    Raises
    ------
    InterferenceError
        A replica failed, or did not start in time.
    """
    settings = subject.settings
    chosen = chosen_sizes(sizes)
    counts = settings.replicas
    window_s = max(_SHORTEST_WINDOW_S, settings.interference_s / (len(chosen) * (1 + len(counts))))
    with _Replicas(settings, folder, counts[-1], chosen) as replicas:
        progress("starting replicas", 0, 1)
        replicas.wait_until_ready()
        steps = [(count, size) for size in chosen for count in (1, *counts)]
        np.random.default_rng(settings.seed).shuffle(steps)
        latencies: dict[tuple[int, int], list[np.ndarray]] = {}
        throughputs: dict[tuple[int, int], float] = {}
        meter, cpu_s = LoadMeter(), 0.0
        for done, (count, size) in enumerate(steps):
            progress("timing replicas together", done, len(steps))
            windows = replicas.run(count, size, window_s)
            latencies[count, size], throughputs[count, size] = _together(windows)
            cpu_s += sum(window.cpu_s for window in windows)
        other_cores = meter.other_cores(known_s=cpu_s)
    return _part(settings, chosen, latencies, throughputs) | {"how": _how(settings, other_cores)}


def chosen_sizes(sizes: tuple[int, ...]) -> tuple[int, ...]:
    """At most five sizes, evenly spread over the list, both ends among them."""
    places = np.unique(np.linspace(0, len(sizes) - 1, min(_MOST_SIZES, len(sizes))).round().astype(int))
    return tuple(sizes[place] for place in places)


def _together(windows: list[_Window]) -> tuple[list[np.ndarray], float]:
    """Latencies of each replica while all of them ran, and batches a second of one replica in the mean."""
    first_s = max(window.start_s[0] for window in windows)
    last_s = min(window.end_s[-1] for window in windows)
    common = [window.within(first_s, last_s) for window in windows]
    return [window.latency_s for window in common], float(np.mean([window.batches_per_s for window in common]))


def _part(
    settings: ProfileSettings,
    sizes: tuple[int, ...],
    latencies: dict[tuple[int, int], list[np.ndarray]],
    throughputs: dict[tuple[int, int], float],
) -> dict[str, Any]:
    counts = settings.replicas
    pooled = {key: np.concatenate(values) for key, values in latencies.items()}
    if empty := [key for key, values in pooled.items() if len(values) == 0 or np.isnan(throughputs[key])]:
        count, size = empty[0]
        raise InterferenceError(f"{count} replicas never ran a batch of {size} at the same time; give it more time")
    alone_s = {size: pooled[1, size].mean() for size in sizes}
    alone_per_s = {size: throughputs[1, size] for size in sizes}
    return {
        "replicas": list(counts),
        "batch_sizes": list(sizes),
        "alone_mean_s": rounded([alone_s[size] for size in sizes]),
        "slowdown": [rounded([pooled[n, size].mean() / alone_s[size] for size in sizes]) for n in counts],
        "throughput_ratio": [rounded([throughputs[n, size] / alone_per_s[size] for size in sizes]) for n in counts],
        "quantile_levels": list(LEVELS),
        "quantiles_s": [[rounded(np.quantile(pooled[n, size], LEVELS)) for size in sizes] for n in counts],
        "runs": [[len(pooled[n, size]) for size in sizes] for n in counts],
    }


def _how(settings: ProfileSettings, other_cores: float | None) -> str:
    text = "each replica a process with its own copy, batches back to back; only batches within the common time count; "
    if other_cores is not None:
        text += f"other work used {other_cores:.2f} cores meanwhile; "
    if settings.device_kind == "cuda":
        mps = "with" if os.environ.get("CUDA_MPS_PIPE_DIRECTORY") else "without"
        return f"{text}the processes share one GPU by time slices, {mps} MPS"
    threads, cores = settings.host_threads(), len(os.sched_getaffinity(0))
    own = max(1, cores // threads)
    places = f"up to {own} on cores of their own, more share them" if own > 1 else "all on the same cores"
    return f"{text}{threads} thread{'s' if threads > 1 else ''} a replica, pinned; {places}; memory and caches shared"


class _Replicas:
    """The processes, one pipe to each, and a barrier at which those whose turn it is start together."""

    def __init__(self, settings: ProfileSettings, folder: Path, count: int, sizes: tuple[int, ...]) -> None:
        context = multiprocessing.get_context("spawn")
        self._barriers = {n: context.Barrier(n) for n in (1, *settings.replicas)}
        self._pipes: list[Connection] = []
        self._ends: list[Connection] = []
        self._processes = []
        for number in range(count):
            mine, theirs = context.Pipe()
            orders = (number, settings, str(folder), sizes, self._barriers, theirs)
            process = context.Process(target=_serve, args=orders, daemon=True)
            self._pipes.append(mine)
            self._ends.append(theirs)
            self._processes.append(process)

    def __enter__(self) -> _Replicas:
        for process, end in zip(self._processes, self._ends):
            process.start()
            end.close()  # the process has its own; with ours open, its death would not close the pipe
        return self

    def __exit__(self, *_: object) -> None:
        for pipe, process in zip(self._pipes, self._processes):
            with contextlib.suppress(OSError):
                pipe.send(None)
            process.join(10)
            if process.is_alive():
                process.kill()
                process.join()

    def wait_until_ready(self) -> None:
        """Until every replica has answered once."""
        self._answers(len(self._pipes), _START_LIMIT_S)

    def run(self, count: int, size: int, window_s: float) -> list[_Window]:
        """Let the first ``count`` replicas run batches of one size for a time."""
        for pipe in self._pipes[:count]:
            pipe.send((count, size, window_s))
        answers = self._answers(count, 20 * window_s + 300.0)
        return [answers[number] for number in range(count)]

    def _answers(self, count: int, patience_s: float) -> dict[int, Any]:
        """What each of the first ``count`` replicas says; the first failure ends the waiting for the others."""
        end_s = time.monotonic() + patience_s
        answers: dict[int, Any] = {}
        while len(answers) < count:
            waiting = {self._pipes[number]: number for number in range(count) if number not in answers}
            for pipe in wait(list(waiting), timeout=0.2):
                assert isinstance(pipe, Connection)
                answers[waiting[pipe]] = self._received(waiting[pipe])
            if time.monotonic() > end_s and len(answers) < count:
                late = min(number for number in range(count) if number not in answers)
                raise InterferenceError(f"replica {late + 1} did not answer in time")
        return answers

    def _received(self, number: int) -> Any:
        try:
            answer = self._pipes[number].recv()
        except (EOFError, OSError):
            process = self._processes[number]
            process.join(1.0)
            raise InterferenceError(f"replica {number + 1} ended with exit code {process.exitcode}") from None
        if isinstance(answer, str):
            raise InterferenceError(f"replica {number + 1}: {answer}")
        return answer


def _serve(
    number: int,
    settings: ProfileSettings,
    folder: str,
    sizes: tuple[int, ...],
    barriers: dict[int, Barrier],
    pipe: Connection,
) -> None:
    """A replica's process: load, answer once, then run what it is told until told to stop."""
    try:
        _pin(number, settings)
        torch.set_num_threads(settings.host_threads())
        device = torch.device("cuda", 0) if settings.device_kind == "cuda" else torch.device("cpu")
        subject = load_subject(replace(settings, replicas=()), device, Path(folder), lambda *_: None, reuse=True)
        pool = InputPool(subject.module, subject.config, sizes[-1], np.random.default_rng([settings.seed, number]))
        runner = start(subject, pool, sizes, lambda *_: None).runner
        with runner.context():
            for size in sizes:
                runner.stage(pool.batch(size))
                runner.run()
            pipe.send(True)
            while (order := pipe.recv()) is not None:
                count, size, window_s = order
                before_s = time.process_time()
                window = _window(runner, pool, size, window_s, barriers[count])
                pipe.send(replace(window, cpu_s=time.process_time() - before_s))
    except (EOFError, threading.BrokenBarrierError):
        return
    except Exception as error:
        pipe.send("".join(traceback.format_exception_only(error)).strip().splitlines()[0][:300])


def _window(runner: Any, pool: InputPool, size: int, window_s: float, barrier: Barrier) -> _Window:
    """Batches back to back, from when all are ready until the window is over and a few are done."""
    batches = [pool.batch(size) for _ in range(8)]
    runner.stage(batches[0])
    runner.run()
    starts: list[float] = []
    ends: list[float] = []
    barrier.wait(timeout=_START_LIMIT_S)
    stop_s = time.perf_counter() + window_s
    while time.perf_counter() < stop_s or len(starts) < _FEWEST_BATCHES:
        runner.stage(batches[len(starts) % len(batches)])
        starts.append(time.perf_counter())
        runner.run()
        ends.append(time.perf_counter())
    return _Window(np.array(starts), np.array(ends))


def _pin(number: int, settings: ProfileSettings) -> None:
    """Cores of its own while there are enough, else those of an earlier replica."""
    if settings.device_kind == "cuda":
        return
    cores, threads = sorted(os.sched_getaffinity(0)), settings.host_threads()
    places = max(1, len(cores) // threads)
    first = (number % places) * threads
    os.sched_setaffinity(0, cores[first : first + threads])
