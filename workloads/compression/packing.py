"""A network's numbers as a flat set of plain tensors for safetensors, and back.

Four things are not plain tensors with a name each: weights that two layers share (kept once), torchao's quantised
tensors (taken apart by torchao), torch.ao's packed layers (taken apart here), and pruned weights (kept without their
zeros). What belongs together stands in the coding, which goes into the card.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from workloads.compression import sparse_file, torchao_api
from workloads.compression.int8_legacy import pack_layer, packed_layers, unpack_layer

__all__ = ["pack", "unpack"]

_PART = "::"
"""Between a tensor's name and that of a part of it."""


def pack(network: nn.Module, sparse: bool) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """A network's numbers.

    Parameters
    ----------
    network
        In the form that serves.
    sparse
        Whether to leave out zeros where that saves bytes.

    Returns
    -------
    tuple
        Tensors by name, none sharing memory; and the coding, as JSON takes it.
    """
    tensors: dict[str, torch.Tensor] = {}
    coding: dict[str, Any] = {"shared": {}, "packed": {}, "torchao": {}, "sparse": {}}
    packed = packed_layers(network)
    for path, layer in packed.items():
        parts, how = pack_layer(layer)
        tensors |= {f"{path}{_PART}{name}": part for name, part in parts.items()}
        coding["packed"][path] = how
    quantised: dict[str, torch.Tensor] = {}
    seen: dict[Any, str] = {}
    for name, tensor in network.state_dict(keep_vars=True).items():
        if any(name.startswith(f"{path}.") for path in packed) or not isinstance(tensor, torch.Tensor):
            continue
        if seen.setdefault(_identity(tensor), name) != name:
            coding["shared"][name] = seen[_identity(tensor)]
        elif torchao_api.is_quantised(tensor.data):
            quantised[name] = tensor.data
        else:
            tensors[name] = tensor.detach()
    if quantised:
        plain, coding["torchao"] = torchao_api.flatten(quantised)
        tensors |= plain
    return (_without_zeros(tensors, coding) if sparse else tensors), coding


def unpack(network: nn.Module, tensors: dict[str, torch.Tensor], coding: dict[str, Any]) -> nn.Module:
    """Fill a network of the right modules, in place, with what `pack` gave.

    Raises
    ------
    RuntimeError
        A tensor is missing, or one is left over.
    """
    tensors = _with_zeros(tensors, coding)
    state = {name: tensor for name, tensor in tensors.items() if _PART not in name}
    if coding["torchao"]:
        state |= torchao_api.unflatten(tensors, coding["torchao"])
        state = {name: tensor for name, tensor in state.items() if not name.startswith("network.")}
    for path, how in coding["packed"].items():
        prefix = f"{path}{_PART}"
        parts = {name.removeprefix(prefix): part for name, part in tensors.items() if name.startswith(prefix)}
        unpack_layer(network, path, parts, how)
    state |= {alias: state[name] for alias, name in coding["shared"].items()}
    _fill(network, state, tuple(coding["packed"]))
    return network


def _fill(network: nn.Module, state: dict[str, torch.Tensor], packed: tuple[str, ...]) -> None:
    """Copy into what is there, so that shared weights stay shared; replace what becomes another kind of tensor."""
    own = {
        name: tensor
        for name, tensor in network.state_dict(keep_vars=True).items()
        if not any(name.startswith(f"{path}.") for path in packed)
    }
    if own.keys() != state.keys():
        missing, extra = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
        raise RuntimeError(f"tensors missing: {missing[:3]}, not expected: {extra[:3]}")
    with torch.no_grad():
        for name, tensor in state.items():
            if torchao_api.is_quantised(tensor):
                path, _, attribute = name.rpartition(".")
                setattr(network.get_submodule(path), attribute, nn.Parameter(tensor, requires_grad=False))
            else:
                own[name].copy_(tensor)


def _without_zeros(tensors: dict[str, torch.Tensor], coding: dict[str, Any]) -> dict[str, torch.Tensor]:
    packed = {}
    for name, tensor in tensors.items():
        parts, how = sparse_file.encode(tensor)
        if how is None:
            packed[name] = tensor
        else:
            packed |= {f"{name}{_PART}{_PART}{part}": values for part, values in parts.items()}
            coding["sparse"][name] = how
    return packed


def _with_zeros(tensors: dict[str, torch.Tensor], coding: dict[str, Any]) -> dict[str, torch.Tensor]:
    whole = {name: tensor for name, tensor in tensors.items() if _PART * 2 not in name}
    for name, how in coding["sparse"].items():
        prefix = f"{name}{_PART}{_PART}"
        parts = {key.removeprefix(prefix): part for key, part in tensors.items() if key.startswith(prefix)}
        whole[name] = sparse_file.decode(parts, how)
    return whole


def _identity(tensor: torch.Tensor) -> Any:
    """Equal for tensors that are the same memory; torchao's wrappers have none of their own."""
    if torchao_api.is_quantised(tensor.data) or math.prod(tensor.shape) == 0:
        return id(tensor)
    return tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), tensor.dtype
