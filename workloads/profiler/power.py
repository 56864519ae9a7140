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


def measure_power(runner: Runner, pool: InputPool, sizes: tuple[int, ...]) -> dict[str, Any] | None:
    """Power of the whole board when idle, and while batches of each size follow one another.

    Returns
    -------
    dict or None
        ``idle_w``, ``busy_w[size]`` and ``source``; None where the driver's library or its counter is missing.

    Notes
    -----
    Energy over time, over at least one second of back-to-back batches on one staged input. The clocks and the memory
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
    busy_w = []
    for size in sizes:
        runner.stage(pool.batch(size))
        mean_w(0.3, runner.run)
        busy_w.append(mean_w(_BUSY_S, runner.run))
    return {
        "idle_w": round(idle_w, 1),
        "busy_w": np.round(busy_w, 1).tolist(),
        "source": "NVML total energy counter of the board, batches back to back",
    }
