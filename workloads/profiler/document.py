"""From measurements to a profile document, with the remarks that its numbers call for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from workloads.models.cost import forward_cost
from workloads.profiler.quiet import QUIET_CORES
from workloads.profiler.settings import QUANTILE_LEVELS
from workloads.profiler.statistics import DRIFT_LIMIT, drift, has_two_modes
from workloads.profiler.subject import Subject
from workloads.profiler.timing import SizeTimings

__all__ = [
    "accuracy_part",
    "execution_part",
    "latency_part",
    "model_part",
    "notes",
    "other_cores_while_timing",
    "profile_name",
    "rounded",
    "variant_part",
]

_MODE_WORDS = {
    ("eager", "cpu"): "",
    ("compiled", "cpu"): "compiled",
    ("eager", "cuda"): "eager",
    ("compiled", "cuda"): "compiled",
    ("cuda_graph", "cuda"): "graph",
    ("compiled_graph", "cuda"): "compiled-graph",
}


def profile_name(subject: Subject, device_id: str) -> str:
    """The name under which the profile would ship, for example ``dlrm-h200-bf16-graph``."""
    settings = subject.settings
    if settings.name:
        return settings.name
    words = [settings.model]
    if subject.card is not None:
        source = "" if settings.method else "saved"
        words += [str(subject.card["data"].get("name", source)), subject.method.replace("+", "-")]
    if settings.device_kind == "cpu":
        words += [f"cpu{settings.host_threads()}", settings.precision, _MODE_WORDS[settings.mode, "cpu"]]
    else:
        words += [device_id.removeprefix("nvidia-"), settings.precision, _MODE_WORDS[settings.mode, "cuda"]]
    return "-".join(word for word in words if word)


def model_part(subject: Subject, first_batch: tuple[np.ndarray, ...]) -> dict[str, Any]:
    """The ``model`` part: stage, unit, sizes."""
    settings, config, module = subject.settings, subject.config, subject.module
    part = {
        "name": settings.model,
        "stage": module.STAGE,
        "unit": module.UNIT,
        "config": _plain_config(config),
        "parameters": config.parameter_count(),
        "embedding_bytes": 0,
        "weights_bytes": subject.weights_bytes,
        "weights": weights_text(subject),
    }
    if subject.card is None:
        value_bytes = {"fp32": 4, "bf16": 2}[settings.precision]
        return part | {"embedding_bytes": config.embedding_count() * value_bytes}
    sizes = subject.card["sizes"]
    tables = forward_cost(subject.network, first_batch).table_bytes
    return part | {"parameters": sizes.get("parameters", part["parameters"]), "embedding_bytes": tables}


def weights_text(subject: Subject) -> str:
    """Where the weights came from, in words."""
    card = subject.card
    if card is None or subject.settings.method:
        text = f"random, seed {subject.settings.seed}"
    elif not card["training"]:
        text = "as saved, not trained"
    else:
        text = f"trained on {card['data'].get('name', 'data of no name')}"
        if card["data"].get("split"):
            text += f" (split by {card['data']['split']})"
    return text if not subject.method else f"{text}, then {subject.method}"


def variant_part(subject: Subject) -> dict[str, Any] | None:
    """The ``variant`` part: how the model was compressed; None where it was not."""
    variant = (subject.card or {}).get("variant")
    if not variant:
        return None
    if subject.settings.method:
        source = f"{subject.settings.model} with random weights"
    else:
        source = Path(str(variant.get("of") or "a saved model")).name
    return {
        "method": subject.method,
        "of": source,
        "options": _step_options(variant),
    }


def _step_options(variant: Mapping[str, Any]) -> dict[str, Any]:
    """Plain settings of the steps, by name; by ``step.name`` where there are several steps."""
    steps = [step for step in variant.get("steps", ()) if isinstance(step, Mapping)]
    return {
        name if len(steps) == 1 else f"{step.get('method')}.{name}": value
        for step in steps
        for name, value in step.items()
        if name != "method" and _is_plain(value)
    }


def accuracy_part(subject: Subject) -> dict[str, Any] | None:
    """The ``accuracy`` part: what was measured of these very weights; None where nothing was."""
    if subject.card is None or not subject.as_saved:
        return None
    found, data = subject.card["metrics"], subject.card["data"]
    metrics = {
        name: float(value)
        for name, value in found.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }
    if not metrics or not data.get("name"):
        return None
    return {
        "data": str(data["name"]),
        "split": str(data["split"]) if data.get("split") else None,
        "part": str(found.get("part", "test")),
        "metrics": metrics,
        "intervals": {name: [float(low), float(high)] for name, (low, high) in found.get("intervals", {}).items()},
    }


def execution_part(subject: Subject, pool_rows: int) -> dict[str, Any]:
    """The ``execution`` part: precision, mode, threads and where inputs came from."""
    settings = subject.settings
    return {
        "precision": settings.precision,
        "mode": settings.mode,
        "threads": settings.host_threads(),
        "inputs": f"{subject.module.INPUTS}; each batch takes another stretch of {pool_rows} drawn rows",
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


def notes(timings: list[SizeTimings], subject: Subject) -> list[str]:
    """What a reader of the numbers must know."""
    settings = subject.settings
    remarks = []
    if subject.is_random:
        remarks.append("Weights are random: latencies are real, recommendations are not.")
    elif not subject.as_saved:
        remarks.append(
            f"The model was saved in another precision and cast to {settings.precision}: no accuracy is given."
        )
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


def _plain_config(config: Any) -> dict[str, Any]:
    """The fields that a profile can hold, tuples as lists; None where a field is something else."""
    fields = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(config).items()}
    return {key: value for key, value in fields.items() if _is_plain(value)}


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(isinstance(item, int) and not isinstance(item, bool) for item in value)
    return value is None or isinstance(value, str | int | float | bool)
