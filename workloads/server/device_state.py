"""Clocks, temperature and power of the GPU, where its driver tells."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["device_state"]


def device_state(device_kind: str) -> dict[str, Any] | None:
    """MHz, degrees Celsius, watts and the reasons to throttle (bits, as NVML has them); None where nothing tells."""
    if device_kind != "cuda":
        return None
    try:
        import torch

        nvml = importlib.import_module("pynvml")
        nvml.nvmlInit()
        handle = nvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(0).uuid}")
        return {
            "sm_mhz": nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM),
            "memory_mhz": nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM),
            "temperature_c": nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU),
            "power_w": nvml.nvmlDeviceGetPowerUsage(handle) / 1e3,
            "throttle": int(nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle)),
        }
    except Exception:  # no library, or a driver that does not tell
        return None
