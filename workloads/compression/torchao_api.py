"""What is used of torchao, imported without the lines that it prints where its optional kernels are missing."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from workloads.errors import MissingDependencyError

__all__ = ["flatten", "is_quantised", "quantisation", "unflatten"]

_PREFIX = "network."
"""torchao's file layout wants names with a dot."""


def quantisation() -> Any:
    """The module `torchao.quantization`.

    Raises
    ------
    MissingDependencyError
        torchao is not installed.
    """
    return _quietly("torchao.quantization")


def is_quantised(tensor: torch.Tensor) -> bool:
    """Whether a tensor is one of torchao's."""
    return type(tensor).__module__.startswith("torchao.")


def flatten(tensors: dict[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """torchao's tensors as plain ones, and the text that says how they belong together."""
    support = _quietly("torchao.prototype.safetensors.safetensors_support")
    plain, texts = support.flatten_tensor_state_dict({_PREFIX + name: tensor for name, tensor in tensors.items()})
    return dict(plain), dict(texts)


def unflatten(plain: dict[str, torch.Tensor], texts: dict[str, str]) -> dict[str, torch.Tensor]:
    """What `flatten` was given; other tensors in ``plain`` are left out."""
    support = _quietly("torchao.prototype.safetensors.safetensors_support")
    mine = {name: tensor for name, tensor in plain.items() if name.startswith(_PREFIX)}
    found, _ = support.unflatten_tensor_state_dict(mine, texts)
    return {name.removeprefix(_PREFIX): tensor for name, tensor in found.items()}


def _quietly(name: str) -> Any:
    try:
        with _silence("torchao", "torch.utils._pytree"):
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != "torchao":
            raise
        raise MissingDependencyError("torchao", "int8 compression", "torch") from None


@contextmanager
def _silence(*names: str) -> Iterator[None]:
    """No warnings from these loggers: kernels for other devices and Python versions that do not load."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)
