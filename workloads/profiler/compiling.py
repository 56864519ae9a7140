"""torch.compile around a network: compiled for a batch of any size, with the time that takes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from workloads.errors import InputError
from workloads.profiler.inputs import InputPool
from workloads.profiler.runners import Runner

__all__ = ["Compiled", "compile_all", "fresh_caches"]

_CACHES = ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")


class Compiled:
    """A compiled network; what is compiled while `any_size` is set takes batches of any size above one."""

    def __init__(self, network: nn.Module) -> None:
        torch._dynamo.reset()
        self._call = torch.compile(network)
        self.any_size = False

    def __call__(self, *inputs: torch.Tensor) -> Any:
        """The network's outputs."""
        if self.any_size:
            for tensor in inputs:
                if len(tensor) > 1:
                    torch._dynamo.maybe_mark_dynamic(tensor, 0)
        return self._call(*inputs)


def compile_all(compiled: Compiled, runner: Runner, pool: InputPool, sizes: tuple[int, ...]) -> tuple[float, list[str]]:
    """Run every size twice, the first time to compile.

    Returns
    -------
    tuple
        Seconds that compilation of this model took: the first pass less the second. And what a reader must know of
        the outcome.

    Raises
    ------
    InputError
        There is no compiler for the code that torch generates.
    """
    compiled.any_size = True
    try:
        _try_compiler("cuda" if torch.cuda.is_initialized() else "cpu")
        torch._dynamo.utils.counters.clear()
        first_s = _pass_s(runner, pool, sizes)
    except Exception as error:
        if "compiler" not in f"{type(error).__name__} {error}".lower() or not _is_compilers(error):
            raise
        problem = f"torch.compile found no compiler that works ({str(error).strip().splitlines()[0]})"
        raise InputError("--mode", problem, "install g++ (with Triton on CUDA), or use an uncompiled mode") from None
    finally:
        compiled.any_size = False
    seconds = max(0.0, first_s - _pass_s(runner, pool, sizes))
    counters = torch._dynamo.utils.counters
    remarks = [f"torch.compile made {counters['stats']['unique_graphs']} graphs; one serves all sizes above one item."]
    if breaks := sum(counters["graph_break"].values()):
        remarks.append(f"torch.compile broke the model into parts at {breaks} places.")
    return seconds, remarks


@cache
def _try_compiler(device: str) -> None:
    """Compile next to nothing: what torch asks of a compiler first takes seconds once a process, whatever the model."""
    torch.compile(lambda x: x.tanh() + 1)(torch.zeros(8, device=device))


def _is_compilers(error: BaseException) -> bool:
    """Whether the failure is the compiler's absence rather than a fault of the model."""
    names = {type(e).__name__ for e in (error, error.__cause__, getattr(error, "inner_exception", None)) if e}
    return bool(names & {"InvalidCxxCompiler", "CppCompileError", "TritonMissing", "CUDACompileError"})


def _pass_s(runner: Runner, pool: InputPool, sizes: tuple[int, ...]) -> float:
    """Seconds to run every size once, the largest first so that it is compiled for any size."""
    start_s = time.perf_counter()
    with runner.context():
        for size in reversed(sizes):
            runner.stage(pool.batch(size))
            runner.run()
    return time.perf_counter() - start_s


@contextmanager
def fresh_caches(folder: Path) -> Iterator[None]:
    """Caches of compiled code in a folder of their own, so that compile times are those of a first start."""
    before = {name: os.environ.pop(name, None) for name in _CACHES}
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder / "compiled")
    try:
        yield
    finally:
        torch._dynamo.reset()
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
