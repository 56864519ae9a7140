"""Facts about the machine, and how much of it other work is using."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from workloads.errors import InputError

__all__ = [
    "LoadMeter",
    "describe_device",
    "own_wait_s",
    "peak_host_memory_bytes",
    "reset_peak_host_memory",
    "versions",
]


def describe_device(device_kind: str, threads: int) -> dict[str, Any]:
    """The ``device`` part of a profile."""
    cpu = _cpu_name()
    cores = len(os.sched_getaffinity(0))
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    host = {"cpu": cpu, "cores": cores, "memory_bytes": memory_bytes}
    if device_kind == "cpu":
        return {
            "id": f"cpu-{threads}core-{_slug(cpu)}",
            "kind": "cpu",
            "name": f"{cpu}, {threads} of {cores} cores",
            "memory_bytes": memory_bytes,
            "driver": None,
            "host": host,
        }
    if not torch.cuda.is_available():
        raise InputError("--device", "cuda was asked for, but torch sees no CUDA device", "use --device cpu")
    properties = torch.cuda.get_device_properties(0)
    return {
        "id": _slug(properties.name),
        "kind": "cuda",
        "name": properties.name,
        "memory_bytes": int(properties.total_memory),
        "driver": _driver_version(),
        "host": host,
    }


def versions() -> dict[str, str]:
    """Versions of what the numbers depend on."""
    import safetensors

    found = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "safetensors": safetensors.__version__,
        "kernel": platform.release(),
    }
    for library in ("torchao", "triton"):
        if library in sys.modules:
            found[library] = str(getattr(sys.modules[library], "__version__", "unknown"))
    if torch.version.cuda:
        found["cuda"] = torch.version.cuda
        found["cudnn"] = str(torch.backends.cudnn.version())
    return found


class LoadMeter:
    """Cores that other processes, or other guests of the same host, used between construction and `other_cores`."""

    def __init__(self) -> None:
        self._wall_s, self._own_s, self._all_s = time.perf_counter(), time.process_time(), _busy_s()

    def other_cores(self, known_s: float = 0.0) -> float | None:
        """Mean cores busy with other work; None where the system does not tell.

        ``known_s`` are core-seconds that processes of our own used meanwhile, beside this one.
        """
        all_s = _busy_s()
        if all_s is None or self._all_s is None:
            return None
        wall_s = max(time.perf_counter() - self._wall_s, 1e-9)
        other_s = all_s - self._all_s - (time.process_time() - self._own_s) - known_s
        return max(0.0, round(other_s / wall_s, 3))


def own_wait_s() -> float:
    """Seconds that this process's threads stood ready while other work held the cores; 0 where unknown."""
    total_ns = 0
    for task in os.scandir("/proc/self/task"):
        try:
            with open(f"{task.path}/schedstat", encoding="ascii") as file:
                total_ns += int(file.read().split()[1])
        except (OSError, IndexError, ValueError):
            continue
    return total_ns / 1e9


def reset_peak_host_memory() -> None:
    """Let the kernel count the process's peak resident memory from here, where it allows that."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return


def peak_host_memory_bytes() -> int:
    """Peak resident memory of the process since `reset_peak_host_memory`."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(r"VmHWM:\s+(\d+) kB", status) or re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(found.group(1)) * 1024 if found else 0


def _busy_s() -> float | None:
    try:
        fields = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:]
    except (OSError, IndexError):
        return None
    user, nice, system, _, _, irq, softirq, steal = (int(value) for value in [*fields, "0"][:8])
    return float(user + nice + system + irq + softirq + steal) / float(os.sysconf("SC_CLK_TCK"))


def _cpu_name() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found.group(1).strip() if found else platform.machine()


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower().replace("(r)", "").replace("(tm)", "")).strip("-")


def _driver_version() -> str | None:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader", "--id=0"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip().splitlines()[0] if answer.stdout.strip() else None
