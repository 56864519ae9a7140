"""Latencies of many variants of one model side by side: all are loaded, and visited in turns in random order.

Whatever changes on the machine meanwhile - clocks, heat, other work - meets all variants alike. A visit runs a variant
a few times untimed, which brings its weights and code back into the caches as in steady service, and then some times
with the clock on, each time on other inputs.
"""

from __future__ import annotations

import gc
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from workloads.compression.padded_linear import PaddedLinear
from workloads.compression.study_settings import StudySettings
from workloads.profiler.inputs import InputPool
from workloads.profiler.machine import own_wait_s
from workloads.profiler.runners import CpuRunner, CudaEagerRunner, CudaGraphRunner, Runner
from workloads.profiler.settings import COMPILED_MODES, GRAPH_MODES

__all__ = ["Timings", "time_variants"]

_ROUNDS = 10
_UNTIMED = 2
_FEWEST_RUNS, _MOST_RUNS = 10, 2000
_WAIT_SHARE, _WAIT_FLOOR_S = 0.02, 50e-6

Progress = Callable[[str, int, int], None]


@dataclass(eq=False)
class Timings:
    """Timings of one variant at one batch size; ``latency_s`` and ``wait_s`` (for a core) by run.

    ``error`` says why there are none.
    """

    method: str
    batch: int
    compile_s: float = 0.0
    latency_s: list[float] = field(default_factory=list)
    wait_s: list[float] = field(default_factory=list)
    error: str = ""

    def row(self) -> dict[str, Any]:
        """Quantiles over the runs that other work did not disturb, or over all where those are less than half."""
        if self.error:
            return {"batch": self.batch, "error": self.error}
        latency_s, wait_s = np.array(self.latency_s), np.array(self.wait_s)
        quiet = wait_s <= np.maximum(_WAIT_FLOOR_S, _WAIT_SHARE * latency_s)
        kept = latency_s[quiet] if quiet.mean() >= 0.5 else latency_s
        low, median, high, highest = np.quantile(kept, (0.05, 0.5, 0.9, 0.99)).tolist()
        return {
            "batch": self.batch,
            "p05_s": low,
            "p50_s": median,
            "p90_s": high,
            "p99_s": highest,
            "mean_s": float(kept.mean()),
            "runs": len(kept),
            "disturbed_share": float(1.0 - quiet.mean()),
            "compile_s": self.compile_s,
            "error": "",
        }


def time_variants(
    networks: Mapping[str, nn.Module],
    pool: InputPool,
    settings: StudySettings,
    mode: str,
    generator: np.random.Generator,
    tell: Progress,
) -> list[Timings]:
    """Time each network at each batch size.

    Parameters
    ----------
    networks
        On their device, by method.
    pool
        Inputs for any of them.
    settings
        Device, batch sizes, and the time for each network and size, which gives 10 to 2000 runs.
    mode
        ``eager``, ``compiled``, ``cuda_graph`` or ``compiled_graph``.
    generator
        Of the order.

    Returns
    -------
    list of Timings
        One for each network and size; a network that cannot run this way has its error there.
    """
    cells: dict[tuple[str, int], Timings] = {}
    runners: dict[str, Runner] = {}
    with _many_compilations(len(networks)):
        for number, (method, network) in enumerate(networks.items()):
            tell(f"{mode}: preparing {method}", number, len(networks))
            mine = {size: Timings(method, size) for size in settings.batch_sizes}
            cells |= {(method, size): timings for size, timings in mine.items()}
            start_s = time.perf_counter()
            try:
                runners[method] = _prepared(network, pool, settings.batch_sizes, mode, settings.device)
            except Exception as error:
                for timings in mine.values():
                    timings.error = _first_line(error)
                continue
            for timings in mine.values():
                timings.compile_s = round(time.perf_counter() - start_s, 3) if mode != "eager" else 0.0
        _take_turns(
            runners, cells, pool, settings.timing_s, generator, lambda done, all_: tell(f"{mode}: timing", done, all_)
        )
    return list(cells.values())


