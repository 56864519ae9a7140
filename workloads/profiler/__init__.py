"""Measures a model on a device and writes its profile; `python -m workloads.profiler --help` runs it bare.

The package needs torch, numpy and safetensors, and no other library, so that it runs on a bare machine with a GPU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from workloads.errors import MissingDependencyError

__all__ = ["import_profiler"]


def import_profiler() -> Callable[..., dict[str, Any]]:
    """`workloads.profiler.session.profile_model`, or a clear error where torch is not installed."""
    try:
        from workloads.profiler.session import profile_model
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "safetensors"):
            raise
        raise MissingDependencyError(error.name, "profiling", "torch") from None
    return profile_model
