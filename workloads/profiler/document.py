"""From measurements to a profile document, with the remarks that its numbers call for."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from workloads.models.base import ModelModule
from workloads.profiler.quiet import QUIET_CORES
from workloads.profiler.settings import QUANTILE_LEVELS, ProfileSettings
from workloads.profiler.statistics import DRIFT_LIMIT, drift, has_two_modes
from workloads.profiler.timing import SizeTimings

__all__ = ["execution_part", "latency_part", "model_part", "notes", "other_cores_while_timing", "profile_name"]


def profile_name(settings: ProfileSettings, device_id: str) -> str:
    """The name under which the profile would ship, for example ``dlrm-h200-bf16-graph``."""
    if settings.device_kind == "cpu":
        return f"{settings.model}-cpu{settings.host_threads()}-{settings.precision}"
    mode = "graph" if settings.mode == "cuda_graph" else "eager"
    return f"{settings.model}-{device_id.removeprefix('nvidia-')}-{settings.precision}-{mode}"


def model_part(settings: ProfileSettings, module: ModelModule, config: Any, weights_bytes: int) -> dict[str, Any]:
    """The ``model`` part: stage, unit, sizes."""
    value_bytes = {"fp32": 4, "bf16": 2}[settings.precision]
    fields = asdict(config).items()
    return {
        "name": settings.model,
        "stage": module.STAGE,
        "unit": module.UNIT,
        "config": {key: list(value) if isinstance(value, tuple) else value for key, value in fields},
        "parameters": config.parameter_count(),
        "embedding_bytes": config.embedding_count() * value_bytes,
        "weights_bytes": weights_bytes,
        "weights": f"random, seed {settings.seed}",
    }


def execution_part(settings: ProfileSettings, module: ModelModule, pool_rows: int) -> dict[str, Any]:
    """The ``execution`` part: precision, mode, threads and where inputs came from."""
    return {
        "precision": settings.precision,
        "mode": settings.mode,
        "threads": settings.host_threads(),
        "inputs": f"{module.INPUTS}; each batch takes another stretch of {pool_rows} drawn rows",
    }


def latency_part(timings: list[SizeTimings], device_kind: str) -> dict[str, Any]:
    """The ``latency`` part, by batch size."""
    part: dict[str, Any] = {
        "batch_sizes": [timing.size for timing in timings],
        "runs": [len(timing.latency_s) for timing in timings],
        "runs_set_aside": [timing.set_aside for timing in timings],
        "quantile_levels": list(QUANTILE_LEVELS),
        "quantiles_s": [rounded(np.quantile(timing.latency_s, QUANTILE_LEVELS)) for timing in timings],
        "mean_s": rounded([timing.latency_s.mean() for timing in timings]),
        "cpu_core_s": rounded([timing.cpu_core_s.mean() for timing in timings]),
        "split": None,
        "drift": [round(drift(timing.latency_s), 4) for timing in timings],
        "two_modes": [has_two_modes(timing.latency_s) for timing in timings],
    }
    if device_kind == "cuda":
        medians = np.array([np.median(timing.split_s, axis=0) for timing in timings])
        names = ("transfer_in_s", "compute_s", "transfer_out_s")
        part["split"] = {name: rounded(medians[:, column]) for column, name in enumerate(names)}
    return part


def notes(timings: list[SizeTimings], settings: ProfileSettings) -> list[str]:
    """What a reader of the numbers must know."""
    remarks = ["Weights are random: latencies are real, recommendations are not."]
    if settings.device_kind == "cuda":
        remarks.append("The host waits for the device by polling, so that each batch costs its latency in CPU time.")
    if settings.device_kind == "cuda" and settings.precision == "fp32":
        precision = torch.get_float32_matmul_precision()
        remarks.append(f"float32 matrix products ran at torch's precision '{precision}' (highest: no TF32).")
    two_modes = [timing.size for timing in timings if has_two_modes(timing.latency_s)]
    if two_modes:
        remarks.append(f"Timings fall in two groups at batch sizes {two_modes}: a mean alone would mislead.")
    drifting = [timing.size for timing in timings if abs(drift(timing.latency_s)) > DRIFT_LIMIT]
    if drifting:
        remarks.append(
            f"Medians moved by more than {DRIFT_LIMIT:.0%} from the first third of the timings to the last "
            f"at batch sizes {drifting}."
        )
    if settings.device_kind == "cpu":
        other_cores = other_cores_while_timing(timings)
        if other_cores > QUIET_CORES:
            remarks.append(f"Other work used {other_cores:.2f} cores of the machine on average while timing.")
    disturbed = {timing.size: timing.disturbed_kept for timing in timings if timing.disturbed_kept}
    if disturbed:
        shown = ", ".join(f"{count} at {size}" for size, count in disturbed.items())
        remarks.append(f"Threads waited for a core held by other work during some kept timings: {shown}.")
    return remarks


def other_cores_while_timing(timings: list[SizeTimings]) -> float:
    """Mean cores that other work used beside the timings kept, each weighted by its time."""
    weights = [timing.latency_s.sum() for timing in timings]
    return round(float(np.average([timing.other_cores for timing in timings], weights=weights)), 3)


def rounded(values: Any) -> list[float]:
    """Six significant digits: more than the clock tells."""
    return [float(f"{value:.6g}") for value in values]
