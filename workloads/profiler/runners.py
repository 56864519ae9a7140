"""How one batch runs: on the CPU, on CUDA operator by operator, or on CUDA as one graph a batch size.

The network may be compiled; a runner does not see the difference.

A runner is given a batch by `stage`, outside the timed part; `run` takes it from there to outputs in host
memory. On CUDA the inputs wait in page-locked memory, as a server assembles them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import numpy as np
import torch

__all__ = ["CpuRunner", "CudaEagerRunner", "CudaGraphRunner", "Network", "Runner"]

Network = Callable[..., Any]


class Runner(Protocol):
    """Runs batches of one model on one device."""

    outputs: tuple[torch.Tensor, ...]

    def context(self) -> AbstractContextManager[None]:
        """What a server enters once, around all its batches."""

    def stage(self, batch: tuple[np.ndarray, ...]) -> None:
        """Put a batch where a server would have assembled it."""

    def run(self) -> None:
        """From the staged batch to outputs in host memory."""

    def run_split_s(self) -> tuple[float, float, float]:
        """Run, and return seconds of transfer in, compute and transfer out."""


class CpuRunner:
    """Everything in host memory; nothing is transferred."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.outputs: tuple[torch.Tensor, ...] = ()

    @contextmanager
    def context(self) -> Iterator[None]:
        with torch.inference_mode():
            yield

    def stage(self, batch: tuple[np.ndarray, ...]) -> None:
        self._inputs = tuple(torch.from_numpy(np.array(array)) for array in batch)

    def run(self) -> None:
        self.outputs = _as_tuple(self.network(*self._inputs))

    def run_split_s(self) -> tuple[float, float, float]:
        raise NotImplementedError("a CPU transfers nothing")


class _CudaRunner:
    """Page-locked buffers by batch size, and the split by CUDA events."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.outputs: tuple[torch.Tensor, ...] = ()
        self.stream = torch.cuda.Stream()
        self._events = [torch.cuda.Event(enable_timing=True) for _ in range(4)]
        self._pinned: dict[int, tuple[torch.Tensor, ...]] = {}
        self._locked: tuple[torch.Tensor, ...] = ()
        self._results: dict[int, tuple[torch.Tensor, ...]] = {}

    @contextmanager
    def context(self) -> Iterator[None]:
        with torch.inference_mode(), torch.cuda.stream(self.stream):
            yield

    def stage(self, batch: tuple[np.ndarray, ...]) -> None:
        self.size = len(batch[0])
        if self.size not in self._pinned:
            self._pinned[self.size] = self._place_for(batch)
        for pinned, array in zip(self._pinned[self.size], batch):
            pinned.copy_(torch.from_numpy(array))

    def _place_for(self, batch: tuple[np.ndarray, ...]) -> tuple[torch.Tensor, ...]:
        """Page-locked memory for a batch: the first rows of one buffer for all sizes, which so stays in the caches."""
        if not self._locked or len(self._locked[0]) < self.size:
            self._locked = tuple(torch.from_numpy(np.array(array)).pin_memory() for array in batch)
            self._pinned = {size: tuple(each[:size] for each in self._locked) for size in self._pinned}
        return tuple(each[: self.size] for each in self._locked)

    def run(self) -> None:
        self.transfer_in()
        self.compute()
        self.transfer_out()
        self.stream.synchronize()

    def run_split_s(self) -> tuple[float, float, float]:
        self._events[0].record()
        self.transfer_in()
        self._events[1].record()
        self.compute()
        self._events[2].record()
        self.transfer_out()
        self._events[3].record()
        self.stream.synchronize()
        transfer_in_s, compute_s, transfer_out_s = (
            start.elapsed_time(end) / 1e3 for start, end in zip(self._events, self._events[1:])
        )
        return transfer_in_s, compute_s, transfer_out_s

    def transfer_in(self) -> None:
        raise NotImplementedError

    def compute(self) -> None:
        raise NotImplementedError

    def transfer_out(self) -> None:
        if self.size not in self._results:
            shapes = tuple(torch.empty_like(output, device="cpu").pin_memory() for output in self.outputs)
            self._results[self.size] = shapes
        for result, output in zip(self._results[self.size], self.outputs):
            result.copy_(output, non_blocking=True)


class CudaEagerRunner(_CudaRunner):
    """Each operator launched by the host."""

    def transfer_in(self) -> None:
        self._inputs = tuple(tensor.to("cuda", non_blocking=True) for tensor in self._pinned[self.size])

    def compute(self) -> None:
        self.outputs = _as_tuple(self.network(*self._inputs))


class CudaGraphRunner(_CudaRunner):
    """One CUDA graph a batch size, with inputs and outputs at fixed places and one memory pool for all."""

    def __init__(self, network: Network) -> None:
        super().__init__(network)
        self._graphs: dict[int, torch.cuda.CUDAGraph] = {}
        self._static_inputs: dict[int, tuple[torch.Tensor, ...]] = {}
        self._static_outputs: dict[int, tuple[torch.Tensor, ...]] = {}
        self._pool = torch.cuda.graph_pool_handle()

    def capture(self, batch: tuple[np.ndarray, ...]) -> None:
        """Capture the graph of this batch's size; larger sizes first use least memory."""
        self.stage(batch)
        with torch.inference_mode(), torch.cuda.stream(self.stream):
            inputs = tuple(tensor.to("cuda") for tensor in self._pinned[self.size])
            for _ in range(3):
                self.network(*inputs)
            self.stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.inference_mode(), torch.cuda.graph(graph, pool=self._pool, stream=self.stream):
            outputs = _as_tuple(self.network(*inputs))
        self._graphs[self.size] = graph
        self._static_inputs[self.size], self._static_outputs[self.size] = inputs, outputs

    def check(self, batch: tuple[np.ndarray, ...]) -> None:
        """Raise unless a replay on this batch gives what the operators give one by one."""
        self.stage(batch)
        with self.context():
            self.run()
            expected = _as_tuple(self.network(*(tensor.to("cuda") for tensor in self._pinned[self.size])))
            # The first output holds scores; ids of a top-k may differ where scores are equal.
            torch.testing.assert_close(self._results[self.size][0], expected[0].cpu(), rtol=2e-2, atol=1e-3)

    def transfer_in(self) -> None:
        for static, pinned in zip(self._static_inputs[self.size], self._pinned[self.size]):
            static.copy_(pinned, non_blocking=True)

    def compute(self) -> None:
        self._graphs[self.size].replay()
        self.outputs = self._static_outputs[self.size]


def _as_tuple(outputs: torch.Tensor | tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    return outputs if isinstance(outputs, tuple) else (outputs,)
