"""From loaded weights to a runner that has given its first answer, with the time each step took."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from workloads.profiler.inputs import InputPool
from workloads.profiler.runners import CpuRunner, CudaEagerRunner, CudaGraphRunner, Network, Runner
from workloads.profiler.settings import COMPILED_MODES, GRAPH_MODES, ProfileSettings
from workloads.profiler.subject import Subject, forget
from workloads.profiler.timing import Progress

__all__ = ["Started", "start"]

_TOLERANCE = {"fp32": 1e-3, "bf16": 5e-2, "int8": 5e-2}
"""Difference between compiled and operator-wise scores, over the largest score, above which a note says so."""


@dataclass(frozen=True, eq=False)
class Started:
    """A runner ready to serve.

    Attributes
    ----------
    runner
        It has compiled and captured whatever its mode needs, and answered once.
    load
        The ``resources.load`` part of a profile.
    remarks
        What a reader must know of compilation.
    """

    runner: Runner
    load: dict[str, Any]
    remarks: list[str]

    def prepare(self, pool: InputPool, sizes: tuple[int, ...]) -> None:
        """Make ready for more sizes: capture their graphs, whose time counts as the others'."""
        if isinstance(self.runner, CudaGraphRunner):
            seconds = _capture(self.runner, pool, sizes)
            self.load["graph_capture_s"] += seconds
            self.load["total_s"] += seconds


def start(subject: Subject, pool: InputPool, sizes: tuple[int, ...], progress: Progress) -> Started:
    """Compile where the mode asks for it, capture graphs where it does, and give the first answer."""
    settings, network = subject.settings, subject.network
    call: Network = network
    compile_s, capture_s = 0.0, 0.0
    remarks: list[str] = []
    if settings.mode in COMPILED_MODES:
        progress("compiling", 0, 1)
        call, compile_s, remarks = _compile(network, settings, pool, sizes)
        forget(torch.device(settings.device_kind))  # what the batches of the trial run held
    runner = _runner(call, settings)
    if isinstance(runner, CudaGraphRunner):
        progress("capturing graphs", 0, 1)
        capture_s = _capture(runner, pool, sizes)
    start_s = time.perf_counter()
    with runner.context():
        runner.stage(pool.batch(sizes[0]))
        runner.run()
    first_s = time.perf_counter() - start_s
    load = {
        "weights_s": subject.weights_s,
        "file_cache": subject.file_cache,
        "compile_s": compile_s,
        "graph_capture_s": capture_s,
        "first_inference_s": first_s,
        "build_s": subject.build_s,
        "total_s": subject.weights_s + compile_s + capture_s + first_s,
    }
    return Started(runner, load, remarks)


def _runner(call: Network, settings: ProfileSettings) -> Runner:
    if settings.device_kind == "cpu":
        return CpuRunner(call)
    return CudaGraphRunner(call) if settings.mode in GRAPH_MODES else CudaEagerRunner(call)


def _compile(
    network: nn.Module, settings: ProfileSettings, pool: InputPool, sizes: tuple[int, ...]
) -> tuple[Network, float, list[str]]:
    """The compiled network, the seconds that took, and remarks on its graphs and its scores."""
    from workloads.profiler.compiling import Compiled, compile_all

    compiled = Compiled(network)
    probe: Runner = CpuRunner(compiled) if settings.device_kind == "cpu" else CudaEagerRunner(compiled)
    seconds, remarks = compile_all(compiled, probe, pool, sizes)
    plain: Runner = CpuRunner(network) if settings.device_kind == "cpu" else CudaEagerRunner(network)
    apart = _largest_difference(probe, plain, pool.batch(sizes[len(sizes) // 2]))
    if apart > _TOLERANCE[settings.precision]:
        remarks.append(f"Compiled scores differ from the operators' by up to {apart:.1%} of the largest.")
    return compiled, seconds, remarks


def _largest_difference(one: Runner, other: Runner, batch: tuple[np.ndarray, ...]) -> float:
    """Largest difference between the first outputs of both, over the largest output."""
    scores = []
    for runner in (one, other):
        with runner.context():
            runner.stage(batch)
            runner.run()
            scores.append(runner.outputs[0].float().cpu())
    finite = torch.isfinite(scores[1])
    largest = scores[1][finite].abs().max().clamp(min=1e-12)
    return float((scores[0] - scores[1])[finite].abs().max() / largest)


def _capture(runner: CudaGraphRunner, pool: InputPool, sizes: tuple[int, ...]) -> float:
    """Capture one graph a size and check each against the operators; seconds of the captures."""
    start_s = time.perf_counter()
    for size in reversed(sizes):
        runner.capture(pool.batch(size))
    seconds = time.perf_counter() - start_s
    for size in sizes:
        runner.check(pool.batch(size))
    return seconds
