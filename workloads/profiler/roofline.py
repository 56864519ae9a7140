"""The device's ceilings, measured in the same session, and how near to them each batch size comes.

The bound of a batch is the larger of two times: its floating-point operations at the fastest rate of matrix products
seen, and the bytes it must move at the fastest rates of memory seen (Williams, Waterman and Patterson 2009). Bytes that
need not leave a cache can beat it: the ratio of bound to measured time may exceed 1 for weights that fit one. So can a
look-up better than torch's: those of narrow rows are limited by their count, not by the memory.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import nn

from workloads.models.cost import ForwardCost, forward_cost
from workloads.profiler.document import rounded
from workloads.profiler.inputs import InputPool
from workloads.profiler.subject import Subject, forget
from workloads.profiler.timing import Progress

__all__ = ["Ceilings", "bound_s", "measure_ceilings", "measure_roofline"]

_HOW = (
    "bound: the larger of operations over the matrix rate and bytes over the memory rates; operations as torch counts "
    "them, bytes of weights read in full, distinct table rows, inputs and outputs, each once; ceilings: the best of "
    "repeated square matrix products, of copying and of summing {stream_mib} MiB, and of torch's look-ups of random "
    "rows of {row_bytes} bytes, copied or summed; ratio: bound over {measured}"
)
_MATRIX_WIDTHS = {"cpu": (1024, 2048), "cuda": (4096, 8192)}
_STREAM_BYTES = {"cpu": 512 * 2**20, "cuda": 2 * 2**30}
_GATHERED_ROWS = {"cpu": 2**18, "cuda": 2**22}
_SUMMED_ROWS = 64
_TRY_S = 0.5


@dataclass(frozen=True)
class Ceilings:
    """Fastest rates seen on a device.

    Attributes
    ----------
    matmul_flop_per_s
        Of matrix products at the profile's precision.
    stream_bytes_per_s
        Of memory, one piece after another.
    gather_bytes_per_s
        Of random rows of a table, ``row_bytes`` each.
    """

    matmul_flop_per_s: float
    stream_bytes_per_s: float
    gather_bytes_per_s: float
    row_bytes: int


def bound_s(cost: ForwardCost, ceilings: Ceilings) -> tuple[float, str]:
    """The least time of a pass, and whether ``compute`` or ``memory`` sets it."""
    compute_s = cost.flops / ceilings.matmul_flop_per_s
    memory_s = (cost.moved_bytes - cost.gathered_bytes) / ceilings.stream_bytes_per_s
    memory_s += cost.gathered_bytes / ceilings.gather_bytes_per_s
    return max(compute_s, memory_s), "compute" if compute_s >= memory_s else "memory"


def measure_roofline(subject: Subject, pool: InputPool, latency: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """The ``roofline`` part of a profile: ceilings, and bound over measured compute time for each batch size."""
    settings = subject.settings
    progress("measuring ceilings", 0, 1)
    row_bytes = _row_bytes(subject.network)
    ceilings = measure_ceilings(settings.device_kind, settings.precision, row_bytes, settings.host_threads())
    sizes = latency["batch_sizes"]
    costs = []
    for done, size in enumerate(sizes):
        progress("counting operations", done, len(sizes))
        costs.append(forward_cost(subject.network, pool.batch(size)))
    bounds = [bound_s(cost, ceilings) for cost in costs]
    measured_s = _compute_s(latency)
    measured = "the median of the time between transfers" if latency["split"] else "the median latency"
    return {
        **{key: value if key == "row_bytes" else rounded([value])[0] for key, value in asdict(ceilings).items()},
        "flops": [cost.flops for cost in costs],
        "moved_bytes": [cost.moved_bytes for cost in costs],
        "gathered_bytes": [cost.gathered_bytes for cost in costs],
        "bound_s": rounded([seconds for seconds, _ in bounds]),
        "limit": [limit for _, limit in bounds],
        "ratio": rounded(np.array([seconds for seconds, _ in bounds]) / measured_s),
        "how": _HOW.format(
            stream_mib=_STREAM_BYTES[settings.device_kind] // 2**20, row_bytes=row_bytes, measured=measured
        ),
    }


def measure_ceilings(device_kind: str, precision: str, row_bytes: int, threads: int) -> Ceilings:
    """Measure the device's ceilings, each once a process; ``threads`` of the host are those that torch is set to."""
    device = torch.device("cuda", 0) if device_kind == "cuda" else torch.device("cpu")
    with torch.inference_mode():
        found = Ceilings(
            matmul_flop_per_s=_matmul_flop_per_s(device, precision, threads),
            stream_bytes_per_s=_stream_bytes_per_s(device, threads),
            gather_bytes_per_s=_gather_bytes_per_s(device, row_bytes, threads),
            row_bytes=row_bytes,
        )
    forget(device)
    return found


