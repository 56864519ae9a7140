"""Electric power of the CUDA device, from the energy counter of its driver."""

from __future__ import annotations

import importlib
import time
from typing import Any

import numpy as np
import torch

from workloads.profiler.inputs import InputPool
from workloads.profiler.runners import Runner

__all__ = ["measure_power"]

_IDLE_S = 2.0
_BUSY_S = 1.0
_MOST_SIZES = 8


def measure_power(runner: Runner, pool: InputPool, sizes: tuple[int, ...]) -> dict[str, Any] | None:
    """Power of the whole board when idle, and while batches of each size follow one another.

    Returns
    -------
    dict or None
        ``idle_w``, ``busy_w[size]`` and ``source``; None where the driver's library or its counter is missing.

    Notes
    -----
    Energy over time, over at least one second of back-to-back batches on one staged input, for at most eight of the
    sizes; between those, power is interpolated over the logarithm of the size. The clocks and the memory
    stay in their working state after CUDA has started, so idle here is that of a loaded replica without requests.
    """
    try:
        pynvml = importlib.import_module("pynvml")
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(0).uuid}")
        read_mj = pynvml.nvmlDeviceGetTotalEnergyConsumption
        read_mj(handle)
    except Exception:  # the library is absent, or this driver or board has no counter
        return None

    def mean_w(seconds: float, step: Any) -> float:
        start_s, start_mj = time.perf_counter(), read_mj(handle)
        while time.perf_counter() - start_s < seconds:
            step()
        return float((read_mj(handle) - start_mj) / 1e3 / (time.perf_counter() - start_s))

    time.sleep(1.0)
    idle_w = mean_w(_IDLE_S, lambda: time.sleep(0.05))
    places = np.unique(np.linspace(0, len(sizes) - 1, min(_MOST_SIZES, len(sizes))).round().astype(int))
    busy_w = []
    for size in np.array(sizes)[places].tolist():
        runner.stage(pool.batch(size))
        mean_w(0.3, runner.run)
        busy_w.append(mean_w(_BUSY_S, runner.run))
    source = "NVML total energy counter of the board, batches back to back"
    if len(places) < len(sizes):
        source += f"; measured at {np.array(sizes)[places].tolist()}, between them interpolated"
    return {
        "idle_w": round(idle_w, 1),
        "busy_w": np.round(np.interp(np.log(sizes), np.log(np.array(sizes)[places]), busy_w), 1).tolist(),
        "source": source,
    }
