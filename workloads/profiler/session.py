"""One profile from settings to document: draw weights, load them, time the batches."""

from __future__ import annotations

import datetime
import gc
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from workloads.models import model_module
from workloads.models.base import ModelModule
from workloads.profiler import document, machine
from workloads.profiler.inputs import InputPool
from workloads.profiler.power import measure_power
from workloads.profiler.runners import CpuRunner, CudaEagerRunner, CudaGraphRunner, Runner
from workloads.profiler.settings import ProfileSettings, default_batch_sizes
from workloads.profiler.timing import Progress, SizeTimings, time_sizes
from workloads.profiler.weights import drop_from_page_cache, load_weights, write_weights

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
        Unknown model, or no such device here.
    MissingDependencyError
        torch is not installed.
    """
    module = model_module(settings.model)
    config = settings.config if settings.config is not None else module.default_config()
    sizes = settings.batch_sizes or default_batch_sizes(settings.model, settings.device_kind)
    device_part = machine.describe_device(settings.device_kind, settings.host_threads())
    device = torch.device("cuda", 0) if settings.device_kind == "cuda" else torch.device("cpu")
    torch.set_num_threads(settings.host_threads())
    input_seed, order_seed = np.random.SeedSequence(settings.seed).spawn(2)
    pool = InputPool(module, config, sizes[-1], np.random.default_rng(input_seed))

    network, load = _load(settings, module, config, device, progress)
    weights_bytes = sum(tensor.nbytes for tensor in network.state_dict().values())
    runner = _runner(settings, network)
    _answer_first(runner, pool, sizes, load)
    meter = machine.LoadMeter()
    with runner.context():
        timings = time_sizes(runner, pool, sizes, settings, np.random.default_rng(order_seed), progress)
        progress("measuring power", 0, 1)
        power = measure_power(runner, pool, sizes) if settings.device_kind == "cuda" else None

    return {
        "format": "recfleet-profile",
        "format_version": 1,
        "name": document.profile_name(settings, device_part["id"]),
        "model": document.model_part(settings, module, config, weights_bytes),
        "device": device_part,
        "execution": document.execution_part(settings, module, pool.rows),
        "latency": document.latency_part(timings, settings.device_kind),
        "resources": {
            "device_memory_bytes": _device_memory_bytes(device),
            "host_memory_bytes": max(0, machine.peak_host_memory_bytes() - pool.nbytes),
            "host_cores": settings.host_threads(),
            "load": load,
        },
        "power": power,
        "provenance": {
            "kind": "measured",
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "versions": machine.versions(),
            "command": settings.command(),
            "other_load_cores": _other_cores(timings, meter, settings.device_kind),
        },
        "notes": document.notes(timings, settings),
    }


def _load(
    settings: ProfileSettings, module: ModelModule, config: Any, device: torch.device, progress: Progress
) -> tuple[nn.Module, dict[str, Any]]:
    """Write weights where there are none, read them from disk, and start counting the host's memory."""
    with tempfile.TemporaryDirectory(prefix="recfleet-weights-") as temporary:
        folder = settings.weights_folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{settings.model}-{settings.precision}-seed{settings.seed}.safetensors"
        if not path.exists() or settings.config is not None:
            progress("drawing weights", 0, 1)
            write_weights(module, config, settings.precision, device, settings.seed, path)
            _forget(device)
        file_cache = drop_from_page_cache(path)
        progress("loading weights", 0, 1)
        network, weights_s = load_weights(module, config, settings.precision, device, path)
    _forget(device)
    machine.reset_peak_host_memory()
    return network, {"weights_s": weights_s, "file_cache": file_cache}


def _runner(settings: ProfileSettings, network: nn.Module) -> Runner:
    if settings.device_kind == "cpu":
        return CpuRunner(network)
    return CudaEagerRunner(network) if settings.mode == "eager" else CudaGraphRunner(network)


def _answer_first(runner: Runner, pool: InputPool, sizes: tuple[int, ...], load: dict[str, Any]) -> None:
    """Capture graphs where the runner has them, give the first answer, and complete the times in ``load``."""
    load["graph_capture_s"] = 0.0
    if isinstance(runner, CudaGraphRunner):
        start_s = time.perf_counter()
        for size in reversed(sizes):
            runner.capture(pool.batch(size))
        load["graph_capture_s"] = time.perf_counter() - start_s
        for size in sizes:
            runner.check(pool.batch(size))
    start_s = time.perf_counter()
    with runner.context():
        runner.stage(pool.batch(sizes[0]))
        runner.run()
    load["first_inference_s"] = time.perf_counter() - start_s
    load["total_s"] = load["weights_s"] + load["graph_capture_s"] + load["first_inference_s"]


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


def _forget(device: torch.device) -> None:
    """Give back memory that only the way to here needed."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        # The page-locked memory that the weights passed through on their way to the device.
        for owner, name in ((torch.accelerator, "empty_host_cache"), (torch._C, "_host_emptyCache")):
            if hasattr(owner, name):
                getattr(owner, name)()
                return
