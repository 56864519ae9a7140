"""A model ready to serve, as the profiler knows it: the same weights, runners and inputs."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from workloads.models import model_module
from workloads.models.base import with_overrides
from workloads.profiler.settings import COMPILED_MODES, ProfileSettings
from workloads.profiler.steady_core import SteadyCore
from workloads.server.batching import Batches, BatchRule, Source, serve, without_collector
from workloads.server.clock import WallClock
from workloads.server.plan import ModelPlan
from workloads.server.sources import ClockSource

__all__ = ["ServedModel"]

_WARM_S = 0.25
_LEAD_S = 2e-3
_POLLED_S = 0.02
_ASSEMBLIES = 20
_COLD_ASSEMBLIES = 10
IDLE_S = 3e-3
"""A batch begun so long after the one before finds a cold machine."""


def _silent(phase: str, done: int, total: int) -> None:
    """Show no progress."""


class _CountedPolls(WallClock):
    count = 0

    def pause(self, until_s: float) -> None:
        self.count += 1


class ServedModel:
    """A model of the plan in this process: profiled, loaded, serving.

    Parameters
    ----------
    plan
        Which model, and how it runs.
    sizes
        Batch sizes in units, rising: all that batches can have, so that each has its CUDA graph and its place in the
        profile, and none is padded.
    folder
        Where drawn weights and compiled code lie.
    """

    def __init__(self, plan: ModelPlan, sizes: tuple[int, ...], folder: Path) -> None:
        config = with_overrides(model_module(plan.model).default_config(), plan.config) if plan.config else None
        self.plan, self.sizes, self.folder = plan, sizes, folder
        self._contexts = ExitStack()
        self.core = SteadyCore(os.sched_getaffinity(0) if plan.device == "cuda" else ())
        self.settings = ProfileSettings(
            model=plan.model if plan.model_folder is None else "",
            device_kind=plan.device,
            precision=plan.precision,
            mode=plan.mode,
            batch_sizes=sizes,
            threads=plan.threads,
            seed=plan.seed,
            config=config,
            weights_folder=folder,
            model_folder=plan.model_folder,
            power=False,
        )

    def profile(self, timing_s: float, replicas: tuple[int, ...] = (), interference_s: float = 1.0) -> dict[str, Any]:
        """A profile of all sizes, here and now, and of so many replicas at once."""
        from workloads.profiler.session import profile_model
        from workloads.profiler.subject import forget

        settings = replace(self.settings, timing_s=timing_s, replicas=replicas, interference_s=interference_s)
        document = profile_model(settings)
        forget(self._device())
        return document

    def load(self) -> dict[str, Any]:
        """From the file to the first answer, with the seconds of the whole and of its parts."""
        import torch

        from workloads.profiler.compiling import fresh_caches
        from workloads.profiler.inputs import InputPool
        from workloads.profiler.start import start
        from workloads.profiler.subject import load_subject

        device = self._device()
        torch.set_num_threads(self.settings.host_threads())
        begin_s = time.perf_counter()
        if device.type == "cuda":
            torch.zeros(1, device=device)
        device_s = time.perf_counter() - begin_s
        if self.settings.mode in COMPILED_MODES:
            self._contexts.enter_context(fresh_caches(self.folder))
        begin_s = time.perf_counter()
        subject = load_subject(self.settings, device, self.folder, _silent, reuse=True)
        loaded_s = time.perf_counter()
        self._pool = InputPool(
            subject.module, subject.config, self.sizes[-1], np.random.default_rng(self.settings.seed)
        )
        drawn_s = time.perf_counter()
        started = start(subject, self._pool, self.sizes, _silent)
        end_s = time.perf_counter()
        self.runner = started.runner
        # Until the end, as a server does. Only this thread stays on one core: the device's own have begun by now.
        self._contexts.enter_context(self.core)
        self._contexts.enter_context(self.runner.context())
        return {
            **started.load,
            "device_s": device_s,
            "ready_s": (loaded_s - begin_s) + (end_s - drawn_s),
            "weights_bytes": subject.weights_bytes,
        }

    def close(self) -> None:
        """Leave torch as it was."""
        self._contexts.close()

    def warm(self) -> None:
        """Run sizes in random order for a moment, so that clocks and caches are those of service."""
        generator = np.random.default_rng(0)
        end_s = time.perf_counter() + _WARM_S
        while time.perf_counter() < end_s:
            self.stage(int(generator.integers(0, 1 << 30)), int(generator.choice(self.sizes)))
            self.run()

    def stage(self, first_unit: int, units: int) -> None:
        """Assemble a batch, and leave the core if it has company."""
        self.core.check()
        first = first_unit % (self._pool.rows - units + 1)
        self.runner.stage(tuple(array[first : first + units] for array in self._pool.arrays))

    def run(self) -> None:
        self.runner.run()

    def serve(self, source: Source, rule: BatchRule, origin_s: float | None, limit_s: float) -> Batches:
        """Serve a source by the wall clock, which starts at ``origin_s`` of `time.perf_counter`, or in a moment.

        ``limit_s`` of that clock ends it in any case.
        """
        with without_collector():
            now_s = time.perf_counter()
            if origin_s is not None and now_s > origin_s:
                raise RuntimeError(f"was not ready when the run began, {now_s - origin_s:.3f} s ago")
            clock = WallClock(now_s + _LEAD_S if origin_s is None else origin_s)
            return serve(source, rule, self, clock, limit_s)

    def assembly(self) -> dict[str, Any]:
        """What a profile leaves out: seconds to copy a batch's inputs to where transfer begins, by size.

        And ``cold_s``: what a batch, its assembly included, takes longer after `IDLE_S` without one.
        """
        from workloads.profiler.document import rounded
        from workloads.profiler.settings import QUANTILE_LEVELS

        generator = np.random.default_rng(2)
        warm = self._staged(generator, _ASSEMBLIES, 0.0)
        cold = self._staged(generator, _COLD_ASSEMBLIES, IDLE_S)
        longer_s = [np.median(cold[size].sum(axis=1)) - np.median(warm[size].sum(axis=1)) for size in self.sizes]
        return {
            "batch_sizes": list(self.sizes),
            "quantile_levels": list(QUANTILE_LEVELS),
            "quantiles_s": [rounded(np.quantile(warm[size][:, 0], QUANTILE_LEVELS)) for size in self.sizes],
            "mean_s": rounded([warm[size][:, 0].mean() for size in self.sizes]),
            "idle_s": IDLE_S,
            "cold_s": float(f"{max(float(np.mean(longer_s)), 0.0):.4g}"),
        }

    def _staged(self, generator: np.random.Generator, times: int, idle_s: float) -> dict[int, np.ndarray]:
        """``[batch, part]`` by size: seconds of assembly and of the rest, each batch so long after the one before.

        Inputs come one after the other, as a server's requests do. Batches at which the thread moved to another core
        are left out, for such a move is no part of assembly, unless a size has no others.
        """
        order = np.repeat(self.sizes, times)
        generator.shuffle(order)
        took_s: dict[int, list[tuple[float, float]]] = {size: [] for size in self.sizes}
        moved_s: dict[int, list[tuple[float, float]]] = {size: [] for size in self.sizes}
        first = 0
        for size in order.tolist():
            due_s, moves = time.perf_counter() + idle_s, self.core.moves
            while (begin_s := time.perf_counter()) < due_s:
                pass
            self.stage(first, size)
            staged_s = time.perf_counter()
            self.run()
            first += size
            part_s = staged_s - begin_s, time.perf_counter() - staged_s
            (took_s if self.core.moves == moves else moved_s)[size].append(part_s)
        return {size: np.array(took_s[size] or moved_s[size]) for size in self.sizes}

    def poll_s(self) -> float:
        """Seconds between two looks of the idle loop."""
        polls = _CountedPolls(time.perf_counter())
        with without_collector():
            serve(ClockSource(np.array([_POLLED_S]), self.sizes[0], np.zeros(1)), BatchRule(1, 0.0), self, polls)
        return _POLLED_S / max(polls.count, 1)

    def time_again(self, sizes: tuple[int, ...], timing_s: float) -> dict[str, Any]:
        """The ``latency`` part of a profile of a few sizes, now."""
        from workloads.profiler.document import latency_part
        from workloads.profiler.timing import time_sizes

        settings = replace(self.settings, timing_s=timing_s, fewest_runs=20)
        timings = time_sizes(self.runner, self._pool, sizes, settings, np.random.default_rng(1), _silent, self.core)
        return latency_part(timings, settings.device_kind)

    def _device(self) -> Any:
        import torch

        return torch.device("cuda", 0) if self.settings.device_kind == "cuda" else torch.device("cpu")
