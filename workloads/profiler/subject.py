"""What a profile measures: a network with random weights, or a trained or compressed one as it was saved."""

from __future__ import annotations

import gc
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from workloads.errors import InputError
from workloads.models import model_module
from workloads.models.base import ModelModule
from workloads.models.cost import stored_bytes
from workloads.profiler.drawn_variant import drawn_variant
from workloads.profiler.settings import ProfileSettings
from workloads.profiler.timing import Progress
from workloads.profiler.weights import drop_from_page_cache, load_weights, read_weights, torch_dtype, write_weights

__all__ = ["Subject", "forget", "load_subject"]


@dataclass(frozen=True, eq=False)
class Subject:
    """A network on its device, and where it came from.

    Attributes
    ----------
    settings
        The profile's settings with the model's name and the precision filled in.
    module, config, network
        The model's module, its sizes, and the network ready to run.
    weights_s, file_cache
        Seconds from weights on disk to weights on the device; in words, what the read found in the page cache.
    card
        Content of ``model.json``; None for random weights.
    as_saved
        Whether these are the very weights that the card's metrics speak of.
    build_s
        Seconds for the network around the weights, and for giving back memory that only loading needed; 0 for a saved
        model, where they were not timed apart.
    """

    settings: ProfileSettings
    module: ModelModule
    config: Any
    network: nn.Module
    weights_s: float
    file_cache: str
    card: Mapping[str, Any] | None = None
    as_saved: bool = False
    build_s: float = 0.0

    @property
    def weights_bytes(self) -> int:
        """Bytes of all parameters, buffers and packed weights as they lie in memory."""
        known = self.card["sizes"].get("memory_bytes") if self.card is not None and self.as_saved else None
        return int(known) if known else stored_bytes(self.network)

    @property
    def is_random(self) -> bool:
        """Whether nothing was learnt."""
        return self.card is None or not self.card["training"]

    @property
    def method(self) -> str:
        """How a variant was compressed; empty for a model as trained or drawn."""
        variant = (self.card or {}).get("variant") or {}
        return str(variant.get("method", ""))


def load_subject(
    settings: ProfileSettings, device: torch.device, folder: Path, progress: Progress, reuse: bool = False
) -> Subject:
    """Draw or read the weights.

    Parameters
    ----------
    settings
        What to load. Drawn weights lie in its folder for weights, if it names one.
    device
        Where to.
    folder
        Where drawn weights lie otherwise.
    reuse
        Take drawn weights that lie there even where sizes are the caller's own.

    Raises
    ------
    InputError
        An unknown model, a folder without a model, or a variant that this device or precision cannot run.
    """
    if settings.model_folder is not None:
        return _saved(settings, settings.model_folder, device, progress)
    if settings.method:
        variant = drawn_variant(settings, settings.weights_folder or folder, progress, reuse)
        return _saved(settings, variant, device, progress)
    settings = replace(settings, precision=settings.precision or "fp32")
    return _drawn(settings, device, settings.weights_folder or folder, progress, reuse)


def forget(device: torch.device) -> None:
    """Give back memory that only the way to here needed."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        # The page-locked memory that the weights passed through on their way to the device.
        for owner, name in ((torch.accelerator, "empty_host_cache"), (torch._C, "_host_emptyCache")):
            if hasattr(owner, name):
                getattr(owner, name)()
                return


def _drawn(settings: ProfileSettings, device: torch.device, folder: Path, progress: Progress, reuse: bool) -> Subject:
    module = model_module(settings.model)
    config = settings.config if settings.config is not None else module.default_config()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{settings.model}-{settings.precision}-seed{settings.seed}.safetensors"
    if not path.exists() or (settings.config is not None and not reuse):
        progress("drawing weights", 0, 1)
        write_weights(module, config, settings.precision, device, settings.seed, path)
        forget(device)
    file_cache = drop_from_page_cache(path)
    progress("loading weights", 0, 1)
    start_s = time.perf_counter()
    network, weights_s = load_weights(module, config, settings.precision, device, path)
    forget(device)
    build_s = time.perf_counter() - start_s - weights_s
    return Subject(settings, module, config, network, weights_s, file_cache, build_s=build_s)


def _saved(settings: ProfileSettings, folder: Path, device: torch.device, progress: Progress) -> Subject:
    from workloads.model_folder import WEIGHTS_FILE, load_model, read_card

    progress("loading weights", 0, 1)
    devices = (read_card(folder)["variant"] or {}).get("devices", [device.type])
    if device.type not in devices:
        raise InputError(str(folder), f"was compressed for {' and '.join(devices)} alone", f"use --device {devices[0]}")
    saved = load_model(folder, str(device))
    network = saved.network.eval().requires_grad_(False)
    own = _own_precision(network, saved.card)
    asked = settings.precision or own
    if asked != own and ("int8" in (asked, own) or "embedding-int8" in _steps(saved.card)):
        raise InputError("--precision", f"{asked} was asked of a model saved in {own}", "leave --precision out")
    if asked != own:
        network.to(torch_dtype(asked))
    path = folder / WEIGHTS_FILE
    file_cache = drop_from_page_cache(path)
    start_s = time.perf_counter()
    read_weights(path, device)
    weights_s = time.perf_counter() - start_s
    forget(device)
    settings = replace(settings, model=saved.model, precision=asked)
    return Subject(settings, saved.module, saved.config, network, weights_s, file_cache, saved.card, asked == own)


def _own_precision(network: nn.Module, card: Mapping[str, Any]) -> str:
    """int8 where layers compute in it or hold it, else the type of the floating-point weights."""
    if any(step.startswith("int8") for step in _steps(card)):
        return "int8"
    counts = {torch.float32: 0, torch.bfloat16: 0}
    for tensor in network.parameters():
        if tensor.dtype in counts:
            counts[tensor.dtype] += tensor.numel()
    return "bf16" if counts[torch.bfloat16] > counts[torch.float32] else "fp32"


def _steps(card: Mapping[str, Any]) -> list[str]:
    return str((card["variant"] or {}).get("method", "")).split("+")
