"""One profile from settings to document: load the model, start it, time the batches, and what else is asked for."""

from __future__ import annotations

import datetime
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch

from workloads.profiler import document, machine
from workloads.profiler.batch_sizes import default_batch_sizes
from workloads.profiler.inputs import InputPool
from workloads.profiler.interference import InterferenceError, measure_interference
from workloads.profiler.power import measure_power
from workloads.profiler.refining import refine
from workloads.profiler.roofline import measure_roofline
from workloads.profiler.settings import COMPILED_MODES, ProfileSettings
from workloads.profiler.start import start
from workloads.profiler.subject import Subject, load_subject
from workloads.profiler.timing import Progress, SizeTimings, time_sizes

__all__ = ["profile_model"]


def _silent(phase: str, done: int, total: int) -> None:
    """Show no progress."""


def profile_model(settings: ProfileSettings, progress: Progress = _silent) -> dict[str, Any]:
    """Measure one model on one device.

    Parameters
    ----------
    settings
        What to profile.
    progress
        Called with the phase's name, and how much of it is done out of how much.

    Returns
    -------
    dict
        A profile document, as `workloads.profile.save_profile` takes it.

    Raises
    ------
    InputError
        Unknown model, no such device here, a folder without a model, or no compiler for a compiled mode.
    MissingDependencyError
        torch is not installed.
    """
    device_part = machine.describe_device(settings.device_kind, settings.host_threads())
    device = torch.device("cuda", 0) if settings.device_kind == "cuda" else torch.device("cpu")
    torch.set_num_threads(settings.host_threads())
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="recfleet-profile-")))
        if settings.mode in COMPILED_MODES:
            from workloads.profiler.compiling import fresh_caches

            stack.enter_context(fresh_caches(folder))
        subject = load_subject(settings, device, folder, progress)
        return _measured(subject, device, device_part, folder, progress)


def _measured(
    subject: Subject, device: torch.device, device_part: dict[str, Any], folder: Path, progress: Progress
) -> dict[str, Any]:
    """Time a loaded model, and measure what else the settings ask for."""
    settings = subject.settings
    sizes = first_sizes = settings.batch_sizes or default_batch_sizes(settings.model, settings.device_kind)
    input_seed, order_seed = np.random.SeedSequence(settings.seed).spawn(2)
    pool = InputPool(subject.module, subject.config, sizes[-1], np.random.default_rng(input_seed))
    machine.reset_peak_host_memory()
    started = start(subject, pool, sizes, progress)
    runner, generator = started.runner, np.random.default_rng(order_seed)
    meter = machine.LoadMeter()
    power = None
    if not settings.batch_sizes:
        sizes = refine(started, pool, sizes, settings, generator, progress)
    with runner.context():
        timings = time_sizes(runner, pool, sizes, settings, generator, progress)
        if settings.power and settings.device_kind == "cuda":
            progress("measuring power", 0, 1)
            power = measure_power(runner, pool, sizes)
    found: dict[str, Any] = {
        "format": "recfleet-profile",
        "format_version": 1,
        "name": document.profile_name(subject, device_part["id"]),
        "model": document.model_part(subject, pool.batch(sizes[0])),
        "device": device_part,
        "execution": document.execution_part(subject, pool.rows),
        "latency": document.latency_part(timings, settings.device_kind),
        "resources": {
            "device_memory_bytes": _device_memory_bytes(device),
            "host_memory_bytes": max(0, machine.peak_host_memory_bytes() - pool.nbytes),
            "host_cores": settings.host_threads(),
            "load": started.load,
        },
        "power": power,
        "provenance": {
            "kind": "measured",
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "versions": machine.versions(),
            "command": settings.command(),
            "other_load_cores": _other_cores(timings, meter, settings.device_kind),
        },
        "notes": document.notes(timings, subject) + started.remarks,
    }
    if settings.roofline:
        found["roofline"] = measure_roofline(subject, pool, found["latency"], progress)
    if settings.replicas:
        try:
            found["interference"] = measure_interference(subject, first_sizes, folder, progress)
        except InterferenceError as error:
            found["notes"].append(f"Interference could not be measured: {error}.")
    saved = {"variant": document.variant_part(subject), "accuracy": document.accuracy_part(subject)}
    return found | {name: part for name, part in saved.items() if part is not None}


def _other_cores(timings: list[SizeTimings], meter: machine.LoadMeter, device_kind: str) -> float | None:
    """Cores that other work used: during the timings kept on a CPU, over the whole measurement beside CUDA."""
    if device_kind == "cuda":
        return meter.other_cores()
    return document.other_cores_while_timing(timings)


def _device_memory_bytes(device: torch.device) -> int:
    """Memory in use on the device: torch's allocator gives none back while it serves, so this is the peak."""
    if device.type == "cpu":
        return 0
    free_bytes, total_bytes = torch.cuda.mem_get_info(device)
    return total_bytes - free_bytes