@cache
def _matmul_flop_per_s(device: torch.device, precision: str, threads: int) -> float:
    rates = []
    for width in _MATRIX_WIDTHS[device.type]:
        for product, operands in _products(device, precision, width):
            rates.append(2.0 * width**3 / _best_s(lambda: product(*operands), device))  # noqa: B023
    return max(rates)


def _products(device: torch.device, precision: str, width: int) -> list[tuple[Callable[..., Any], tuple[Any, ...]]]:
    """Square products at a precision; for int8 those of int8 numbers, and of floats where weights alone are int8."""
    shape = (width, width)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    products: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [
        (torch.mm, (torch.randn(shape, device=device, dtype=dtype), torch.randn(shape, device=device, dtype=dtype)))
    ]
    if precision == "int8":
        whole = torch.randint(-100, 100, shape, device=device, dtype=torch.int8)
        products.append((torch._int_mm, (whole, whole.t().contiguous().t())))
    return products


@cache
def _stream_bytes_per_s(device: torch.device, threads: int) -> float:
    """The better of reading and writing, and of reading alone."""
    count = _STREAM_BYTES[device.type] // 4
    source, target = torch.ones(count, device=device), torch.empty(count, device=device)
    copied = 2 * source.nbytes / _best_s(lambda: target.copy_(source), device)
    return max(copied, source.nbytes / _best_s(source.sum, device))


@cache
def _gather_bytes_per_s(device: torch.device, row_bytes: int, threads: int) -> float:
    """Bytes of rows read, the better of copying them and of summing 64 at a time, which writes next to nothing."""
    columns = max(row_bytes // 4, 1)
    table = torch.ones(_STREAM_BYTES[device.type] // (4 * columns), columns, device=device)
    ids = torch.randint(0, len(table), (_GATHERED_ROWS[device.type],), device=device)
    copied_s = _best_s(lambda: nn.functional.embedding(ids, table), device)
    bags = ids.view(-1, _SUMMED_ROWS)
    summed_s = _best_s(lambda: nn.functional.embedding_bag(bags, table, mode="sum"), device)
    return float(len(ids) * columns * 4 / min(copied_s, summed_s))


def _best_s(work: Callable[[], Any], device: torch.device) -> float:
    """Shortest of repeated runs, over half a second or at least three."""
    best, runs, end_s = math.inf, 0, time.perf_counter() + _TRY_S
    while runs < 4 or time.perf_counter() < end_s:
        start_s = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        if runs > 0:  # the first one warms up
            best = min(best, time.perf_counter() - start_s)
        runs += 1
    return best


def _row_bytes(network: nn.Module) -> int:
    """Bytes of a row of the largest table looked up by id; 256 where there is none."""
    tables = [module.weight for module in network.modules() if isinstance(module, nn.Embedding | nn.EmbeddingBag)]
    if not tables:
        return 256
    largest = max(tables, key=lambda table: table.nbytes)
    return int(largest.nbytes // len(largest))


def _compute_s(latency: dict[str, Any]) -> np.ndarray:
    """Median compute time by size: between transfers where they were timed, else the whole latency."""
    if latency["split"] is not None:
        return np.array(latency["split"]["compute_s"])
    half = latency["quantile_levels"].index(0.5)
    return np.array([row[half] for row in latency["quantiles_s"]])
