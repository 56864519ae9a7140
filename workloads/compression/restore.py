"""From a variant's card and tensors back to the network that was saved."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import torch
from torch import nn

from workloads.compression.packing import unpack
from workloads.errors import InputError

__all__ = ["load_variant", "method_module"]

_HOMES = {
    "int8-dynamic": "int8",
    "int8-weight": "int8",
    "embedding-int8": "embedding_int8",
    "int8-legacy": "int8_legacy",
    "low-rank": "low_rank",
}


def method_module(method: str) -> ModuleType:
    """The module that carries a method out."""
    return importlib.import_module(f"workloads.compression.{_HOMES.get(method, method)}")


def load_variant(
    build: Callable[[], nn.Module], card: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]
) -> nn.Module:
    """The network of a variant, in evaluation mode on the CPU.

    Parameters
    ----------
    build
        Gives a network of the card's configuration.
    card
        Of the variant.
    tensors
        What its file holds.

    Raises
    ------
    InputError
        The card's variant was not written by `workloads.compression`.
    RuntimeError
        Tensors are missing or left over.
    """
    variant = card["variant"]
    try:
        steps, coding = variant["steps"], variant["coding"]
        network = build().requires_grad_(False)
        for record in steps:
            rebuild = getattr(method_module(record["method"]), "rebuild", None)
            network = network if rebuild is None else rebuild(network, record)
        return unpack(network, dict(tensors), coding).eval()
    except (KeyError, TypeError, AttributeError, ModuleNotFoundError) as error:
        if isinstance(error, ModuleNotFoundError) and not str(error.name).startswith("workloads."):
            raise
        problem = f"describes a variant that cannot be built ({type(error).__name__}: {error})"
        raise InputError("model.json variant", problem, "compress the model again") from None
