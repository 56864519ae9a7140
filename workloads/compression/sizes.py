"""What a network weighs: numbers, zeros, bytes in memory, and operations for one unit of work."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from workloads.compression.int8_legacy import pack_layer, packed_layers

if TYPE_CHECKING:
    from workloads.models.base import ModelModule

__all__ = ["flops_per_unit", "measure_sizes", "resident_tensors"]

_PROBE = 8
"""Units of the batch that operations are counted on."""


def measure_sizes(network: nn.Module) -> dict[str, int]:
    """Sizes of a network as it is held.

    Returns
    -------
    dict
        ``memory_bytes`` of all tensors that stay resident; ``parameters`` and ``nonzero_parameters``, numbers in
        weights and stored vectors, scales of quantised ones not counted.
    """
    numbers = list(_weights(network))
    return {
        "memory_bytes": sum(tensor.nbytes for tensor in resident_tensors(network)),
        "parameters": sum(tensor.numel() for tensor in numbers),
        "nonzero_parameters": sum(int(torch.count_nonzero(tensor)) for tensor in numbers),
    }


def resident_tensors(network: nn.Module) -> list[torch.Tensor]:
    """The plain tensors that a network holds, shared ones once."""
    found: dict[Any, torch.Tensor] = {}
    for tensor in (*network.parameters(), *network.buffers()):
        for part in _plain_parts(tensor):
            found[part.untyped_storage().data_ptr(), part.storage_offset(), part.numel()] = part
    packed = [part for layer in packed_layers(network).values() for part in pack_layer(layer)[0].values()]
    return [*found.values(), *packed]


def flops_per_unit(module: ModelModule, config: Any, network: nn.Module) -> dict[str, int]:
    """Operations of matrix products for one unit of work, to be counted before numbers change their type.

    Returns
    -------
    dict
        ``flops_per_unit`` of all of them; ``nonzero_flops_per_unit`` without products with zero weights of linear and
        LSTM layers.
    """
    from workloads.models.cost import flops

    inputs = module.example_inputs(config, _PROBE, np.random.default_rng(0))
    skipped = 0

    def count(layer: nn.Module, given: Any, output: Any) -> None:
        nonlocal skipped
        first = output[0] if isinstance(output, tuple) else output
        positions = first.numel() // first.shape[-1]
        for name, weight in layer.named_parameters(recurse=False):
            if name.startswith("weight"):
                skipped += 2 * positions * int((weight == 0).sum())

    hooks = [layer.register_forward_hook(count) for layer in network.modules() if type(layer) in (nn.Linear, nn.LSTM)]
    try:
        nominal = flops(network.eval(), inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return {"flops_per_unit": nominal // _PROBE, "nonzero_flops_per_unit": (nominal - skipped) // _PROBE}


def _weights(network: nn.Module) -> Iterator[torch.Tensor]:
    """Numbers that were learnt, in whatever form, shared ones once; indices and scales left out."""
    seen: set[Any] = set()
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        numbers = getattr(tensor, "qdata", tensor)  # of torchao's tensors
        key = numbers.data_ptr(), numbers.numel()
        if key in seen or name.endswith(".scale"):
            continue
        if numbers.is_floating_point() or numbers.dtype == torch.int8:
            seen.add(key)
            yield numbers
    for layer in packed_layers(network).values():
        yield from pack_layer(layer)[0].values()


def _plain_parts(tensor: torch.Tensor) -> list[torch.Tensor]:
    if not is_traceable_wrapper_subclass(tensor):
        return [tensor]
    names, _ = tensor.__tensor_flatten__()
    return [part for name in names for part in _plain_parts(getattr(tensor, name))]
