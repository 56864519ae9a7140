"""Random weights on disk, and the measured way back."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from workloads.models.base import ModelModule

__all__ = ["drop_from_page_cache", "load_weights", "read_weights", "torch_dtype", "write_weights"]


def torch_dtype(precision: str) -> torch.dtype:
    """The torch type of a precision's name."""
    return {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]


def write_weights(
    module: ModelModule, config: Any, precision: str, device: torch.device, seed: int, path: Path
) -> None:
    """Draw weights on the device, which is fast, and write them at the given precision."""
    torch.manual_seed(seed)
    with device:
        network = module.build(config)
    network.to(torch_dtype(precision))
    temporary = path.with_suffix(".tmp")
    save_file({name: tensor.cpu() for name, tensor in network.state_dict().items()}, temporary)
    os.replace(temporary, path)


def load_weights(
    module: ModelModule, config: Any, precision: str, device: torch.device, path: Path
) -> tuple[nn.Module, float]:
    """Read weights from disk onto the device.

    Returns
    -------
    tuple
        The model, ready to run, and the seconds that reading and placing its weights took.
    """
    with torch.device("meta"):
        network = module.build(config).to(torch_dtype(precision))
    start_s = time.perf_counter()
    if device.type == "cpu":
        # The file is mapped into memory; copying reads it now rather than during the first batches.
        network.to_empty(device=device)
        network.load_state_dict(load_file(path), assign=False)
    else:
        network.load_state_dict(load_file(path, device=str(device)), assign=True)
        torch.cuda.synchronize()
    elapsed_s = time.perf_counter() - start_s
    return network.eval().requires_grad_(False), elapsed_s


def read_weights(path: Path, device: torch.device) -> dict[str, torch.Tensor]:
    """All tensors of a file, on the device; a CPU gets copies, because the file itself is only mapped into memory."""
    tensors = load_file(path, device=str(device))
    if device.type == "cpu":
        return {name: tensor.clone() for name, tensor in tensors.items()}
    torch.cuda.synchronize()
    return tensors


def drop_from_page_cache(path: Path) -> str:
    """Ask the system to forget the file's pages, and say in words what the next read will find."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        if not hasattr(os, "posix_fadvise"):
            return "the weights were read from the page cache"
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return "the file was dropped from the page cache before it was read"