def _take_turns(
    runners: Mapping[str, Runner],
    cells: Mapping[tuple[str, int], Timings],
    pool: InputPool,
    timing_s: float,
    generator: np.random.Generator,
    tell: Callable[[int, int], None],
) -> None:
    active = [timings for (method, _), timings in cells.items() if method in runners]
    runs = {id(t): _runs_a_visit(runners[t.method], pool, t.batch, timing_s) for t in active}
    gc.collect()
    gc.disable()
    try:
        for turn in range(_ROUNDS):
            for number, place in enumerate(generator.permutation(len(active)).tolist()):
                timings = active[place]
                tell(turn * len(active) + number, _ROUNDS * len(active))
                _visit(runners[timings.method], pool, timings, runs[id(timings)])
    finally:
        gc.enable()


def _visit(runner: Runner, pool: InputPool, timings: Timings, runs: int) -> None:
    with runner.context():
        for run in range(-_UNTIMED, runs):
            runner.stage(pool.batch(timings.batch))
            wait_s, start_s = own_wait_s(), time.perf_counter()
            runner.run()
            end_s = time.perf_counter()
            if run >= 0:
                timings.latency_s.append(end_s - start_s)
                timings.wait_s.append(own_wait_s() - wait_s)


def _runs_a_visit(runner: Runner, pool: InputPool, size: int, timing_s: float) -> int:
    latency_s = []
    with runner.context():
        for _ in range(5):
            runner.stage(pool.batch(size))
            start_s = time.perf_counter()
            runner.run()
            latency_s.append(time.perf_counter() - start_s)
    return int(np.ceil(np.clip(timing_s / np.median(latency_s), _FEWEST_RUNS, _MOST_RUNS) / _ROUNDS))


def _prepared(network: nn.Module, pool: InputPool, sizes: Sequence[int], mode: str, device: str) -> Runner:
    """A runner that has compiled or captured all sizes and has answered each."""
    if mode == "cuda_graph" and any(isinstance(layer, PaddedLinear) for layer in network.modules()):
        raise RuntimeError("torchao's int8 products look at their input from the host, so no graph can be captured")
    call: Any = network
    if mode in COMPILED_MODES:
        call = _AnySize(network)
        _answer(CpuRunner(call) if device == "cpu" else CudaEagerRunner(call), pool, sizes)
        call.is_compiling = False
    if mode in GRAPH_MODES:
        graphs = CudaGraphRunner(call)
        for size in reversed(sizes):
            graphs.capture(pool.batch(size))
        for size in sizes:
            graphs.check(pool.batch(size))
        return graphs
    runner: Runner = CpuRunner(call) if device == "cpu" else CudaEagerRunner(call)
    _answer(runner, pool, sizes)
    return runner


def _answer(runner: Runner, pool: InputPool, sizes: Sequence[int]) -> None:
    """Run each size once, the largest first."""
    with runner.context():
        for size in reversed(sizes):
            runner.stage(pool.batch(size))
            runner.run()


class _AnySize:
    """A compiled network; one piece of code serves all batches of more than one unit, as in the profiler."""

    def __init__(self, network: nn.Module) -> None:
        self._call = torch.compile(network)
        self.is_compiling = True

    def __call__(self, *inputs: torch.Tensor) -> Any:
        if self.is_compiling:
            for tensor in inputs:
                if len(tensor) > 1:
                    torch._dynamo.maybe_mark_dynamic(tensor, 0)
        return self._call(*inputs)


@contextmanager
def _many_compilations(networks: int) -> Iterator[None]:
    """Compiled code of all variants is kept; the compiler would give up on the class after eight."""
    torch._dynamo.reset()
    limits = {"recompile_limit": 4 * networks + 8, "accumulated_recompile_limit": 64 * networks + 256}
    with warnings.catch_warnings(), torch._dynamo.config.patch(limits):
        warnings.filterwarnings("ignore", message=".*_stable_hash_for_caching.*")
        yield
    torch._dynamo.reset()


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:300]
